"""Before anything imports triton: interpret its kernels on the CPU, unless the GPU tests were asked for. And the record of those."""

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

# Helpers that tests share lie beside them; importlib mode adds no folder to the path.
sys.path.append(str(Path(__file__).parent / "kernels"))

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption(
        "--record", metavar="FOLDER", help="with -m gpu: when all pass, write FOLDER/gpu_tests.json, which says where"
    )


def pytest_configure(config):
    config.started = time.time()
    if config.getoption("markexpr") != "gpu":
        os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture
def whole_card():
    """For tests that need most of a GPU's memory: however many processes pytest has, they take turns."""
    import fcntl

    import torch

    with open(Path(tempfile.gettempdir()) / "mambaedu_whole_card", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        torch.cuda.empty_cache()


def pytest_sessionfinish(session, exitstatus):
    folder = session.config.getoption("--record")
    if folder is None or hasattr(session.config, "workerinput"):  # a worker's results reach the main process
        return
    stats = session.config.pluginmanager.get_plugin("terminalreporter").stats
    counts = {outcome: len(stats.get(outcome, [])) for outcome in ("passed", "failed", "error", "skipped")}
    if exitstatus != 0 or counts["skipped"] or not counts["passed"] or session.config.getoption("markexpr") != "gpu":
        print("\nNo record is written: every test under -m gpu must run and pass.")
        return
    from mambaedu.lab import records

    files = sorted({Path(report.location[0]).name for report in stats["passed"]})
    kernels = sorted(path.name for path in (ROOT / "kernels" / "mambaedu_kernels").glob("*_triton.py"))
    data = {
        "files": files,
        "collected": session.testscollected,
        "passed": counts["passed"],
        "unfinished": 0,
        "left_out": session.config.getoption("deselect") or [],
        "seconds": round(time.time() - session.config.started),
    }
    path = records.write("gpu_tests", data, kernels=kernels, command="make gpu-test", out=folder)
    print(f"\nwritten: {path}")
