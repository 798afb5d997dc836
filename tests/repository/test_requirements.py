"""requirements.txt is one exact set, with a reason a line, inside the ranges that pyproject.toml gives to users."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES = [
    line
    for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = {canonicalize_name(Requirement(line.split("#")[0]).name): Requirement(line.split("#")[0]) for line in LINES}
EXTRAS = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
RANGES = [Requirement(text) for text in [*PROJECT["dependencies"], *EXTRAS]]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split("=")[0])
def test_each_line_is_exact_and_has_a_reason(line):
    assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^#]+?)?\s+# \S.{3,}", line)


def test_no_package_twice():
    assert len(PINS) == len(LINES)


@pytest.mark.parametrize("requirement", RANGES, ids=lambda requirement: requirement.name)
def test_the_exact_version_lies_in_the_range_for_users(requirement):
    (pin,) = PINS[canonicalize_name(requirement.name)].specifier
    assert pin.version in requirement.specifier


def test_triton_is_for_linux_only():
    for requirement in [*RANGES, PINS["triton"]]:
        if requirement.name == "triton":
            assert requirement.marker.evaluate({"sys_platform": "linux", "extra": ""})
            assert not requirement.marker.evaluate({"sys_platform": "darwin", "extra": ""})
            assert not requirement.marker.evaluate({"sys_platform": "win32", "extra": ""})


def test_numba_and_numpy_have_lower_bounds_together():
    """With a numpy too new for numba and no lower bound, pip walks back to a numba that does not build."""
    for name in ("numba", "numpy"):
        (requirement,) = [requirement for requirement in RANGES if requirement.name == name]
        assert any(specifier.operator == ">=" for specifier in requirement.specifier)


def test_jupyter_book_stays_below_2():
    (pin,) = PINS["jupyter-book"].specifier
    assert pin.version.startswith("1."), "Jupyter Book 2 reads neither _config.yml nor _toc.yml"


def test_the_environment_is_the_one_that_is_written_down():
    installed = {
        name: importlib.metadata.version(name)
        for name, pin in PINS.items()
        if pin.marker is None or pin.marker.evaluate()
    }
    wanted = {name: next(iter(PINS[name].specifier)).version for name in installed}
    assert {name: version.split("+")[0] for name, version in installed.items()} == wanted, "run: make test"


def test_every_extra_and_every_dependency_is_in_the_exact_set():
    assert {canonicalize_name(requirement.name) for requirement in RANGES} <= set(PINS)
