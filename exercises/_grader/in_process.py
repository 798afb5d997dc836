"""Run answers in this process: for `check` in a notebook and for pytest. Nothing is held back here, and no points are given."""

import inspect
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from . import trace, wrong
from .answers import WrongAnswer, to_array
from .case import Case, Outcome
from .folder import Folder, import_file
from .judge import available, expected_of, judge
from .manifest import Exercise
from .messages import Verdict


def interpreted() -> bool:
    """Does Triton run in its interpreter in this process? It decides when it is imported, and never again."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


def answer_of(exercise: Exercise, given: dict[str, Any]) -> SimpleNamespace:
    """What `call` gets as `answer`: the learner's names as attributes."""
    return SimpleNamespace(**{name: given[name] for name in exercise.answers if name in given})


def files_of(given: dict[str, Any]) -> set[str]:
    """The files in which the given functions and classes were written, as Python names them in a traceback."""
    files = set()
    for value in given.values():
        try:
            files.add(inspect.getfile(inspect.unwrap(getattr(value, "fn", value))))
        except (TypeError, OSError):
            continue
    return files


def run(folder: Folder, answer: Any, case: Case, files: set[str], shown: str | None = None) -> Outcome:
    """One call of a learner's answer. Whatever it raises becomes an outcome; only Ctrl-C gets through."""
    inputs = {name: value.copy() for name, value in case.inputs.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            outputs = {name: to_array(name, value) for name, value in folder.call(answer, inputs).items()}
    except WrongAnswer as error:
        return Outcome("wrong", str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if sentence := trace.unfinished(error):
            return Outcome("not done", sentence)
        return Outcome("error", trace.trimmed(error, files, shown))
    return Outcome("answered", outputs=outputs, inputs_after=inputs)


def run_wrongs(folder: Folder, cases: list[Case]) -> tuple[list[wrong.Wrong], list[list[Outcome]]]:
    """What each known mistake gives for each case."""
    found, outcomes = wrong.load(folder), []
    with tempfile.TemporaryDirectory() as box:
        for number, one in enumerate(found):
            file = Path(box) / f"wrong{number}.py"  # a file, because Triton reads the source of a kernel
            file.write_text(one.source, encoding="utf-8")
            module = import_file(file, f"wrong{number}_of_{folder.exercise.id}")
            outcomes.append([run(folder, module, case, set()) for case in cases])
    return found, outcomes


def check_test(
    folder: Folder, name: str, given: dict[str, Any], seed: int, files: set[str], shown: str | None = None
) -> Verdict:
    """The verdict on one test of an exercise.

    Args:
        folder: the exercise.
        name: the test's name.
        given: the learner's functions by name.
        seed: which inputs.
        files: the learner's own files, for tracebacks.
        shown: the name to print for them.
    """
    test = next(test for test in folder.exercise.tests if test.name == name)
    if reason := available(test):
        return Verdict(test, "not available", [reason])
    if missing := [use for use in test.uses if use not in given]:
        return Verdict(test, "not checked", [f"not checked: it needs {', '.join(missing)} too"])
    if "triton" in test.needs and not interpreted():
        return Verdict(
            test,
            "not available",
            [
                "not available here: Triton was imported without its interpreter. Restart, and set the environment variable TRITON_INTERPRET=1 first."
            ],
        )
    cases = folder.cases_by_test(seed)[name]
    answer = answer_of(folder.exercise, given)
    expected = expected_of(folder, cases)
    outcomes = [run(folder, answer, case, files, shown) for case in cases]
    verdict = judge(folder, test, cases, outcomes, expected)
    if verdict.status == "wrong" and all(outcome.outputs is not None for outcome in outcomes):
        found, theirs = run_wrongs(folder, cases)
        verdict.recognised = wrong.recognise(found, theirs, outcomes, cases, expected, folder.axes)
    return verdict
