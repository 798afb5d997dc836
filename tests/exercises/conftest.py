"""What the tests of the exercises share: a copy of the exercises to write answers into, and one call that grades."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The kernels of the exercises run in Triton's interpreter; Triton decides this when it is imported.
os.environ.setdefault("TRITON_INTERPRET", "1")

from exercises import grade
from exercises._grader import folder, manifest

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Clone:
    """A copy of exercises/ with answers of our own in it."""

    root: Path
    out: Path

    def write(self, name: str, source: str) -> Path:
        exercise = manifest.load(self.root)[name]
        file = self.root / exercise.folder / exercise.file
        file.write_text(source, encoding="utf-8")
        return file

    def solution(self, name: str) -> str:
        return folder.Folder(manifest.load(self.root)[name], self.root).solution

    def limit(self, name: str, seconds: int, memory_mb: int = 2048) -> None:
        """Shorter limits for one exercise, so that a test of them takes no time."""
        file = self.root / "manifest.toml"
        text = file.read_text(encoding="utf-8")
        new = re.sub(f'(id = "{name}"\n)', f"\\1seconds = {seconds}\nmemory_mb = {memory_mb}\n", text)
        assert new != text
        file.write_text(new, encoding="utf-8")

    def grade(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """The exit status, and the record."""
        status = grade.main([*arguments, "--out", str(self.out)], root=self.root)
        return status, json.loads((self.out / "record.json").read_text(encoding="utf-8"))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    copy = tmp_path / "clone" / "exercises"
    shutil.copytree(ROOT / "exercises", copy, ignore=shutil.ignore_patterns("__pycache__"))
    return Clone(copy, tmp_path / "out")


@pytest.fixture
def rows() -> Callable[[dict[str, Any], str], dict[str, dict[str, Any]]]:
    """The tests of one exercise in a record, by name."""

    def find(record: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
        entry = next(entry for entry in record["exercises"] if entry["id"] == name)
        return {row["name"]: row for row in entry["tests"]}

    return find
