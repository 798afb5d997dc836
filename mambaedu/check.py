"""Exercises in a notebook: check("ex03", zoh) prints what is right, what is not and why, and returns it. No points are given here.

The cases, messages and hints are those of the folder exercises/, which lies in a clone of the book and not in the installed package.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class TestResult:
    """One test of an exercise: its name, "passed", "wrong", "error", ... and the message for the learner."""

    name: str
    status: str
    message: str = ""
    recognised: str = ""

    __test__ = False  # pytest: not a test class


@dataclass(frozen=True)
class Result:
    """What came of a check. True in an `if` when every test passed.

    exercise: its id. tests: one TestResult each.
    """

    exercise: str
    tests: tuple[TestResult, ...]

    @property
    def passed(self) -> bool:
        return all(test.status == "passed" for test in self.tests)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"Result({self.exercise}: {sum(test.status == 'passed' for test in self.tests)} of {len(self.tests)} tests passed)"


def find_exercises(start: Path | None = None) -> Path:
    """The folder exercises/ of the clone: looked for upwards from `start` (the current folder), then from this package.

    Raises:
        FileNotFoundError: it is in neither place; the message says to clone the book.
    """
    places = [(start or Path.cwd()).resolve(), Path(__file__).resolve().parent]
    for place in places:
        for folder in (place, *place.parents):
            if (folder / "exercises" / "manifest.toml").is_file():
                return folder / "exercises"
    raise FileNotFoundError(
        "check needs the folder exercises/ of the book, which the installed package does not contain. Clone the book's repository and "
        f"start Python inside it (looked upwards from {places[0]} and {places[1]})"
    )


@contextmanager
def _grader(folder: Path) -> Iterator[ModuleType]:
    """The module exercises._grader.in_notebook of this clone. Another package called exercises steps aside meanwhile."""
    known = sys.modules.get("exercises")
    aside: dict[str, ModuleType] = {}
    if known is None or Path(known.__file__ or "").resolve() != folder / "__init__.py":
        aside = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "exercises"}
        spec = importlib.util.spec_from_file_location(
            "exercises", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules["exercises"] = package
        spec.loader.exec_module(package)
    try:
        yield importlib.import_module("exercises._grader.in_notebook")
    finally:
        if aside:
            for name in [name for name in sys.modules if name.split(".")[0] == "exercises"]:
                del sys.modules[name]
            sys.modules.update(aside)


def check(exercise: str, *answers: Any, seed: int = 0, hint: int = 1) -> Result:
    """Check an answer to an exercise: print what is right and what is not, and return it.

    Equation: the one of the exercise; its reference is computed independently of the library.

    Args:
        exercise: "ex03".
        answers: the functions that the exercise asks for, in the order of its README. Later ones may be left out for now.
        seed: which inputs; points are given on others.
        hint: 1, 2 or 3: the hint to print when something is wrong. The first asks a question, the last points into the chapter.

    Returns:
        A Result: true when every test passed, with one entry for each test.

    Raises:
        FileNotFoundError: the folder exercises/ is not there; clone the book.
        ValueError: there is no such exercise, there are too many answers, or no such hint. A wrong answer never raises.

    >>> result = check("ex04", lambda a, b, h0=None: b)     # doctest: +SKIP
    """
    folder = find_exercises()
    if hint not in (1, 2, 3):
        raise ValueError(f"hint must be 1, 2 or 3, got {hint!r}")
    with _grader(folder) as grader:
        text, rows = grader.check(folder, exercise, answers, seed, hint)
    print(text)
    return Result(exercise, tuple(TestResult(*row) for row in rows))
