"""Numba and Triton against naive, on every row of the input table; and wrong kernels, each of which must be caught."""

import os

import numpy as np
import pytest
import torch
from agreement import TOLERANCE, distance, results, row_distance
from harness import Guards, finish, in_a_forked_child, poison_new_memory, run_python, use_wrong_kernel

from mambaedu import backends, linear_scan
from mambaedu.lab.testing import LENGTHS, ROWS, linear_inputs

# The interpreter computes with numpy, which warns where inf meets 0; the GPU does not.
pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    poison_new_memory(monkeypatch)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_numba_on_every_row_at_every_length(row, dtype):
    for l in LENGTHS:
        assert row_distance("numba", row, l, dtype=dtype) <= TOLERANCE[dtype], l


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("l", [1, 17, 33])
def test_triton_on_every_row(row, l):
    assert row_distance("triton", row, l, d=4) <= 1e-12


def test_triton_at_every_length():
    for l in LENGTHS:
        assert row_distance("triton", "with h0", l, b=1) <= 1e-12, l
        assert row_distance("triton", "plain", l, b=1, dtype=torch.float32) <= 1e-5, l


@pytest.mark.parametrize("l", [16, 33, 65])
def test_triton_with_time_cut_into_segments(l, monkeypatch):
    monkeypatch.setattr(backends.kernel_module("linear_scan", "triton"), "MIN_SEGMENT", 16)
    for row in ("with h0", "zero delta", "huge delta"):
        assert row_distance("triton", row, l, b=2, d=3) <= 1e-12


@pytest.mark.parametrize("d", [1, 31, 32, 33, 65])
def test_triton_with_a_last_block_that_is_not_full(d):
    assert row_distance("triton", "with h0", 5, b=2, d=d, n=1) <= 1e-12


@pytest.mark.parametrize("d", [1, 255, 256, 257, 600])
def test_numba_with_a_last_strip_that_is_not_full(d):
    assert row_distance("numba", "with h0", 5, b=2, d=d, n=1) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
def test_numba_on_complex_numbers(dtype):  # traps: S4
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 17, 3, 2, generator=random, dtype=torch.complex128) * 0.6 for _ in range(2))
    h0 = torch.randn(2, 3, 2, generator=random, dtype=torch.complex128)
    inputs = [x.to(dtype) for x in (a, b, h0)]
    assert distance(results("numba", *inputs), results("naive", *inputs)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("backend", ["numba", "triton"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_number_stays_in_its_channel_and_after_its_step(backend, bad):  # traps: N4
    a, b, _ = linear_inputs("plain", l=9, d=4, n=1)
    b[0, 5, 2, 0] = bad
    finite = torch.isfinite(linear_scan(a, b, backend=backend))
    expected = torch.ones_like(finite)
    expected[0, 5:, 2] = False
    assert torch.equal(finite, expected)


def test_the_same_bits_for_any_number_of_threads():  # traps: S19, N1
    module = backends.kernel_module("linear_scan", "numba")
    random = np.random.default_rng(0)
    a, b, grad_h = (random.random((3, 500, 1300), dtype=np.float32) for _ in range(3))
    h0 = random.random((3, 1300), dtype=np.float32)
    one = module.linear_scan_fwd(a, b, h0, threads=1)
    one_bwd = module.linear_scan_bwd(a, h0, one, grad_h, threads=1)
    for threads in (2, 5, None):
        h = module.linear_scan_fwd(a, b, h0, threads=threads)
        assert np.array_equal(h, one)
        assert all(
            np.array_equal(x, y)
            for x, y in zip(module.linear_scan_bwd(a, h0, h, grad_h, threads=threads), one_bwd, strict=True)
        )


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_nothing_is_written_beside_the_outputs(backend, monkeypatch):
    guards = Guards(backend, monkeypatch)
    a, b, h0 = linear_inputs("with h0", l=17, d=5, n=1)
    results(backend, a, b, h0)
    guards.check(at_least=4)


# ---- processes ------------------------------------------------------------------------------------------------------

CALL = """
import torch
from mambaedu import linear_scan
a = torch.rand(2, 600, 1000)
h = linear_scan(a, a, backend="numba")
assert torch.isfinite(h).all()
print("done")
"""


def a_large_scan():
    a = torch.full((2, 600, 1000), 0.5)  # large enough for threads
    return float(linear_scan(a, a, backend="numba").sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_scan_after_its_parent_did():  # traps: N3
    assert a_large_scan() == in_a_forked_child(a_large_scan)


@pytest.mark.slow
def test_processes_that_start_cold_together(tmp_path):  # traps: N2
    for attempt in range(3):
        finish(*(run_python(CALL, NUMBA_CACHE_DIR=str(tmp_path / str(attempt))) for _ in range(2)))


@pytest.mark.slow
def test_no_index_leaves_its_array(tmp_path):  # traps: N6
    code = CALL + "a = torch.rand(2, 33, 5, requires_grad=True)\nlinear_scan(a, a, backend='numba').sum().backward()\n"
    finish(run_python(code, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path)))


# ---- wrong kernels: one change each, and the check that must see it --------------------------------------------------


def rows(backend):
    """The worst distance over rows that between them use everything."""
    lengths = (1, 2, 17) if backend == "triton" else (1, 2, 17, 65)
    return max(row_distance(backend, row, l, d=5) for row in ("plain", "with h0", "huge delta") for l in lengths)


def segments(backend):
    return row_distance(backend, "with h0", 65, d=3)


WRONG = {
    "numba: the decay meets the input": ("numba", "a_t[k] * h_prev[k] + b_t[k]", "a_t[k] * (h_prev[k] + b_t[k])", rows),
    "numba: h0 is forgotten": ("numba", "h_prev = h0[ib, k0:k1]\n", "h_prev = 0 * h0[ib, k0:k1]\n", rows),
    "numba: the last strip is dropped": ("numba", "tasks = b * -(-m // STRIP)", "tasks = b * (m // STRIP)", rows),
    "numba: the backward takes the decay of the step before": (
        "numba",
        "np.conj(a_t[k]) * g",
        "np.conj(a[ib, t - 1, k0 + k]) * g",
        rows,
    ),
    "numba: grad_a meets h_t in place of h_{t-1}": (
        "numba",
        "h[ib, t - 1, k0:k1] if t > 0",
        "h[ib, t, k0:k1] if t > 0",
        rows,
    ),
    "numba: the gradient of the future is left out": ("numba", "grad_h_t[k] + later[k]", "grad_h_t[k]", rows),
    "numba: h is walked back by division": (
        "numba",
        "g * np.conj(h_prev[k])",
        "g * (h[ib, t, k0 + k] - 1.0) / a_t[k]",
        rows,
    ),
    "triton: the decay meets the input": ("triton", "h = a[i] * h + b[i]", "h = a[i] * (h + b[i])", rows),
    "triton: the last tile is dropped": (
        "triton",
        "for t in range(t0, t1, T):",
        "for t in range(t0, t1 - T + 1, T):",
        rows,
    ),
    "triton: a tile overwrites its own first step": (
        "triton",
        "tl.store(h_ptr + offs_t, h,",
        "tl.store(h_ptr + offs_blm + t * m, h,",
        rows,
    ),
    "triton: h0 is not the state before step 0": (
        "triton",
        "h_ptr + offs_t - m, h0_ptr + offs_bm)",
        "h_ptr + offs_t - m, h_ptr + offs_t)",
        rows,
    ),
    "triton: tiles of the backward run forwards": (
        "triton",
        "t = t0 + (n_tiles - 1 - j) * T\n        # Load",
        "t = t0 + j * T\n        # Load",
        rows,
    ),
    "triton: the carry is not flipped back": ("triton", "(enter.flip(1) if reverse else enter)", "enter", segments),
    "triton: a segment starts from its own end": (
        "triton",
        "torch.cat([start[:, None], carry[:, :-1]], dim=1)",
        "carry",
        segments,
    ),
    "triton: a segment decays by its last step only": ("triton", "decay = a[i] * decay", "decay = a[i]", segments),
    "triton: backwards, the decay meets too little": (
        "triton",
        "end = a[i] * (end + b[i])",
        "end = a[i] * end + b[i]",
        segments,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_caught(name, tmp_path, monkeypatch):
    backend, right, wrong, check = WRONG[name]
    module = use_wrong_kernel("linear_scan", backend, right, wrong, tmp_path, monkeypatch)
    if check is segments:
        module.MIN_SEGMENT = 16
    assert not check(backend) <= 1e-12
