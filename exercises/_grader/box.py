"""The box: a new folder with a clean copy of what a graded file needs, and with nothing that would answer for it."""

import ast
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import arrays
from .case import Case
from .folder import Folder


def call_source(cases_source: str) -> str:
    """The part of cases.py that the box gets: `call` and what it uses. Not the reference, and not the cases.

    Imports inside these functions move to the top: they then run before the learner's file, whose own imports are watched.
    """
    tree = ast.parse(cases_source)
    imports: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    named: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            named[node.name] = node
        elif isinstance(node, ast.Assign):
            named |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}

    wanted, waiting = set(), ["call"]
    while waiting:
        name = waiting.pop()
        if name in named and name not in wanted:
            wanted.add(name)
            waiting += [node.id for node in ast.walk(named[name]) if isinstance(node, ast.Name)]

    kept = []
    for node in tree.body:
        if any(named.get(name) is node for name in wanted):
            kept.append(_HoistImports(imports).visit(node))
    return ast.unparse(ast.Module(body=[*imports, *kept], type_ignores=[])) + "\n"


class _HoistImports(ast.NodeTransformer):
    """Takes the imports out of functions and puts them into a list."""

    def __init__(self, imports: list[ast.stmt]) -> None:
        self.imports = imports

    def visit_Import(self, node: ast.Import) -> None:
        self.imports.append(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imports.append(node)


@contextmanager
def new(
    folder: Folder, files: dict[str, bytes], cases: dict[int, Case], runs: list[tuple[str, int]], locked: bool
) -> Iterator[Path]:
    """A new folder with `call`, the files to grade and the inputs; it is gone afterwards.

    Each child gets its own: what one of them did to its folder reaches no other.

    Args:
        files: file names and contents; a run names one of them.
        cases: case k becomes in/<k>.npz: its inputs, and neither its words nor what is expected.
        runs: what to run, in this order: a file and a case.
        locked: whether the child locks itself in. Only our own solution runs without.
    """
    box = Path(tempfile.mkdtemp(prefix="grade-")).resolve()
    try:
        (box / "in").mkdir()
        (box / "out").mkdir()
        (box / "call.py").write_text(call_source(folder.cases_source), encoding="utf-8")
        for name, content in files.items():
            (box / name).write_bytes(content)
        for number, case in cases.items():
            arrays.save(box / "in" / f"{number}.npz", case.inputs)
        exercise = folder.exercise
        # Only what these cases use: without Triton a file has no kernel.
        tests = {case.test for case in cases.values()}
        used = {name for test in exercise.tests if test.name in tests for name in test.uses}
        setup: dict[str, Any] = {
            "number": exercise.number,
            "not_allowed": exercise.not_allowed,
            "answers": [name for name in exercise.answers if name in used],
            "memory_mb": exercise.memory_mb,
            "cpu_seconds": exercise.seconds * (len(exercise.tests) + 1) + 60,
            "locked": locked,
            "triton": any("triton" in test.needs for test in exercise.tests),
            "runs": runs,
        }
        (box / "setup.json").write_text(json.dumps(setup), encoding="utf-8")
        yield box
    finally:
        try:
            shutil.rmtree(box)
        except RecursionError:  # folders in folders, deeper than Python goes
            with suppress(OSError):
                subprocess.run(["rm", "-rf", str(box)], check=False)
        except OSError:  # made so that it cannot be removed: a learner's mess does not stop the grader
            pass
