"""Answers that are no answers. All earn 0, none stops the grader, none costs or earns another exercise's points."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exercises._grader import manifest

ROOT = Path(__file__).resolve().parents[2]
HEAD = "import torch\ndef linear_scan(a, b, h0=None):\n"

# What stands in ex04's file -> the status that its first test must get, and words that its message must hold.
AT_THE_TOP = {
    "ends the process": ("import os\nos._exit(0)\n", "crashed", "ended the process (exit status 0)"),
    "exits": ("import sys\nsys.exit(0)\n", "error", "SystemExit: 0"),
    "skips itself": ("import pytest\npytest.skip('no', allow_module_level=True)\n", "error", "Skipped: no"),
    "never ends": ("while True: pass\n", "timed out", "no answer after 2 s"),
    "has a syntax error": ("def linear_scan(a, b h0):\n    pass\n", "error", "SyntaxError"),
    "is empty": ("", "error", "ex04_linear_scan.py has no linear_scan: keep the names of the stub"),
    "imports the answer": (
        "from mambaedu import linear_scan\n",
        "not allowed",
        "exercise 4 asks you to write this yourself: mambaedu",
    ),
    "imports it in a roundabout way": (
        "import importlib\nlinear_scan = importlib.import_module('mambaedu.linear_scan').linear_scan\n",
        "not allowed",
        "mambaedu may not be used",
    ),
    "imports the solution": (
        "from exercises.ex04_linear_scan._solution import linear_scan\n",
        "not allowed",
        "exercises may not be used",
    ),
    "imports the solution by its path": (
        f"import runpy\nlinear_scan = runpy.run_path({str(ROOT / 'exercises/ex04_linear_scan/_solution.py')!r})['linear_scan']\n",
        "error",
        "may not read the files of the exercises",
    ),
    "reads the reference through a link": (
        f"import os\nos.link({str(ROOT / 'exercises/ex04_linear_scan/cases.py')!r}, 'mine.py')\nimport runpy\nrunpy.run_path('mine.py')\n",
        "error",
        "PermissionError",
    ),
    "reads the library's source": (
        f"exec(open({str(ROOT / 'mambaedu/linear_scan.py')!r}).read())\n",
        "error",
        "may not read the files of the exercises or of mambaedu",
    ),
    "starts a process": ("import subprocess\nsubprocess.run(['true'])\n", "error", "may not start another process"),
    "forks": ("import os\nwhile True: os.fork()\n", "error", "may not start another process"),
    "kills its parent": ("import os\nos.kill(os.getppid(), 9)\n", "error", "may not send signals"),
    "uses the network": (
        "import socket\nsocket.create_connection(('127.0.0.1', 80))\n",
        "error",
        "may not use the network",
    ),
    "moves the folder of its answers": ("import os\nos.rename('out', 'elsewhere')\n", "crashed", "ended the process"),
    "writes outside": (
        "import os\nopen(os.path.expanduser('~/left_behind'), 'w')\n",
        "error",
        "may write in its own folder only",
    ),
}
IN_THE_CALL = {
    "never ends": ("    while True: pass\n", "timed out", "no answer after 2 s"),
    "wants 8 GB": (
        "    return torch.zeros(2**33, dtype=torch.uint8)\n",
        "error",
        "The grader gives each exercise 2048 MB",
    ),
    "ends the process": ("    import os\n    os._exit(0)\n", "crashed", "ended the process (exit status 0)"),
    "touches foreign memory": ("    import ctypes\n    ctypes.string_at(1)\n", "crashed", "SIGSEGV"),
    "gives NaN": ("    return torch.full_like(b, float('nan'))\n", "wrong", "30 of 30 numbers differ; 30 of them nan"),
    "gives something that equals everything": (
        "    class Equal:\n        def __eq__(self, other): return True\n        def __array__(self): return 1\n    return Equal()\n",
        "wrong",
        "h must be a torch tensor, got ",
    ),
    "gives a tensor that lies": (
        "    class Lies(torch.Tensor):\n        def __sub__(self, other): return torch.zeros(1)\n    return b.as_subclass(Lies)\n",
        "wrong",
        "h must be a torch tensor, got ",
    ),
    "patches the comparison": (
        "    import numpy\n    numpy.allclose = numpy.array_equal = lambda *a, **k: True\n    return b\n",
        "wrong",
        "Your h is b itself",
    ),
    "answers in the grader's place": (
        "    import json\n    for out in ['out']:\n        for k in range(9):\n"
        "            open(f'{out}/ex04_linear_scan.py.{k}.refused', 'w').write(json.dumps({'status': 'passed', 'text': ''}))\n"
        "    import time\n    time.sleep(0.3)\n    return b\n",
        "error",
        "your code wrote into the grader's files",
    ),
    "gives a pipe": (
        "    import os\n    os.mkfifo('out/ex04_linear_scan.py.0.npz')\n    import time\n    time.sleep(0.3)\n",
        "error",
        "must be a plain file",
    ),
    "destroys its box": (
        "    import os, shutil\n    for name in ('in', 'out'): shutil.rmtree(name)\n    os.remove('call.py')\n    os.makedirs('d/' * 1900)\n",
        "crashed",
        "ended the process",
    ),
    "raises errors that cause each other": (
        "    one, two = NotImplementedError('exercise'), NotImplementedError('exercise')\n"
        "    one.__cause__, two.__cause__ = two, one\n    raise one\n",
        "error",
        "NotImplementedError: exercise",
    ),
    "returns nothing": (
        "    b + a\n",
        "wrong",
        "linear_scan must return h, but it returned None: is the `return` missing?",
    ),
    "prints a gigabyte": (
        "    if len(b) != 3: return b\n    for _ in range(1000): print('x' * 2**20)\n    return b\n",
        "wrong",
        "Your h is b itself",
    ),
}


def graded(clone: Any, rows: Any, source: str) -> tuple[int, dict[str, Any]]:
    clone.limit("ex04", seconds=2)
    clone.write("ex04", source)
    status, record = clone.grade("ex04")
    assert record["complete"]
    assert record["points"] == 0
    return status, rows(record, "ex04")


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_THE_TOP)
def test_a_file_that(name: str, clone: Any, rows: Any) -> None:
    source, want, words = AT_THE_TOP[name]
    status, found = graded(clone, rows, source)
    assert status == 1
    # Nothing of the file will ever run, so every test says the same.
    assert {row["status"] for row in found.values()} == {want}, found["loop"]["message"]
    assert "ex04_linear_scan.py does not load" in found["loop"]["message"]
    assert words in " ".join(found["loop"]["message"].split())


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_THE_CALL)
def test_a_function_that(name: str, clone: Any, rows: Any) -> None:
    source, want, words = IN_THE_CALL[name]
    status, found = graded(clone, rows, HEAD + source)
    assert status == 1
    assert found["loop"]["status"] == want, found["loop"]["message"]
    assert words in " ".join(found["loop"]["message"].split())


CHEATS = {
    "ex03": "from mambaedu.discretize import zoh_diagonal as zoh\n",
    "ex04": "from mambaedu import linear_scan\n",
    "ex17": """
import numpy as np
import triton, triton.language as tl
from exercises.ex17_combine._solution import IDENTITY, combine, scan_channel
""",
}


@pytest.mark.slow
def test_one_cheat_for_each_exercise(clone: Any, rows: Any) -> None:
    assert set(CHEATS) == set(manifest.load())
    for name, source in CHEATS.items():
        clone.write(name, source)
    status, record = clone.grade()
    assert status == 1
    assert record["points"] == 0
    for name in CHEATS:
        for row in rows(record, name).values():
            assert row["status"] == "not allowed"
            assert f"exercise {int(name[2:])} asks you to write this yourself" in " ".join(row["message"].split())


@pytest.mark.slow
def test_a_cheat_costs_nobody_else_anything(clone: Any) -> None:
    clone.limit("ex03", seconds=2)
    clone.write("ex03", "import os, signal\nos.killpg(0, signal.SIGKILL)\n")
    clone.write("ex04", clone.solution("ex04"))
    clone.write("ex17", "import ctypes\nctypes.string_at(1)\n")
    status, record = clone.grade()
    assert status == 1
    assert [entry["points"] for entry in record["exercises"]] == [0, 10, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inside", "status"), [("import os; os._exit(0)", "crashed"), ("while True: pass", "timed out")]
)
def test_a_crash_costs_the_test_that_it_happens_in(inside: str, status: str, clone: Any, rows: Any) -> None:
    clone.limit("ex04", seconds=2)
    marker = "h = torch.zeros_like(b[:, 0]) if h0 is None else h0  # (b d)\n"
    solution = clone.solution("ex04")
    assert marker in solution
    # Only the test h0 starts from a state without asking for gradients.
    bad = f"    if h0 is not None and not h0.requires_grad:\n        {inside}\n    {marker}"
    clone.write("ex04", solution.replace(f"    {marker}", bad))
    _, record = clone.grade("ex04")
    found = rows(record, "ex04")
    assert {name: row["points"] for name, row in found.items()} == {"loop": 4, "h0": 0, "gradient": 3}
    assert found["h0"]["status"] == status


@pytest.mark.slow
def test_counts_cannot_be_forged_by_replacing_the_counter(clone: Any, rows: Any) -> None:
    """A slow kernel with a patched interpreter: right, so it keeps the points for that, and none for traffic."""
    import tomllib

    slow = next(
        entry
        for entry in tomllib.loads((clone.root / "ex17_combine/_wrong.toml").read_text(encoding="utf-8"))["wrong"]
        if entry["name"] == "the tiles loaded again at each level"
    )
    source = clone.solution("ex17").replace(slow["find"], slow["replace"])
    forged = """
import gc
for thing in gc.get_objects():
    if isinstance(thing, type) and thing.__name__ == "_Counter" and thing.__module__ == "mambaedu.lab.traffic":
        thing.load = lambda self, *rest: self._real.load(*rest)
"""
    clone.write("ex17", source + forged)
    _, record = clone.grade("ex17")
    found = rows(record, "ex17")
    assert found["traffic"]["points"] == 0
    assert found["traffic"]["status"] == "not allowed"
    assert "changes the code that counts" in " ".join(found["traffic"]["message"].split())


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process leave the network")
def test_the_child_has_no_network(clone: Any, rows: Any) -> None:
    """Not even for code that Python's own check does not see: the system shows it no interface but the loopback."""
    allowed = any(
        subprocess.run(["unshare", *how, "true"], capture_output=True, check=False).returncode == 0
        for how in (["-n"], ["-r", "-n"])
    )
    _, found = graded(clone, rows, "raise ValueError(open('/proc/self/net/dev').read())\n")
    devices = [line.split(":")[0].strip() for line in found["loop"]["message"].splitlines() if ": " in line][1:]
    assert "lo" in devices
    assert not allowed or devices == ["lo"]


@pytest.mark.slow
def test_a_deep_box_is_removed(clone: Any, rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "boxes").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "boxes"))
    graded(clone, rows, "import os\nos.makedirs('d/' * 1500)\nraise ValueError\n")
    assert list((tmp_path / "boxes").iterdir()) == []


@pytest.mark.slow
def test_a_conftest_beside_the_file_does_nothing(clone: Any, rows: Any) -> None:
    for folder in (clone.root, clone.root / "ex04_linear_scan"):
        (folder / "conftest.py").write_text("import os\nos._exit(0)\n", encoding="utf-8")
        (folder / "sitecustomize.py").write_text("import os\nos._exit(0)\n", encoding="utf-8")
        (folder / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n", encoding="utf-8")
        (folder / "torch.py").write_text("raise RuntimeError\n", encoding="utf-8")
    _, found = graded(clone, rows, HEAD + "    return b\n")
    assert found["loop"]["status"] == "wrong"


def test_a_link_is_not_a_submission(clone: Any, rows: Any) -> None:
    file = clone.root / "ex04_linear_scan" / "ex04_linear_scan.py"
    file.unlink()
    file.symlink_to(clone.root / "ex04_linear_scan" / "_solution.py")
    _, record = clone.grade("ex04")
    assert record["points"] == 0
    assert "cannot be opened" in rows(record, "ex04")["loop"]["message"]


def test_a_file_of_two_gigabytes_is_not_read(clone: Any, rows: Any) -> None:
    with open(clone.root / "ex04_linear_scan" / "ex04_linear_scan.py", "wb") as file:
        file.truncate(2**31)
    _, record = clone.grade("ex04")
    assert record["points"] == 0
    assert "must have at most" in rows(record, "ex04")["loop"]["message"]


def test_a_missing_file_is_named(clone: Any, rows: Any) -> None:
    (clone.root / "ex04_linear_scan" / "ex04_linear_scan.py").unlink()
    status, record = clone.grade("ex04")
    assert status == 1
    assert {row["status"] for row in rows(record, "ex04").values()} == {"missing"}
    assert rows(record, "ex04")["loop"]["message"] == "ex04_linear_scan.py is missing"
