"""The command records only a full run, and as far as it came."""

import sys
from types import SimpleNamespace

import pytest

from mambaedu.lab import records
from mambaedu.lab.bench import __main__ as command


@pytest.fixture
def operation(monkeypatch):
    """An operation whose bench keeps two tables, one after the other."""

    def bench(device, quick, keep):
        keep({"rows": [1]})
        if fake.cut_off:
            raise KeyboardInterrupt
        keep({"rows": [1, 2], "quick": quick})

    fake = SimpleNamespace(bench=bench, SEEDS=[0], REPEATS=9, cut_off=False)
    monkeypatch.setattr(command.importlib, "import_module", lambda name: fake)
    return fake


def test_a_quick_run_records_nothing_and_a_full_one_does(operation, monkeypatch, tmp_path, capsys):
    typed = ["bench", "linear_scan", "--device", "cpu", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*typed, "--quick"])
    command.main()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sys, "argv", typed)
    command.main()
    record = records.read("bench_linear_scan_cpu", tmp_path)
    assert record["data"] == {"rows": [1, 2], "quick": False}
    assert record["kernels"] == {"linear_scan_numba.py": records.kernel_hash(records.KERNELS / "linear_scan_numba.py")}
    assert (record["seeds"], record["repeats"]) == ([0], 9)
    assert str(tmp_path) not in record["command"]
    assert capsys.readouterr().out == f"wrote {tmp_path / 'bench_linear_scan_cpu.json'}\n"


def test_a_run_on_a_gpu_names_the_kernel_for_it(operation, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["bench", "selective_scan", "--device", "cuda", "--out", str(tmp_path)])
    command.main()
    assert list(records.read("bench_selective_scan_gpu", tmp_path)["kernels"]) == ["selective_scan_triton.py"]


def test_a_run_that_is_cut_off_leaves_what_it_measured(operation, monkeypatch, tmp_path):
    operation.cut_off = True
    monkeypatch.setattr(sys, "argv", ["bench", "linear_scan", "--device", "cpu", "--out", str(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        command.main()
    assert records.read("bench_linear_scan_cpu", tmp_path)["data"] == {"rows": [1]}


def test_an_unknown_operation_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "quantum_scan"])
    with pytest.raises(SystemExit):
        command.main()
    assert "invalid choice: 'quantum_scan'" in capsys.readouterr().err
