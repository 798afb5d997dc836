"""The built book, parsed once: what each page shows, loads and links to."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

HTML = Path(__file__).parents[2] / "_build" / "html"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
RAW = {"script", "style"}


@dataclass
class Page:
    """One file of the site."""

    path: Path
    source: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)  # <a href>
    images: list[dict[str, str]] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)  # everything that the browser fetches by itself
    scripts: list[str] = field(default_factory=list)  # the text of inline scripts
    styles: list[str] = field(default_factory=list)  # the text of style elements and style attributes
    words: int = 0  # in the article


class Reader(HTMLParser):
    def __init__(self, page: Page):
        super().__init__()
        self.page, self.raw, self.depth = page, "", 0  # depth inside <article>

    def handle_starttag(self, tag, attrs):
        attributes = {key: value or "" for key, value in attrs}
        page = self.page
        if "id" in attributes:
            page.ids.add(attributes["id"])
        if tag == "a" and "href" in attributes:
            page.links.append(attributes["href"])
        if tag == "img":
            page.images.append(attributes)
        if tag == "link" and {"stylesheet", "icon", "preload", "modulepreload"} & set(
            attributes.get("rel", "").split()
        ):
            page.loads.append(attributes.get("href", ""))
        page.loads += [
            attributes[key] for key in ("src", "poster", "data") if tag not in {"a", "div"} and key in attributes
        ]
        page.loads += [part.split()[0] for part in attributes.get("srcset", "").split(",") if part.strip()]
        if "style" in attributes:
            page.styles.append(attributes["style"])
        if tag in RAW:
            self.raw = tag
        if tag == "article" or (self.depth and tag not in VOID):
            self.depth += 1

    def handle_endtag(self, tag):
        self.raw = ""
        if self.depth and tag not in VOID:
            self.depth -= 1

    def handle_data(self, data):
        if self.raw == "script":
            self.page.scripts.append(data)
        elif self.raw == "style":
            self.page.styles.append(data)
        elif self.depth:
            self.page.words += len(data.split())


def read(path: Path) -> Page:
    page = Page(path, path.read_text("utf-8"))
    Reader(page).feed(page.source)
    return page


@pytest.fixture(scope="session")
def site() -> dict[str, Page]:
    """Every page of the built book, by its path in the site: "1-state-spaces/01-....html"."""
    from make_book import inputs_hash
    from project import ROOT

    stamp = ROOT / "_build" / "inputs.sha256"
    assert stamp.exists(), "the book is not built: make book"
    assert stamp.read_text() == inputs_hash(ROOT), "the built book is older than its sources: make book"
    return {path.relative_to(HTML).as_posix(): read(path) for path in sorted(HTML.rglob("*.html"))}
