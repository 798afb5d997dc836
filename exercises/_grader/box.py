"""The box: a new folder with a clean copy of what a graded file needs, and with nothing that would answer for it."""

import ast
import json
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


def fill(box: Path, folder: Folder, files: dict[str, bytes], cases: list[Case], locked: bool) -> None:
    """Write `call`, the files to grade and the inputs into an empty folder.

    Args:
        files: file names and contents; a run names one of them.
        cases: case k becomes in/<k>.npz: its inputs, and neither its words nor what is expected.
        locked: whether the child locks itself in. Only our own solution runs without.
    """
    (box / "in").mkdir()
    (box / "call.py").write_text(call_source(folder.cases_source), encoding="utf-8")
    for name, content in files.items():
        (box / name).write_bytes(content)
    for number, case in enumerate(cases):
        arrays.save(box / "in" / f"{number}.npz", case.inputs)
    exercise = folder.exercise
    setup: dict[str, Any] = {
        "number": exercise.number,
        "not_allowed": exercise.not_allowed,
        "answers": exercise.answers,
        "memory_mb": exercise.memory_mb,
        "cpu_seconds": exercise.seconds * (len(exercise.tests) + 1) + 60,
        "locked": locked,
        "triton": any("triton" in test.needs for test in exercise.tests),
    }
    (box / "setup.json").write_text(json.dumps(setup), encoding="utf-8")


def start_job(box: Path, runs: list[tuple[str, int]]) -> Path:
    """A fresh folder for answers, and a list of (file, case) to run in this order."""
    number = len(list(box.glob("job*.json")))
    out = box / f"out{number}"
    out.mkdir()
    (box / f"job{number}.json").write_text(json.dumps({"out": out.name, "runs": runs}), encoding="utf-8")
    return out
