"""What the book needs of Sphinx beyond its extensions. Works under Jupyter Book and under plain Sphinx."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import apidoc
import equations
import project
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

# What the cells of a page can see besides themselves. The records count with every file, code with these suffixes.
CODE = {".py", ".js", ".css"}
SEEN_BY_CELLS = {"mambaedu": CODE, "kernels": CODE, "exercises": CODE | {".toml", ".md"}, "book/_data": None}


def library_hash(root: Path = project.ROOT) -> str:
    """A hash of everything that the cells import or read, so that old results are not shown for new code."""
    digest = hashlib.sha256()
    for folder, suffixes in SEEN_BY_CELLS.items():
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and (suffixes is None or path.suffix in suffixes):
                digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def configure(app, config):
    # After Jupyter Book looked for scripts: whatever stands in _static is loaded on every page, _vendor is not.
    config.html_static_path.append(str(project.BOOK / "_vendor"))
    # The execution cache knows a notebook by its cells only. A folder of its own for each state of the library mends that.
    build = Path(app.outdir).parent
    cache = build / f".jupyter_cache-{library_hash()}"
    for old in build.glob(".jupyter_cache-*"):
        if old != cache:
            shutil.rmtree(old)
    config.nb_execution_cache_path = str(cache)
    config.html_theme_options["navbar_persistent"] = []
    config.html_theme_options["search_bar_text"] = "Search this book"


def always_read(app, env, added, changed, removed):
    """The pages made from code and tests are read anew in every build."""
    return [page for page in ("reference/equations", "reference/api", "reference/results") if page in env.found_docs]


IMAGE = re.compile(r"<img\b[^>]*>")
ALT = re.compile(r"""\balt=(?:"\s*[^"\s][^"]*"|'\s*[^'\s][^']*')""")


def demand_alt_text(app, page, template, context, doctree):
    """A warning, hence a failed build, for an image that says nothing to a reader who cannot see it."""
    for image in IMAGE.findall(context.get("body", "")):
        if not ALT.search(image):
            logger.warning(
                "%s: an image has no alt text: %s. Give `alt` to mambaedu.viz.figure, or ![alt](...)", page, image[:80]
            )


def offer_twins(app, exception):
    """The download button gives the notebook twin instead of a notebook full of directives."""
    for copy in (Path(app.outdir) / "_sources").rglob("*.ipynb"):
        twin = project.BOOK / copy.relative_to(Path(app.outdir) / "_sources")
        if twin.exists():
            shutil.copyfile(twin, copy)


class Generated(SphinxDirective):
    """A directive whose content is Markdown that we write: `markdown()` returns its lines."""

    def run(self):
        node = nodes.container(classes=[self.name])
        self.state.nested_parse(StringList(self.markdown(), source=self.name), 0, node)
        return node.children


class Equations(Generated):
    def markdown(self):
        return equations.entries()


class Api(Generated):
    required_arguments = 1

    def markdown(self):
        return apidoc.module(self.arguments[0])


def setup(app):
    os.environ["MAMBAEDU_BOOK"] = "1"  # the kernels inherit it: explorables show their page version
    app.add_directive("equations", Equations)
    app.add_directive("api", Api)
    app.connect("config-inited", configure, priority=1)
    app.connect("env-get-outdated", always_read)
    app.connect("html-page-context", demand_alt_text)
    app.connect("build-finished", offer_twins)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
