"""The bench of the convolution checks, and relates its times to the memory."""

import pytest
import torch

from mambaedu import causal_conv1d
from mambaedu.lab.bench import causal_conv1d as bench


def test_the_convolution_of_pytorch_is_the_same():
    inputs = bench.conv_inputs(2, 9, 5, torch.float64, "cpu")
    u, weight, bias = (inputs[name].double() for name in ("u", "weight", "bias"))
    y, _ = causal_conv1d(u, weight, bias, activation="silu", backend="naive")
    assert torch.allclose(bench.torch_conv1d(u, weight, bias), y)


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_the_tables_are_made_of_the_times(backend, monkeypatch, tick):
    monkeypatch.setattr(bench, "clock", tick)
    row = {"b": 1, "l": 9, "d": 5, "dtype": "fp32"}
    bench.measure_conv(backend, "cpu", 1, 1e9, row)
    assert row["error forward"] < 1e-6
    assert row["error backward"] < 1e-6
    size = 4 * 9 * 5
    assert row["share forward"] == pytest.approx(2 * size / row["forward"] / 1e9)
    assert row["ratio forward"] == row["naive forward"] / row["forward"]
    assert row["ratio torch conv1d"] == row["torch conv1d"] / row["forward"]
    if backend == "triton":
        assert row["share kernel"] == pytest.approx(2 * size / row["kernel"] / 1e9)
        assert row["share backward"] == pytest.approx(3 * size / row["backward"] / 1e9)
    step = {"b": 2, "d": 5, "dtype": "fp32"}
    bench.measure_step(backend, "cpu", 1, 1e9, step)
    # The state (2 3 5) is read and written, u_t and y_t (2 5); weight (5 4) and bias (5) are read.
    assert step["share of copy"] == pytest.approx(4 * (30 + 30 + 10 + 10 + 20 + 5) / step["step"] / 1e9)


def test_a_wrong_kernel_is_not_timed(monkeypatch):
    right = bench.gradients
    monkeypatch.setattr(
        bench, "gradients", lambda *, backend, **x: [y + (backend == "numba") for y in right(**x, backend="naive")]
    )
    with pytest.raises(ArithmeticError, match="forward: y is off by"):
        bench.measure_conv("numba", "cpu", 1, 1e9, {"b": 1, "l": 9, "d": 5, "dtype": "fp32"})


def test_every_row_is_kept_as_it_comes(monkeypatch):
    monkeypatch.setattr(bench, "copy_bandwidth", lambda device, repeats: 1e9)
    monkeypatch.setattr(bench, "measure_conv", lambda backend, device, repeats, copy, row: row.update(forward=1.0))
    monkeypatch.setattr(bench, "measure_step", lambda backend, device, repeats, copy, row: row.update(step=1.0))
    kept = []
    bench.bench("cuda", False, lambda data: kept.append((len(data["rows"]), len(data["steps"]))))
    assert kept == [(1, 0), (2, 0), (3, 0), (4, 0), (4, 1), (4, 2), (4, 3)]
