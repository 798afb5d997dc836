"""Mistakes that people make. Each is a change to our solution; a learner's output that equals it is recognised by name."""

import tomllib
from dataclasses import dataclass

from . import compare
from .case import Arrays, Case, Outcome
from .folder import Folder
from .manifest import SetupError


@dataclass(frozen=True)
class Wrong:
    """One known mistake.

    Args:
        name: what to call it: "decay applied to the input".
        test: the test of the manifest that it fails.
        message: why it is wrong, and what to think about; never the answer.
        link: where the book explains it, or "".
        source: the solution with the mistake made in it.
    """

    name: str
    test: str
    message: str
    link: str
    source: str


def load(folder: Folder) -> list[Wrong]:
    """The known mistakes of an exercise, from its _wrong.toml.

    Raises:
        SetupError: a key is missing, a test does not exist, or `find` does not occur exactly once in the solution.
    """
    where = f"{folder.exercise.folder}/_wrong.toml"
    solution = folder.solution
    tests = {test.name for test in folder.exercise.tests}
    found = []
    for table in tomllib.loads((folder.path / "_wrong.toml").read_text(encoding="utf-8"))["wrong"]:
        if missing := {"name", "test", "find", "replace", "message"} - set(table):
            raise SetupError(f"{where}: an entry lacks {sorted(missing)}: {table}")
        if table["test"] not in tests:
            raise SetupError(f"{where}: {table['name']!r} names test {table['test']!r}, which the manifest lacks")
        if (times := solution.count(table["find"])) != 1:
            raise SetupError(
                f"{where}: `find` of {table['name']!r} must occur once in _solution.py, occurs {times} times"
            )
        found.append(
            Wrong(
                name=table["name"],
                test=table["test"],
                message=" ".join(table["message"].split()),
                link=folder.exercise.link(table.get("anchor")),
                source=solution.replace(table["find"], table["replace"]),
            )
        )
    return found


def recognise(
    wrongs: list[Wrong],
    outcomes: list[list[Outcome]],
    mine: list[Outcome],
    cases: list[Case],
    expected: list[Arrays],
    axes: dict[str, str],
) -> Wrong | None:
    """The mistake whose output equals the learner's on every case of a failed test, or None.

    Args:
        wrongs: the known mistakes.
        outcomes: outcomes[i][k] is what mistake i gives for case k.
        mine: what the learner's answer gives for case k.
        cases, expected: the cases of one test, and what the reference gives for them.
        axes: the axes of each output.
    """

    def right(case: Case, outcome: Outcome, want: Arrays) -> bool:
        return outcome.outputs is not None and not compare.differences(case, outcome, want, axes)

    for wrong, theirs in zip(wrongs, outcomes, strict=True):
        # Near is not enough: an answer that is off by 1e-8 is near to many things. Both must also fail on the same cases.
        if all(
            compare.same(one, other, list(want)) and right(case, one, want) == right(case, other, want)
            for one, other, want, case in zip(mine, theirs, expected, cases, strict=True)
        ):
            return wrong
    return None
