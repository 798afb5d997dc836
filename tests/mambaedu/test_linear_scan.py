"""The definition against an independent oracle, its invariants, its dtypes and its errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from mambaedu import backends, linear_scan
from mambaedu.lab.testing import linear_inputs

BACKENDS = ("naive", "numba", "triton")


def random_inputs(b=2, l=9, d=3, n=2, dtype=torch.float64, seed=0):
    random = torch.Generator().manual_seed(seed)
    shape = (b, l, d, n)
    a = 1.2 * torch.rand(shape, generator=random, dtype=torch.float64).to(dtype)
    x = torch.randn(shape, generator=random, dtype=torch.float64).to(dtype)
    h0 = torch.randn(b, d, n, generator=random, dtype=torch.float64).to(dtype)
    if dtype.is_complex:
        a = a * torch.exp(1j * torch.rand(shape, generator=random, dtype=torch.float64) * 3)
        x = x * (1 - 0.5j)
    return a, x, h0


def by_matrix(a, b, h0):
    """An oracle without a loop over states: h = M (b, with a_1 h0 added to its first entry), M_ts the product of a between s and t."""
    b = b.clone()
    b[:, 0] += a[:, 0] * h0
    l = b.shape[1]
    M = torch.zeros(*a.shape[:1], l, l, *a.shape[2:], dtype=a.dtype)
    for t in range(l):
        for s in range(t + 1):
            M[:, t, s] = a[:, s + 1 : t + 1].prod(dim=1)
    return torch.einsum("btsdn,bsdn->btdn", M, b)


@pytest.mark.equation("eq-linear-scan")
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loop_is_a_triangular_matrix(backend):
    a, b, h0 = random_inputs()
    expected = by_matrix(a, b, h0)
    assert (linear_scan(a, b, h0=h0, backend=backend) - expected).abs().max() < 1e-12 * expected.abs().max()


@pytest.mark.parametrize("backend", ["naive", "numba"])
def test_a_complex_loop_is_a_triangular_matrix(backend):
    a, b, h0 = random_inputs(dtype=torch.complex128)
    expected = by_matrix(a, b, h0)
    assert (linear_scan(a, b, h0=h0, backend=backend) - expected).abs().max() < 1e-12 * expected.abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_closed_forms(backend):
    a = torch.full((1, 12, 1), 0.5, dtype=torch.float64)
    t = torch.arange(12, dtype=torch.float64)
    impulse = torch.zeros_like(a)
    impulse[0, 0] = 1
    assert torch.allclose(linear_scan(a, impulse, backend=backend).flatten(), 0.5**t, rtol=1e-14)
    ones = torch.ones_like(a)
    assert torch.allclose(linear_scan(a, ones, backend=backend).flatten(), (1 - 0.5 ** (t + 1)) / 0.5, rtol=1e-14)
    assert torch.equal(linear_scan(ones, ones, backend=backend).flatten(), t + 1)


@pytest.mark.equation("eq-linear-scan-grad")
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradcheck(backend):
    leaves = [x.requires_grad_() for x in random_inputs(b=1, l=4, d=2, n=1)]
    assert torch.autograd.gradcheck(lambda a, b, h0: linear_scan(a, b, h0=h0, backend=backend), leaves)


@pytest.mark.parametrize("backend", ["naive", "numba"])
def test_gradcheck_complex(backend):  # traps: S4
    leaves = [x.requires_grad_() for x in random_inputs(b=1, l=4, d=2, n=1, dtype=torch.complex128)]
    assert torch.autograd.gradcheck(lambda a, b, h0: linear_scan(a, b, h0=h0, backend=backend), leaves)


@pytest.mark.parametrize("backend", ["naive", "numba"])
def test_real_decay_with_complex_input_has_a_real_gradient(backend):
    a, b, h0 = random_inputs(b=1, l=4, d=2, n=1, dtype=torch.complex128)
    leaves = [a.real.clone().requires_grad_(), b.requires_grad_(), h0.real.clone().requires_grad_()]
    assert torch.autograd.gradcheck(lambda a, b, h0: linear_scan(a, b, h0=h0, backend=backend), leaves)


# ---- invariants -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_split_anywhere_and_go_on(backend):  # traps: S3
    a, b, h0 = (x.requires_grad_() for x in random_inputs(l=7))
    whole = linear_scan(a, b, h0=h0, backend=backend)
    expected = torch.autograd.grad(whole.square().sum(), (a, b, h0))
    for s in range(1, 7):
        first = linear_scan(a[:, :s], b[:, :s], h0=h0, backend=backend)
        second = linear_scan(a[:, s:], b[:, s:], h0=first[:, -1], backend=backend)
        parts = torch.cat([first, second], dim=1)
        assert torch.equal(parts, whole)
        for got, e in zip(torch.autograd.grad(parts.square().sum(), (a, b, h0)), expected, strict=True):
            assert (got - e).abs().max() < 1e-12 * e.abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_future_changes_nothing(backend):
    a, b, h0 = random_inputs()
    h = linear_scan(a, b, h0=h0, backend=backend)
    a[:, 5:], b[:, 5:] = 7, 7
    changed = linear_scan(a, b, h0=h0, backend=backend)
    assert torch.equal(changed[:, :5], h[:, :5])
    assert not torch.equal(changed[:, 5:], h[:, 5:])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_of_size_zero_is_no_step(backend):
    a, b, h0 = random_inputs()
    a[:, 4], b[:, 4] = 1, 0
    h = linear_scan(a, b, h0=h0, backend=backend)
    assert torch.equal(h[:, 4], h[:, 3])


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_linear_in_b_and_h0(backend):
    a, b, h0 = random_inputs()
    _, c, g0 = random_inputs(seed=1)
    together = linear_scan(a, 2 * b - 3 * c, h0=2 * h0 - 3 * g0, backend=backend)
    apart = 2 * linear_scan(a, b, h0=h0, backend=backend) - 3 * linear_scan(a, c, h0=g0, backend=backend)
    assert (together - apart).abs().max() < 1e-12 * apart.abs().max()


@pytest.mark.parametrize("backend", ["naive", "numba"])
@settings(max_examples=40, deadline=None)
@given(
    b=st.integers(1, 3),
    l=st.integers(0, 40),
    d=st.integers(1, 5),
    n=st.one_of(st.none(), st.integers(1, 4)),
    order=st.permutations([0, 1, 2, 3]),
    step=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_any_size_in_any_layout(backend, b, l, d, n, order, step, seed):  # traps: S16, S17
    random = torch.Generator().manual_seed(seed)
    shape = (b, l, d) if n is None else (b, l, d, n)
    order = [axis for axis in order if axis < len(shape)]

    def strided():
        """Random numbers whose axes lie in memory in another order, with gaps."""
        wide = torch.randn(*(shape[axis] * step for axis in order), generator=random, dtype=torch.float64)
        x = wide[tuple(slice(None, None, step) for _ in order)]
        return x.permute([order.index(axis) for axis in range(len(shape))])

    a, x = strided(), strided()
    h = linear_scan(a, x, backend=backend)
    assert h.is_contiguous()
    assert h.shape == shape
    expected = torch.zeros_like(x[:, 0]) if l else None
    for t in range(l):
        expected = a[:, t] * expected + x[:, t]
        assert torch.allclose(h[:, t], expected, rtol=1e-10, atol=1e-10)


# ---- types ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_inputs_keep_an_fp32_state(backend, dtype):  # traps: S10, T4
    a = torch.ones(1, 40, 1, dtype=dtype).requires_grad_()
    b = torch.full((1, 40, 1), 0.01, dtype=dtype).requires_grad_()
    h = linear_scan(a, b, backend=backend)
    assert h.dtype == torch.float32
    assert abs(h[0, -1, 0].item() - 40 * b[0, 0, 0].item()) < 1e-5
    grad_a, grad_b = torch.autograd.grad(h.sum(), (a, b))
    assert grad_a.dtype == grad_b.dtype == dtype


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_fp64_input_makes_everything_fp64(backend):
    a, b, h0 = random_inputs()
    for inputs in ((a, b.float(), h0.float()), (a.float(), b, h0.float()), (a.float(), b.float(), h0)):
        assert linear_scan(inputs[0], inputs[1], h0=inputs[2], backend=backend).dtype == torch.float64


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 0, 3, 4), (0, 5, 3), (2, 5, 0)])
def test_nothing_to_do(backend, shape):
    a = torch.zeros(shape)
    assert linear_scan(a, a, backend=backend).shape == shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_stay_as_they_were_and_only_what_needs_a_gradient_gets_one(backend):
    a, b, h0 = random_inputs()
    copies = [x.clone() for x in (a, b, h0)]
    b.requires_grad_()
    linear_scan(a, b, h0=h0, backend=backend).sum().backward()
    assert all(torch.equal(x, y) for x, y in zip((a, b.detach(), h0), copies, strict=True))
    assert a.grad is None
    assert b.grad is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_that_comes_in_transposed(backend):  # traps: S16
    a, b, h0 = (x.requires_grad_() for x in random_inputs(n=3))
    h = linear_scan(a, b, h0=h0, backend=backend)
    weights = torch.randn(h.shape[::-1], generator=torch.Generator().manual_seed(5), dtype=h.dtype).permute(3, 2, 1, 0)
    got = torch.autograd.grad(h, (a, b, h0), weights)
    expected = torch.autograd.grad(linear_scan(a, b, h0=h0, backend="naive"), (a, b, h0), weights.contiguous())
    assert all((x - y).abs().max() < 1e-12 * y.abs().max() for x, y in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", ["naive", "numba"])
def test_conjugate_and_negative_views(backend):  # traps: N7
    a, b, h0 = random_inputs(dtype=torch.complex128)
    expected = linear_scan(a.conj().resolve_conj(), b.conj().resolve_conj(), h0=h0, backend="naive")
    assert torch.allclose(linear_scan(a.conj(), b.conj(), h0=h0, backend=backend), expected, rtol=1e-12)
    negative = torch._neg_view(b.real)
    assert torch.allclose(linear_scan(a.real, negative, backend=backend), linear_scan(a.real, -b.real, backend="naive"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpointing_gives_the_same_gradients(backend):  # traps: M12
    a, b, _ = (x.requires_grad_() for x in random_inputs())

    def run(a, b):
        return linear_scan(a, b, backend=backend)

    expected = torch.autograd.grad(run(a, b).square().sum(), (a, b))
    got = torch.autograd.grad(checkpoint(run, a, b, use_reentrant=False).square().sum(), (a, b))
    assert all(torch.equal(x, y) for x, y in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_a_second_derivative_is_refused(backend):  # traps: M12
    a, b, _ = (x.requires_grad_() for x in random_inputs())
    (grad_a,) = torch.autograd.grad(linear_scan(a, b, backend=backend).square().sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="linear_scan have no second derivative"):
        torch.autograd.grad(grad_a.sum(), b)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_by_torch_it_gives_the_same(backend):  # traps: M13
    a, b, h0 = (x.requires_grad_() for x in random_inputs(l=4))

    def run(a, b, h0):
        return linear_scan(torch.tanh(a), b, h0=h0, backend=backend) * 2

    h, compiled = run(a, b, h0), torch.compile(run, backend="aot_eager")(a, b, h0)
    assert torch.allclose(compiled, h, rtol=1e-14, atol=0)
    got, expected = (torch.autograd.grad(out.square().sum(), (a, b, h0)) for out in (compiled, h))
    assert all(torch.allclose(g, e, rtol=1e-12, atol=1e-14) for g, e in zip(got, expected, strict=True))


def test_naive_has_second_derivatives():
    leaves = [x.requires_grad_() for x in random_inputs(b=1, l=3, d=1, n=1)]
    assert torch.autograd.gradgradcheck(lambda a, b, h0: linear_scan(a, b, h0=h0, backend="naive"), leaves)


# ---- errors and choice ----------------------------------------------------------------------------------------------

ZERO = torch.zeros(1, 4, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear_scan(ZERO, torch.zeros(4, 2)), ValueError, r"b must be \(b l d\) or \(b l d n\), got \(4, 2\)"),
        (
            lambda: linear_scan(torch.zeros(1, 4, 3), ZERO),
            ValueError,
            r"a must be \(b l d\) = \(1, 4, 2\), like b, got \(1, 4, 3\)",
        ),
        (
            lambda: linear_scan(ZERO, ZERO, h0=torch.zeros(1, 3)),
            ValueError,
            r"h0 must be \(b d\) = \(1, 2\), got \(1, 3\)",
        ),
        (
            lambda: linear_scan(ZERO.long(), ZERO),
            TypeError,
            "a must hold floating-point or complex numbers, got torch.int64",
        ),
        (lambda: linear_scan([1.0], ZERO), TypeError, "a must be a tensor, got list"),
        (lambda: linear_scan(ZERO.to("meta"), ZERO), ValueError, "a must be on cpu, like b, got meta"),
        (
            lambda: linear_scan(ZERO, ZERO, h0=torch.zeros(1, 2, device="meta")),
            ValueError,
            "h0 must be on cpu, like b, got meta",
        ),
        (lambda: linear_scan(ZERO, ZERO, backend="cuda"), ValueError, "backend must be .*got 'cuda'"),
        (lambda: linear_scan(ZERO + 0j, ZERO + 0j, backend="triton"), RuntimeError, "u is complex"),
        (lambda: linear_scan(ZERO.to("meta"), ZERO.to("meta"), backend="numba"), RuntimeError, "u is on meta"),
    ],
)
def test_errors_name_the_symbol_what_was_expected_and_what_came(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_auto_takes_numba_on_a_cpu_and_says_so():
    assert backends.choose("auto", ZERO) == "numba"
    assert backends.explain(ZERO).splitlines()[0] == "numba: chosen for a torch.float32 tensor on cpu"


def test_every_row_of_the_table_runs_through_auto():
    for row in ("plain", "transposed", "expanded", "sliced"):
        a, b, h0 = linear_inputs(row)
        assert torch.equal(linear_scan(a, b, h0=h0), linear_scan(a, b, h0=h0, backend="numba"))
