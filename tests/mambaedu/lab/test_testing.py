"""The table of inputs has the shapes and the oddities that it promises; shape comments are true."""

import inspect

import pytest
import torch

from mambaedu import convolution, discretize
from mambaedu.lab.testing import LENGTHS, OPTIONS, ROWS, check_shapes, inputs, linear_inputs, selective_inputs
from mambaedu.linear_scan import linear_scan_naive
from mambaedu.selective_scan import selective_scan_naive

B, D, N = 2, 3, 4


# ---- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_the_right_shapes_at_every_length(row):
    for l in LENGTHS:
        x = inputs(row, b=B, l=l, d=D, n=N)
        shapes = {"u": (B, l, D), "delta": (B, l, D), "A": (D, N), "B": (B, l, N), "C": (B, l, N)}
        if row == "with h0":
            shapes["h0"] = (B, D, N)
        assert {name: tuple(t.shape) for name, t in x.items()} == shapes
        assert {t.dtype for t in x.values()} == {torch.float64}
        a, b, h0 = linear_inputs(row, b=B, l=l, d=D, n=N)
        assert a.shape == b.shape == (B, l, D, N)
        assert (h0 is not None) == (row == "with h0")


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_the_same_each_time_and_takes_its_dtype(row):
    first, again, other = inputs(row), inputs(row), inputs(row, seed=1)
    assert all(torch.equal(first[name].nan_to_num(), again[name].nan_to_num()) for name in first)
    assert not torch.equal(first["C"], other["C"])
    assert {t.dtype for t in inputs(row, dtype=torch.bfloat16).values()} == {torch.bfloat16}


def test_each_row_is_what_its_name_says():
    plain = inputs("plain", l=16)
    assert (plain["delta"] >= 1e-3).all()
    assert (plain["delta"] <= 1e-1).all()
    assert (plain["A"] < 0).all()
    assert (inputs("zero delta", l=16)["delta"] == 0).any()
    assert (inputs("zero delta", l=16)["delta"] != 0).any()
    assert inputs("tiny delta", l=16)["delta"].max() <= 1e-7
    assert inputs("huge delta", l=16)["delta"].min() >= 10
    assert (inputs("A = 0")["A"] == 0).all()
    assert (inputs("A = -1e4")["A"] == -1e4).all()
    assert (inputs("left padding", l=16)["u"][:, :8] == 0).all()
    assert (inputs("left padding", l=16)["u"][:, 8:] != 0).all()
    assert inputs("NaN in u", l=16)["u"].isnan().sum() == 1
    assert inputs("inf in u", l=16)["u"].isinf().sum() == 1
    assert inputs("NaN in delta", l=16)["delta"].isnan().sum() == 1
    assert not inputs("NaN in delta", l=16)["u"].isnan().any()
    assert not plain["u"].isnan().any()


def test_odd_layouts_are_odd():
    assert all(t.is_contiguous() for t in inputs("plain").values())
    for row, names in (("transposed", ("u", "delta")), ("expanded", ("u", "B")), ("sliced", ("u",))):
        assert not any(inputs(row)[name].is_contiguous() for name in names), row
        a, b, _ = linear_inputs(row)
        assert not a.is_contiguous(), row
        assert row == "expanded" or not b.is_contiguous(), row
    assert linear_inputs("expanded")[0].stride()[-1] == 0


def test_linear_inputs_are_mambas_rule():
    x = inputs("plain")
    a, b, h0 = linear_inputs("plain")
    assert torch.equal(a, torch.exp(x["delta"][..., None] * x["A"]))
    assert torch.allclose(b, x["delta"][..., None] * x["B"][:, :, None] * x["u"][..., None], rtol=1e-15, atol=0)
    assert h0 is None


def test_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match=r"row must be one of \('plain', .*\), got 'plane'"):
        inputs("plane")
    with pytest.raises(ValueError, match=r"options must be one of \('bare', .*\), got 'fool'"):
        selective_inputs("plain", "fool")


@pytest.mark.parametrize("options", OPTIONS)
def test_the_options_are_what_their_names_say(options):
    for l in LENGTHS:
        x = selective_inputs("plain", options, b=B, l=l, d=D, n=N)
        names = OPTIONS[options]
        shapes = {"u": (B, l, D), "delta": (B, l, D), "A": (D, N)}
        for name in ("B", "C"):
            shapes[name] = (D, N) if f"fixed {name}" in names else (B, l, 3, N) if "groups" in names else (B, l, N)
        more = {"D": (D,), "z": (B, l, D), "delta_bias": (D,), "h0": (B, D, N), "seq_idx": (B, l)}
        shapes |= {name: shape for name, shape in more.items() if name in names}
        assert x.pop("delta_softplus", False) == ("delta_softplus" in names)
        assert {name: tuple(t.shape) for name, t in x.items()} == shapes
        assert {t.dtype for name, t in x.items() if name != "seq_idx"} == {torch.float64}


@pytest.mark.parametrize("row", ["plain", "zero delta", "tiny delta", "huge delta"])
@pytest.mark.parametrize("options", ["full", "delta_bias"])
def test_the_step_size_is_that_of_the_row_whatever_comes_before_it(row, options):
    x, expected = selective_inputs(row, options, l=33), inputs(row, l=33)["delta"]
    delta = x["delta"] + x["delta_bias"]
    if options == "full":
        delta = torch.nn.functional.softplus(delta, threshold=50)
    assert (delta - expected).abs().max() <= 1e-14 * max(1, expected.max())


def test_packed_rows_hold_sequences_of_one_step_and_of_more():
    seq_idx = selective_inputs("plain", "packed", l=65)["seq_idx"]
    lengths = {int(count) for row in seq_idx for count in row.unique_consecutive(return_counts=True)[1]}
    assert 1 in lengths
    assert max(lengths) > 4
    assert not torch.equal(seq_idx[0], seq_idx[1])


def test_groups_differ():
    x = selective_inputs("plain", "groups", d=4)
    assert x["B"].shape[2] == 2
    assert not torch.equal(x["B"][:, :, 0], x["B"][:, :, 1])


# ---- shape comments -------------------------------------------------------------------------------------------------


def a_lie(u):
    y = 2 * u  # (b l d)
    y = y.transpose(1, 2)  # (b l d)
    return y


def a_number(u):
    y = u.sum(-1, keepdim=True)  # (b l 2)
    return y


def an_axis_too_few(u):
    y = u.sum(-1)  # (b l d)
    return y


def in_several_lines(u):
    y = torch.cat(
        [u, u],
        dim=1,
    )  # (b 10 d)
    z = torch.cat(
        [y, y],
        dim=1,
    )  # (b 10 d)
    return z


def the_truth(u):
    y = u.transpose(1, 2)  # (b d l)
    z = y[:, :, None]  # (b d 1 l)
    return z


def test_a_wrong_comment_is_named_with_its_line():
    u = torch.zeros(2, 5, 3)
    line = inspect.getsourcelines(a_lie)[1] + 2
    with pytest.raises(AssertionError, match=rf"^line {line}: y is commented \(b l d\) but its shape is \(2, 3, 5\)$"):
        check_shapes(a_lie)(u)
    with pytest.raises(AssertionError, match=r"y is commented \(b l 2\) but its shape is \(2, 5, 1\)"):
        check_shapes(a_number)(u)
    with pytest.raises(AssertionError, match=r"y is commented \(b l d\) but its shape is \(2, 5\)"):
        check_shapes(an_axis_too_few)(u)
    with pytest.raises(AssertionError, match=r"z is commented \(b 10 d\) but its shape is \(2, 20, 3\)"):
        check_shapes(in_several_lines)(u)


def test_a_true_comment_passes_and_the_function_does_what_it_did():
    u = torch.randn(2, 5, 3)
    assert torch.equal(check_shapes(the_truth)(u), the_truth(u))
    # Each call meets the letters anew.
    checked = check_shapes(the_truth)
    checked(u)
    checked(torch.zeros(1, 4, 6))


def test_the_linear_scan_tells_the_truth():
    a, b, h0 = linear_inputs("with h0", l=5, b=B, d=D, n=N)
    assert torch.equal(check_shapes(linear_scan_naive)(a, b, h0), linear_scan_naive(a, b, h0))


def test_the_selective_scan_tells_the_truth():
    x = selective_inputs("plain", "h0", l=5, b=B, d=D, n=N)
    per_step = [[m[:, t, None] for t in range(5)] for m in (x["B"], x["C"])]  # (b 1 n) each
    reset = torch.zeros(B, 5, dtype=torch.bool)
    reset[1, 2] = True
    for arguments in ((*per_step, x["h0"], None), (*per_step, x["h0"], reset)):
        got = check_shapes(selective_scan_naive)(x["u"], x["delta"], x["A"], *arguments)
        expected = selective_scan_naive(x["u"], x["delta"], x["A"], *arguments)
        assert all(torch.equal(g, e) for g, e in zip(got, expected, strict=True))
    assert "_check_shape" in check_shapes(selective_scan_naive).__code__.co_names


DIAGONAL = [name for name in dir(discretize) if name.endswith("_diagonal")]
DENSE = ["forward_euler", "backward_euler", "bilinear", "zoh", "mamba_rule", "foh"]


def test_no_rule_is_missing_here():
    public = {name for name, f in vars(discretize).items() if inspect.isfunction(f) and not name.startswith("_")}
    assert public == {*DIAGONAL, *DENSE, "phi1", "phi2", "simulate"}


@pytest.mark.parametrize("name", DIAGONAL)
def test_the_diagonal_rules_tell_the_truth(name):
    x = inputs("plain", b=B, l=5, d=D, n=N)
    rule = getattr(discretize, name)
    for got, expected in zip(
        check_shapes(rule)(x["A"], x["B"], x["delta"]), rule(x["A"], x["B"], x["delta"]), strict=True
    ):
        assert got.shape == (B, 5, D, N)
        assert torch.equal(got, expected)


@pytest.mark.parametrize("name", DENSE)
def test_the_dense_rules_tell_the_truth(name):
    rule, A, B_ = getattr(discretize, name), -torch.eye(N) + 0.1, torch.ones(N)
    for got, expected in zip(check_shapes(rule)(A, B_, 0.1), rule(A, B_, 0.1), strict=True):
        assert torch.equal(got, expected)


def test_the_walk_and_the_kernel_tell_the_truth():
    A_bar, B_bar, C = 0.5 * torch.eye(N), torch.ones(N), torch.ones(N)
    assert check_shapes(discretize.simulate)(A_bar, B_bar, torch.ones(5)).shape == (5, N)
    for A in (A_bar, A_bar.diagonal()):
        assert torch.equal(check_shapes(convolution.kernel_by_powers)(A, B_bar, C, 5), N * 0.5 ** torch.arange(5))


@pytest.mark.parametrize("name", [*DIAGONAL, *DENSE, "simulate"])
def test_the_checks_are_there(name):
    """A function whose comments the check does not see would pass whatever they say."""
    assert "_check_shape" in check_shapes(getattr(discretize, name)).__code__.co_names
