"""Each exercise, in all three places: the solution is right, the stub teaches, each known mistake fails its test and is recognised."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from exercises._grader import in_process, judge, manifest, runner, wrong
from exercises._grader.case import Outcome
from exercises._grader.folder import Folder, import_file
from mambaedu.check import check

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = manifest.load()
ALL = list(EXERCISES)
WRONGS = [(name, one) for name in ALL for one in wrong.load(Folder(EXERCISES[name]))]


def names_of(module: Any, name: str) -> list[Any]:
    return [getattr(module, answer) for answer in EXERCISES[name].answers]


def pytest_of(clone: Any) -> subprocess.CompletedProcess[str]:
    """`pytest exercises` in the copy, as a learner runs it: with pyproject.toml and nothing else."""
    top = clone.root.parent
    (top / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TRITON_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "exercises", "-p", "no:cacheprovider", "-q"],
        cwd=top,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# ---- the solution ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_solutions_get_full_marks(clone: Any) -> None:
    for name in ALL:
        clone.write(name, clone.solution(name))
    status, record = clone.grade()
    assert [(entry["id"], entry["points"]) for entry in record["exercises"]] == [
        (name, EXERCISES[name].points) for name in ALL
    ]
    assert status == 0
    assert record["points"] == record["max"] == sum(exercise.points for exercise in EXERCISES.values())
    assert record["complete"]


@pytest.mark.slow
def test_solutions_pass_in_pytest(clone: Any) -> None:
    for name in ALL:
        clone.write(name, clone.solution(name))
    done = pytest_of(clone)
    assert done.returncode == 0, done.stdout
    assert f"{sum(len(e.tests) for e in EXERCISES.values())} passed" in done.stdout


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ALL)
def test_solutions_pass_in_check(name: str, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_file(Folder(EXERCISES[name]).path / "_solution.py", f"solution_{name}")
    result = check(name, *names_of(module, name), seed=seed)
    printed = capsys.readouterr().out
    assert result.passed, printed
    assert printed.startswith(f"{name} · {EXERCISES[name].title}\n  ✓ ")
    assert f"{len(result.tests)} of {len(result.tests)} tests passed" in printed


# ---- the stub ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_stubs_earn_nothing_and_say_what_to_do(clone: Any, rows: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, record = clone.grade()
    printed = capsys.readouterr().out
    assert status == 1
    assert record["points"] == 0
    for name in ALL:
        for row in rows(record, name).values():
            assert row["status"] == "not done"
            assert row["message"].startswith(f"exercise {EXERCISES[name].number}")
        assert f"{name} · {EXERCISES[name].title}: 0 of {EXERCISES[name].points} points" in printed
        assert f"exercise {EXERCISES[name].number}" in printed


@pytest.mark.slow
def test_stubs_fail_in_pytest_with_their_sentence_and_nothing_else(clone: Any) -> None:
    done = pytest_of(clone)
    assert done.returncode == 1
    assert f"{sum(len(e.tests) for e in EXERCISES.values())} failed" in done.stdout
    for name in ALL:
        assert f"\nexercise {EXERCISES[name].number}" in done.stdout
    # Nothing of the grader's own code, and no bare assert.
    assert "_grader" not in done.stdout
    assert "assert " not in done.stdout


@pytest.mark.parametrize("name", ALL)
def test_stubs_say_what_to_do_in_check(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Folder(EXERCISES[name])
    module = import_file(folder.submission, f"stub_{name}")
    result = check(name, *names_of(module, name))
    printed = capsys.readouterr().out
    assert not result.passed
    assert {test.status for test in result.tests} == {"not done"}
    assert f"exercise {EXERCISES[name].number}" in printed
    assert "hint 1 of 3: " in printed


# ---- known mistakes ----------------------------------------------------------------------------------------------


@cache
def outcomes_of(name: str) -> tuple[Folder, dict[str, list[list[Outcome]]]]:
    """Every mistake of an exercise on every case, in one child: {test: outcomes[mistake][case]}."""
    folder = Folder(EXERCISES[name])
    groups = folder.cases_by_test(1)
    cases = [case for group in groups.values() for case in group]
    found = runner.run_sources(folder, [one.source for one in wrong.load(folder)], cases)
    by_test, start = {}, 0
    for test, group in groups.items():
        by_test[test] = [row[start : start + len(group)] for row in found]
        start += len(group)
    return folder, by_test


@pytest.mark.parametrize(("name", "one"), WRONGS, ids=[f"{name}-{one.name}" for name, one in WRONGS])
def test_a_known_mistake_fails_its_test_and_is_recognised(name: str, one: wrong.Wrong) -> None:
    folder, by_test = outcomes_of(name)
    wrongs = wrong.load(folder)
    number = [other.name for other in wrongs].index(one.name)
    cases = folder.cases_by_test(1)[one.test]
    expected = judge.expected_of(folder, cases)
    test = next(test for test in folder.exercise.tests if test.name == one.test)
    mine = by_test[one.test][number]
    verdict = judge.judge(folder, test, cases, mine, expected)
    assert verdict.status == "wrong"
    recognised = wrong.recognise(wrongs, by_test[one.test], mine, cases, expected, folder.axes)
    assert recognised is not None
    assert recognised.name == one.name


@pytest.mark.parametrize("name", ALL)
def test_there_are_three_mistakes_and_every_test_catches_one(name: str) -> None:
    folder = Folder(EXERCISES[name])
    found = wrong.load(folder)
    assert len(found) >= 3
    assert len({one.name for one in found}) == len(found)
    assert {one.test for one in found} == {test.name for test in folder.exercise.tests}


@pytest.mark.parametrize("name", ALL)
def test_a_right_answer_is_no_mistake(name: str) -> None:
    """A mistake that equals the reference on a whole test would be recognised in right answers."""
    folder, by_test = outcomes_of(name)
    wrongs = wrong.load(folder)
    solution = runner.run_sources(folder, [folder.solution], [c for g in folder.cases_by_test(1).values() for c in g])[
        0
    ]
    start = 0
    for test, cases in folder.cases_by_test(1).items():
        mine = solution[start : start + len(cases)]
        start += len(cases)
        theirs = [row for one, row in zip(wrongs, by_test[test], strict=True) if one.test == test]
        same = wrong.recognise(
            [one for one in wrongs if one.test == test],
            theirs,
            mine,
            cases,
            judge.expected_of(folder, cases),
            folder.axes,
        )
        assert same is None


@pytest.mark.slow
def test_mistakes_are_named_in_all_three_places(clone: Any, rows: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first = {name: wrong.load(Folder(EXERCISES[name]))[0] for name in ALL}
    files = {name: clone.write(name, one.source) for name, one in first.items()}

    status, record = clone.grade()
    printed = capsys.readouterr().out
    assert status == 1
    in_pytest = pytest_of(clone).stdout
    for name, one in first.items():
        row = rows(record, name)[one.test]
        assert (row["points"], row["status"], row["recognised"]) == (0, "wrong", one.name)
        assert f"→ Your output matches a known mistake: {one.name}." in printed
        assert f"known mistake: {one.name}" in in_pytest

        module = import_file(files[name], f"mistake_{name}")
        result = check(name, *names_of(module, name), seed=1)
        assert {test.name: test.recognised for test in result.tests}[one.test] == one.name
        assert f"→ Your output matches a known mistake: {one.name}." in capsys.readouterr().out


# ---- the cases ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_cases_follow_from_the_seed(name: str) -> None:
    folder = Folder(EXERCISES[name])
    one, again, other = folder.cases(5), folder.cases(5), folder.cases(6)
    assert [case.words for case in one] == [case.words for case in other]
    for a, b, c in zip(one, again, other, strict=True):
        assert all(a.inputs[key].tobytes() == b.inputs[key].tobytes() for key in a.inputs)
        assert any(a.inputs[key].tobytes() != c.inputs[key].tobytes() for key in a.inputs)


@pytest.mark.parametrize("name", ["ex03", "ex04", "ex17"])
def test_lengths_are_1_prime_and_not_a_power_of_two(name: str) -> None:
    axis = {"ex03": ("delta", 1), "ex04": ("b", 1), "ex17": ("b", 0)}[name]
    lengths = {
        case.inputs[axis[0]].shape[axis[1]] for case in Folder(EXERCISES[name]).cases(0) if axis[0] in case.inputs
    }
    assert 1 in lengths
    assert lengths & {5, 7, 11, 13}
    assert any(l & (l - 1) for l in lengths)


def test_the_reference_of_the_hold_agrees_with_the_library() -> None:
    """Two independent ways: closed forms in numpy, and mambaedu with torch's gradients."""
    import torch

    from mambaedu.discretize import zoh_diagonal

    folder = Folder(EXERCISES["ex03"])
    answer = in_process.answer_of(folder.exercise, {"zoh": zoh_diagonal})
    for test, cases in folder.cases_by_test(4).items():
        outcomes = [in_process.run(folder, answer, case, set()) for case in cases]
        row = next(row for row in folder.exercise.tests if row.name == test)
        verdict = judge.judge(folder, row, cases, outcomes, judge.expected_of(folder, cases))
        assert verdict.passed, verdict.lines
    assert torch.is_tensor(zoh_diagonal(torch.tensor([-1.0]), torch.tensor([1.0]), torch.tensor(0.1))[0])


def test_the_reference_of_the_loop_agrees_with_the_library() -> None:
    from mambaedu import linear_scan

    folder = Folder(EXERCISES["ex04"])

    def naive(a: Any, b: Any, h0: Any = None) -> Any:
        return linear_scan(a, b, h0=h0, backend="naive")

    answer = in_process.answer_of(folder.exercise, {"linear_scan": naive})
    for test, cases in folder.cases_by_test(4).items():
        outcomes = [in_process.run(folder, answer, case, set()) for case in cases]
        row = next(row for row in folder.exercise.tests if row.name == test)
        verdict = judge.judge(folder, row, cases, outcomes, judge.expected_of(folder, cases))
        assert verdict.passed, verdict.lines


def test_the_grader_itself_runs_without_torch() -> None:
    """References are plain numpy: they cannot lean on what the exercise asks for, and the parent starts at once."""
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['mambaedu'] = None\n"
        "from exercises import grade; from exercises._grader import manifest\n"
        "for exercise in manifest.load().values(): grade.Prepared(exercise, 1, manifest.ROOT)\n"
        "print('ready')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "ready\n", done.stderr
