"""The words: what a learner reads about one test."""

import textwrap
from dataclasses import dataclass, field

from . import compare, picture
from .case import Arrays, Case, Outcome
from .manifest import Exercise, Test
from .wrong import Wrong

WIDTH = 100


@dataclass
class Verdict:
    """What came of one test.

    Args:
        test: its row of the manifest.
        status: "passed", "not available", "not checked", or the status of the first case that failed (case.Outcome).
        lines: the message, without the heading.
        recognised: the known mistake, if the output equals one.
    """

    test: Test
    status: str
    lines: list[str] = field(default_factory=list)
    recognised: Wrong | None = None

    @property
    def passed(self) -> bool:
        return self.status == "passed"


def wrap(text: str, first: str = "", rest: str | None = None) -> list[str]:
    """`text` in lines of at most WIDTH characters. Lines that it has already stay apart."""
    lines: list[str] = []
    for number, part in enumerate(text.splitlines() or [""]):
        start = first if number == 0 else (rest if rest is not None else " " * len(first))
        if part.startswith(" "):  # a line of a traceback is quoted as it is
            lines.append(start + part)
            continue
        lines += textwrap.wrap(
            part,
            WIDTH,
            initial_indent=start,
            subsequent_indent=rest if rest is not None else " " * len(first),
            break_long_words=False,
            break_on_hyphens=False,
        ) or [start.rstrip()]
    return lines


def of_case(case: Case, outcome: Outcome, expected: Arrays, axes: dict[str, str], explain: str) -> list[str]:
    """The message about one case that failed."""
    lines = [] if outcome.whole_file or outcome.status == "not done" else wrap(case.words, "the case: ")
    if outcome.outputs is None:
        return lines + wrap(outcome.text)
    found = compare.differences(case, outcome, expected, axes)
    right = [name for name in expected if name not in {one.name for one in found}]
    for one in found:
        for sentence in one.lines:
            lines += wrap(sentence)
    if right and all(one.name in expected for one in found):
        lines += wrap(
            f"{' and '.join(right)} {'are' if right[1:] else 'is'} right." if len(right) < 3 else "The rest is right."
        )
    if explain:
        lines += wrap(explain)
    drawn = next((one for one in found if one.sequences is not None), None)
    if drawn is not None and drawn.sequences is not None:
        got, want, first = drawn.sequences
        top, bottom, mark = picture.pair(got, want, first)
        if top != bottom:
            lines += [
                f"  {drawn.name} over t",
                f"    expected  {top}",
                f"    got       {bottom}",
                f"              {mark}",
            ]
    return lines


def of_wrong(wrong: Wrong) -> list[str]:
    """The message about a recognised mistake."""
    lines = wrap(f"Your output matches a known mistake: {wrong.name}.", "→ ") + wrap(wrong.message, "  ")
    return lines + ([f"  Read: {wrong.link}"] if wrong.link else [])


def of_hint(exercise: Exercise, level: int) -> list[str]:
    """Hint `level` of 3; the last one says where to read on."""
    lines = wrap(exercise.hints[level - 1], f"hint {level} of 3: ")
    if level == 3 and exercise.link():
        lines.append(f"  Read: {exercise.link()}")
    return lines


def of_verdicts(verdicts: list[Verdict], points: bool) -> list[str]:
    """All tests of an exercise, one after the other. What was said already is not said again."""
    lines: list[str] = []
    said: set[str] = set()
    for verdict in verdicts:
        test = verdict.test
        mark = {"passed": "✓", "not available": "–", "not checked": "–"}.get(verdict.status, "✗")
        earned = (
            f", {test.points if verdict.passed else 0} of {test.points}"
            if points and verdict.status != "not available"
            else ""
        )
        lines.append(f"  {mark} {test.name}{earned}: {test.words}")
        before = [other.status for other in verdicts[: verdicts.index(verdict)]]
        if test.name == "gradient" and verdict.status == "wrong" and any(status != "passed" for status in before):
            lines += indent(["its turn comes when the tests above pass: wrong values have wrong gradients"])
            said.add("")
            continue
        key = "\n".join(line for line in verdict.lines if not line.startswith("the case:"))
        lines += indent(["as above"] if key and key in said else verdict.lines)
        said.add(key)
        if verdict.recognised is not None:
            again = verdict.recognised.name in said
            lines += indent(
                [f"→ the same mistake: {verdict.recognised.name}"] if again else of_wrong(verdict.recognised)
            )
            said.add(verdict.recognised.name)
    return lines


def indent(lines: list[str]) -> list[str]:
    """The lines, set in under a heading."""
    return ["    " + line for line in lines]
