"""The commands that people type exist, and say what is wrong in one sentence."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = ["book", "test", "test-fast", "notebooks", "serve", "grade", "check", "bench", "gpu-test", "clean"]


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("target", TARGETS)
def test_the_target_exists(target):
    assert make("-n", target).returncode == 0


@pytest.mark.parametrize("target", TARGETS)
def test_help_names_the_target(target):
    assert re.search(rf"^make {target}\b", make("help").stdout, re.M)


@pytest.fixture
def fresh(tmp_path):
    """A clone in which nothing was made yet."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def python_that(folder: Path, before: str) -> str:
    """A python3 that runs `before` and then the code given with -c."""
    script = folder / "python3"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{before}; import sys; exec(sys.argv[1])" "$2"\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize("version", ["(3, 10, 12)", "(3, 14, 0)"])
def test_another_python_is_refused_in_a_sentence(fresh, version):
    text = ".".join(re.findall(r"\d+", version))
    python = python_that(fresh, f"import sys; sys.version_info = {version}; sys.version = '{text} (main)'")
    run = make("book", f"PYTHON={python}", cwd=fresh)
    assert run.returncode != 0
    assert f"This project needs Python 3.11, 3.12 or 3.13; {python} is {text}." in run.stderr
    assert not (fresh / ".venv").exists()


def test_a_python_without_venv_is_refused_in_a_sentence(fresh):
    python = python_that(fresh, "import sys; sys.modules['ensurepip'] = None")
    run = make("book", f"PYTHON={python}", cwd=fresh)
    assert run.returncode != 0
    assert "has no venv module; on Debian and Ubuntu: apt-get install python3-venv" in run.stdout
    assert not (fresh / ".venv").exists()


def test_what_does_not_need_a_gpu_is_not_run_with_the_system_python():
    assert "PYTHONPATH=.:kernels" in make("-n", "gpu-test").stdout
    assert ".venv" not in make("-n", "gpu-test").stdout


def test_grade_passes_the_exercise_on():
    assert "exercises.grade ex03" in make("-n", "grade", "EX=ex03").stdout


def test_ci_runs_make_test_and_can_be_run():
    text = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^make test\b", text, re.M)
    for script in ("run", "resolve"):
        assert (ROOT / ".ci" / script).stat().st_mode & 0o111
        assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / script)]).returncode == 0
