"""No page loads anything from outside: the site opens from a folder, with the network off."""

import re
from pathlib import Path

import project
import pytest

URL = re.compile(r"""url\(\s*['"]?([^'")]+)""")
IMPORT = re.compile(r"""@import\s+(?:url\()?['"]?([^'");]+)""")
CALL = re.compile(
    r"""\b(?:import|fetch|importScripts)\s*\(|\bnew\s+(?:XMLHttpRequest|WebSocket|EventSource)\b|\bsendBeacon\s*\("""
)
OWN = [
    *(project.BOOK / "_static").rglob("*.css"),
    *(project.BOOK / "_static").rglob("*.js"),
    *(project.ROOT / "mambaedu" / "viz").glob("*.css"),
    *(project.ROOT / "mambaedu" / "viz").glob("*.js"),
]


def outside(address: str) -> bool:
    """True when a browser would leave the site for this address."""
    return bool(re.match(r"(?i)\s*(?:[a-z][a-z0-9+.-]*:)?//|\s*(?:http|https|ws|wss|ftp):", address))


def leaving(css: str) -> list[str]:
    return [address for pattern in (URL, IMPORT) for address in pattern.findall(css) if outside(address)]


@pytest.mark.parametrize(
    ("address", "leaves"),
    [
        ("https://cdn.example/x.js", True),
        ("//cdn.example/x.js", True),
        ("HTTP://cdn.example", True),
        ("../_static/x.js", False),
        ("data:image/png;base64,AA//8=", False),
        ("#fig-decay", False),
        ("", False),
    ],
)
def test_outside(address, leaves):
    assert outside(address) is leaves


def test_leaving_reads_css():
    assert leaving("a { b: url(//x.y/z) } @import 'https://q.r';") == ["//x.y/z", "https://q.r"]
    assert leaving("a { b: url(fonts/x.woff) }") == []


@pytest.mark.book
def test_pages_load_nothing_from_outside(site):
    loads = [(name, address) for name, page in site.items() for address in page.loads if outside(address)]
    assert loads == []


@pytest.mark.book
def test_inline_styles_stay_inside(site):
    assert [(name, found) for name, page in site.items() for css in page.styles for found in leaving(css)] == []


@pytest.mark.book
def test_inline_scripts_call_nobody(site):
    calls = [(name, found) for name, page in site.items() for script in page.scripts for found in CALL.findall(script)]
    assert calls == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_our_own_assets_stay_inside(path: Path):
    text = path.read_text("utf-8")
    assert leaving(text) == []
    if path.suffix == ".js":
        assert CALL.findall(text) == []


@pytest.mark.book
def test_every_file_a_page_loads_is_there(site):
    missing = []
    for name, page in site.items():
        for address in page.loads:
            if address and not address.startswith(("data:", "blob:", "#")):
                target = page.path.parent / address.split("?")[0].split("#")[0]
                if not target.exists():
                    missing.append((name, address))
    assert missing == []


@pytest.mark.book
def test_mathjax_comes_from_the_site(site):
    with_equations = [page for page in site.values() if 'class="math' in page.source]
    assert with_equations
    for page in with_equations:
        assert any(address.split("?")[0].endswith("_static/mathjax/tex-mml-chtml.js") for address in page.loads)
