"""manifest.toml: the exercises, their tests, their points. The score comes from here and from nowhere else."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]  # exercises/
PLANNED = "planned"  # the anchor of a chapter that is not written yet: then no link is shown


class SetupError(Exception):
    """The exercises themselves are broken. Never the learner's fault; the grader ends with status 2."""


@dataclass(frozen=True)
class Test:
    """One row of points: its name, what it asks in words, the names it uses, and what it needs to run."""

    name: str
    words: str
    points: int
    uses: tuple[str, ...]
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Exercise:
    """One exercise as manifest.toml has it."""

    id: str
    folder: str
    title: str
    chapter: str
    anchor: str
    minutes: int
    difficulty: int
    prerequisites: tuple[str, ...]
    answers: tuple[str, ...]
    not_allowed: tuple[str, ...]
    seconds: int
    memory_mb: int
    hints: tuple[str, str, str]
    done: str
    tests: tuple[Test, ...]

    @property
    def number(self) -> int:
        return int(self.id.removeprefix("ex"))

    @property
    def points(self) -> int:
        return sum(test.points for test in self.tests)

    @property
    def file(self) -> str:
        return f"{self.folder}.py"

    def link(self, anchor: str | None = None) -> str:
        """Where the book explains it, or "" while that chapter is planned."""
        anchor = anchor or self.anchor
        return "" if PLANNED in (anchor, self.anchor) else f"book/{self.chapter}, at ({anchor})="


def _take(table: dict[str, Any], key: str, kind: type, where: str) -> Any:
    if key not in table:
        raise SetupError(f"manifest.toml: {where} has no `{key}`")
    value = table.pop(key)
    if type(value) is not kind:  # bool is an int for isinstance; points = true must not pass
        raise SetupError(f"manifest.toml: `{key}` of {where} must be {kind.__name__}, got {value!r}")
    return value


def _names(table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = _take(table, key, list, where)
    if not all(isinstance(value, str) for value in values):
        raise SetupError(f"manifest.toml: `{key}` of {where} must be a list of strings, got {values!r}")
    return tuple(values)


def _test(table: dict[str, Any], answers: tuple[str, ...], where: str) -> Test:
    name = _take(table, "name", str, f"a test of {where}")
    where = f"test {name} of {where}"
    test = Test(
        name=name,
        words=_take(table, "words", str, where),
        points=_take(table, "points", int, where),
        uses=_names(table, "uses", where) if "uses" in table else answers,
        needs=_names(table, "needs", where) if "needs" in table else (),
    )
    if test.points < 1:
        raise SetupError(f"manifest.toml: `points` of {where} must be at least 1, got {test.points}")
    if unknown := set(test.uses) - set(answers):
        raise SetupError(f"manifest.toml: `uses` of {where} names {sorted(unknown)}, which `answers` does not have")
    if table:
        raise SetupError(f"manifest.toml: {where} has unknown keys {sorted(table)}")
    return test


def _exercise(table: dict[str, Any], known: dict[str, Exercise]) -> Exercise:
    name = _take(table, "id", str, "an exercise")
    answers = _names(table, "answers", name)
    hints = _names(table, "hints", name)
    tests = tuple(_test(dict(test), answers, name) for test in _take(table, "test", list, name))
    if len(hints) != 3:
        raise SetupError(f"manifest.toml: {name} must have 3 hints, got {len(hints)}")
    if not tests or len({test.name for test in tests}) != len(tests):
        raise SetupError(f"manifest.toml: {name} must have tests with different names")
    exercise = Exercise(
        id=name,
        folder=_take(table, "folder", str, name),
        title=_take(table, "title", str, name),
        chapter=_take(table, "chapter", str, name),
        anchor=_take(table, "anchor", str, name),
        minutes=_take(table, "minutes", int, name),
        difficulty=_take(table, "difficulty", int, name),
        prerequisites=_names(table, "prerequisites", name),
        answers=answers,
        not_allowed=_names(table, "not_allowed", name),
        seconds=_take(table, "seconds", int, name) if "seconds" in table else 20,
        memory_mb=_take(table, "memory_mb", int, name) if "memory_mb" in table else 2048,
        hints=(hints[0], hints[1], hints[2]),
        done=_take(table, "done", str, name),
        tests=tests,
    )
    if table:
        raise SetupError(f"manifest.toml: {name} has unknown keys {sorted(table)}")
    if name in known or not name.removeprefix("ex").isdecimal() or not exercise.folder.startswith(f"{name}_"):
        raise SetupError(f"manifest.toml: {name} must be a new id of the form ex03, with a folder ex03_<name>")
    if unknown := set(exercise.prerequisites) - set(known):
        raise SetupError(f"manifest.toml: {name} has prerequisites {sorted(unknown)}, which do not come before it")
    return exercise


def load(root: Path = ROOT) -> dict[str, Exercise]:
    """All exercises by id, in the order of the file.

    Raises:
        SetupError: a key is missing, unknown or of the wrong type; the message names it.
    """
    try:
        tables = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8"))["exercise"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise SetupError(f"manifest.toml cannot be read: {error}") from error
    exercises: dict[str, Exercise] = {}
    for table in tables:
        exercise = _exercise(dict(table), exercises)
        exercises[exercise.id] = exercise
    return exercises


def find(name: str, exercises: dict[str, Exercise]) -> Exercise:
    """The exercise called `name`: "ex03", "ex3", "3", "ex03_zoh" and "exercises/ex03_zoh/" all mean the same.

    Raises:
        KeyError: there is none; the message lists those that exist.
    """
    last = Path(name).name.removesuffix(".py")
    short = last.split("_")[0].removeprefix("ex")
    if short.isdecimal():
        short = f"ex{int(short):02d}"
    exercise = exercises.get(short)
    if exercise is None or (("_" in last) and last != exercise.folder):
        raise KeyError(f"there is no exercise {name!r}; there are {', '.join(exercises)}")
    return exercise
