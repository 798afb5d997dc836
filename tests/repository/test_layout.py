"""The top of the repository stays small, and no module of ours hides a package of others."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FOLDERS = {"book", "mambaedu", "kernels", "exercises", "tests", ".ci", ".github"}
FILES = {
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "CITATION.cff",
    "pyproject.toml", "requirements.txt", "_config.yml", "Makefile", ".gitignore",
}  # fmt: skip


def tracked() -> list[str]:
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_the_top_level_is_the_one_we_agreed_on():
    assert {path.split("/")[0] for path in tracked()} == FOLDERS | FILES


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_file_at_the_top_is_empty(name):
    assert (ROOT / name).read_text("utf-8").strip()


def own_modules() -> set[str]:
    """The names that our folders put on the import path."""
    paths = [*(ROOT / "book" / "_ext").iterdir(), *(ROOT / "kernels").iterdir()]
    names = {path.stem for path in paths if (path.suffix == ".py" or (path / "__init__.py").exists())}
    return names | {"mambaedu", "exercises"}


def test_no_module_hides_one_of_python():
    assert own_modules() & sys.stdlib_module_names == set()


def test_no_module_hides_an_installed_package():
    ours = importlib.metadata.distribution("mambaedu").name
    taken = {name for name, owners in importlib.metadata.packages_distributions().items() if set(owners) != {ours}}
    assert own_modules() & taken == set()


def test_tests_are_not_packages():
    """With __init__.py under tests/ pytest imports by another rule, and tests/mambaedu would hide mambaedu."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
