"""The selective scan against independent oracles, its invariants, its dtypes and its errors, on every backend."""

import math
import shutil

import numpy as np
import pytest
import scipy.signal
import torch
from agreement import TOLERANCE, selective_distances, selective_results
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from mambaedu import backends, selective_scan, selective_scan_step
from mambaedu.lab.testing import OPTIONS, selective_inputs

BACKENDS = ("naive", "numba", "triton")

# The interpreter computes with numpy, which warns where inf meets 0; the GPU does not. torch.compile looks at .grad of every tensor.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(invalid value|overflow|divide by zero) encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


def example(options="bare", **sizes):
    """The plain row with ten times the decay, so that a short sequence forgets."""
    x = selective_inputs("plain", options, **({"l": 9} | sizes))
    x["A"] = 10 * x["A"]
    return x


def close(got, expected, tolerance=1e-12):
    """Within the tolerance of the largest expected value."""
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    return bool((got - expected).abs().max() <= tolerance * expected.abs().max())


def equal(got, expected):
    """The same bits in every result of a dictionary."""
    assert got.keys() == expected.keys()
    return all(torch.equal(got[name], expected[name]) for name in expected)


# ---- oracles --------------------------------------------------------------------------------------------------------


def number_by_number(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, h0=None, seq_idx=None):
    """The definition with Python's own numbers: one state of one channel at a time, and no broadcasting."""
    (b, l, d), n = u.shape, A.shape[1]
    y, h_last = np.zeros((b, l, d)), np.zeros((b, d, n))

    def at(x, ib, t, k, i):
        """B or C, for channel k, which belongs to the group k // (d / g)."""
        if x.ndim == 2:
            return float(x[k, i])
        if x.ndim == 3:
            return float(x[ib, t, i])
        return float(x[ib, t, k // (d // x.shape[2]), i])

    for ib in range(b):
        for k in range(d):
            h = [0.0 if h0 is None else float(h0[ib, k, i]) for i in range(n)]
            for t in range(l):
                if seq_idx is not None and t > 0 and seq_idx[ib, t] != seq_idx[ib, t - 1]:
                    h = [0.0] * n
                step = float(delta[ib, t, k]) + (0.0 if delta_bias is None else float(delta_bias[k]))
                if delta_softplus:
                    step = math.log1p(math.exp(step))
                u_t = float(u[ib, t, k])
                h = [math.exp(step * float(A[k, i])) * h[i] + step * at(B, ib, t, k, i) * u_t for i in range(n)]
                y_t = sum(at(C, ib, t, k, i) * h[i] for i in range(n))
                if D is not None:
                    y_t += float(D[k]) * u_t
                if z is not None:
                    y_t *= float(z[ib, t, k]) / (1 + math.exp(-float(z[ib, t, k])))
                y[ib, t, k] = y_t
            h_last[ib, k] = h
    return torch.from_numpy(y), torch.from_numpy(h_last)


@pytest.mark.equation("eq-selective-scan")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_definition_number_by_number(backend, options):  # traps: S20 (g = 2 and 4), S21
    for d in (4, 3) if options in ("bare", "groups", "packed, groups") else (3,):
        x = example(options, d=d)
        expected = number_by_number(**x)
        assert all(close(*pair) for pair in zip(selective_scan(**x, backend=backend), expected, strict=True))


@pytest.mark.parametrize("g", [1, 2, 4])
@pytest.mark.parametrize("backend", BACKENDS)
def test_neighbouring_channels_share_a_group(backend, g):  # traps: S20
    x = example("full", d=8, l=5)
    random = torch.Generator().manual_seed(7)
    B, C = (torch.randn(2, 5, g, 2, generator=random, dtype=torch.float64) for _ in range(2))
    for maps in ({"B": B, "C": C}, {"B": B}, {"C": C}):  # with g of one and one of the other, too
        arguments = x | maps
        expected = number_by_number(**arguments)
        assert all(close(*pair) for pair in zip(selective_scan(**arguments, backend=backend), expected, strict=True))


@pytest.mark.equation("eq-selective-scan")
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_an_attention_that_nobody_wrote_down(backend):
    x = example("D", l=12)
    u, delta, A, B, C = (x[name] for name in ("u", "delta", "A", "B", "C"))
    passed = delta.cumsum(1)  # (b l d)
    between = passed[:, :, None] - passed[:, None]  # (b i j d): the sum of delta over j+1 ... i
    decay = torch.exp(between[..., None].clamp(min=0) * A)  # (b i j d n)
    alpha = torch.einsum("bin,bijdn,bjd,bjn->bijd", C, decay, delta, B)
    alpha = alpha * torch.ones(12, 12, dtype=torch.float64).tril()[None, :, :, None]  # (b i j d)
    expected = torch.einsum("bijd,bjd->bid", alpha, u) + x["D"] * u
    assert close(selective_scan(**x, backend=backend)[0], expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_nothing_selected_it_is_scipys_system(backend):
    """Constant delta, B and C, and the factor that turns Euler's B_bar into the zero-order hold's: lsim's answer, one step late."""
    x = example(b=1, l=12, d=2, n=3)
    delta, random = 0.3, torch.Generator().manual_seed(3)
    B, C = (torch.randn(2, 3, generator=random, dtype=torch.float64) for _ in range(2))
    A = x["A"] / 10
    B_hold = B * torch.expm1(delta * A) / (delta * A)  # (d n)
    y, _ = selective_scan(x["u"], torch.full_like(x["u"], delta), A, B_hold, C, backend=backend)
    for k in range(2):
        system = (torch.diag(A[k]).numpy(), B[k, :, None].numpy(), C[k, None].numpy(), np.zeros((1, 1)))
        u = np.append(x["u"][0, :, k].numpy(), 0.0)
        _, expected, _ = scipy.signal.lsim(system, u, delta * np.arange(13), interp=False)
        assert close(y[0, :, k], torch.from_numpy(expected[1:].copy()), 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_closed_forms(backend):
    l, delta, a, B, C = 12, 0.25, -2.0, 0.5, 3.0
    t = torch.arange(l, dtype=torch.float64)
    one = torch.ones(1, l, 1, dtype=torch.float64)
    impulse = torch.zeros_like(one)
    impulse[0, 0] = 1

    def scan(u, a):
        A = torch.full((1, 1), a, dtype=torch.float64)
        return selective_scan(u, delta * one, A, B * one, C * one, backend=backend)[0].flatten()

    q = math.exp(a * delta)
    assert close(scan(impulse, a), C * B * delta * q**t, 1e-14)
    assert close(scan(one, a), C * B * delta * (1 - q ** (t + 1)) / (1 - q), 1e-14)
    assert torch.equal(scan(one, 0.0), C * B * delta * (t + 1))


@pytest.mark.equation("eq-selective-scan-grad")
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_in_closed_form(backend):
    x = example("h0", l=6) | {"D": example("D")["D"]}
    u, delta, A, B, C, D, h0 = (x[name] for name in ("u", "delta", "A", "B", "C", "D", "h0"))
    random = torch.Generator().manual_seed(5)
    grad_y = torch.randn(u.shape, generator=random, dtype=torch.float64)  # (b l d)
    grad_h_last = torch.randn(h0.shape, generator=random, dtype=torch.float64)  # (b d n)
    A_bar = torch.exp(delta[..., None] * A)  # (b l d n)
    states = [h0]
    for t in range(6):
        states.append(A_bar[:, t] * states[-1] + (delta * u)[:, t, :, None] * B[:, t, None])
    before, after = torch.stack(states[:-1], 1), torch.stack(states[1:], 1)  # (b l d n)
    grad_h = torch.zeros_like(before)  # (b l d n), all the future included
    grad_h[:, 5] = grad_y[:, 5, :, None] * C[:, 5, None] + grad_h_last
    for t in (4, 3, 2, 1, 0):
        grad_h[:, t] = grad_y[:, t, :, None] * C[:, t, None] + A_bar[:, t + 1] * grad_h[:, t + 1]
    expected = {
        "grad_u": (grad_h * delta[..., None] * B[:, :, None]).sum(-1) + D * grad_y,
        "grad_delta": (grad_h * (A * A_bar * before + B[:, :, None] * u[..., None])).sum(-1),
        "grad_A": (grad_h * before * delta[..., None] * A_bar).sum((0, 1)),
        "grad_B": (grad_h * (delta * u)[..., None]).sum(2),
        "grad_C": (grad_y[..., None] * after).sum(2),
        "grad_D": (grad_y * u).sum((0, 1)),
        "grad_h0": A_bar[:, 0] * grad_h[:, 0],
    }
    got = selective_results(backend, x, weights={"y": grad_y, "h_last": grad_h_last})
    assert {name for name in got if name.startswith("grad")} == set(expected)
    for name in expected:
        assert close(got[name], expected[name]), name


# The interpreter is slow: these three have every option between them.
GRADCHECKS = [(backend, options) for backend in ("naive", "numba") for options in OPTIONS]
GRADCHECKS += [("triton", "packed, full, h0"), ("triton", "fixed B and C")]
GRADCHECKS += [pytest.param("triton", "groups", marks=pytest.mark.slow)]


@pytest.mark.equation("eq-selective-scan-grad")
@pytest.mark.parametrize(("backend", "options"), GRADCHECKS)
def test_gradcheck(backend, options):
    x = example(options, b=1, l=3, d=2, n=1, seed=3)
    if "seq_idx" in x:
        x["seq_idx"] = torch.tensor([[0, 1, 1]])
    leaves = {name: value.requires_grad_() for name, value in x.items() if name not in ("seq_idx", "delta_softplus")}

    def scan(*values):
        return selective_scan(**(x | dict(zip(leaves, values, strict=True))), backend=backend)

    assert torch.autograd.gradcheck(scan, tuple(leaves.values()))


def complex_example(n=2, **sizes):
    x = example("h0", **({"b": 1, "l": 4, "d": 2, "n": n} | sizes))
    other = example("h0", **({"b": 1, "l": 4, "d": 2, "n": n, "seed": 1} | sizes))
    return x | {name: torch.complex(x[name], other[name]) for name in ("A", "B", "C", "h0")}


def test_gradcheck_with_complex_A_naive():  # traps: S4
    x = complex_example(n=1)
    leaves = {name: value.requires_grad_() for name, value in x.items()}

    def scan(*values):
        return selective_scan(**dict(zip(leaves, values, strict=True)), backend="naive")

    assert torch.autograd.gradcheck(scan, tuple(leaves.values()))


def test_complex_A_is_one_of_each_conjugate_pair_naive():  # traps: S4
    x = complex_example()
    both = x | {name: torch.cat([x[name], x[name].conj()], -1) for name in ("A", "B", "C", "h0")}
    # y is 2 Re of the sum; over both of each pair the sum itself is that already, and 2 Re of it is twice too much.
    y, h_last = selective_scan(**x, backend="naive")
    twice, _ = selective_scan(**both, backend="naive")
    assert close(y, twice / 2, 1e-14)
    assert y.dtype == torch.float64
    assert h_last.dtype == torch.complex128
    auto = selective_scan(**x)
    assert torch.equal(auto[0], y)


# ---- invariants -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["full, h0", "packed, full, h0"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_split_anywhere_and_go_on(backend, options):  # traps: S3
    x = example(options, l=7)
    if "seq_idx" in x:
        x["seq_idx"] = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [4, 4, 9, 9, 9, 2, 2]])
    leaves = [value.requires_grad_() for value in x.values() if isinstance(value, torch.Tensor) and value.is_floating_point()]  # fmt: skip
    y, h_last = selective_scan(**x, backend=backend)
    expected = torch.autograd.grad(y.square().sum() + h_last.square().sum(), leaves)
    timed = ("u", "delta", "B", "C", "z", "seq_idx")
    for s in (1, 4, 6) if backend == "triton" else range(1, 7):
        if "seq_idx" in x and (x["seq_idx"][:, s] != x["seq_idx"][:, s - 1]).any():
            continue  # a call of its own starts from its h0: where a sequence starts, that is zero
        first = selective_scan(**{k: v[:, :s] if k in timed else v for k, v in x.items()}, backend=backend)
        rest = {k: v[:, s:] if k in timed else v for k, v in x.items()} | {"h0": first[1]}
        second = selective_scan(**rest, backend=backend)
        parts = torch.cat([first[0], second[0]], dim=1)
        assert close(parts, y)
        assert close(second[1], h_last)
        grads = torch.autograd.grad(parts.square().sum() + second[1].square().sum(), leaves)
        assert all(close(got, e) for got, e in zip(grads, expected, strict=True)), s


@pytest.mark.parametrize("options", ["bare", "full, h0", "groups"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_are_the_forward(backend, dtype, options):  # traps: C4
    x = example(options, d=4, dtype=dtype)
    y, h_last = selective_scan(**x, backend=backend)

    def steps():
        h = x.get("h0", torch.zeros(2, 4, 2, dtype=dtype))
        outputs = []
        for t in range(9):
            z_t = x["z"][:, t] if "z" in x else None
            more = {"D": x.get("D"), "z_t": z_t, "delta_bias": x.get("delta_bias"), "delta_softplus": "z" in x}
            before = h.clone()
            new, y_t = selective_scan_step(h, x["u"][:, t], x["delta"][:, t], x["A"], x["B"][:, t], x["C"][:, t], **more, backend=backend)  # fmt: skip
            assert torch.equal(h, before)  # out of place
            h = new
            outputs.append(y_t)
        return torch.stack(outputs, 1), h

    got, again = steps(), steps()
    assert all(torch.equal(a, b) for a, b in zip(got, again, strict=True))
    assert all(close(a, b, TOLERANCE[dtype]) for a, b in zip(got, (y, h_last), strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_has_the_gradients_of_a_scan_of_one(backend):
    x = example("full, h0", l=1)
    expected = selective_results("naive", x)
    leaves = {name: value.detach().requires_grad_() for name, value in x.items() if isinstance(value, torch.Tensor)}
    u, delta, B, C, z = (leaves[name][:, 0] for name in ("u", "delta", "B", "C", "z"))
    h, y_t = selective_scan_step(
        leaves["h0"], u, delta, leaves["A"], B, C, leaves["D"], z_t=z, delta_bias=leaves["delta_bias"], delta_softplus=True, backend=backend,
    )  # fmt: skip
    assert close(y_t.detach(), expected["y"][:, 0])
    weights = [torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape) for out in (y_t, h)]
    grads = torch.autograd.grad((y_t, h), list(leaves.values()), weights)
    for name, grad in zip(leaves, grads, strict=True):
        assert close(grad, expected[f"grad_{name}"]), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_with_a_map_of_its_own_for_each_channel(backend):
    x = example("fixed B and C", l=1)
    y, h_last = selective_scan(**x, backend=backend)
    B, C = (x[name].expand(2, 3, 2) for name in ("B", "C"))
    h, y_t = selective_scan_step(
        torch.zeros(2, 3, 2), x["u"][:, 0], x["delta"][:, 0], x["A"], B, C, x["D"], z_t=x["z"][:, 0],
        delta_bias=x["delta_bias"], delta_softplus=True, backend=backend,
    )  # fmt: skip
    assert close(y_t, y[:, 0])
    assert close(h, h_last)


TIMED = ("u", "delta", "B", "C", "z")


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_future_changes_nothing(backend, name):
    x = example("full, h0", l=12)
    y, _ = selective_scan(**x, backend=backend)
    x[name] = x[name].clone()
    x[name][:, 5:] += 1.0
    changed, _ = selective_scan(**x, backend=backend)
    assert torch.equal(changed[:, :5], y[:, :5])
    assert (changed[:, 5:] != y[:, 5:]).any(dim=2).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_of_size_zero_is_no_step(backend):
    x = example("h0")
    _, before = selective_scan(**{k: v[:, :6] if k in TIMED else v for k, v in x.items()}, backend=backend)
    x["delta"][:, 6:] = 0
    _, h_last = selective_scan(**x, backend=backend)
    assert torch.equal(h_last, before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_left_padding_changes_nothing(backend):
    x = example("full", l=9)
    padded = x | {"u": torch.cat([torch.zeros(2, 5, 3), x["u"]], dim=1)}
    noise = example("full", l=5, seed=2)
    padded |= {name: torch.cat([noise[name], x[name]], dim=1) for name in ("delta", "B", "C", "z")}
    y, h_last = selective_scan(**x, backend=backend)
    y_padded, h_padded = selective_scan(**padded, backend=backend)
    # A vectorised exp may round a number in its last bit by where it stands.
    assert close(h_padded, h_last, 1e-14)
    assert close(y_padded[:, 5:], y, 1e-14)
    assert (y_padded[:, :5] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_linear_in_u_and_h0(backend):
    x, other = example("full, h0"), example("full, h0", seed=1)
    apart = [selective_scan(**(x | {"u": e["u"], "h0": e["h0"]}), backend=backend) for e in (x, other)]
    sums = {name: 2 * x[name] - 3 * other[name] for name in ("u", "h0")}
    together = selective_scan(**(x | sums), backend=backend)
    for whole, one, two in zip(together, *apart, strict=True):
        assert close(whole, 2 * one - 3 * two)


@pytest.mark.parametrize("backend", BACKENDS)
def test_strong_decay_for_long(backend):  # traps: S5
    """Where the formulation with two cumulative sums is inf after 55 steps."""
    l = 130 if backend == "triton" else 2000
    x = selective_inputs("plain", b=1, l=l, d=1, n=1, dtype=torch.float32)
    x |= {"delta": torch.full((1, l, 1), 0.1), "A": torch.full((1, 1), -16.0), "u": torch.ones(1, l, 1)}
    x |= {"B": torch.ones(1, l, 1), "C": torch.ones(1, l, 1)}
    got = selective_results(backend, x)
    assert all(value.isfinite().all() for value in got.values())
    assert abs(got["y"][0, -1, 0].item() - 0.1 / (1 - math.exp(-1.6))) < 1e-6
    assert max(selective_distances(got, selective_results("naive", x)).values()) <= 1e-5


# ---- packed sequences -----------------------------------------------------------------------------------------------


def pack(parts):
    """Sequences one after the other, in one row; parameters are shared."""
    whole = {k: torch.cat([p[k] for p in parts], dim=1) if k in TIMED else v for k, v in parts[0].items()}
    ids = [torch.full((1, p["u"].shape[1]), 7 - i) for i, p in enumerate(parts)]  # falling numbers are as good
    return whole | {"seq_idx": torch.cat(ids, dim=1)}


def sequences(options="full", lengths=(3, 1, 5, 1, 1, 8)):
    parts = [example(options, b=1, l=l, seed=i) for i, l in enumerate(lengths)]
    shared = {k: v for k, v in parts[0].items() if k not in TIMED}
    return [p | shared for p in parts]


@pytest.mark.parametrize("options", ["full", "groups", "fixed B and C"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_packed_is_separate(backend, options):  # traps: S21
    parts = sequences(options)
    fixed = [name for name in ("B", "C") if f"fixed {name}" in OPTIONS[options]]
    timed = [name for name in TIMED if name not in fixed]
    whole = {k: torch.cat([p[k] for p in parts], dim=1) if k in timed else v for k, v in parts[0].items()}
    whole["seq_idx"] = torch.cat([torch.full((1, p["u"].shape[1]), i) for i, p in enumerate(parts)], dim=1)
    if fixed:
        parts = [p | {name: parts[0][name] for name in fixed} for p in parts]
    weight = torch.randn(whole["u"].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    end = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    got = selective_results(backend, whole, weights={"y": weight, "h_last": end})
    first, separate = 0, []
    for i, p in enumerate(parts):
        last = i == len(parts) - 1
        stop = first + p["u"].shape[1]
        weights = {"y": weight[:, first:stop], "h_last": end if last else torch.zeros_like(end)}
        separate.append(selective_results("naive", p, weights=weights))
        first = stop
    assert close(got["h_last"], separate[-1]["h_last"])
    for name in ("y", *(f"grad_{name}" for name in timed)):
        assert close(got[name], torch.cat([s[name] for s in separate], dim=1)), name
    for name in ("A", "D", "delta_bias", *fixed):
        assert close(got[f"grad_{name}"], sum(s[f"grad_{name}"] for s in separate)), name


@pytest.mark.parametrize("name", ["u", "delta", "B", "C"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_a_number_stays_in_its_sequence(backend, name):  # traps: S21
    parts = sequences("D")
    clean = selective_scan(**pack(parts), backend=backend)
    parts[2][name] = torch.full_like(parts[2][name], float("nan"))
    whole = pack(parts)
    y, h_last = selective_scan(**whole, backend=backend)
    here = whole["seq_idx"] == 5
    assert y[here].isnan().all()
    assert torch.equal(y[~here], clean[0][~here])
    assert torch.equal(h_last, clean[1])
    # Backward, too: nothing of the bad sequence reaches the inputs of the others.
    got, expected = (selective_results(which, whole, through=("y",)) for which in (backend, "naive"))
    assert max(selective_distances(got, expected).values()) <= 1e-12
    for other in ("u", "delta", "B", "C"):
        assert got[f"grad_{other}"][~here].isfinite().all(), other


@pytest.mark.parametrize("backend", BACKENDS)
def test_h0_belongs_to_the_first_of_the_packed_sequences(backend):
    x = pack(sequences("full, h0"))
    changed = x | {"h0": x["h0"] + 1}
    y, h_last = selective_scan(**x, backend=backend)
    y_changed, h_changed = selective_scan(**changed, backend=backend)
    assert (y_changed[:, :3] != y[:, :3]).all()
    assert torch.equal(y_changed[:, 3:], y[:, 3:])
    assert torch.equal(h_changed, h_last)
    # A sequence that starts at step 0 starts from h0, whatever its number is; one sequence is no sequence.
    one = x | {"seq_idx": torch.full_like(x["seq_idx"], -3)}
    plain = {name: value for name, value in x.items() if name != "seq_idx"}
    assert equal(selective_results(backend, one), selective_results(backend, plain))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.bool])
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_integer_tells_sequences_apart(backend, dtype):
    x = example("bare", l=6)
    x["seq_idx"] = torch.tensor([[0, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 1]]).to(dtype)
    got, expected = selective_scan(**x, backend=backend), number_by_number(**x)
    assert all(close(*pair) for pair in zip(got, expected, strict=True))


# ---- sizes and layouts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 5, 16, 64, 256])
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_number_of_states(backend, n):  # traps: S15, S18
    x = selective_inputs("plain", "groups", b=1, l=3, d=2, n=n)
    got, expected = selective_results(backend, x), selective_results("naive", x)
    assert max(selective_distances(got, expected).values()) <= 1e-12
    assert close(got["y"], number_by_number(**x)[0])


@pytest.mark.parametrize("n", [257, 300])
def test_too_many_states_are_refused_by_name_and_taken_by_the_loop(n):  # traps: S15
    x = selective_inputs("plain", "h0", b=1, l=2, d=1, n=n)
    for backend in ("numba", "triton"):
        with pytest.raises(RuntimeError, match=rf'n = {n}, and the {backend} kernels hold at most n = 256 states a channel; backend="naive" takes any'):  # fmt: skip
            selective_scan(**x, backend=backend)
    for backend in ("naive", "auto"):
        assert close(selective_scan(**x, backend=backend)[1], number_by_number(**x)[1])


@pytest.mark.parametrize("sizes", [(2, 0, 3), (0, 5, 3), (2, 5, 0)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_do(backend, sizes):
    b, l, d = sizes
    x = selective_inputs("plain", "packed, full, h0", b=b, l=l, d=d, n=2)
    got = selective_results(backend, x)
    assert got["y"].shape == sizes
    if l == 0:
        assert torch.equal(got["h_last"], x["h0"])
        assert (got["grad_h0"].flatten() == torch.linspace(-1, 1, 12, dtype=torch.float64)).all()
    without = {name: value for name, value in x.items() if name != "h0"}
    assert torch.equal(selective_scan(**without, backend=backend)[1], torch.zeros(b, d, 2, dtype=torch.float64))


def strided(x, order, step):
    """The same numbers, with their axes in memory in another order and with gaps of NaN."""
    order = [axis for axis in order if axis < x.ndim]
    wide = torch.full([x.shape[axis] * step for axis in order], float("nan"), dtype=x.dtype)
    view = wide[tuple(slice(None, None, step) for _ in order)].permute([order.index(axis) for axis in range(x.ndim)])
    return view.copy_(x)


@pytest.mark.parametrize("backend", ["naive", "numba"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    options=st.sampled_from(list(OPTIONS)),
    b=st.integers(1, 3),
    l=st.integers(0, 40),
    d=st.integers(1, 6),
    n=st.integers(1, 5),
    order=st.permutations([0, 1, 2, 3]),
    step=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_any_size_with_any_options_in_any_layout(backend, options, b, l, d, n, order, step, seed):  # traps: S16, S17
    x = example(options, b=b, l=l, d=d, n=n, seed=seed)
    views = {k: strided(v, order, step) if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in x.items()}  # fmt: skip
    assert step == 1 or l * d * n < 2 or not views["u"].is_contiguous()
    got = selective_results(backend, views)
    assert got["y"].is_contiguous()
    assert max(selective_distances(got, selective_results("naive", x)).values()) <= 1e-12


@pytest.mark.parametrize("options", ["full, h0", "groups", "packed, full, h0", "fixed B and C"])
@pytest.mark.parametrize(("order", "step"), [((2, 1, 0, 3), 1), ((3, 0, 2, 1), 2)])
def test_a_few_layouts_triton(options, order, step):  # traps: S16, S17
    x = example(options, l=5)
    views = {k: strided(v, order, step) if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in x.items()}  # fmt: skip
    got = selective_results("triton", views)
    assert got["y"].is_contiguous()
    assert max(selective_distances(got, selective_results("naive", x)).values()) <= 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_that_come_in_odd_layouts(backend):  # traps: S16
    x = example("full, h0", l=6)
    random = torch.Generator().manual_seed(5)
    y_weight = torch.randn(3, 6, 2, generator=random, dtype=torch.float64).permute(2, 1, 0)
    h_weight = torch.randn(2, 3, 4, generator=random, dtype=torch.float64)[:, :, 1:3]
    leaves = {k: v.requires_grad_() for k, v in x.items() if isinstance(v, torch.Tensor)}
    got = torch.autograd.grad(selective_scan(**x, backend=backend), list(leaves.values()), (y_weight, h_weight))
    outputs = selective_scan(**x, backend="naive")
    expected = torch.autograd.grad(outputs, list(leaves.values()), (y_weight.contiguous(), h_weight.contiguous()))
    assert all(close(g, e) for g, e in zip(got, expected, strict=True))
    # sum() hands back an expanded gradient, of stride 0
    (grad_u,) = torch.autograd.grad(selective_scan(**x, backend=backend)[0].sum(), [leaves["u"]])
    (expected_u,) = torch.autograd.grad(selective_scan(**x, backend="naive")[0].sum(), [leaves["u"]])
    assert close(grad_u, expected_u)


@pytest.mark.parametrize("backend", BACKENDS)
def test_conjugate_and_negative_views(backend):  # traps: N7
    x = example("full, h0", l=4)
    expected = selective_scan(**(x | {"u": -x["u"], "B": -x["B"]}), backend="naive")
    got = selective_scan(**(x | {"u": torch._neg_view(x["u"]), "B": torch._neg_view(x["B"])}), backend=backend)
    assert all(close(*pair) for pair in zip(got, expected, strict=True))
    imaginary = torch.complex(x["u"], x["u"]).conj().imag  # -u, as a view with its negative bit set
    assert imaginary.is_neg()
    got, _ = selective_scan(**(x | {"u": imaginary}), backend=backend)
    assert close(got, selective_scan(**(x | {"u": -x["u"]}), backend="naive")[0])


def test_conjugate_views_naive():  # traps: N7
    x = complex_example()
    y, _ = selective_scan(**(x | {"B": x["B"].conj(), "A": x["A"].conj()}), backend="naive")
    plain = x | {"B": x["B"].conj().resolve_conj(), "A": x["A"].conj().resolve_conj()}
    assert torch.equal(y, selective_scan(**plain, backend="naive")[0])


# ---- types ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_half_precision_state_would_stop(backend, dtype):  # traps: S10, T4
    l = 150 if backend == "triton" else 1000
    one = torch.ones(1, l, 1, dtype=dtype)
    u = torch.full_like(one, 0.01)
    y, h_last = selective_scan(u, one, torch.zeros(1, 1), one, one, backend=backend)
    assert h_last.dtype == torch.float32
    assert abs(h_last.item() / (l * u[0, 0, 0].item()) - 1) < 1e-5
    assert y.dtype == dtype
    if (backend, dtype) != ("triton", torch.bfloat16):  # the interpreter does not round as it stores bf16
        assert y[0, -1, 0] == h_last.to(dtype).item()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_slow_channel_forgets(backend, dtype):  # traps: S11
    l = 100
    zero = torch.zeros(1, l, 1, dtype=dtype)
    delta = torch.full_like(zero, 0.001)
    A = torch.full((1, 1), -1.0, dtype=dtype)
    _, h_last = selective_scan(zero, delta, A, zero, zero, h0=torch.ones(1, 1, 1, dtype=dtype), backend=backend)
    assert h_last.dtype == torch.float32
    assert abs(h_last.item() - math.exp(-l * delta[0, 0, 0].item())) < 1e-5


HALF = [(backend, dtype) for backend in ("naive", "numba") for dtype in (torch.float16, torch.bfloat16)]
HALF += [("triton", torch.float16)]  # the interpreter does not round as it stores bf16: the GPU tests have this


@pytest.mark.parametrize(("backend", "dtype"), HALF)
def test_half_inputs_are_as_good_as_the_naive_version_makes_them(backend, dtype):  # traps: S12, T4
    x = selective_inputs("plain", "full, h0", l=17, dtype=dtype)
    wide = {name: value.double() if isinstance(value, torch.Tensor) else value for name, value in x.items()}
    truth = selective_results("naive", wide)
    got, naive = selective_results(backend, x), selective_results("naive", x)
    for name, expected in truth.items():
        assert got[name].dtype == naive[name].dtype, name
        error, allowed = ((r[name].double() - expected).abs().max() for r in (got, naive))
        assert error <= 2 * allowed + 1e-6 * expected.abs().max(), name


@pytest.mark.parametrize("name", ["u", "delta", "A", "B", "C", "D", "z", "delta_bias", "h0"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_fp64_input_makes_everything_fp64(backend, name):
    x = selective_inputs("plain", "full, h0", l=3, dtype=torch.float32)
    x[name] = x[name].double() + 1e-12
    y, h_last = selective_scan(**x, backend=backend)
    assert h_last.dtype == torch.float64
    assert y.dtype == x["u"].dtype
    wide = {key: value.double() if isinstance(value, torch.Tensor) else value for key, value in x.items()}
    assert close(h_last, selective_scan(**wide, backend="naive")[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_activations_in_half_precision_and_parameters_in_fp32(backend, dtype):
    x = selective_inputs("plain", "full, h0", l=5, dtype=torch.float32)
    for name in ("u", "delta", "z", "B", "C"):
        x[name] = x[name].to(dtype)
    got = selective_results(backend, x)
    for name in ("A", "D", "delta_bias", "h0"):
        assert got[f"grad_{name}"].dtype == torch.float32
    for name in ("u", "delta", "z", "B", "C"):
        assert got[f"grad_{name}"].dtype == dtype
    assert got["y"].dtype == dtype
    assert got["h_last"].dtype == torch.float32
    wide = {name: value.float() if isinstance(value, torch.Tensor) else value for name, value in x.items()}
    assert close(got["h_last"], selective_results("naive", wide)["h_last"], 1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_does_not_reach_the_scan(backend):  # traps: M4, S11
    x = selective_inputs("plain", "full, h0", l=5, dtype=torch.float32)
    expected = selective_results(backend, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16  # it is on
        got = selective_results(backend, x)
    assert equal(got, expected)


@pytest.mark.parametrize("raw", [(-20, -14), (-14, -2), (-2, 2), (2, 20), (20, 40)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_softplus_is_accurate_in_each_element(backend, raw):  # traps: T8
    """h after one step with u = B = 1 is delta itself; 2e-6 for each one, where log(1 + exp(x)) is off by up to 1."""
    delta = torch.linspace(*raw, 64).reshape(1, 1, 64)  # (b l d)
    one, A, B = torch.ones(1, 1, 64), torch.zeros(64, 1), torch.ones(1, 1, 1)
    x = {"u": one, "delta": delta, "A": A, "B": B, "C": B, "delta_softplus": True}
    _, h_last = selective_scan(**x, backend=backend)
    expected = torch.nn.functional.softplus(delta.double(), threshold=50).reshape(1, 64, 1)
    assert ((h_last.double() - expected) / expected).abs().max() < 2e-6
    # Its derivative is the sigmoid: of delta itself, not 1 - exp(-softplus), which cancels.
    grad = selective_results(backend, x, through=("y",), weights={"y": one})["grad_delta"]
    expected = torch.sigmoid(delta.double())
    assert ((grad.double() - expected) / expected).abs().max() < 2e-6


# ---- autograd -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_stay_as_they_were_and_only_what_needs_a_gradient_gets_one(backend):  # traps: M12
    names = [name for name, value in example("packed, full, h0").items() if torch.is_tensor(value)]
    for wanted in ("B", "h0", "z"):
        x = example("packed, full, h0", l=4)
        copies = {name: x[name].clone() for name in names}
        x[wanted].requires_grad_()
        y, h_last = selective_scan(**x, backend=backend)
        (y.sum() + h_last.sum()).backward()
        assert all(torch.equal(x[name], copies[name]) for name in names)
        assert [name for name in names if x[name].grad is not None] == [wanted]
    x = example("full", l=4)
    y, h_last = selective_scan(**x, backend=backend)
    assert not y.requires_grad
    assert not h_last.requires_grad


@pytest.mark.parametrize("through", [("y",), ("h_last",)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loss_may_use_one_output_only(backend, through):  # traps: S3
    for options in ("full, h0", "packed, full, h0"):
        x = example(options)
        got, expected = (selective_results(which, x, through=through) for which in (backend, "naive"))
        assert max(selective_distances(got, expected).values()) <= 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpointing_gives_the_same_gradients(backend):  # traps: M12
    x = example("full, h0")
    leaves = {k: v.requires_grad_() for k, v in x.items() if isinstance(v, torch.Tensor)}

    def run(*values):
        return selective_scan(**(x | dict(zip(leaves, values, strict=True))), backend=backend)

    def grads(outputs):
        return torch.autograd.grad(sum(out.square().sum() for out in outputs), list(leaves.values()))

    expected = grads(run(*leaves.values()))
    got = grads(checkpoint(run, *leaves.values(), use_reentrant=False))
    assert all(torch.equal(g, e) for g, e in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_a_second_derivative_is_refused(backend):  # traps: M12
    x = example("full, h0", l=3)
    leaves = {k: v.requires_grad_() for k, v in x.items() if isinstance(v, torch.Tensor)}
    y, h_last = selective_scan(**x, backend=backend)
    grads = torch.autograd.grad(y.square().sum() + h_last.sum(), list(leaves.values()), create_graph=True)
    for name, grad in zip(leaves, grads, strict=True):
        with pytest.raises(RuntimeError, match=r'backends of selective_scan have no second derivative; use backend="naive"'):  # fmt: skip
            torch.autograd.grad(grad.sum(), leaves["u"], retain_graph=True)
        assert grad.isfinite().all(), name


def test_second_derivatives_naive():
    x = example("full, h0", b=1, l=3, d=1, n=1)
    leaves = {k: v.requires_grad_() for k, v in x.items() if isinstance(v, torch.Tensor)}

    def run(*values):
        return selective_scan(**(x | dict(zip(leaves, values, strict=True))), backend="naive")

    assert torch.autograd.gradgradcheck(run, tuple(leaves.values()))


def compiled_equals_eager(backend, compiler):
    x = selective_inputs("plain", "packed, full, h0", l=5, dtype=torch.float32)
    leaves = {k: v.requires_grad_() for k, v in x.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}

    def model(arguments):
        """A scan with arithmetic of its own before and after."""
        u = torch.tanh(arguments["u"])
        y, h_last = selective_scan(**(arguments | {"u": u}), backend=backend)
        return y * 2 + u, h_last.square()

    def everything(function):
        y, h_last = function(x)
        return [y, h_last, *torch.autograd.grad(y.square().sum() + h_last.sum(), list(leaves.values()))]

    expected = everything(model)
    got = everything(torch.compile(model, backend=compiler))
    for g, e in zip(got, expected, strict=True):
        assert close(g.detach(), e.detach(), 1e-6)


@pytest.mark.parametrize("compiler", ["eager", "aot_eager"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_by_torch_it_gives_the_same(backend, compiler):  # traps: M13
    compiled_equals_eager(backend, compiler)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor meets torch.jit as it is imported
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor wants a C++ compiler")
@pytest.mark.skipif(" " in torch.__file__, reason="inductor gives the linker torch's folder without quotes")
def test_compiled_by_inductor_it_gives_the_same_numba(tmp_path, monkeypatch):  # traps: M13
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiled_equals_eager("numba", "inductor")


# ---- errors and choice ----------------------------------------------------------------------------------------------

GOOD = selective_inputs("plain", "packed, full, h0", b=2, l=5, d=4, n=3, dtype=torch.float32)
STEP = {
    "h": torch.zeros(2, 4, 3), "u_t": torch.zeros(2, 4), "delta_t": torch.zeros(2, 4), "A": -torch.ones(4, 3), "B_t": torch.zeros(2, 3),
    "C_t": torch.zeros(2, 3), "D": torch.zeros(4), "z_t": torch.zeros(2, 4), "delta_bias": torch.zeros(4),
}  # fmt: skip

WRONG_ARGUMENTS = [
    ({"u": torch.zeros(2, 5)}, ValueError, r"u must be \(b l d\), got \(2, 5\)"),
    ({"u": [1.0]}, TypeError, "u must be a tensor, got list"),
    ({"u": None}, TypeError, "u must be a tensor, got NoneType"),
    ({"u": torch.zeros(2, 5, 4, dtype=torch.int64)}, TypeError, "u must hold floating-point numbers, got torch.int64"),
    ({"u": torch.zeros(2, 5, 4, dtype=torch.complex64)}, TypeError, "u must hold real numbers, got torch.complex64"),
    ({"delta": torch.zeros(2, 4, 5)}, ValueError, r"delta must be \(b l d\) = \(2, 5, 4\), got \(2, 4, 5\)"),
    ({"delta": 0.1}, TypeError, "delta must be a tensor, got float"),
    ({"delta": torch.zeros(2, 5, 4).int()}, TypeError, "delta must hold floating-point numbers, got torch.int32"),
    ({"delta": torch.zeros(2, 5, 4, device="meta")}, ValueError, "delta must be on cpu, like u, got meta"),
    ({"A": torch.zeros(3, 4)}, ValueError, r"A must be \(d n\) with d = 4 and n at least 1, got \(3, 4\)"),
    ({"A": torch.zeros(4, 0)}, ValueError, r"A must be \(d n\) with d = 4 and n at least 1, got \(4, 0\)"),
    ({"A": torch.zeros(4)}, ValueError, r"A must be \(d n\) with d = 4 and n at least 1, got \(4,\)"),
    ({"A": None}, TypeError, "A must be a tensor, got NoneType"),
    ({"A": torch.zeros(4, 3).long()}, TypeError, "A must hold floating-point numbers, got torch.int64"),
    ({"B": torch.zeros(2, 3, 5)}, ValueError, r"B must be \(b l n\) = \(2, 5, 3\), got \(2, 3, 5\)"),
    ({"B": torch.zeros(3, 4)}, ValueError, r"B must be \(d n\) = \(4, 3\), got \(3, 4\)"),
    ({"B": torch.zeros(3)}, ValueError, r"B must be \(d n\) or \(b l n\) or \(b l g n\), got \(3,\)"),
    ({"B": torch.zeros(2, 5, 2, 7)}, ValueError, r"B must be \(b l g n\) = \(2, 5, 2, 3\), got \(2, 5, 2, 7\)"),
    ({"B": torch.zeros(2, 5, 3, 3)}, ValueError, "B must have a number of groups g that divides d = 4, got g = 3"),
    ({"B": torch.zeros(2, 5, 0, 3)}, ValueError, "B must have a number of groups g that divides d = 4, got g = 0"),
    ({"B": None}, TypeError, "B must be a tensor, got NoneType"),
    ({"B": torch.zeros(2, 5, 3, dtype=torch.complex64)}, TypeError, "B is torch.complex64, and A is real: B must be real too"),
    ({"C": torch.zeros(2, 3, 5)}, ValueError, r"C must be \(b l n\) = \(2, 5, 3\), got \(2, 3, 5\)"),
    ({"C": torch.zeros(2, 5, 8, 3)}, ValueError, "C must have a number of groups g that divides d = 4, got g = 8"),
    ({"C": torch.zeros(2, 5, 3, device="meta")}, ValueError, "C must be on cpu, like u, got meta"),
    ({"D": torch.zeros(3)}, ValueError, r"D must be \(d\) = \(4,\), got \(3,\)"),
    ({"D": torch.zeros(4, 1)}, ValueError, r"D must be \(d\) = \(4,\), got \(4, 1\)"),
    ({"D": torch.ones(4).bool()}, TypeError, "D must hold floating-point numbers, got torch.bool"),
    ({"z": torch.zeros(2, 5, 3)}, ValueError, r"z must be \(b l d\) = \(2, 5, 4\), got \(2, 5, 3\)"),
    ({"z": torch.zeros(2, 5, 4) + 0j}, TypeError, "z must hold real numbers, got torch.complex64"),
    ({"delta_bias": torch.zeros(5)}, ValueError, r"delta_bias must be \(d\) = \(4,\), got \(5,\)"),
    ({"delta_bias": 1.0}, TypeError, "delta_bias must be a tensor, got float"),
    ({"h0": torch.zeros(2, 3, 4)}, ValueError, r"h0 must be \(b d n\) = \(2, 4, 3\), got \(2, 3, 4\)"),
    ({"h0": torch.zeros(2, 4, 3) + 0j}, TypeError, "h0 is torch.complex64, and A is real: h0 must be real too"),
    ({"h0": torch.zeros(2, 4, 3, device="meta")}, ValueError, "h0 must be on cpu, like u, got meta"),
    ({"seq_idx": torch.zeros(2, 4).long()}, ValueError, r"seq_idx must be \(b l\) = \(2, 5\), got \(2, 4\)"),
    ({"seq_idx": torch.zeros(2, 5)}, TypeError, "seq_idx must hold integers, got torch.float32"),
    ({"seq_idx": [0, 0]}, TypeError, "seq_idx must be a tensor, got list"),
    ({"backend": "cuda"}, ValueError, "backend must be .* got 'cuda'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), WRONG_ARGUMENTS, ids=[message for _, _, message in WRONG_ARGUMENTS])  # fmt: skip
def test_errors_name_the_symbol_what_was_expected_and_what_came(change, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        selective_scan(**({"backend": "naive"} | GOOD | change))


WRONG_STEPS = [
    ({"u_t": torch.zeros(2, 1, 4)}, ValueError, r"u_t must be \(b d\), got \(2, 1, 4\)"),
    ({"h": torch.zeros(2, 3, 4)}, ValueError, r"h must be \(b d n\) = \(2, 4, 3\), got \(2, 3, 4\)"),
    ({"h": None}, TypeError, "h must be a tensor, got NoneType"),
    ({"delta_t": torch.zeros(4)}, ValueError, r"delta_t must be \(b d\) = \(2, 4\), got \(4,\)"),
    ({"A": torch.zeros(5, 3)}, ValueError, r"A must be \(d n\) with d = 4 and n at least 1, got \(5, 3\)"),
    ({"B_t": torch.zeros(4, 3)}, ValueError, r"B_t must be \(b n\) = \(2, 3\), got \(4, 3\)"),
    ({"B_t": torch.zeros(2, 3, 3)}, ValueError, "B_t must have a number of groups g that divides d = 4, got g = 3"),
    ({"C_t": torch.zeros(2)}, ValueError, r"C_t must be \(b n\) or \(b g n\), got \(2,\)"),
    ({"C_t": torch.zeros(2, 3).int()}, TypeError, "C_t must hold floating-point numbers, got torch.int32"),
    ({"D": torch.zeros(2)}, ValueError, r"D must be \(d\) = \(4,\), got \(2,\)"),
    ({"z_t": torch.zeros(4, 2)}, ValueError, r"z_t must be \(b d\) = \(2, 4\), got \(4, 2\)"),
    ({"delta_bias": torch.zeros(4, device="meta")}, ValueError, "delta_bias must be on cpu, like u_t, got meta"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), WRONG_STEPS, ids=[message for _, _, message in WRONG_STEPS])
def test_errors_of_a_step(change, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        selective_scan_step(**({"backend": "naive"} | STEP | change))


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_complex_A_is_refused_by_name(backend):
    x = complex_example()
    with pytest.raises(RuntimeError, match=f'A is complex, and the {backend} kernels are real; backend="naive" takes it'):  # fmt: skip
        selective_scan(**x, backend=backend)
    step = STEP | {"A": STEP["A"] + 0j}
    with pytest.raises(RuntimeError, match="A is complex"):
        selective_scan_step(**step, backend=backend)


def test_a_device_that_a_backend_does_not_have():
    x = {name: value.to("meta") if isinstance(value, torch.Tensor) else value for name, value in GOOD.items()}
    with pytest.raises(RuntimeError, match="u is on meta, and numba runs on CPU tensors"):
        selective_scan(**x, backend="numba")


def test_auto_takes_numba_on_a_cpu():
    x = example("packed, full, h0")
    assert backends.choose("auto", x["u"]) == "numba"
    assert equal(selective_results("auto", x), selective_results("numba", x))
