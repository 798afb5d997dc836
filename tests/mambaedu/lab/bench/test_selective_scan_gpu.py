"""The bench of the GPU, on the CPU: Triton interprets, the clock is made up, and the machine copies 1 GB/s and makes 1e9 exponentials in a second."""

import pytest
import torch

from mambaedu.lab.bench import selective_scan as scan
from mambaedu.lab.bench import selective_scan_gpu as bench


@pytest.fixture
def machine(monkeypatch, tick):
    monkeypatch.setattr(bench, "clock", tick)
    monkeypatch.setattr(bench, "copy_bandwidth", lambda device, repeats: 1e9)
    monkeypatch.setattr(bench, "exponential_rate", lambda device, repeats: 1e9)
    monkeypatch.setattr(bench, "peak_bytes", lambda run: 0 if run() is None else 5 * 4 * 1 * 4 * 3)
    monkeypatch.setattr(bench, "SHAPES", [(1, 4, 3, 16)])
    monkeypatch.setattr(bench, "MORE_STATES", [(1, 3, 2, 8)])
    monkeypatch.setattr(bench, "LENGTHS", [])
    monkeypatch.setattr(bench, "STEPS", [(2, 3, 2)])


@pytest.mark.slow
def test_every_table_is_made_of_the_times(machine):
    kept = []
    bench.bench_gpu("cpu", False, lambda data: kept.append(str(data)))
    data = {}
    bench.bench_gpu("cpu", False, data.update)
    assert len(kept) == 4  # after each row
    assert (data["copy_bytes_per_second"], data["exponentials_per_second"]) == (1e9, 1e9)
    assert [row.get("failed") for row in data["rows"] + data["steps"]] == [None] * 4
    half, full, more = data["rows"]
    assert (half["dtype"], full["dtype"], more["dtype"], more["n"]) == ("bf16", "fp32", "bf16", 8)
    assert full["error forward"] < 1e-6
    assert full["error backward"] < 1e-5
    assert full["peak"] == 5
    # u, delta, z, y (1 4 3) and B, C (1 4 16) of four bytes; 1 * 4 * 3 * 16 exponentials.
    assert full["bound by"] == "bytes"
    assert full["floor forward"] == pytest.approx((4 * 12 + 2 * 64) * 4 / 1e9)
    assert half["bound by"] == "bytes"
    assert half["floor forward"] == pytest.approx((4 * 12 + 2 * 64) * 2 / 1e9)
    assert full["floor backward"] == pytest.approx(7 * 12 * 4 / 1e9)
    for row in (half, full):
        assert row["share forward"] == row["floor forward"] / row["forward"]
        assert row["share backward"] == row["floor backward"] / row["backward"]
        assert row["ratio forward"] == row["naive forward"] / row["forward"] > 1
        assert row["ratio both"] == row["naive both"] / row["both"] > 1
    assert "naive forward" not in more
    # h (2 3 2) is read and written in fp32; A, D, delta_bias are fp32, u_t, delta_t, z_t, y_t (2 3), B_t, C_t (2 2) bf16.
    (step,) = data["steps"]
    moved = 4 * (12 + 12 + 6 + 3 + 3) + 2 * (4 * 6 + 2 * 4)
    assert step["share of copy"] == pytest.approx(moved / step["step"] / 1e9)


@pytest.mark.slow
def test_the_exponentials_bind_where_they_are_slow(machine):
    row = {"b": 1, "l": 4, "d": 3, "n": 16, "dtype": "fp32"}
    bench.measure_scan("cpu", 1, 1e9, 1e6, row)
    assert row["bound by"] == "exponentials"
    assert row["floor forward"] == pytest.approx(4 * 3 * 16 / 1e6)


def test_a_wrong_kernel_is_not_timed(machine, monkeypatch):
    def wrong(inputs, grad_y, backend):
        y, grad_u, *others = scan.gradients(inputs, grad_y, "naive")
        return y, grad_u + 1, *others

    monkeypatch.setattr(bench, "gradients", wrong)
    monkeypatch.setattr(bench, "forward", lambda inputs, backend: scan.forward(inputs, "naive"))
    monkeypatch.setattr(bench, "errors", lambda *arguments, backend: scan.errors(*arguments, backend="naive"))
    row = {"b": 1, "l": 4, "d": 3, "n": 2, "dtype": "fp32"}
    with pytest.raises(ArithmeticError, match="backward: grad_u is off by"):
        bench.measure_scan("cpu", 1, 1e9, 1e9, row)
    assert "forward" not in row


def test_without_a_rate_of_exponentials_the_memory_is_the_floor(machine, monkeypatch):
    def broken(device, repeats):
        raise ArithmeticError("off")

    measured = []
    monkeypatch.setattr(bench, "exponential_rate", broken)
    monkeypatch.setattr(
        bench, "measure_scan", lambda device, repeats, copy, exponentials, row: measured.append(exponentials)
    )
    monkeypatch.setattr(bench, "measure_step", lambda device, repeats, copy, row: None)
    data = {}
    bench.bench_gpu("cpu", False, data.update)
    assert data["exponentials failed"] == "ArithmeticError: off"
    assert set(measured) == {torch.inf}
