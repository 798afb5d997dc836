"""Every link inside the site leads to a page and an anchor that exist; every link to the repository to a file that exists."""

import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import project
import pytest

pytestmark = pytest.mark.book


def test_internal_links_and_anchors(site):
    root = next(iter(site.values())).path
    while root.name != "html":
        root = root.parent
    broken = []
    for name, page in site.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link) or link in {"", "#"}:
                continue
            address, anchor = urldefrag(link)
            path = (page.path.parent / unquote(address)).resolve() if address else page.path
            target = site.get(path.relative_to(root).as_posix()) if path.is_relative_to(root) else None
            if not path.is_file():
                broken.append((name, link, "no such file"))
            elif anchor and target and unquote(anchor) not in target.ids:
                broken.append((name, link, "no such anchor"))
    assert broken == []


def test_links_into_the_repository(site):
    """file_url of the page of equations and others: the file is there, and long enough for its line."""
    prefix = project.file_url("")
    broken = []
    for name, page in site.items():
        for link in page.links:
            if link.startswith(prefix):
                path, anchor = urldefrag(link[len(prefix) :])
                file = project.ROOT / Path(path)
                lines = len(file.read_text("utf-8").splitlines()) if file.is_file() else 0
                if not lines or int(anchor.lstrip("L") or 1) > lines:
                    broken.append((name, link))
    assert broken == []


def test_pages_link_to_each_other(site):
    assert sum(len(page.links) for page in site.values()) > 100


def test_colab_opens_the_twin(site):
    import notebooks

    for page in notebooks.pages():
        assert project.colab_url(page) in site[f"{page}.html"].links
        assert (project.BOOK / f"{page}.ipynb").exists()
