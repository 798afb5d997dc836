"""Every equation of the book, the lines of code that compute it, the tests that check it.

in the book     $$ ... $$ (eq-recurrence)
in the code     # [eq-recurrence] at the end of one line, or # [eq-recurrence] ... # [/eq-recurrence] round several
in a test       @pytest.mark.equation("eq-recurrence")
"""

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import project

# Equations that no line of code computes, or no test checks, each with the reason.
THEORY: dict[str, str] = {}


@dataclass
class Place:
    """Where a label stands: the page of an equation, the lines of its code, the function that tests it."""

    path: str
    line: int
    end: int = 0
    text: str = ""  # the TeX of an equation, the name of a test


IN_BOOK = re.compile(r"^\$\$(?P<tex>(?:(?!\$\$).)+?)\$\$\s*\((?P<label>eq-[\w-]+)\)", re.M | re.S)
DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{math\}\n:label: (?P<label>eq-[\w-]+)\n(?P<tex>.*?)^(?P=fence)", re.M | re.S
)
# A line that makes a tensor says its shape first: # (b l d n) [eq-recurrence]
TAG = re.compile(r"#\s*(?:\([\w ]+\)\s*)?\[(?P<close>/?)(?P<label>eq-[\w-]+)\]\s*$")


def in_book(pages: list[str] | None = None, book: Path = project.BOOK) -> dict[str, Place]:
    """label -> the page and the TeX. A label that two pages define is an error."""
    found: dict[str, Place] = {}
    for page in pages if pages is not None else project.pages():
        path = book / f"{page}.md"
        text = path.read_text("utf-8") if path.exists() else ""
        for pattern in (IN_BOOK, DIRECTIVE):
            for match in pattern.finditer(text):
                label = match["label"]
                if label in found:
                    raise ValueError(f"{label} is defined twice: in {found[label].path} and in {page}")
                line = text.count("\n", 0, match.start()) + 1
                found[label] = Place(page, line, text=" ".join(match["tex"].split()))
    return found


def in_code(root: Path = project.ROOT) -> dict[str, list[Place]]:
    """label -> the tagged lines in mambaedu/ and kernels/."""
    found = defaultdict(list)
    for path in sorted([*root.glob("mambaedu/**/*.py"), *root.glob("kernels/**/*.py")]):
        name = path.relative_to(root).as_posix()
        opened: dict[str, int] = {}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            tag = TAG.search(line)
            if not tag:
                continue
            label = tag["label"]
            if tag["close"]:
                if label not in opened:
                    raise ValueError(f"{name}:{number}: [/{label}] closes what was not opened")
                found[label].append(Place(name, opened.pop(label) + 1, number - 1))
            elif line.strip().startswith("#"):
                opened[label] = number
            else:
                found[label].append(Place(name, number, number))
        if opened:
            label, number = next(iter(opened.items()))
            raise ValueError(f"{name}:{number}: [{label}] stands alone on its line and is never closed by [/{label}]")
    return dict(found)


def in_tests(root: Path = project.ROOT) -> dict[str, list[Place]]:
    """label -> the tests that carry its mark."""
    found = defaultdict(list)
    for path in sorted(root.glob("tests/**/test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
                    for argument in mark.args:
                        place = Place(path.relative_to(root).as_posix(), node.lineno, text=node.name)
                        found[ast.literal_eval(argument)].append(place)
    return dict(found)


def problems(book, code, tests, theory=THEORY) -> list[str]:
    """One sentence for each label that is missing somewhere. Empty when every equation has its code and its test."""
    where = {"the book": book, "mambaedu/ or kernels/": code, "a test": tests}
    sentences = []
    for label in sorted({*book, *code, *tests}):
        missing = [name for name, labels in where.items() if label not in labels]
        if missing and (label not in theory or label not in book):
            sentences.append(f"{label} is missing in {' and in '.join(missing)}")
        if not missing and label in theory:
            sentences.append(f"{label} has its code and its test: take it off the list THEORY")
    sentences += [f"{label} is on the list THEORY and nowhere in the book" for label in sorted(set(theory) - set(book))]
    return sentences


def link(place: Place) -> str:
    words = place.text or f"{place.path}:{place.line}"
    return f"[`{words}`]({project.file_url(place.path, place.line)})"


def entries() -> list[str]:
    """The page of the equations as lines of Markdown: page by page, each equation with its code and its tests."""
    book, code, tests = in_book(), in_code(), in_tests()
    lines, page = [], ""
    for label, equation in book.items():
        if equation.path != page:
            page = equation.path
            lines += [f"**{{doc}}`/{page}`**", ""]
        lines += [":::{div} equation-entry", "", f"$$ {equation.text} $$", "", f"Equation {{eq}}`{label}`", ""]
        if label in THEORY:
            lines += [f"No code: {THEORY[label]}", ""]
        if label in code:
            lines += ["Code: " + ", ".join(link(place) for place in code[label]), ""]
        if label in tests:
            lines += ["Tests: " + ", ".join(link(place) for place in tests[label]), ""]
        lines += [":::", ""]
    return lines or ["No page has an equation with a label yet."]
