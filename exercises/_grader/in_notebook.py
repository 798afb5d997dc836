"""`mambaedu.check`: the verdicts on functions of this process, as text and as rows."""

from pathlib import Path
from typing import Any

from . import messages
from .folder import Folder
from .in_process import check_test, files_of
from .manifest import find, load

NO_HINT = ("passed", "not available", "not checked")


def check(
    root: Path, name: str, answers: tuple[Any, ...], seed: int, hint: int
) -> tuple[str, list[tuple[str, str, str, str]]]:
    """Check `answers` against exercise `name`.

    Returns:
        The text to print, and for each test: name, status, message, the known mistake by name.

    Raises:
        ValueError: no such exercise, or the number of answers does not fit.
    """
    try:
        exercise = find(name, load(root))
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    if not 1 <= len(answers) <= len(exercise.answers):
        raise ValueError(
            f'{exercise.id} wants check("{exercise.id}", {", ".join(exercise.answers)}), got {len(answers)} answers'
        )
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an integer, 0 or more, got {seed!r}")
    given = dict(zip(exercise.answers, answers, strict=False))
    folder = Folder(exercise, root)

    verdicts = [check_test(folder, test.name, given, seed, files_of(given)) for test in exercise.tests]
    rows = []
    for verdict in verdicts:
        recognised = messages.of_wrong(verdict.recognised) if verdict.recognised else []
        message = "\n".join([*verdict.lines, *recognised])
        rows.append((verdict.test.name, verdict.status, message, verdict.recognised.name if verdict.recognised else ""))
    lines = [f"{exercise.id} · {exercise.title}", *messages.of_verdicts(verdicts, points=False)]
    passed = sum(row[1] == "passed" for row in rows)
    lines.append(f"{passed} of {len(rows)} tests passed")
    if passed == len(rows):
        lines += messages.wrap(exercise.done)
    elif any(row[1] not in NO_HINT for row in rows):
        lines += messages.of_hint(exercise, hint)
        if hint < 3:
            lines.append(
                f'more: check("{exercise.id}", {", ".join(exercise.answers[: len(answers)])}, hint={hint + 1})'
            )
    return "\n".join(lines), rows
