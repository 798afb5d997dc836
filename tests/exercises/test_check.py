"""check in a notebook: prints and returns, never raises for a wrong answer, finds the exercises, has the grader's words."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mambaedu.check import Result, check, find_exercises

ROOT = Path(__file__).resolve().parents[2]


def right(a: Any, b: Any, h0: Any = None) -> Any:
    h = torch.zeros_like(b[:, 0]) if h0 is None else h0
    states = []
    for t in range(b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


def test_right_is_true_and_says_what_was_built(capsys: pytest.CaptureFixture[str]) -> None:
    result = check("ex04", right)
    assert isinstance(result, Result)
    assert result
    assert repr(result) == "Result(ex04: 3 of 3 tests passed)"
    printed = capsys.readouterr().out
    assert printed.splitlines()[:5] == [
        "ex04 · The loop",
        "  ✓ loop: h for every step, starting from nothing",
        "  ✓ h0: starting from a given h0",
        "  ✓ gradient: the gradients of a, b and h0",
        "3 of 3 tests passed",
    ]
    assert "You just built the recurrence" in printed
    assert "hint" not in printed


def test_wrong_says_where_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    result = check("ex04", lambda a, b, h0=None: right(a, b, h0).clone().fill_(1.5))
    printed = capsys.readouterr().out
    assert not result
    assert [test.status for test in result.tests] == ["wrong"] * 3
    assert "    the case: ordinary decays, h0 = None, float64, (b l d) = (2, 5, 3)\n" in printed
    assert "    h differs first at t = 0, d = 0, b = 0: expected " in printed
    assert ", got 1.5.\n" in printed
    assert "  h over t\n" in printed
    assert "hint 1 of 3: " in printed
    assert 'more: check("ex04", linear_scan, hint=2)' in printed


def test_a_recognised_mistake_is_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    check(
        "ex04",
        lambda a, b, h0=None: torch.cat(
            [torch.zeros_like(b[:, :1]) if h0 is None else h0[:, None], right(a, b, h0)[:, :-1]], 1
        ),
    )
    printed = capsys.readouterr().out
    assert printed.count("→ Your output matches a known mistake: the state kept before the step.") == 1
    assert printed.count("→ the same mistake: the state kept before the step") == 1  # in h0
    assert printed.count("its turn comes when the tests above pass") == 1  # in gradient
    assert "Read: book/1-state-spaces/02-recurrence-and-convolution.md, at (sec-loop)=" in printed


def test_near_a_mistake_is_not_that_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """An epsilon is off by 1e-8; so is every right formula from it, known mistakes that are right here included."""

    def zoh(A: Any, B: Any, delta: Any) -> Any:
        x = delta[..., None] * A
        return torch.exp(x), delta[..., None] * torch.expm1(x) / (x + 1e-8) * B

    result = check("ex03", zoh)
    assert result.tests[0].recognised == ""
    assert "does an epsilon stand in a denominator" in capsys.readouterr().out


def raises(error: BaseException) -> Any:
    def answer(a: Any, b: Any, h0: Any = None) -> Any:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (raises(ValueError("my own error")), "ValueError: my own error"),
        (raises(SystemExit(3)), "SystemExit: 3"),
        (None, "TypeError: 'NoneType' object is not callable"),
        (3, "TypeError: 'int' object is not callable"),
        (lambda a, b, h0=None: None, "linear_scan must return h, but it returned None: is the `return` missing?"),
        (lambda a, b, h0=None: "h", "h must be a torch tensor, got str"),
        (lambda a, b, h0=None: [b], "h must be a torch tensor, got list"),
        (lambda a, b, h0=None: b[:, 0], "h must be (b l d) = (2, 5, 3), got (2, 3)."),
        (lambda a, b, h0=None: right(a, b, h0).float(), "h must be float64 like the inputs, got float32."),
        (lambda a, b, h0=None: right(a, b, h0).transpose(1, 2), "the axes stand as (b d l)"),
        (lambda a, b, h0=None: right(a, b, h0).detach(), "h has no gradient: somewhere it leaves torch"),
        (lambda a: a, "takes 1 positional argument but 2 were given"),
    ],
)
def test_nothing_that_an_answer_does_gets_out(answer: Any, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not check("ex04", answer)
    assert says in " ".join(capsys.readouterr().out.split())


def test_the_traceback_has_the_learners_own_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(a: Any, b: Any, h0: Any = None) -> Any:
        return torch.stack(3)  # type: ignore[arg-type]

    check("ex04", answer)
    printed = capsys.readouterr().out
    assert "      test_check.py, line " in printed
    assert "return torch.stack(3)" in printed
    assert "_grader" not in printed
    assert "site-packages" not in printed


def test_ctrl_c_gets_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        check("ex04", raises(KeyboardInterrupt()))


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("ex99", right), {}, "there is no exercise 'ex99'; there are ex03, ex04"),
        (("ex04",), {}, r'ex04 wants check\("ex04", linear_scan\), got 0 answers'),
        (("ex04", right, right), {}, "got 2 answers"),
        (("ex04", right), {"hint": 4}, "hint must be 1, 2 or 3, got 4"),
        (("ex04", right), {"seed": -1}, "seed must be an integer, 0 or more, got -1"),
    ],
)
def test_a_wrong_call_raises(arguments: tuple[Any, ...], options: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(*arguments, **options)


def test_parts_can_be_checked_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    result = check("ex17", lambda left, right: (right[0] * left[0], right[0] * left[1] + right[1]), (1.0, 0.0))
    assert [test.status for test in result.tests] == ["passed", "not checked", "not checked"]
    assert not result
    printed = capsys.readouterr().out
    assert "– scan" in printed
    assert "not checked: it needs scan_channel too" in printed
    assert "1 of 3 tests passed" in printed


def test_the_exercises_are_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_exercises(ROOT / "book" / "1-state-spaces") == ROOT / "exercises"
    assert find_exercises(tmp_path) == ROOT / "exercises"  # from the package
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "manifest.toml").touch()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_exercises(deep) == (tmp_path / "exercises").resolve()


def test_without_a_clone_it_says_to_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module = importlib.import_module("mambaedu.check")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "site-packages" / "mambaedu" / "check.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="Clone the book's repository and start Python inside it"):
        check("ex04", right)


def test_it_works_from_another_folder(tmp_path: Path) -> None:
    """A notebook's folder is not on the path of the clone; another package may be called exercises, too."""
    (tmp_path / "exercises.py").write_text("mine = True\n", encoding="utf-8")
    code = "import exercises\nfrom mambaedu.check import check\nprint(check('ex04', lambda a, b, h0=None: b).tests[0].status, exercises.mine)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["wrong True"], done.stderr


def test_a_compiled_triton_is_not_available_here() -> None:
    """Triton decides at import whether it interprets; a kernel on CPU tensors needs that it does."""
    code = (
        "import triton\nfrom exercises._grader import folder, manifest\nfrom exercises._grader.folder import import_file\n"
        "f = folder.Folder(manifest.load()['ex17'])\nm = import_file(f.path / '_solution.py', 's')\n"
        "from mambaedu.check import check\n"
        "r = check('ex17', m.combine, m.IDENTITY, m.scan_channel)\nprint([t.status for t in r.tests])"
    )
    import os

    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["['passed', 'not available', 'not available']"], done.stderr
    assert "set the environment variable TRITON_INTERPRET=1 first" in " ".join(done.stdout.split())
