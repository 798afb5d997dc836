"""Every page of the table of contents exists, says something, and is built with all its cells."""

import notebooks
import project
import pytest
import targets

PAGES = project.pages()
MADE_BY_SPHINX = {"genindex.html", "index.html", "py-modindex.html", "search.html"}


def test_the_table_of_contents_names_each_page_once():
    assert len(PAGES) == len(set(PAGES))


@pytest.mark.parametrize("page", PAGES)
def test_page_is_written(page):
    text = (project.BOOK / f"{page}.md").read_text("utf-8")
    assert targets.title(page)
    assert "This page is being written" not in text, f"book/{page}.md is a placeholder"


def test_every_page_in_the_folder_is_in_the_table_of_contents():
    written = {path.relative_to(project.BOOK).with_suffix("").as_posix() for path in project.BOOK.rglob("*.md")}
    assert {page for page in written if not page.startswith("_")} == set(PAGES)


@pytest.mark.book
def test_the_site_holds_these_pages_and_no_others(site):
    assert set(site) - MADE_BY_SPHINX == {f"{page}.html" for page in PAGES}


@pytest.mark.book
@pytest.mark.parametrize("page", PAGES)
def test_built_page_says_something(site, page):
    assert site[f"{page}.html"].words > 40, f"{page} is nearly empty"


@pytest.mark.book
@pytest.mark.parametrize("page", notebooks.pages())
def test_every_cell_is_on_the_page(site, page):
    import jupytext

    read = jupytext.reads((project.BOOK / f"{page}.md").read_text("utf-8"), fmt="md:myst")
    hidden = {"remove-cell"}
    shown = [
        cell for cell in read.cells if cell.cell_type == "code" and not hidden & set(cell.metadata.get("tags", []))
    ]
    built = site[f"{page}.html"].source
    # A cell with neither its input nor an output leaves nothing on the page.
    silent = [cell for cell in shown if "remove-input" in cell.metadata.get("tags", [])]
    assert len(shown) - len(silent) <= built.count('<div class="cell ') <= len(shown)


@pytest.mark.book
@pytest.mark.parametrize("page", PAGES)
def test_page_is_at_most_1_5_megabytes(site, page):
    assert len(site[f"{page}.html"].source.encode()) <= 1_500_000
