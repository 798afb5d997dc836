"""Numba and Triton against naive, at every length and with every option; and wrong kernels, each of which must be caught."""

import os

import numpy as np
import pytest
import torch
from agreement import TOLERANCE, distance
from conv_agreement import OPTIONS, conv_distance, conv_inputs, conv_results
from harness import Guards, finish, in_a_forked_child, poison_new_memory, run_python, use_wrong_kernel

from mambaedu import backends, causal_conv1d, causal_conv1d_step
from mambaedu.lab.testing import LENGTHS

# The interpreter computes with numpy, which warns where inf meets 0; the GPU does not.
pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    poison_new_memory(monkeypatch)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_numba_at_every_length(options, dtype):
    for l in (*LENGTHS, 255, 256, 257, 600):
        assert conv_distance("numba", options, l=l, dtype=dtype) <= TOLERANCE[dtype], l


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7, 20, 300])
def test_numba_with_any_k(k):  # 300 is longer than a tile
    for l in (1, 5, 300):
        assert conv_distance("numba", "all", l=l, k=k) <= 1e-12, l


@pytest.mark.parametrize("d", [1, 511, 512, 513, 1100])
def test_numba_with_a_last_strip_that_is_not_full(d):
    assert conv_distance("numba", "all", l=5, d=d) <= 1e-12


@pytest.mark.parametrize("options", OPTIONS)
def test_triton_with_every_option(options):
    for l in (1, 3, 8, 9, 17):
        assert conv_distance("triton", options, l=l, b=2) <= 1e-12, l
    assert conv_distance("triton", options, l=9, dtype=torch.float32) <= 1e-5


def test_triton_at_every_length():
    for l in (l for l in LENGTHS if l <= 65):  # the interpreter is slow; the others run on a GPU
        assert conv_distance("triton", "all", l=l, b=1) <= 1e-12, l


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7, 16])
def test_triton_with_every_k(k):
    for l in (1, 9, 20):
        assert conv_distance("triton", "all", l=l, b=1, k=k) <= 1e-12, l


@pytest.mark.parametrize("l", [8, 16, 17, 31])
@pytest.mark.parametrize("k", [1, 4, 11])
def test_triton_with_several_segments(l, k, segments):
    assert conv_distance("triton", "all", l=l, k=k) <= 1e-12


@pytest.fixture
def segments(monkeypatch):
    """Segments so short that a small input has several, one of them shorter than k."""
    module = backends.kernel_module("causal_conv1d", "triton")
    monkeypatch.setattr(module, "SEGMENT_FWD", 8)
    monkeypatch.setattr(module, "SEGMENT_BWD", 8)


@pytest.mark.parametrize("d", [1, 31, 32, 33, 65])
def test_triton_with_a_last_block_that_is_not_full(d):
    assert conv_distance("triton", "all", l=5, d=d) <= 1e-12


def test_triton_reads_tensors_of_any_type_each():
    x = conv_inputs("all", l=9)
    mixed = x | {"weight": x["weight"].float(), "bias": x["bias"].half(), "conv_state": x["conv_state"].half()}
    got, expected = (conv_results(backend, mixed) for backend in ("triton", "naive"))
    tolerance = [1e-12, 1e-12, 1e-12, 1e-6, 1e-3, 1e-3]  # of the type of each: y, conv_state and the four gradients
    for g, e, most in zip(got, expected, tolerance, strict=True):
        assert distance([g], [e]) <= most


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_silu_over_its_whole_range(backend):
    """The exponential of fp32, which is a polynomial, as far as it goes; silu'(x) too. Relative to each value, not to the largest."""
    u = torch.linspace(-80, 80, 4001).reshape(1, 1, -1).requires_grad_()
    y, _ = causal_conv1d(u, torch.ones(4001, 1), activation="silu", backend=backend)
    x = u.detach().double()
    expected = x / (1 + torch.exp(-x))
    assert ((y.double() - expected).abs() <= 1e-6 * expected.abs()).all()
    (grad_u,) = torch.autograd.grad(y.sum(), u)
    sigmoid = 1 / (1 + torch.exp(-x))
    expected = sigmoid * (1 + x * (1 - sigmoid))
    assert ((grad_u.double() - expected).abs() <= 2e-6 * (sigmoid + (x * sigmoid).abs())).all()
    for far, limit in ((-1e4, 0.0), (1e4, 1e4), (float("inf"), float("inf"))):
        y, _ = causal_conv1d(torch.full((1, 1, 1), far), torch.ones(1, 1), activation="silu", backend=backend)
        assert y.item() == limit
    y, _ = causal_conv1d(torch.full((1, 1, 1), float("nan")), torch.ones(1, 1), activation="silu", backend=backend)
    assert y.isnan().all()


@pytest.mark.parametrize("backend", ["numba", "triton"])
@pytest.mark.parametrize("activation", [None, "silu"])
def test_a_bad_number_stays_in_its_channel_and_its_k_steps(backend, activation):  # traps: N4
    x = conv_inputs("plain", l=12, d=4)
    for bad in (float("nan"), float("inf")):
        u = x["u"].clone()
        u[0, 3, 1] = bad
        got, expected = (conv_results(which, x | {"u": u, "activation": activation}) for which in (backend, "naive"))
        assert distance(got, expected) <= 1e-12
        clean = torch.ones(2, 12, 4, dtype=torch.bool)
        clean[0, 3:7, 1] = False
        assert got[0].isfinite()[clean].all()
        assert not got[0].isnan()[clean].any()


def test_the_same_bits_for_any_number_of_threads():  # traps: S19, N1
    module = backends.kernel_module("causal_conv1d", "numba")
    random = np.random.default_rng(0)
    u, grad_y = (random.standard_normal((2, 1600, 1300), dtype=np.float32) for _ in range(2))
    weight, bias = random.standard_normal((1300, 4), dtype=np.float32), random.standard_normal(1300, dtype=np.float32)
    conv_state = random.standard_normal((2, 3, 1300), dtype=np.float32)
    reset = random.random((2, 1600)) < 0.01
    inputs = (u, weight, bias, conv_state, reset, True)
    one = module.causal_conv1d_fwd(*inputs, threads=1), *module.causal_conv1d_bwd(grad_y, *inputs, threads=1)
    for threads in (2, 5, None):
        y, grads = module.causal_conv1d_fwd(*inputs, threads=threads), module.causal_conv1d_bwd(grad_y, *inputs, threads=threads)  # fmt: skip
        assert all(np.array_equal(x, e) for x, e in zip((y, *grads), one, strict=True))


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_nothing_is_written_beside_the_outputs(backend, monkeypatch, segments):
    guards = Guards(backend, monkeypatch)
    x = conv_inputs("all", l=17, d=5)
    conv_results(backend, x)
    guards.check(at_least=5)  # y and four gradients


# ---- processes ------------------------------------------------------------------------------------------------------

CALL = """
import torch
from mambaedu import causal_conv1d
u = torch.rand(1, 2100, 2000)
y, conv_state = causal_conv1d(u, torch.rand(2000, 4), activation="silu", backend="numba")
assert torch.isfinite(y).all()
print("done")
"""


def a_large_convolution():
    u = torch.ones(1, 2100, 2000)  # large enough for threads
    return float(causal_conv1d(u, torch.full((2000, 4), 0.5), backend="numba")[0].sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_convolve_after_its_parent_did():  # traps: N3
    assert a_large_convolution() == in_a_forked_child(a_large_convolution)


@pytest.mark.slow
def test_processes_that_start_cold_together(tmp_path):  # traps: N2
    both = [run_python(CALL, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    finish(*both)


@pytest.mark.slow
def test_no_index_leaves_its_array(tmp_path):  # traps: N6
    code = CALL + (
        "for l, k in ((1, 4), (3, 7), (300, 4), (257, 1)):\n"
        "    u, state = torch.rand(2, l, 5, requires_grad=True), torch.rand(2, k - 1, 5, requires_grad=True)\n"
        "    seq_idx = torch.arange(l).expand(2, l) // 3\n"
        "    y, _ = causal_conv1d(u, torch.rand(5, k), conv_state=state, seq_idx=seq_idx, backend='numba')\n"
        "    y.sum().backward()\n"
    )
    finish(run_python(code, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path)))


# ---- wrong kernels: one change each, and the check that must see it --------------------------------------------------


def every_option(backend):
    """The worst distance over options and lengths that between them use everything."""
    lengths = (1, 17) if backend == "triton" else (1, 17, 300)
    return max(conv_distance(backend, options, l=l, d=5) for options in ("plain", "all") for l in lengths)


def a_step(backend):
    x = conv_inputs("all", l=1)
    inputs = (x["conv_state"], x["u"][:, 0], x["weight"], x["bias"])
    outputs = [causal_conv1d_step(*inputs, activation="silu", backend=which) for which in (backend, "naive")]
    return distance(*outputs)


WRONG = {
    "numba: the weights are reversed": ("numba", "np.ascontiguousarray(weight.T)", "np.ascontiguousarray(weight.T[::-1])", every_option),
    "numba: the state is read newest first": ("numba", "conv_state[ib, k - 1 + s, d0:d1]\n        for c in range(d1 - d0):\n            p[c]", "conv_state[ib, -1 - s, d0:d1]\n        for c in range(d1 - d0):\n            p[c]", every_option),
    "numba: the first input of a sequence still sees the one before": ("numba", "while i < k - 1 and not (t >= i and reset[ib, t - i]):", "while i < k - 1 and not (t > i and i > 0 and reset[ib, t - i]):", every_option),
    "numba: the last tile is dropped": ("numba", "tasks = b * -(-l // STEPS) * -(-d // STRIP)", "tasks = b * max(1, l // STEPS) * -(-d // STRIP)", every_option),
    "numba: nothing flows back over the end of a tile": ("numba", "for t in range(t0, min(t1 + k - 1, l)):", "for t in range(t0, t1):", every_option),
    "numba: steps after the tile count twice": ("numba", "                if t < t1:\n                    for c", "                if t < l:\n                    for c", every_option),
    "numba: the activation has the derivative of a sigmoid": ("numba", "sigmoid * (one + p[c] * (one - sigmoid))", "sigmoid * (one - sigmoid)", every_option),
    "numba: the gradient of the state is forgotten": ("numba", "and (s >= t0 or t0 == 0)", "and s >= t0", every_option),
    "triton: the weights are reversed": ("triton", "weight_ptr + offs_d * K + j,", "weight_ptr + offs_d * K + K - 1 - j,", every_option),
    "triton: the state is shifted by one": ("triton", "offs = (pid_b * (K - 1) + K - 1 + t) * d + offs_d\n        before", "offs = (pid_b * (K - 1) + (K - 1 + t) * 2 // 3) * d + offs_d\n        before", every_option),
    "triton: past the last step another sequence is read": ("triton", "tl.minimum(tl.minimum(t + 1, l - t), 1) * d\n    u_t", "tl.minimum(t + 1, 1) * d\n    u_t", every_option),
    "triton: sequences are not told apart": ("triton", "numbers[i + j] == numbers[i + K - 1], u_j, 0.0)\n        p", "numbers[i + j] >= 0, u_j, 0.0)\n        p", every_option),
    "triton: the future flows back from another sequence": ("triton", "numbers[i + 2 * K - 2 - j] == numbers[i + K - 1]", "numbers[i + 2 * K - 2 - j] >= 0", every_option),
    "triton: the last tile is dropped": ("triton", "for t in range(t0, t1, T):\n        # Load T inputs", "for t in range(t0, t1 - T + 1, T):\n        # Load T inputs", every_option),
    "triton: steps of the next segment count here, too": ("triton", "g_i = tl.where(t + i < t1, g[i], 0.0)", "g_i = g[i]", every_option),
    "triton: the segment of the state begins where the others do": ("triton", "tl.where(t0 == 0, 1 - K, t0)", "t0 * 1", every_option),
    "triton: a step keeps its oldest input": ("triton", "offs = (pid_b * (K - 1) + j - 1) * d + offs_d\n            tl.store", "offs = (pid_b * (K - 1) + K - 1 - j) * d + offs_d\n            tl.store", a_step),
}  # fmt: skip


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_the_right_kernels_pass_these_checks(backend, segments):
    assert every_option(backend) <= 1e-12
    assert a_step(backend) <= 1e-12


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_caught(name, tmp_path, monkeypatch):
    backend, right, wrong, check = WRONG[name]
    module = use_wrong_kernel("causal_conv1d", backend, right, wrong, tmp_path, monkeypatch, interpret=True)
    if backend == "triton":
        module.SEGMENT_FWD = module.SEGMENT_BWD = 12  # not of whole tiles
    assert not check(backend) <= 1e-12
