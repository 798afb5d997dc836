"""The library imports and gives its answers without numba, without triton, without kernels/, from a bare clone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A process that knows nothing of this clone's installed package: only what lies in its own folder, and other people's packages.
BARE = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path = [path for path in sys.path if not path.startswith({root!r}) or "site-packages" in path]
sys.path.insert(0, {here!r})
"""

# Some packages are not there: looked for, and not found.
HIDE = """
from importlib.machinery import PathFinder
class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] in {names!r} else PathFinder.find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""

SCAN = """
import torch, mambaedu
a, b = torch.full((1, 5, 2), 0.5), torch.ones(1, 5, 2)
naive = mambaedu.linear_scan(a, b, backend="naive")
assert torch.allclose(mambaedu.linear_scan(a, b), naive)
"""


def copy(folder: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(folder: Path, code: str, hide: set[str] = frozenset()) -> str:
    script = BARE.format(root=str(ROOT), here=str(folder)) + HIDE.format(names=sorted(hide)) + code
    process = subprocess.run([sys.executable, "-P", "-c", script], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_bare_clone_imports_and_finds_its_kernels(tmp_path):
    copy(tmp_path, "mambaedu", "kernels")
    code = SCAN + "print(mambaedu.__file__, mambaedu.linear_scan(a, b, backend='numba').shape)"
    assert str(tmp_path) in run(tmp_path, code)


def test_without_the_kernels_the_answers_stay(tmp_path):
    copy(tmp_path, "mambaedu")
    code = """
try:
    mambaedu.linear_scan(a, b, backend="numba")
except RuntimeError as error:
    print(error)
"""
    assert "kernels" in run(tmp_path, SCAN + code)


@pytest.mark.parametrize(
    "hidden", [{"numba"}, {"triton"}, {"numba", "triton"}], ids=lambda names: " and ".join(sorted(names))
)
def test_without_numba_or_triton(tmp_path, hidden):
    copy(tmp_path, "mambaedu", "kernels")
    told = run(
        tmp_path, SCAN + "print(mambaedu.backends.explain(a))", hidden | {"llvmlite"} if "numba" in hidden else hidden
    )
    for name in hidden:
        assert f"{name}: " in told, told


EVERY = """
import importlib, pkgutil, mambaedu
for info in pkgutil.walk_packages(mambaedu.__path__, "mambaedu."):
    if not info.name.endswith("__main__"):
        importlib.import_module(info.name)
        print(info.name)
"""


def test_every_module_imports_with_torch_and_numpy_alone(tmp_path):
    """What a page or an experiment needs besides, it imports where it uses it."""
    copy(tmp_path, "mambaedu", "kernels")
    extras = {"numba", "llvmlite", "triton", "matplotlib", "ipywidgets", "anywidget", "scipy", "IPython"}
    assert "mambaedu.viz" in run(tmp_path, EVERY, extras)


def test_the_hidden_are_hidden(tmp_path):
    code = "\ntry:\n    import numba\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    assert run(tmp_path, code, {"numba"}).strip() == "No module named 'numba'"
