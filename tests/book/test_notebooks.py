"""Every page with cells has a twin: up to date, the same bytes each time, with the page's own cells and no directive left."""

import ast
import json
import re
import subprocess
import sys

import jupytext
import nbformat
import notebooks
import project
import pytest

PAGES = notebooks.pages()
LEFT = re.compile(r"(?:`{3,}|:{3,}|~{3,})\{|\{[\w:.-]+\}`|^\([\w.:-]+\)=\s*$", re.M)


def load(page: str) -> dict:
    return json.loads((project.BOOK / f"{page}.ipynb").read_text("utf-8"))


def sources(page: str, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in load(page)["cells"] if cell["cell_type"] == kind]


def test_there_are_pages_with_cells():
    assert len(PAGES) >= 2


def test_all_are_up_to_date():
    assert notebooks.out_of_date() == [], "run: make notebooks"


@pytest.mark.parametrize("page", PAGES)
def test_no_directive_is_left(page):
    for text in sources(page, "markdown"):
        assert LEFT.findall(text) == []


@pytest.mark.parametrize("page", PAGES)
def test_twice_the_same_bytes(page):
    script = f"import sys, notebooks; sys.stdout.buffer.write(notebooks.twin({page!r}).encode())"
    run = subprocess.run([sys.executable, "-c", script], cwd=project.BOOK / "_ext", capture_output=True, check=True)
    assert run.stdout == notebooks.twin(page).encode() == (project.BOOK / f"{page}.ipynb").read_bytes()


@pytest.mark.parametrize("page", PAGES)
def test_code_cells_are_those_of_the_page(page):
    read = jupytext.reads((project.BOOK / f"{page}.md").read_text("utf-8"), fmt="md:myst")
    install, *rest = sources(page, "code")
    assert install == notebooks.install_cell()
    assert rest == [cell.source for cell in read.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("page", PAGES)
def test_valid_without_outputs(page):
    notebook = load(page)
    nbformat.validate(notebook)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert "skip-execution" not in cell["metadata"].get("tags", [])


# What Colab has, and what a reader of the README has installed with the library.
EVERYWHERE = {"mambaedu", "exercises", "torch", "numpy", "numba", "triton", "scipy", "matplotlib", "IPython"}


@pytest.mark.parametrize("page", PAGES)
def test_it_imports_only_what_colab_has(page):
    code = "\n".join(
        line for text in sources(page, "code") for line in text.splitlines() if not line.startswith(("%", "!"))
    )
    imported = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported - sys.stdlib_module_names <= EVERYWHERE


def test_a_figure_of_a_cell_has_its_caption_below(monkeypatch, tmp_path):
    monkeypatch.setattr(project, "BOOK", tmp_path)
    monkeypatch.setattr(project, "pages", lambda: ["only"])
    (tmp_path / "references.bib").write_text("")
    (tmp_path / "only.md").write_text(
        "---\njupytext: {}\n---\n\n# Only\n\nSee {numref}`fig-fall`.\n\n```{code-cell} ipython3\n---\nmystnb:\n  figure:\n"
        "    name: fig-fall\n    caption: It falls.\n---\n1 + 1\n```\n"
    )
    _, _, text, code, caption = (("".join(cell["source"]), cell["cell_type"]) for cell in notebooks.cells("only"))
    assert text == (f"# Only\n\nSee [Figure fall]({project.site_url()}/only.html#fig-fall).", "markdown")
    assert code == ("1 + 1", "code")
    assert caption == ("**Figure fall.** It falls.", "markdown")


def test_the_install_cell_leaves_what_is_there_alone():
    text = notebooks.install_cell()
    assert project.repository_url() in text
    installs = [line for line in text.splitlines() if '"pip"' in line]
    assert len(installs) == 1
    assert '"--no-deps"' in installs[0]
    for package in ("torch", "triton", "numpy", "numba"):
        assert package not in installs[0]


def test_the_install_cell_does_nothing_where_the_project_is_installed():
    run = subprocess.run(
        [sys.executable, "-c", notebooks.install_cell()], cwd=project.ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("mambaedu ")
    assert run.stdout.count("\n") == 1


@pytest.mark.slow
def test_the_install_cell_installs_a_clone(tmp_path):
    """As on Colab: nothing of ours is importable, torch is; git and pip do the rest."""
    import mambaedu

    clone = tmp_path / project.repository_url().rsplit("/", 1)[1]
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{project.ROOT}", str(clone)], check=True)
    target = tmp_path / "site"
    # pip is stood in for by a copy into a folder of its own: this environment must stay as it is.
    cell = notebooks.install_cell().replace('"--editable", "."', f'"--target", "{target}", "."')
    assert "--target" in cell
    hide = (
        "import sys\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
        f"sys.path = [path for path in sys.path if path not in ('', {str(project.ROOT)!r})]\n"
    )
    check = "\nimport os\nassert mambaedu.__file__.startswith(os.getcwd()), mambaedu.__file__\n"
    run = subprocess.run(
        [sys.executable, "-P", "-c", hide + cell + check], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert f"mambaedu {mambaedu.__version__}" in run.stdout


def test_a_changed_page_is_noticed(monkeypatch, tmp_path):
    page = PAGES[0]
    changed = project.BOOK / f"{page}.md"
    text = changed.read_text("utf-8")
    monkeypatch.setattr(project, "BOOK", tmp_path)
    monkeypatch.setattr(project, "pages", lambda: ["only"])
    (tmp_path / "references.bib").write_text("")
    header = text[: text.index("---", 3) + 4]
    path = tmp_path / "only.md"
    path.write_text(header + "\n# Only\n\n```{code-cell} ipython3\n1 + 1\n```\n")
    assert notebooks.out_of_date() == ["book/only.ipynb is missing"]
    path.with_suffix(".ipynb").write_text(notebooks.twin("only"))
    assert notebooks.out_of_date() == []
    path.write_text(path.read_text().replace("1 + 1", "1 + 2"))
    assert notebooks.out_of_date() == ["book/only.ipynb is out of date"]
    path.write_text(header + "\n# Only\n\n```{code-cell} ipython3\n:tags: [hide-input]\n1 + 2\n```\n")
    assert "book/only.md is not in its canonical form" in notebooks.out_of_date()


def run_whole(page: str) -> None:
    import nbclient

    notebook = nbformat.read(project.BOOK / f"{page}.ipynb", as_version=4)
    folder = (project.BOOK / page).parent
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()


@pytest.mark.slow
def test_one_twin_runs_whole():
    run_whole(next(page for page in PAGES if page.startswith("1-")))


@pytest.mark.weekly
@pytest.mark.parametrize("page", PAGES)
def test_every_twin_runs_whole(page):
    run_whole(page)
