"""The book under plain Sphinx, without Jupyter Book: python -m sphinx -b html -W -n -c book/_ext book _build/html

It takes its settings from _config.yml, so that there is one set of them.
"""

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
settings = yaml.safe_load((HERE.parents[1] / "_config.yml").read_text("utf-8"))

globals().update(settings["sphinx"]["config"])
extensions = [
    name for name in settings["sphinx"]["config"]["extensions"] if name not in {"jupyter_book", "sphinx_comments"}
]
project = html_title = settings["title"]
author, copyright = settings["author"], settings["copyright"]
exclude_patterns = settings["exclude_patterns"]
external_toc_path, external_toc_exclude_missing = str(HERE.parent / "_toc.yml"), True
myst_enable_extensions = settings["parse"]["myst_enable_extensions"]
bibtex_bibfiles = [str(HERE.parent / name) for name in settings["bibtex_bibfiles"]]
nb_execution_mode, nb_execution_timeout = settings["execute"]["execute_notebooks"], settings["execute"]["timeout"]
nb_output_stderr = settings["execute"]["stderr_output"]
html_theme, numfig, suppress_warnings = "sphinx_book_theme", True, ["myst.domains"]
html_static_path, html_css_files = [str(HERE.parent / "_static")], ["book.css"]
html_theme_options = {
    "repository_url": settings["repository"]["url"],
    "repository_branch": settings["repository"]["branch"],
    "path_to_docs": settings["repository"]["path_to_book"],
    "launch_buttons": settings["launch_buttons"],
    "use_repository_button": True,
}
