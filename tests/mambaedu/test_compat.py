"""The official signature against the equations written out in its own layout: time is the last axis."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mambaedu import backends, selective_scan
from mambaedu.compat import selective_scan_fn

BACKENDS = ("naive", "numba", "triton")


@pytest.fixture
def use(monkeypatch):
    """The official signature has no `backend`: have `auto` choose this one."""

    def choose(backend):
        original = backends.choose
        monkeypatch.setattr(backends, "choose", lambda asked, *args: original(backend if asked == "auto" else asked, *args))  # fmt: skip

    return choose


def literally(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """x_t = exp(delta_t A) x_{t-1} + delta_t B_t u_t ;  y_t = C_t x_t (2 Re for complex A), D u and the gate; (B D L) throughout."""
    (b, d, l), n = u.shape, A.shape[1]
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = torch.log1p(torch.exp(delta))

    def at(M, k, t):
        """(b n): what channel k meets at step t."""
        if M.ndim == 2:
            return M[k].expand(b, n)
        if M.ndim == 3:
            M = M[:, None]  # (b g n l)
        if A.is_complex() and not M.is_complex():  # real and imaginary parts in turn, along time
            M = torch.complex(M[..., 0::2], M[..., 1::2])
        return M[:, k * M.shape[1] // d, :, t]

    rows, states = [], []
    for k in range(d):
        x = torch.zeros(b, n, dtype=A.dtype)
        row = []
        for t in range(l):
            x = torch.exp(delta[:, k, t, None] * A[k]) * x + (delta[:, k, t] * u[:, k, t])[:, None] * at(B, k, t)
            y = (at(C, k, t) * x).sum(-1)
            y = 2 * y.real if A.is_complex() else y
            if D is not None:
                y = y + D[k] * u[:, k, t]
            if z is not None:
                y = y * z[:, k, t] * torch.sigmoid(z[:, k, t])
            row.append(y)
        rows.append(torch.stack(row, -1))
        states.append(x)
    return torch.stack(rows, 1), torch.stack(states, 1)


def arguments(B="variable", C="variable", *, b=2, d=4, l=7, n=3, complex_A=False, full=True, seed=0):
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    wide = 2 * l if complex_A else l
    shapes = {"fixed": (d, n), "variable": (b, n, wide), "grouped": (b, 2, n, wide)}
    maps = {name: normal(*shapes[kind]) for name, kind in (("B", B), ("C", C))}
    A = -torch.rand(d, n, generator=random, dtype=torch.float64) - 0.1
    if complex_A:
        A = torch.complex(A, normal(d, n))
        maps = {name: torch.complex(x, normal(d, n)) if x.ndim == 2 else x for name, x in maps.items()}
    out = {"u": normal(b, d, l), "delta": normal(b, d, l), "A": A, **maps, "delta_softplus": True}
    if full:
        out |= {"D": normal(d), "z": normal(b, d, l), "delta_bias": normal(d)}
    return out


def close(got, expected, tolerance=1e-12):
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    return bool((got - expected).abs().max() <= tolerance * expected.abs().max())


@pytest.mark.parametrize("C", ["fixed", "variable", "grouped"])
@pytest.mark.parametrize("B", ["fixed", "variable", "grouped"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_combination_of_maps(backend, B, C, use):  # traps: S2, S20
    use(backend)
    for full in (True, False):
        x = arguments(B, C, full=full)
        out, last_state = selective_scan_fn(**x, return_last_state=True)
        expected, expected_state = literally(**x)
        assert close(out, expected)
        assert close(last_state, expected_state)
        assert out.is_contiguous()
        assert torch.equal(selective_scan_fn(**x), out)


@pytest.mark.parametrize("kinds", [("fixed", "variable"), ("variable", "grouped"), ("fixed", "fixed")])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients(backend, kinds, use):  # traps: S2, S3
    use(backend)
    x = arguments(*kinds, l=5)
    leaves = [value.requires_grad_() for value in x.values() if isinstance(value, torch.Tensor)]

    def grads(outputs):
        out, last_state = outputs
        return torch.autograd.grad(out.square().sum() + last_state.square().sum(), leaves)

    got, expected = grads(selective_scan_fn(**x, return_last_state=True)), grads(literally(**x))
    assert all(close(g, e) for g, e in zip(got, expected, strict=True))


@pytest.mark.parametrize("C", ["fixed", "variable", "grouped"])
@pytest.mark.parametrize("B", ["fixed", "variable", "grouped"])
def test_complex_A_naive(B, C):  # traps: S2, S4
    x = arguments(B, C, complex_A=True)
    out, last_state = selective_scan_fn(**x, return_last_state=True)
    expected, expected_state = literally(**x)
    assert close(out, expected)
    assert close(last_state, expected_state)
    leaves = [value.requires_grad_() for value in x.values() if isinstance(value, torch.Tensor)]
    got, reference = (torch.autograd.grad(f(**x).square().sum(), leaves) for f in (selective_scan_fn, lambda **x: literally(**x)[0]))  # fmt: skip
    assert all(close(g, e) for g, e in zip(got, reference, strict=True))


def test_complex_maps_that_are_complex_already_naive():
    x = arguments("variable", "grouped", complex_A=True)
    expected = selective_scan_fn(**x)
    for name in ("B", "C"):
        x[name] = torch.complex(x[name][..., 0::2], x[name][..., 1::2])
    assert torch.equal(selective_scan_fn(**x), expected)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    kinds=st.tuples(*2 * [st.sampled_from(["fixed", "variable", "grouped"])]),
    b=st.integers(1, 3), d=st.sampled_from([2, 4, 6]), l=st.integers(1, 20), n=st.integers(1, 4),
    full=st.booleans(), seed=st.integers(0, 9),
)  # fmt: skip
def test_any_size_naive_or_what_auto_takes(kinds, b, d, l, n, full, seed):
    x = arguments(*kinds, b=b, d=d, l=l, n=n, full=full, seed=seed)
    got, expected = selective_scan_fn(**x, return_last_state=True), literally(**x)
    assert all(close(*pair) for pair in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_our_scan_with_the_axes_swapped(backend, use):
    use(backend)
    x = arguments("variable", "grouped")
    ours = {name: value.transpose(1, 2) if name in ("u", "delta", "z", "B") else value for name, value in x.items()}
    ours["C"] = x["C"].permute(0, 3, 1, 2)
    y, h_last = selective_scan(**ours, backend=backend)
    out, last_state = selective_scan_fn(**x, return_last_state=True)
    assert torch.equal(out, y.transpose(1, 2))
    assert torch.equal(last_state, h_last)


def test_half_inputs_naive_or_what_auto_takes():
    x = {name: value.half() if torch.is_tensor(value) and name != "A" else value for name, value in arguments().items()}
    x["A"] = x["A"].float()
    out, last_state = selective_scan_fn(**x, return_last_state=True)
    assert out.dtype == torch.float16
    assert last_state.dtype == torch.float32


@pytest.mark.parametrize("name", ["u", "delta", "z"])
def test_the_axes_are_named_in_the_official_order(name):
    x = arguments()
    x[name] = x[name][0]
    with pytest.raises(ValueError, match=rf"{name} must be \(b d l\), got \(4, 7\)"):
        selective_scan_fn(**x)


def test_it_takes_its_arguments_in_the_official_order():
    x = arguments()
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "delta_softplus")
    positional = functools.reduce(lambda f, name: functools.partial(f, x[name]), names, selective_scan_fn)
    assert torch.equal(positional(), selective_scan_fn(**x))
    assert torch.equal(positional(True)[1], selective_scan_fn(**x, return_last_state=True)[1])
