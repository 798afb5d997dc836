"""The bench times what it says, relates it to the memory, and records only a full run."""

import sys

import pytest
import torch

from mambaedu import linear_scan
from mambaedu.lab import bench, records


def test_the_inputs_are_decays_and_are_the_same_each_time():
    a, x, grad_h = bench.scan_inputs(2, 50, 3, "cpu")
    assert a.shape == x.shape == grad_h.shape == (2, 50, 3)
    assert (a >= 0.5).all()
    assert (a <= 1).all()
    assert {t.dtype for t in (a, x, grad_h)} == {torch.float32}
    assert not torch.equal(x, grad_h)
    assert torch.equal(a, bench.scan_inputs(2, 50, 3, "cpu")[0])
    assert not torch.equal(a, bench.scan_inputs(2, 50, 3, "cpu", seed=1)[0])


def test_the_clock_takes_the_median_after_two_calls_that_do_not_count(monkeypatch):
    calls = []
    times = iter([0.0, 1.0, 10.0, 19.0, 20.0, 22.0])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(times))
    assert bench.clock(lambda: calls.append(1), 3, "cpu") == 2.0
    assert len(calls) == 5


@pytest.mark.parametrize("backend", ["naive", "numba"])
def test_the_gradients_are_those_of_the_scan(backend):
    a, x, grad_h = bench.scan_inputs(2, 9, 3, "cpu")
    grad_a, grad_b = bench.gradients(a, x, grad_h, backend)
    a, x = a.clone().requires_grad_(), x.clone().requires_grad_()
    (linear_scan(a, x, backend="naive") * grad_h).sum().backward()
    assert torch.allclose(grad_a, a.grad, atol=1e-5)
    assert torch.allclose(grad_b, x.grad, atol=1e-5)


@pytest.fixture
def clocked(monkeypatch):
    """A machine that copies 1 GB/s, where the four timings of a row take 4, 8, 40 and 160 ms."""
    clocked = []

    def clock(run, repeats, device, graph=True):
        run()
        clocked.append(repeats)
        return [0.004, 0.008, 0.040, 0.160][(len(clocked) - 1) % 4]

    monkeypatch.setattr(bench, "clock", clock)
    monkeypatch.setattr(bench, "copy_bandwidth", lambda device, repeats: 1e9)
    return clocked


def test_ratios_and_shares_are_made_of_the_times(clocked, capsys):
    data = bench.bench_linear_scan("cpu", quick=True)
    assert set(clocked) == {3}
    assert (data["backend"], data["device"], data["copy_bytes_per_second"]) == ("numba", "cpu", 1e9)
    assert [(row["b"], row["l"], row["d"]) for row in data["rows"]] == [(4, 256, 64), (4, 1024, 64), (4, 4096, 64)]
    for row in data["rows"]:
        size = 4 * row["b"] * row["l"] * row["d"]  # bytes of one tensor
        assert row["ratio forward"] == pytest.approx(10)
        assert row["ratio both"] == pytest.approx(20)
        # The forward moves a, b and h; the backward a, h, grad_h, grad_a and grad_b as well.
        assert row["share forward"] == pytest.approx(3 * size / 0.004 / 1e9)
        assert row["share both"] == pytest.approx(8 * size / 0.008 / 1e9)
        assert 0 < row["error"] < 1e-5
    assert "naive/numba   10.0 forward,   20.0 with backward" in capsys.readouterr().out


def test_the_copy_is_counted_in_both_directions(monkeypatch):
    monkeypatch.setattr(bench, "clock", lambda run, repeats, device, graph: 0.5)
    # 2^25 numbers of four bytes, read and written, in half a second.
    assert bench.copy_bandwidth("cpu", 1) == 2 * 2**25 * 4 / 0.5


def test_a_quick_run_records_nothing_and_a_full_one_does(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "bench_linear_scan", lambda device, quick: {"rows": [], "quick": quick})
    typed = ["bench.py", "linear_scan", "--device", "cpu", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*typed, "--quick"])
    bench.main()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sys, "argv", typed)
    bench.main()
    record = records.read("bench_linear_scan_cpu", tmp_path)
    assert record["data"] == {"rows": [], "quick": False}
    assert record["kernels"] == {"linear_scan_numba.py": records.kernel_hash(records.KERNELS / "linear_scan_numba.py")}
    assert (record["seeds"], record["repeats"]) == ([0], 9)
    assert str(tmp_path) not in record["command"]


def test_an_unknown_scan_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench.py", "quantum_scan"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "invalid choice: 'quantum_scan'" in capsys.readouterr().err
