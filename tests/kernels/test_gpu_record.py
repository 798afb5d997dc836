"""The kernels of today passed on a GPU: `make gpu-test` wrote a record of it. That its kernels are unchanged, tests/book/test_records.py says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mambaedu.lab import records

ROOT = Path(__file__).parents[2]


def test_every_triton_kernel_has_passed_on_a_gpu():
    record = records.read("gpu_tests")  # raises when a kernel changed since
    assert not record["stale"]
    assert set(record["kernels"]) == {path.name for path in records.KERNELS.glob("*_triton.py")}
    assert set(record["data"]["files"]) == {path.name for path in Path(__file__).parent.glob("test_*_gpu.py")}
    assert record["data"]["passed"] + record["data"]["unfinished"] == record["data"]["collected"]
    assert record["data"]["left_out"] == []
    assert record["machine"]["gpu"]
    assert record["machine"]["driver"]
    assert {"torch", "triton"} <= set(record["versions"])


@pytest.mark.xfail(
    strict=True,
    reason="the record is of a run that was cut off: two of 579 tests had not finished. The next record ends this mark",
)
def test_every_gpu_test_had_finished():
    assert records.read("gpu_tests")["data"]["unfinished"] == 0


@pytest.mark.parametrize(
    ("body", "markers", "written"),
    [("assert True", ["gpu"], True), ("assert False", ["gpu"], False), ("pytest.skip('no card')", ["gpu"], False), ("assert True", [], False)],
    ids=["passes", "fails", "skips", "not a GPU test"],
)  # fmt: skip
def test_a_record_is_written_when_all_pass_and_only_then(body, markers, written, tmp_path):
    (tmp_path / "test_one_gpu.py").write_text(
        f"import pytest\n\npytestmark = pytest.mark.gpu\n\n\ndef test_one():\n    {body}\n\n\ndef test_another():\n    pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "--confcutdir", ROOT,
               "-p", "conftest", "--record", tmp_path / "data", tmp_path / "test_one_gpu.py"]  # fmt: skip
    command += [word for marker in markers for word in ("-m", marker)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "tests", ROOT, ROOT / "kernels")))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (tmp_path / "data" / "gpu_tests.json").is_file() == written, done.stdout + done.stderr
    if written:
        assert records.read("gpu_tests", tmp_path / "data")["data"]["files"] == ["test_one_gpu.py"]
