"""The build fails where it must, runs cells again when the library changed, and does nothing when nothing changed."""

import shutil

import bookext
import make_book
import project
import pytest

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""


@pytest.fixture
def root(tmp_path):
    """A copy of the book's machinery round one small page."""
    for name in ("_ext", "_static", "_vendor"):
        shutil.copytree(project.BOOK / name, tmp_path / "book" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project.ROOT / "_config.yml", tmp_path)
    shutil.copy(project.BOOK / "references.bib", tmp_path / "book")
    (tmp_path / "book" / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    return tmp_path


def build(root, body: str) -> int:
    (root / "book" / "intro.md").write_text(HEADER + "# Title\n\n" + body)
    return make_book.jupyter_book(root)


CELL = "```{code-cell} ipython3\n%s\n```\n"


@pytest.mark.slow
def test_a_good_page_builds(root, capfd):
    assert build(root, CELL % "print(6 * 7)") == 0
    assert ">42\n" in (root / "_build" / "html" / "intro.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (CELL % "raise RuntimeError('the cell is wrong')", "RuntimeError: the cell is wrong"),
        ("See {eq}`eq-nowhere`.\n", "eq-nowhere"),
        ("See {ref}`sec-nowhere`.\n", "sec-nowhere"),
        ("Read {cite}`nobody1900`.\n", "nobody1900"),
        ("```{literalinclude} _ext/bookext.py\n:pyobject: nothing_of_this_name\n```\n", "nothing_of_this_name"),
        (CELL % "from IPython.display import HTML\nHTML('<img src=\"data:,\">')", "an image has no alt text"),
    ],
    ids=["failing cell", "equation", "reference", "citation", "include", "alt text"],
)
def test_a_bad_page_does_not_build(root, capfd, body, says):
    assert build(root, body) != 0
    shown = capfd.readouterr()
    assert says in shown.out + shown.err


def library(root):
    for folder in ("mambaedu", "kernels", "exercises", "book/_data"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "mambaedu" / "m.py").write_text("RATE = 1\n")
    (root / "book" / "_data" / "e01.json").write_text("{}")
    return root


@pytest.mark.parametrize(
    "path", ["mambaedu/m.py", "mambaedu/viz/m.js", "kernels/k/k.py", "exercises/cases.py", "book/_data/e01.json"]
)
def test_the_cache_sees_every_file_that_cells_see(tmp_path, path):
    root = library(tmp_path)
    before = bookext.library_hash(root)
    assert bookext.library_hash(root) == before
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("RATE = 2\n")
    assert bookext.library_hash(root) != before


def test_the_cache_does_not_see_compiled_files(tmp_path):
    root = library(tmp_path)
    before = bookext.library_hash(root)
    (root / "mambaedu" / "__pycache__").mkdir()
    (root / "mambaedu" / "__pycache__" / "m.py").write_text("x")
    assert bookext.library_hash(root) == before


@pytest.mark.slow
def test_a_page_shows_the_library_of_today(root, capfd):
    """Change one constant and nothing else: the page changes with it."""
    body = CELL % f"import runpy; print(runpy.run_path({str(root / 'mambaedu' / 'm.py')!r})['RATE'] + 100)"
    library(root)
    assert build(root, body) == 0
    assert ">101\n" in (root / "_build" / "html" / "intro.html").read_text()
    (root / "mambaedu" / "m.py").write_text("RATE = 2\n")
    assert build(root, body) == 0
    assert ">102\n" in (root / "_build" / "html" / "intro.html").read_text()


def test_the_stamp_sees_pages_tests_and_the_lock(root):
    library(root)
    (root / "tests").mkdir()
    (root / "requirements.txt").write_text("a==1\n")
    (root / "book" / "intro.md").write_text("# T\n")
    (root / "tests" / "test_a.py").write_text("")
    for path in (
        "book/intro.md",
        "tests/test_a.py",
        "requirements.txt",
        "_config.yml",
        "book/_toc.yml",
        "mambaedu/m.py",
    ):
        before = make_book.inputs_hash(root)
        assert make_book.inputs_hash(root) == before
        with (root / path).open("a") as file:
            file.write("# more\n")
        assert make_book.inputs_hash(root) != before, path


@pytest.mark.parametrize("sentence", ["book/a.ipynb is out of date. Run: make notebooks"])
def test_the_build_refuses_what_is_out_of_date(monkeypatch, capsys, sentence):
    monkeypatch.setattr(make_book, "out_of_date", lambda: [sentence])
    monkeypatch.setattr(make_book, "jupyter_book", lambda root: pytest.fail("built all the same"))
    assert make_book.main() == 1
    assert sentence in capsys.readouterr().out
