"""The causal convolution against independent oracles, its invariants, its dtypes and its errors, on every backend."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from mambaedu import backends, causal_conv1d, causal_conv1d_step
from mambaedu.causal_conv1d import causal_conv1d_naive
from mambaedu.lab.testing import check_shapes

BACKENDS = ("naive", "numba", "triton")

# The interpreter computes with numpy, which warns where inf meets 0; the GPU does not.
pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")


def random_inputs(b=2, l=9, d=3, k=4, dtype=torch.float64, seed=0):
    random = torch.Generator().manual_seed(seed)
    shapes = {"u": (b, l, d), "weight": (d, k), "bias": (d,), "conv_state": (b, k - 1, d)}
    return {name: torch.randn(shape, generator=random, dtype=torch.float64).to(dtype) for name, shape in shapes.items()}


def leaves_of(inputs):
    """Copies that want gradients."""
    return {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}


def everything(inputs, **options):
    """y, conv_state and the gradient of every input, for a loss that weighs every output differently."""
    leaves = leaves_of(inputs)
    outputs = causal_conv1d(**leaves, **options)
    # Of few digits, so that half precision holds them exactly.
    weights = [(64 * torch.linspace(-1, 1, x.numel(), dtype=torch.float64)).round() / 64 for x in outputs]
    loss = sum((x.double() * w.reshape(x.shape)).sum() for x, w in zip(outputs, weights, strict=True))
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return [*(x.detach() for x in outputs), *grads]


def close(got, expected, tolerance=1e-12):
    """Within the tolerance of the largest expected value."""
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    return got.numel() == 0 or bool((got - expected).abs().max() <= tolerance * expected.abs().max())


def number_by_number(u, weight, bias, conv_state, seq_idx=None, silu=False):
    """The definition with Python's own numbers: one output of one channel at a time."""
    (b, l, d), k = u.shape, weight.shape[1]
    y = np.zeros((b, l, d))
    for ib in range(b):
        begins = 0  # the first step of the present sequence; the state belongs to the one that begins at 0
        for t in range(l):
            if seq_idx is not None and t > 0 and seq_idx[ib, t] != seq_idx[ib, t - 1]:
                begins = t
            for c in range(d):
                p = float(bias[c])
                for j in range(k):
                    s = t - k + 1 + j
                    if s >= 0 and s >= begins:
                        p += float(weight[c, j]) * float(u[ib, s, c])
                    elif s < 0 and begins == 0:
                        p += float(weight[c, j]) * float(conv_state[ib, k - 1 + s, c])
                y[ib, t, c] = p / (1 + np.exp(-p)) if silu else p
    return torch.from_numpy(y)


# ---- the definition -------------------------------------------------------------------------------------------------


@pytest.mark.equation("eq-causal-conv")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 7])
def test_every_small_size_is_torchs_convolution(backend, k):  # traps: C1
    for l in range(6):
        x = random_inputs(l=l, k=k)
        y, conv_state = causal_conv1d(**x, backend=backend)
        padded = torch.cat([x["conv_state"], x["u"]], dim=1)
        assert y.shape == (2, l, 3)
        assert torch.equal(conv_state, padded[:, l:])
        if l > 0:
            expected = F.conv1d(padded.transpose(1, 2), x["weight"][:, None], x["bias"], groups=3).transpose(1, 2)
            assert close(y, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("silu", [False, True])
def test_it_is_the_double_loop(backend, silu):
    x = random_inputs(l=11)
    seq_idx = torch.tensor([[5, 5, 5, 5, 5, 2, 7, 7, 7, 7, 7], [0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1]])
    for packed in (None, seq_idx):
        expected = number_by_number(**x, seq_idx=packed, silu=silu)
        y, _ = causal_conv1d(**x, seq_idx=packed, activation="silu" if silu else None, backend=backend)
        assert close(y, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_closed_forms(backend):
    weight = torch.tensor([[3.0, 5.0, 7.0]])
    impulse = torch.tensor([1.0, 0, 0, 0, 0]).reshape(1, 5, 1)
    y, conv_state = causal_conv1d(impulse, weight, backend=backend)
    assert y.flatten().tolist() == [7, 5, 3, 0, 0]  # the last weight meets the present input
    assert conv_state.flatten().tolist() == [0, 0]
    y, _ = causal_conv1d(torch.ones(1, 5, 1), weight, torch.tensor([0.5]), backend=backend)
    assert y.flatten().tolist() == [7.5, 12.5, 15.5, 15.5, 15.5]
    u = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(0))
    y, conv_state = causal_conv1d(u, torch.full((2, 1), 2.0), backend=backend)  # k = 1 looks at nothing else
    assert torch.equal(y, 2 * u)
    assert conv_state.shape == (1, 0, 2)


def test_the_shape_comments_of_naive_are_true():
    x = random_inputs(l=5)
    checked = check_shapes(causal_conv1d_naive)
    number = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0]])
    assert torch.equal(checked(**x), causal_conv1d_naive(**x))
    assert torch.equal(checked(**x, number=number), causal_conv1d_naive(**x, number=number))


@pytest.mark.equation("eq-causal-conv-grad")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", [None, "silu"])
def test_gradcheck(backend, activation):  # traps: S3
    x = random_inputs(b=1, l=4, d=2, k=3)
    for seq_idx in (None, torch.tensor([[0, 0, 1, 1]])):

        def run(*values, packed=seq_idx):
            return causal_conv1d(**dict(zip(x, values, strict=True)), activation=activation, seq_idx=packed, backend=backend)  # fmt: skip

        assert torch.autograd.gradcheck(run, tuple(leaves_of(x).values()))


# ---- invariants -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_future_changes_nothing(backend):
    x = random_inputs()
    y, _ = causal_conv1d(**x, backend=backend)
    x["u"][:, 5] = 7
    changed, _ = causal_conv1d(**x, backend=backend)
    assert torch.equal(changed[:, :5], y[:, :5])
    assert (changed[:, 5:] != y[:, 5:]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_linear_in_u_and_the_state(backend):
    x, other = random_inputs(), random_inputs(seed=1)
    weight = x["weight"]

    def run(u, conv_state):
        return causal_conv1d(u, weight, conv_state=conv_state, backend=backend)[0]

    together = run(2 * x["u"] - 3 * other["u"], 2 * x["conv_state"] - 3 * other["conv_state"])
    assert close(together, 2 * run(x["u"], x["conv_state"]) - 3 * run(other["u"], other["conv_state"]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_split_anywhere_and_go_on(backend):  # traps: S3, C3
    x = leaves_of(random_inputs(l=7))
    whole, last = causal_conv1d(**x, activation="silu", backend=backend)
    expected = torch.autograd.grad(whole.square().sum() + last.pow(3).sum(), list(x.values()))
    for s in range(8):
        first, conv_state = causal_conv1d(**(x | {"u": x["u"][:, :s]}), activation="silu", backend=backend)
        second, conv_state = causal_conv1d(
            **(x | {"u": x["u"][:, s:], "conv_state": conv_state}), activation="silu", backend=backend
        )
        parts = torch.cat([first, second], dim=1)
        assert close(parts.detach(), whole.detach())
        assert torch.equal(conv_state, last)
        grads = torch.autograd.grad(parts.square().sum() + conv_state.pow(3).sum(), list(x.values()))
        assert all(close(got, e) for got, e in zip(grads, expected, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 6, 7])
def test_chunks_of_any_length(backend, m):  # traps: C5
    x = random_inputs(l=14)
    whole, last = causal_conv1d(**x, backend=backend)
    conv_state, parts = x["conv_state"], []
    for chunk in x["u"].split(m, dim=1):
        y, conv_state = causal_conv1d(chunk, x["weight"], x["bias"], conv_state=conv_state, backend=backend)
        parts.append(y)
    assert close(torch.cat(parts, dim=1), whole)
    assert torch.equal(conv_state, last)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("prompt", [1, 2, 3, 4, 20])
def test_a_prompt_shorter_than_the_kernel_goes_on_by_steps(backend, prompt):  # traps: C2, C3
    x = random_inputs(l=prompt + 5)
    u, weight, bias = x["u"], x["weight"], x["bias"]
    whole, last = causal_conv1d(u, weight, bias, activation="silu", backend=backend)
    _, conv_state = causal_conv1d(u[:, :prompt], weight, bias, activation="silu", backend=backend)
    for t in range(prompt, prompt + 5):
        conv_state, y_t = causal_conv1d_step(conv_state, u[:, t], weight, bias, activation="silu", backend=backend)
        assert close(y_t, whole[:, t])
    assert torch.equal(conv_state, last)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("k", [1, 4])
def test_steps_are_the_convolution_and_give_the_same_bits_again(backend, dtype, tolerance, k):  # traps: C4
    x = random_inputs(l=6, d=5, k=k, dtype=dtype)
    whole, last = causal_conv1d(**x, activation="silu", backend=backend)

    def loop():
        conv_state, outputs = x["conv_state"], []
        for t in range(6):
            before = conv_state.clone()
            new_state, y_t = causal_conv1d_step(conv_state, x["u"][:, t], x["weight"], x["bias"], activation="silu", backend=backend)  # fmt: skip
            assert torch.equal(conv_state, before)  # out of place
            conv_state, outputs = new_state, [*outputs, y_t]
        return torch.stack(outputs, dim=1), conv_state

    first, second = loop(), loop()
    assert close(first[0], whole, tolerance)
    assert torch.equal(first[1], last)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_has_gradients(backend):
    x = random_inputs(b=1, l=1, d=2, k=3)

    def run(u, weight, bias, conv_state):
        return causal_conv1d_step(conv_state, u[:, 0], weight, bias, activation="silu", backend=backend)

    assert torch.autograd.gradcheck(run, tuple(leaves_of(x).values()))


# ---- packed sequences -----------------------------------------------------------------------------------------------

PACKED = (3, 1, 1, 7, 2)  # the lengths of the sequences in a row, two of them one token


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", [None, "silu"])
def test_packed_is_separate(backend, activation):  # traps: S21
    x = leaves_of(random_inputs(l=sum(PACKED)))
    # A number may come again later: it is another sequence all the same.
    seq_idx = torch.tensor([0, 1, 0, 5, 1]).repeat_interleave(torch.tensor(PACKED)).expand(2, -1)
    y, conv_state = causal_conv1d(**x, activation=activation, seq_idx=seq_idx, backend=backend)
    parts, state = [], x["conv_state"]
    for u in x["u"].split(PACKED, dim=1):
        part, last = causal_conv1d(u, x["weight"], x["bias"], conv_state=state, activation=activation, backend="naive")
        parts.append(part)
        state = None
    separate = torch.cat(parts, dim=1)
    assert close(y.detach(), separate.detach())
    assert torch.equal(conv_state, last)  # the state of the last sequence, which was shorter than k-1
    assert (conv_state[:, 0] == 0).all()
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    got, expected = (
        torch.autograd.grad((out * weights).sum() + state.square().sum(), list(x.values()))
        for out, state in ((y, conv_state), (separate, last))
    )
    assert all(close(g, e) for g, e in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_leaks_from_one_sequence_into_the_next_not_even_nan(backend):  # traps: S21
    x = random_inputs(b=1, l=8)
    seq_idx = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    clean = everything(x, seq_idx=seq_idx, activation="silu", backend=backend)
    x["u"][:, :4] = float("nan")
    x["conv_state"][:] = float("inf")
    leaves = leaves_of(x)
    y, conv_state = causal_conv1d(**leaves, seq_idx=seq_idx, activation="silu", backend=backend)
    assert torch.equal(y[:, 4:], clean[0][:, 4:])
    assert torch.equal(conv_state, clean[1])
    grad_u, grad_state = torch.autograd.grad(y[:, 4:].sum(), (leaves["u"], leaves["conv_state"]))
    assert grad_u[:, 4:].isfinite().all()
    # A gradient of the second sequence that is NaN stays there, too.
    grad_y = torch.zeros_like(y)
    grad_y[:, 4:] = float("nan")
    x = leaves_of(random_inputs(b=1, l=8))
    y, _ = causal_conv1d(**x, seq_idx=seq_idx, activation="silu", backend=backend)
    grad_u, grad_state = torch.autograd.grad(y, (x["u"], x["conv_state"]), grad_y)
    assert (grad_u[:, :4] == 0).all()
    assert (grad_state == 0).all()
    assert grad_u[:, 4:].isnan().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_number_everywhere_is_one_sequence(backend):
    x = random_inputs()
    seq_idx = torch.full((2, 9), 3, dtype=torch.int32)
    got, expected = everything(x, seq_idx=seq_idx, backend=backend), everything(x, backend=backend)
    assert all(torch.equal(g, e) for g, e in zip(got, expected, strict=True))


# ---- memory, types, autograd ----------------------------------------------------------------------------------------


def strided(shape, order, step, random):
    """Random numbers whose axes lie in memory in another order, with gaps."""
    order = [axis for axis in order if axis < len(shape)]
    wide = torch.randn(*(shape[axis] * step for axis in order), generator=random, dtype=torch.float64)
    return wide[tuple(slice(None, None, step) for _ in order)].permute([order.index(axis) for axis in range(len(shape))])  # fmt: skip


@pytest.mark.parametrize("backend", ["naive", "numba"])
@settings(max_examples=40, deadline=None)
@given(
    b=st.integers(1, 3),
    l=st.integers(0, 30),
    d=st.integers(1, 5),
    k=st.integers(1, 20),
    order=st.permutations([0, 1, 2]),
    step=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_any_size_in_any_layout(backend, b, l, d, k, order, step, seed):  # traps: S16, S17
    random = torch.Generator().manual_seed(seed)
    shapes = ((b, l, d), (d, k), (d,), (b, k - 1, d))
    u, weight, bias, state = (strided(shape, order, step, random) for shape in shapes)
    y, conv_state = causal_conv1d(u, weight, bias, conv_state=state, backend=backend)
    assert y.is_contiguous()
    assert conv_state.shape == (b, k - 1, d)
    assert torch.allclose(y, number_by_number(u, weight, bias, state), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_transposed_inputs_and_a_transposed_gradient(backend):  # traps: S16
    random = torch.Generator().manual_seed(0)
    x = {name: strided(value.shape, (2, 1, 0), 2, random) for name, value in random_inputs().items()}
    leaves = {name: value.requires_grad_() for name, value in x.items()}
    y, _ = causal_conv1d(**leaves, activation="silu", backend=backend)
    weights = torch.randn(y.shape[::-1], generator=random, dtype=y.dtype).permute(2, 1, 0)
    got = torch.autograd.grad(y, list(leaves.values()), weights)
    dense = leaves_of({name: value.contiguous() for name, value in x.items()})
    expected_y, _ = causal_conv1d(**dense, activation="silu", backend="naive")
    expected = torch.autograd.grad(expected_y, list(dense.values()), weights.contiguous())
    assert close(y.detach(), expected_y.detach())
    assert all(close(g, e) for g, e in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 5, 3), (2, 5, 0)])
def test_nothing_to_do(backend, shape):
    b, l, d = shape
    x = random_inputs(b=b, l=l, d=d)
    y, conv_state, *grads = everything(x, seq_idx=torch.zeros(b, l, dtype=torch.long), backend=backend)
    assert y.shape == shape
    assert torch.equal(conv_state, torch.cat([x["conv_state"], x["u"]], dim=1)[:, l:])
    assert [grad.shape for grad in grads] == [value.shape for value in x.values()]
    if l > 0:
        conv_state, y_t = causal_conv1d_step(x["conv_state"], x["u"][:, 0], x["weight"], backend=backend)
        assert y_t.shape == (b, d)
        assert conv_state.shape == (b, 3, d)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_stay_as_they_were_and_only_what_needs_a_gradient_gets_one(backend):  # traps: M12
    x = random_inputs()
    copies = {name: value.clone() for name, value in x.items()}
    for name in x:
        for value in x.values():
            value.requires_grad_(False).grad = None
        x[name].requires_grad_()
        y, conv_state = causal_conv1d(**x, activation="silu", backend=backend)
        (y.square().sum() + conv_state.sum()).backward()
        assert {other for other, value in x.items() if value.grad is not None} == {name}
    assert all(torch.equal(x[name].detach(), copies[name]) for name in x)


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [
        ("naive", torch.float16),
        ("naive", torch.bfloat16),
        ("numba", torch.float16),
        ("numba", torch.bfloat16),
        ("triton", torch.float16),  # the interpreter does not round to bfloat16 as a GPU does
    ],
)
def test_half_inputs_are_computed_in_fp32(backend, dtype):  # traps: S10, S12, T4
    x = random_inputs(l=20, dtype=dtype)
    got = everything(x, activation="silu", backend=backend)
    exact = everything({name: value.double() for name, value in x.items()}, activation="silu", backend="naive")
    assert all(value.dtype == dtype for value in got)
    for g, e in zip(got, exact, strict=True):
        rounding = (e.to(dtype).double() - e).abs().max()
        assert (g.double() - e).abs().max() <= 2 * rounding + 1e-6 * e.abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_types_may_be_mixed(backend):
    x = random_inputs(dtype=torch.float32)
    exact = {name: value.double() for name, value in x.items()}
    expected, _ = causal_conv1d(**exact, backend="naive")
    for name in x:  # one fp64 input, and the arithmetic is fp64
        y, conv_state = causal_conv1d(**(x | {name: exact[name]}), backend=backend)
        assert y.dtype == (torch.float64 if name == "u" else torch.float32)
        assert conv_state.dtype == (torch.float64 if name in ("u", "conv_state") else torch.float32)
        assert close(y, expected.to(y.dtype), 1e-12 if name == "u" else 1e-7)
    half = x | {"u": x["u"].half()}
    y, conv_state = causal_conv1d(**half, backend=backend)
    assert (y.dtype, conv_state.dtype) == (torch.float16, torch.float32)
    new_state, y_t = causal_conv1d_step(x["conv_state"], half["u"][:, 0], x["weight"], x["bias"], backend=backend)
    assert (y_t.dtype, new_state.dtype) == (torch.float16, torch.float32)
    assert torch.equal(new_state[:, :-1], x["conv_state"][:, 1:])  # not rounded
    assert torch.equal(y_t, y[:, 0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_changes_nothing(backend):  # traps: M4
    x = random_inputs(dtype=torch.float32)
    expected = everything(x, activation="silu", backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = everything(x, activation="silu", backend=backend)
    assert all(torch.equal(g, e) for g, e in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpointing_gives_the_same_gradients(backend):  # traps: M12
    x = leaves_of(random_inputs())

    def run(*values):
        y, conv_state = causal_conv1d(**dict(zip(x, values, strict=True)), activation="silu", backend=backend)
        return y.square().sum() + conv_state.sum()

    expected = torch.autograd.grad(run(*x.values()), list(x.values()))
    got = torch.autograd.grad(checkpoint(run, *x.values(), use_reentrant=False), list(x.values()))
    assert all(torch.equal(g, e) for g, e in zip(got, expected, strict=True))


# What torch's compiler says of itself where it hands over to a compiled kernel.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace the builtin:UserWarning")
@pytest.mark.parametrize("compiler", ["eager", "aot_eager"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_by_torch_it_gives_the_same(backend, compiler):  # traps: M13
    x = leaves_of(random_inputs(dtype=torch.float32))
    seq_idx = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2, 2]]).expand(2, -1)

    def model(u, weight, bias, conv_state):
        """A convolution with arithmetic of its own before and after."""
        u = torch.tanh(u)
        y, last = causal_conv1d(u, weight, bias, conv_state=conv_state, activation="silu", seq_idx=seq_idx, backend=backend)  # fmt: skip
        return (y * 2 + u).square().sum() + last.sum()

    torch._dynamo.reset()
    expected, got = (
        (loss, *torch.autograd.grad(loss, list(x.values())))
        for loss in (run(*x.values()) for run in (model, torch.compile(model, backend=compiler)))
    )
    torch._dynamo.reset()
    assert all(close(g.detach(), e.detach(), 1e-6) for g, e in zip(got, expected, strict=True))


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_a_second_derivative_is_refused(backend):  # traps: M12
    x = leaves_of(random_inputs())
    y, _ = causal_conv1d(**x, activation="silu", backend=backend)
    (grad,) = torch.autograd.grad(y.square().sum(), x["u"], create_graph=True)
    with pytest.raises(RuntimeError, match=r'backends of causal_conv1d have no second derivative; use backend="naive"'):
        torch.autograd.grad(grad.sum(), x["weight"])


def test_naive_has_second_derivatives():
    x = random_inputs(b=1, l=3, d=1, k=2)

    def run(*values):
        return causal_conv1d(**dict(zip(x, values, strict=True)), activation="silu", backend="naive")

    assert torch.autograd.gradgradcheck(run, tuple(leaves_of(x).values()))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_number_stays_in_its_channel_and_its_k_steps(backend, bad):  # traps: N4
    x = random_inputs(l=10, d=4)
    x["u"][0, 2, 1] = bad
    leaves = leaves_of(x)
    y, _ = causal_conv1d(**leaves, backend=backend)
    expected = torch.ones(2, 10, 4, dtype=torch.bool)
    expected[0, 2:6, 1] = False
    assert torch.equal(y.isfinite(), expected)
    # Backwards it reaches the weights of its channel, and nothing else: without activation the other gradients do not know u.
    grads = torch.autograd.grad(y.sum(), list(leaves.values()))
    finite = dict(zip(leaves, (grad.isfinite() for grad in grads), strict=True))
    assert finite["u"].all()
    assert finite["bias"].all()
    assert finite["conv_state"].all()
    assert finite["weight"][[0, 2, 3]].all()
    assert not finite["weight"][1].any()


# ---- errors and choice ----------------------------------------------------------------------------------------------

U, W = torch.zeros(2, 5, 3), torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(u=U[0]), ValueError, r"u must be \(b l d\), got \(5, 3\)"),
        (dict(u=[1.0]), TypeError, "u must be a tensor, got list"),
        (dict(u=U.long()), TypeError, "u must hold real floating-point numbers, got torch.int64"),
        (dict(u=U + 0j), TypeError, "u must hold real floating-point numbers, got torch.complex64"),
        (dict(weight=W.T), ValueError, r"weight must be \(d k\) with d = 3 and k at least 1, got \(4, 3\)"),
        (dict(weight=W[:, :0]), ValueError, r"weight must be \(d k\) with d = 3 and k at least 1, got \(3, 0\)"),
        (dict(weight=W[:, None]), ValueError, r"weight must be \(d k\) with d = 3 and k at least 1, got \(3, 1, 4\)"),
        (dict(weight=None), TypeError, "weight must be a tensor, got NoneType"),
        (dict(bias=torch.zeros(4)), ValueError, r"bias must be \(d\) = \(3,\), got \(4,\)"),
        (dict(bias=0.5), TypeError, "bias must be a tensor, got float"),
        (dict(conv_state=torch.zeros(2, 4, 3)), ValueError, r"conv_state must be \(b k-1 d\) = \(2, 3, 3\), got \(2, 4, 3\)"),
        (dict(conv_state=torch.zeros(2, 3, 3).long()), TypeError, "conv_state must hold real floating-point numbers"),
        (dict(seq_idx=torch.zeros(2, 4).long()), ValueError, r"seq_idx must be \(b l\) = \(2, 5\), got \(2, 4\)"),
        (dict(seq_idx=torch.zeros(2, 5)), TypeError, "seq_idx must hold integers, got torch.float32"),
        (dict(bias=torch.zeros(3, device="meta")), ValueError, "bias must be on cpu, like u, got meta"),
        (dict(seq_idx=torch.zeros(2, 5, device="meta").long()), ValueError, "seq_idx must be on cpu, like u, got meta"),
        (dict(activation="relu"), ValueError, "activation must be None or \"silu\", got 'relu'"),
        (dict(backend="cuda"), ValueError, "backend must be .*got 'cuda'"),
        (dict(weight=torch.zeros(3, 17), backend="triton"), RuntimeError, "k = 17, and the triton kernels hold at most k = 16 weights"),
        (dict(u=U.to("meta"), weight=W.to("meta"), backend="numba"), RuntimeError, "u is on meta, and numba runs on CPU tensors"),
    ],
)  # fmt: skip
def test_errors_name_the_symbol_what_was_expected_and_what_came(arguments, error, message):
    with pytest.raises(error, match=message):
        causal_conv1d(**(dict(u=U, weight=W) | arguments))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(u_t=U), ValueError, r"u_t must be \(b d\), got \(2, 5, 3\)"),
        (dict(conv_state=None), TypeError, "conv_state must be a tensor, got NoneType"),
        (dict(conv_state=U), ValueError, r"conv_state must be \(b k-1 d\) = \(2, 3, 3\), got \(2, 5, 3\)"),
        (dict(bias=torch.zeros(3, 1)), ValueError, r"bias must be \(d\) = \(3,\), got \(3, 1\)"),
        (dict(weight=W.to("meta")), ValueError, "weight must be on cpu, like u_t, got meta"),
        (dict(activation="tanh"), ValueError, "activation must be None or \"silu\", got 'tanh'"),
        (dict(backend="gpu"), ValueError, "backend must be .*got 'gpu'"),
    ],
)
def test_errors_of_a_step(arguments, error, message):
    with pytest.raises(error, match=message):
        causal_conv1d_step(**(dict(conv_state=U[:, :3], u_t=U[:, 0], weight=W) | arguments))


def test_auto_takes_numba_on_a_cpu_and_any_k():
    x = random_inputs(k=20)
    got, expected = causal_conv1d(**x), causal_conv1d(**x, backend="numba")
    assert all(torch.equal(g, e) for g, e in zip(got, expected, strict=True))
    assert close(got[0], causal_conv1d(**x, backend="naive")[0])
    assert backends.choose("auto", x["u"]) == "numba"
