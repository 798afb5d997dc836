"""An exercise's own files: its cases, its solution, its stub. They are ours and are trusted; a learner's file is not read here."""

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .case import Arrays, Case
from .manifest import ROOT, Exercise, SetupError

_numbers = itertools.count()


def import_file(path: Path, name: str) -> ModuleType:
    """Run a Python file as a module of its own, without a trace in sys.modules."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Folder:
    """The functions of one exercise's cases.py, and its other files.

    Args:
        exercise: its entry in the manifest.
        root: the folder `exercises`.
    """

    def __init__(self, exercise: Exercise, root: Path = ROOT) -> None:
        self.exercise = exercise
        self.path = root / exercise.folder
        try:
            self.cases_source = (self.path / "cases.py").read_text(encoding="utf-8")
            module: Any = import_file(self.path / "cases.py", f"cases_of_{exercise.id}_{next(_numbers)}")
            self.cases: Callable[[int], list[Case]] = module.cases
            self.reference: Callable[[Arrays], Arrays] = module.reference
            self.call: Callable[[Any, Arrays], dict[str, Any]] = module.call
            self.explain: Callable[[Case, Arrays, Arrays], str] = module.explain
            self.axes: dict[str, str] = module.AXES
        except Exception as error:
            raise SetupError(f"{exercise.folder}/cases.py cannot be used: {type(error).__name__}: {error}") from error

    @property
    def submission(self) -> Path:
        """The file that a learner edits."""
        return self.path / self.exercise.file

    @property
    def solution(self) -> str:
        return (self.path / "_solution.py").read_text(encoding="utf-8")

    def cases_by_test(self, seed: int) -> dict[str, list[Case]]:
        """The cases of each test of the manifest.

        Raises:
            SetupError: a test without a case, or a case of an unknown test.
        """
        groups: dict[str, list[Case]] = {test.name: [] for test in self.exercise.tests}
        for case in self.cases(seed):
            if case.test not in groups:
                raise SetupError(
                    f"{self.exercise.folder}/cases.py has a case of test {case.test!r}, which the manifest lacks"
                )
            groups[case.test].append(case)
        if empty := [name for name, group in groups.items() if not group]:
            raise SetupError(f"{self.exercise.folder}/cases.py has no case for {', '.join(empty)}")
        return groups
