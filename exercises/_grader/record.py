"""The record: one JSON file with the points. Zeros before the first test, written anew after each, never half-written."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from .judge import available
from .manifest import Exercise, SetupError
from .messages import Verdict

SCHEMA = 1


class Record:
    """The points of one run of the grader.

    Args:
        out: the folder of record.json; it is made if it does not exist.
        exercises: what is graded.
        seed: which inputs.

    Raises:
        SetupError: the folder cannot be written.
    """

    def __init__(self, out: Path, exercises: list[Exercise], seed: int) -> None:
        self.path = out / "record.json"
        self.data: dict[str, Any] = {
            "schema": SCHEMA,
            "seed": seed,
            "complete": False,
            "points": 0,
            "max": 0,
            "not_available": [],
            "exercises": [_zeros(exercise) for exercise in exercises],
        }
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise SetupError(f"the record cannot be written to {self.path}: {error.strerror}") from error

    def note(self, exercise: Exercise, verdict: Verdict) -> None:
        """Enter the verdict on one test, and write."""
        entry = next(entry for entry in self.data["exercises"] if entry["id"] == exercise.id)
        row = next(row for row in entry["tests"] if row["name"] == verdict.test.name)
        row["status"] = verdict.status
        row["points"] = verdict.test.points if verdict.passed else 0
        row["message"] = "\n".join(verdict.lines)
        row["recognised"] = verdict.recognised.name if verdict.recognised else ""
        self._write()

    def finish(self) -> None:
        """Say that every test was looked at, and write."""
        self.data["complete"] = True
        self._write()

    @property
    def points(self) -> int:
        return int(self.data["points"])

    @property
    def max(self) -> int:
        return int(self.data["max"])

    def of(self, exercise: Exercise) -> tuple[int, int]:
        """Points and maximum of one exercise."""
        entry = next(entry for entry in self.data["exercises"] if entry["id"] == exercise.id)
        return entry["points"], entry["max"]

    def _write(self) -> None:
        for entry in self.data["exercises"]:
            rows = [row for row in entry["tests"] if row["status"] != "not available"]
            entry["points"] = sum(row["points"] for row in rows)
            entry["max"] = sum(row["max"] for row in rows)
        self.data["points"] = sum(entry["points"] for entry in self.data["exercises"])
        self.data["max"] = sum(entry["max"] for entry in self.data["exercises"])
        self.data["not_available"] = [
            f"{entry['id']} {row['name']}"
            for entry in self.data["exercises"]
            for row in entry["tests"]
            if row["status"] == "not available"
        ]
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".record-", suffix=".json")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self.data, file, indent=1, ensure_ascii=False)
                file.write("\n")
            os.replace(name, self.path)
        except BaseException:
            os.unlink(name)
            raise


def _zeros(exercise: Exercise) -> dict[str, Any]:
    rows = []
    for test in exercise.tests:
        reason = available(test)
        status = "not available" if reason else "not run"
        rows.append(
            {"name": test.name, "status": status, "points": 0, "max": test.points, "message": reason, "recognised": ""}
        )
    return {"id": exercise.id, "title": exercise.title, "points": 0, "max": 0, "tests": rows}
