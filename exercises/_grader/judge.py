"""From outcomes to a verdict: one test passes when each of its cases is answered and right."""

import importlib.util

import numpy as np

from . import compare, messages
from .case import Arrays, Case, Outcome
from .folder import Folder
from .manifest import SetupError, Test
from .messages import Verdict


def expected_of(folder: Folder, cases: list[Case]) -> list[Arrays]:
    """What the reference gives for each case.

    Raises:
        SetupError: the reference fails, or gives a number that is not finite.
    """
    found = []
    for case in cases:
        try:
            expected = folder.reference(case.inputs)
        except Exception as error:
            raise SetupError(
                f"{folder.exercise.folder}/cases.py: reference fails on {case.words!r}: {error}"
            ) from error
        if not expected or not all(np.isfinite(value).all() for value in expected.values()):
            raise SetupError(
                f"{folder.exercise.folder}/cases.py: the reference of {case.words!r} is empty or not finite"
            )
        found.append(expected)
    return found


def judge(folder: Folder, test: Test, cases: list[Case], outcomes: list[Outcome], expected: list[Arrays]) -> Verdict:
    """The verdict on one test. The message is about its first case that failed."""
    for case, outcome, want in zip(cases, outcomes, expected, strict=True):
        if outcome.outputs is not None and not compare.differences(case, outcome, want, folder.axes):
            continue
        explain = ""
        if outcome.outputs is not None and all(
            name in outcome.outputs and outcome.outputs[name].shape == value.shape for name, value in want.items()
        ):
            try:
                explain = folder.explain(case, outcome.outputs, want)
            except Exception as error:
                raise SetupError(f"{folder.exercise.folder}/cases.py: explain fails: {error}") from error
        status = "wrong" if outcome.outputs is not None else outcome.status
        return Verdict(test, status, messages.of_case(case, outcome, want, folder.axes, explain))
    return Verdict(test, "passed")


def available(test: Test) -> str:
    """Why a test cannot run on this machine, or ""."""
    for package in test.needs:
        if importlib.util.find_spec(package) is None:
            where = " (it exists for Linux only)" if package == "triton" else ""
            return f"not available here: {package} is not installed{where}"
    return ""
