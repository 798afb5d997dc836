"""`pytest exercises/ex03_zoh`: each test of the manifest is one test of pytest, with the grader's message and no other."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from . import messages, trace
from .folder import Folder, import_file
from .in_process import check_test
from .manifest import find, load

# A kernel of an exercise runs in Triton's interpreter, and Triton decides this when it is imported.
if "triton" not in sys.modules:
    os.environ.setdefault("TRITON_INTERPRET", "1")


def tests_of(test_file: str) -> list[str]:
    """The names of the tests of the exercise in whose folder `test_file` lies."""
    return [test.name for test in find(Path(test_file).parent.name, load()).tests]


def run(test_file: str, name: str) -> None:
    """Run one test on the learner's file beside `test_file`.

    Raises:
        pytest.fail.Exception: it did not pass; the text says why, with the learner's own lines only.
    """
    folder = Folder(find(Path(test_file).parent.name, load()))
    file = folder.submission
    given = _names_of(folder)
    verdict = check_test(folder, name, given, seed=0, files={str(file)}, shown=file.name)
    if verdict.passed:
        return
    if verdict.status == "not available":
        pytest.skip(verdict.lines[0])
    if verdict.status == "not checked":
        missing = [use for use in verdict.test.uses if use not in given]
        pytest.fail(f"{file.name} has no {', '.join(missing)}: keep the names of the stub", pytrace=False)
    lines = [f"{folder.exercise.id} · {name}: {verdict.test.words}", "", *verdict.lines]
    if verdict.recognised is not None:
        lines += ["", *messages.of_wrong(verdict.recognised)]
    lines += [
        "",
        *messages.of_hint(folder.exercise, 1),
        f"more hints: python -m exercises.grade {folder.exercise.id} --hint 2",
    ]
    pytest.fail("\n".join(lines), pytrace=False)


def _names_of(folder: Folder) -> dict[str, Any]:
    """The learner's names, from a fresh run of the file."""
    file = folder.submission
    try:
        module = import_file(file, folder.exercise.folder)
    except FileNotFoundError:
        pytest.fail(f"{folder.exercise.folder}/{file.name} is missing", pytrace=False)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # pytest.skip at the top of the file is one of these
        pytest.fail(f"{file.name} does not load\n{trace.trimmed(error, {str(file)}, file.name)}", pytrace=False)
    return {name: getattr(module, name) for name in folder.exercise.answers if hasattr(module, name)}
