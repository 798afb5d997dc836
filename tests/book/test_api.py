"""The page of the library shows every public module, from its docstrings."""

import fnmatch
import importlib
import inspect
import pkgutil
import re

import apidoc
import project
import pytest

import mambaedu

# Modules that the page leaves out, each with the reason.
LEFT_OUT = {
    "mambaedu.viz.*": "mambaedu.viz passes on what pages use",
    "mambaedu.lab.bench*": "a command: python -m mambaedu.lab.bench",
    "mambaedu.lab.experiments.*": "a command, and the chapters show what it does",
}
SHOWN = re.findall(r"^```\{api\} (\S+)$", (project.BOOK / "reference" / "api.md").read_text("utf-8"), re.M)


def public_modules() -> set[str]:
    """The modules of mambaedu that offer something to a reader."""
    found = set()
    for info in pkgutil.walk_packages(mambaedu.__path__, "mambaedu."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        if any(fnmatch.fnmatch(info.name, pattern) for pattern in LEFT_OUT):
            continue
        if apidoc.public(importlib.import_module(info.name)):
            found.add(info.name)
    return found


def test_every_public_module_is_on_the_page():
    assert set(SHOWN) == public_modules()
    assert len(SHOWN) == len(set(SHOWN))


@pytest.mark.book
@pytest.mark.parametrize("name", SHOWN)
def test_every_public_name_is_on_the_page(site, name):
    page = site["reference/api.html"]
    for short, _ in apidoc.public(importlib.import_module(name)):
        assert f"{name}.{short}" in page.ids


@pytest.mark.parametrize("name", SHOWN)
def test_every_public_name_has_a_docstring(name):
    assert inspect.getdoc(importlib.import_module(name))
    for short, member in apidoc.public(importlib.import_module(name)):
        assert inspect.getdoc(member), f"{name}.{short} has no docstring"


def test_a_docstring_becomes_markdown():
    doc = inspect.cleandoc("""One step of u_t * A_bar.

        Equation: h = `a` h[t-1]

        Args:
            A: (n), the modes
                of the system.
            *rest: more.

        Returns:
            A pair.

        >>> 1 + 1
        2
    """)
    assert apidoc.docstring(doc) == [
        r"One step of u\_t \* A\_bar.",
        "",
        r"Equation: h = `a` h\[t-1\]",
        "",
        "**Args**",
        "",
        "- `A`: (n), the modes of the system.",
        "- `*rest`: more.",
        "",
        "**Returns**",
        "",
        "A pair.",
        "",
        "```python",
        ">>> 1 + 1",
        "2",
        "```",
        "",
    ]


def test_a_signature_shows_arguments_and_defaults():
    def scan(a: int, *, h0=None, backend: str = "auto") -> int: ...

    assert apidoc.signature("m.scan", scan) == "m.scan(a, *, h0=None, backend='auto')"


def test_a_public_name_without_a_docstring_is_an_error():
    def bare(): ...

    with pytest.raises(ValueError, match=r"m\.bare is public and has no docstring"):
        apidoc.entry("function", "m.bare", bare, [])
