"""What pip installs is whole: the library, the kernels, the scripts and styles of the explorables, the licence; nothing else."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy to build in: setuptools leaves build/ and *.egg-info where it works."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("mambaedu", "kernels", "exercises"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> list[str]:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (path,) = out.glob("*.whl")
    assert path.name.endswith("-py3-none-any.whl"), "no compiled code"
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def ours() -> set[str]:
    """Every file of the library and the kernels, as an installed package names it."""
    library = [
        path.relative_to(ROOT)
        for path in (ROOT / "mambaedu").rglob("*")
        if path.suffix in {".py", ".js", ".css"} or path.name == "py.typed"
    ]
    kernels = [path.relative_to(ROOT / "kernels") for path in (ROOT / "kernels" / "mambaedu_kernels").rglob("*.py")]
    return {path.as_posix() for path in [*library, *kernels]}


def test_the_wheel_is_whole(wheel):
    held = {name for name in wheel if ".dist-info/" not in name}
    assert held == ours()
    assert any(name.endswith(".js") for name in held)


def test_the_licence_came_along(wheel):
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_the_source_distribution_is_whole(source, tmp_path):
    code = f"import setuptools.build_meta as backend; print(backend.build_sdist({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=source, check=True, capture_output=True, text=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {name for name in ours() if name.startswith("mambaedu/")} <= names
    assert {f"kernels/{name}" for name in ours() if name.startswith("mambaedu_kernels/")} <= names
