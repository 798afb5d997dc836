"""The command: exit status, the record, the list, the hints."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exercises import grade
from exercises._grader import manifest, runner
from exercises._grader.messages import Verdict
from exercises._grader.record import Record

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = manifest.load()


@pytest.mark.slow
def test_the_exit_status_is_that_of_the_process(tmp_path: Path) -> None:
    """1 for the stub: a status that main returns must also leave the process (traps: G1)."""
    command = [sys.executable, "-m", "exercises.grade", "ex04", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert "0 of 10 points, with the inputs of seed 1 (check and pytest use seed 0)" in done.stdout
    assert json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))["points"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ex99"], "there is no exercise 'ex99'; there are ex03, ex04"),
        (["--hint"], "--hint wants an exercise"),
        (["ex04", "--out", "/proc/nothing"], "the record cannot be written to /proc/nothing/record.json"),
    ],
)
def test_a_broken_command_is_2(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert grade.main(arguments) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--seed", "one"], ["--hint", "4", "ex03"], ["--unknown"]])
def test_a_wrong_option_is_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        grade.main(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("manifest.toml", "[[exercise]]\n", "an exercise has no `id`"),
        (
            "ex04_linear_scan/cases.py",
            "raise RuntimeError('no')\n",
            "ex04_linear_scan/cases.py cannot be used: RuntimeError: no",
        ),
        ("ex04_linear_scan/_wrong.toml", "[[wrong]]\nname = 'x'\n", "an entry lacks"),
    ],
)
def test_a_broken_set_up_is_2_and_touches_no_record(
    clone: Any, file: str, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone.root / file).write_text(text, encoding="utf-8")
    assert grade.main(["--out", str(clone.out)], root=clone.root) == 2
    assert says in capsys.readouterr().err
    assert not (clone.out / "record.json").exists()


def test_a_reference_that_is_not_finite_is_the_set_ups_fault(clone: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = clone.root / "ex04_linear_scan" / "cases.py"
    text = file.read_text(encoding="utf-8")
    assert 'return {"h": h.astype(dtype)}' in text
    file.write_text(
        text.replace('return {"h": h.astype(dtype)}', 'return {"h": h.astype(dtype) * np.nan}'), encoding="utf-8"
    )
    assert grade.main(["ex04", "--out", str(clone.out)], root=clone.root) == 2
    assert "is empty or not finite" in capsys.readouterr().err


def test_a_child_that_does_not_start_is_2_and_leaves_zeros(
    clone: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert grade.main(["ex04", "--out", str(clone.out)], root=clone.root) == 2
    assert "the grader's child process does not start" in capsys.readouterr().err
    record = json.loads((clone.out / "record.json").read_text(encoding="utf-8"))
    assert (record["points"], record["max"], record["complete"]) == (0, 10, False)


# ---- the record --------------------------------------------------------------------------------------------------


def test_the_record_has_zeros_first_and_grows_with_each_test(clone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands on the disk when the grader is cut off after one test."""
    seen = []
    real_run = runner.run

    def run_and_stop(folder: Any, content: bytes, cases: Any) -> Any:
        seen.append(json.loads((clone.out / "record.json").read_text(encoding="utf-8")))
        for case, outcome in zip(cases, real_run(folder, content, cases), strict=False):
            if case.test == "gradient":
                raise KeyboardInterrupt
            yield outcome

    monkeypatch.setattr(runner, "run", run_and_stop)
    clone.write("ex04", clone.solution("ex04"))
    with pytest.raises(KeyboardInterrupt):
        clone.grade("ex04")
    (before,) = seen
    assert [row["status"] for row in before["exercises"][0]["tests"]] == ["not run"] * 3
    assert (before["points"], before["max"], before["complete"]) == (0, 10, False)
    after = json.loads((clone.out / "record.json").read_text(encoding="utf-8"))
    assert [(row["name"], row["points"], row["status"]) for row in after["exercises"][0]["tests"]] == [
        ("loop", 4, "passed"),
        ("h0", 3, "passed"),
        ("gradient", 0, "not run"),
    ]
    assert (after["points"], after["complete"]) == (7, False)


def test_the_record_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exercise = EXERCISES["ex04"]
    record = Record(tmp_path, [exercise], 1)
    before = record.path.read_bytes()

    def stop(data: Any, file: Any, **_: Any) -> None:
        file.write('{"schema": 1, "poin')
        raise OSError("no space left")

    monkeypatch.setattr(json, "dump", stop)
    with pytest.raises(OSError, match="no space left"):
        record.note(exercise, Verdict(exercise.tests[0], "passed"))
    assert record.path.read_bytes() == before
    assert os.listdir(tmp_path) == ["record.json"]


def test_only_passed_earns(tmp_path: Path) -> None:
    exercise = EXERCISES["ex04"]
    for status in (
        "wrong",
        "error",
        "not done",
        "not allowed",
        "crashed",
        "timed out",
        "missing",
        "answered",
        "Passed",
        "",
    ):
        record = Record(tmp_path, [exercise], 1)
        record.note(exercise, Verdict(exercise.tests[0], status))
        assert record.points == 0, status
    record.note(exercise, Verdict(exercise.tests[0], "passed"))
    assert (record.points, record.max) == (4, 10)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(clone: Any) -> None:
    clone.write("ex04", "def linear_scan(a, b, h0=None):\n    raise ValueError(f'{linear_scan} {object()}')\n")
    clone.grade("ex04")
    first = (clone.out / "record.json").read_bytes()
    clone.grade("ex04")
    assert (clone.out / "record.json").read_bytes() == first
    assert b"ValueError" in first


@pytest.mark.slow
def test_what_is_not_available_leaves_the_maximum_and_is_named(
    clone: Any, rows: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "triton" else real(name))
    # The learner's machine has no Triton: neither has the child.
    clone.write("ex17", "import sys\nsys.modules['triton'] = None\n" + clone.solution("ex17"))
    status, record = clone.grade("ex17")
    printed = capsys.readouterr().out
    assert (status, record["points"], record["max"]) == (0, 3, 3), printed
    assert record["not_available"] == ["ex17 scan", "ex17 traffic"]
    assert (
        rows(record, "ex17")["scan"]["message"]
        == "not available here: triton is not installed (it exists for Linux only)"
    )
    assert "not available here, and not in the maximum: ex17 scan, ex17 traffic" in printed


# ---- the list and the hints --------------------------------------------------------------------------------------


def test_the_list_has_every_exercise(capsys: pytest.CaptureFixture[str]) -> None:
    assert grade.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == list(EXERCISES)
    assert lines[0].split() == [
        "ex03",
        "The",
        "zero-order",
        "hold",
        "●●○○○",
        "20",
        "min",
        "10",
        "points",
        "exercises/ex03_zoh/",
    ]
    assert lines[2].endswith("· after ex04")


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("name", list(EXERCISES))
def test_the_hints_are_those_of_the_manifest(name: str, level: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert grade.main([name, "--hint", str(level)]) == 0
    printed = capsys.readouterr().out
    assert f"hint {level} of 3: " in printed
    assert " ".join(EXERCISES[name].hints[level - 1].split()) in " ".join(printed.split())
    assert ("Read: book/" in printed) == (level == 3 and EXERCISES[name].anchor != "planned")
