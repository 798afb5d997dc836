"""The bench of the linear scan times what it says and relates it to the memory."""

import pytest
import torch

import mambaedu
from mambaedu.lab.bench import linear_scan as bench


def test_the_inputs_are_decays_and_are_the_same_each_time():
    a, x, grad_h = bench.scan_inputs(2, 50, 3, "cpu")
    assert a.shape == x.shape == grad_h.shape == (2, 50, 3)
    assert (a >= 0.5).all()
    assert (a <= 1).all()
    assert {t.dtype for t in (a, x, grad_h)} == {torch.float32}
    assert not torch.equal(x, grad_h)
    assert torch.equal(a, bench.scan_inputs(2, 50, 3, "cpu")[0])
    assert not torch.equal(a, bench.scan_inputs(2, 50, 3, "cpu", seed=1)[0])


@pytest.mark.parametrize("backend", ["naive", "numba"])
def test_the_gradients_are_those_of_the_scan(backend):
    a, x, grad_h = bench.scan_inputs(2, 9, 3, "cpu")
    grad_a, grad_b = bench.gradients(a, x, grad_h, backend)
    a, x = a.clone().requires_grad_(), x.clone().requires_grad_()
    (mambaedu.linear_scan(a, x, backend="naive") * grad_h).sum().backward()
    assert torch.allclose(grad_a, a.grad, atol=1e-5)
    assert torch.allclose(grad_b, x.grad, atol=1e-5)


def test_ratios_and_shares_are_made_of_the_times(monkeypatch, capsys):
    """On a machine that copies 1 GB/s, where the four timings of a row take 4, 8, 40 and 160 ms."""
    clocked = []

    def clock(run, repeats, device, graph=True):
        run()
        clocked.append(repeats)
        return [0.004, 0.008, 0.040, 0.160][(len(clocked) - 1) % 4]

    monkeypatch.setattr(bench, "clock", clock)
    monkeypatch.setattr(bench, "copy_bandwidth", lambda device, repeats: 1e9)
    kept = []
    bench.bench("cpu", quick=True, keep=kept.append)
    (data,) = kept
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
