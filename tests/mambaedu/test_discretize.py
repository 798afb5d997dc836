"""The rules against scipy, sixty-digit arithmetic and closed forms; their gradients where delta A goes to 0."""

import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import torch

from mambaedu import discretize
from mambaedu.discretize import phi1, phi2

RULES = ("forward_euler", "backward_euler", "bilinear", "zoh", "mamba_rule")
STEPS = (1e-4, 1e-2, 0.1, 1.0, 10.0)


def dense(n=4, seed=0, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    A = torch.randn(n, n, generator=random, dtype=torch.float64) - 2 * torch.eye(n, dtype=torch.float64)
    return A.to(dtype), torch.randn(n, generator=random, dtype=torch.float64).to(dtype)


# ---- phi_k --------------------------------------------------------------------------------------------------------

HARD = [0.0, -1e-300, -1e-100, -1e-20, -1e-8, -1e-6, -1e-4, -1e-2, -0.1, -0.999, -1.0, -1.001, -3.0, -50.0, 0.5, 2.0]


def reference_phi(k, x):
    """The exact value to sixty digits."""
    with mpmath.workdps(60):
        x = mpmath.mpmathify(complex(x) if isinstance(x, complex) else float(x))
        if x == 0:
            return mpmath.mpf(1) / mpmath.factorial(k)
        # The quotient loses digits near 0, so it is taken with many more than that.
        with mpmath.workdps(700):
            return (mpmath.exp(x) - sum(x**j / mpmath.factorial(j) for j in range(k))) / x**k


@pytest.mark.equation("eq-phi1")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-7), (torch.float64, 1e-14)])
@pytest.mark.parametrize(("function", "k"), [(phi1, 1), (phi2, 2)])
def test_phi_is_accurate_everywhere(function, k, dtype, tolerance):  # traps: S9
    for x in HARD:
        argument = torch.tensor(x, dtype=dtype)
        expected = float(reference_phi(k, argument.item()))
        assert abs(function(argument).item() / expected - 1) < (tolerance if k == 1 else 10 * tolerance), x


def test_phi_of_complex_modes():
    for x in (1e-9j, -0.3 + 0.4j, -0.7 + 0.7j, -1 + 3j, 6.2j):
        got = phi1(torch.tensor(x, dtype=torch.complex128)).item()
        assert abs(got - complex(reference_phi(1, x))) < 1e-14 * max(1, abs(got))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_of_phi1_at_zero_is_one_half(dtype):  # traps: S8
    for x in (0.0, -1e-30, -1e-8, 1e-8):
        leaf = torch.tensor(x, dtype=dtype, requires_grad=True)
        assert abs(torch.autograd.grad(phi1(leaf), leaf)[0].item() - 0.5) < 1e-6


def test_the_gradient_is_finite_far_away():
    leaf = torch.tensor([-1e4, -100.0, 80.0], dtype=torch.float32, requires_grad=True)
    assert torch.isfinite(torch.autograd.grad(phi1(leaf).sum(), leaf)[0]).all()


def test_gradcheck_of_phi_across_the_seam():
    x = torch.tensor([-2.0, -1.0001, -0.9999, -0.5, 0.0, 0.3, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(phi1, x)
    assert torch.autograd.gradcheck(phi2, x)
    assert torch.autograd.gradgradcheck(phi1, x)


# ---- dense ----------------------------------------------------------------------------------------------------------


def test_the_exponential_where_torch_takes_too_few_terms():  # traps: S23
    worst = 0.0
    for norm in (1e-4, 0.005, 0.0066, 0.01, 0.03, 0.0498, 0.055, 0.1, 0.5, 2.0):
        M = np.random.default_rng(0).standard_normal((2, 2))
        M *= norm / np.linalg.norm(M, 1)
        got = discretize._expm(torch.from_numpy(M)).numpy()
        worst = max(worst, np.abs(got - scipy.linalg.expm(M)).max())
    assert worst < 1e-14 * 10


@pytest.mark.parametrize("delta", STEPS)
@pytest.mark.equation("eq-zoh", "eq-bilinear", "eq-forward-euler", "eq-backward-euler")
def test_dense_rules_equal_scipy(delta):
    A, B = dense()
    for rule, method in (
        ("zoh", "zoh"),
        ("bilinear", "bilinear"),
        ("forward_euler", "euler"),
        ("backward_euler", "backward_diff"),
    ):
        A_bar, B_bar = getattr(discretize, rule)(A, B, delta)
        # scipy's bilinear also changes C and D; A_bar and B_bar are the same.                              traps: H7
        system = (A.numpy(), B.numpy()[:, None], np.eye(4), np.zeros((4, 1)))
        expected = scipy.signal.cont2discrete(system, delta, method=method)
        assert np.abs(A_bar.numpy() - expected[0]).max() < 1e-12 * np.abs(expected[0]).max()
        assert np.abs(B_bar.numpy() - expected[1][:, 0]).max() < 1e-12 * np.abs(expected[1]).max()


def test_zoh_of_a_singular_system():
    """The double integrator: A_bar = [[1, delta], [0, 1]], B_bar = [delta^2 / 2, delta]."""
    A_bar, B_bar = discretize.zoh(
        torch.tensor([[0.0, 1.0], [0.0, 0.0]]).double(), torch.tensor([0.0, 1.0]).double(), 0.3
    )
    assert torch.allclose(A_bar, torch.tensor([[1, 0.3], [0, 1]]).double(), atol=1e-15)
    assert torch.allclose(B_bar, torch.tensor([0.045, 0.3]).double(), atol=1e-15)


@pytest.mark.equation("eq-foh")
def test_foh_is_exact_for_an_input_made_of_straight_lines():
    A, B = dense()
    u = torch.tensor([0.0, 1.0, -0.5, 2.0, 0.3, 0.3], dtype=torch.float64)  # lsim agrees only when it starts at 0
    delta = 0.4
    A_bar, B_prev, B_next = discretize.foh(A, B, delta)
    h = torch.zeros(4, dtype=torch.float64)
    states = [h]
    for t in range(1, len(u)):
        h = A_bar @ h + B_prev * u[t - 1] + B_next * u[t]
        states.append(h)
    time = np.arange(len(u)) * delta
    system = (A.numpy(), B.numpy()[:, None], np.eye(4), np.zeros((4, 1)))
    _, expected, _ = scipy.signal.lsim(system, u.numpy(), time, interp=True)
    assert np.abs(torch.stack(states).numpy() - expected).max() < 1e-12


@pytest.mark.equation("eq-recurrence")
def test_the_loop_is_scipys_with_the_input_one_step_earlier():  # traps: M10
    A, B = dense()
    C = torch.randn(4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    A_bar, B_bar = discretize.zoh(A, B, 0.2)
    u = torch.randn(30, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = discretize.simulate(A_bar, B_bar, u) @ C
    ours = (A_bar.numpy(), B_bar.numpy()[:, None], (C @ A_bar).numpy()[None], np.array([[float(C @ B_bar)]]), 0.2)
    _, expected, _ = scipy.signal.dlsim(ours, u.numpy())
    assert np.abs(y.numpy() - expected[:, 0]).max() < 1e-12
    plain = (A_bar.numpy(), B_bar.numpy()[:, None], C.numpy()[None], np.zeros((1, 1)), 0.2)
    _, late, _ = scipy.signal.dlsim(plain, u.numpy())
    assert np.abs(y.numpy()[:-1] - late[1:, 0]).max() < 1e-12


def test_zoh_is_the_differential_equation_for_held_inputs():
    A, B = dense()
    u = torch.randn(20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    h = discretize.simulate(*discretize.zoh(A, B, 0.5), u)
    system = (A.numpy(), B.numpy()[:, None], np.eye(4), np.zeros((4, 1)))
    held = np.append(u.numpy(), 0.0)
    _, expected, _ = scipy.signal.lsim(system, held, np.arange(21) * 0.5, interp=False)
    assert np.abs(h.numpy() - expected[1:]).max() < 1e-12


def test_simulate_starts_from_h0_and_takes_no_steps():
    A_bar, B_bar = torch.eye(2) / 2, torch.ones(2)
    assert torch.equal(
        discretize.simulate(A_bar, B_bar, torch.zeros(1), torch.tensor([4.0, 8.0]))[0], torch.tensor([2.0, 4.0])
    )
    assert discretize.simulate(A_bar, B_bar, torch.zeros(0)).shape == (0, 2)


# ---- diagonal -------------------------------------------------------------------------------------------------------


@pytest.mark.equation(
    "eq-zoh-diagonal",
    "eq-bilinear-diagonal",
    "eq-forward-euler-diagonal",
    "eq-backward-euler-diagonal",
    "eq-mamba-rule",
)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_diagonal_rules_equal_dense_ones(rule, dtype):
    modes = torch.tensor([-1.0, -0.2, -7.0], dtype=dtype)
    if dtype.is_complex:
        modes = modes + 1j * torch.tensor([0.5, -3.0, 2.0], dtype=torch.float64)
    B = torch.tensor([1.0, -2.0, 0.5], dtype=dtype)
    for delta in STEPS:
        A_bar, B_bar = getattr(discretize, f"{rule}_diagonal")(modes, B, delta)
        expected = getattr(discretize, rule)(torch.diag(modes), B, delta)
        assert torch.allclose(torch.diag(A_bar), expected[0], rtol=1e-12, atol=1e-13)
        assert torch.allclose(B_bar, expected[1], rtol=1e-12, atol=1e-13)


@pytest.mark.equation("eq-foh-diagonal")
def test_diagonal_foh_equals_dense_foh():
    modes, B = (
        torch.tensor([-1.0, -0.2, -7.0], dtype=torch.float64),
        torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64),
    )
    for delta in STEPS:
        for got, expected in zip(
            discretize.foh_diagonal(modes, B, delta), discretize.foh(torch.diag(modes), B, delta), strict=True
        ):
            expected = torch.diag(expected) if expected.ndim == 2 else expected
            assert torch.allclose(got, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rule", RULES)
def test_axes_broadcast_to_b_l_d_n(rule):
    b, l, d, n = 2, 5, 3, 4
    A, delta = -torch.rand(d, n), torch.rand(b, l, d)
    for B in (torch.randn(n), torch.randn(d, n), torch.randn(b, l, n)):
        A_bar, B_bar = getattr(discretize, f"{rule}_diagonal")(A, B, delta)
        assert A_bar.shape == (b, l, d, n)
        assert B_bar.shape == (b, l, d, n)
        i, t, c = 1, 3, 2
        B_here = B[i, t] if B.ndim == 3 else B[c] if B.ndim == 2 else B
        one = getattr(discretize, f"{rule}_diagonal")(A[c], B_here, delta[i, t, c].item())
        assert torch.allclose(A_bar[i, t, c], one[0])
        assert torch.allclose(B_bar[i, t, c], one[1])


def test_zoh_at_delta_A_zero_has_the_right_value_and_gradient():  # traps: S8
    A = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    B = torch.tensor([[3.0, -1.0]], dtype=torch.float64)
    delta = torch.full((1, 1, 1), 0.4, dtype=torch.float64)
    _, B_bar = discretize.zoh_diagonal(A, B, delta)
    assert torch.allclose(B_bar, 0.4 * B)
    assert torch.allclose(torch.autograd.grad(B_bar.sum(), A)[0], 0.4**2 / 2 * B, atol=1e-16)


@pytest.mark.parametrize("rule", RULES)
def test_gradcheck_of_every_diagonal_rule(rule):
    A = torch.tensor([[-1.0, 0.0, -1e-8], [-2.0, -0.3, -30.0]], dtype=torch.float64, requires_grad=True)
    B = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    delta = torch.full((1, 2, 2), 0.1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(getattr(discretize, f"{rule}_diagonal"), (A, B, delta))


@pytest.mark.parametrize("rule", RULES)
def test_gradcheck_of_every_dense_rule(rule):
    A, B = dense(3)
    delta = torch.tensor(0.02, dtype=torch.float64)
    leaves = [x.requires_grad_() for x in (A, B, delta)]
    assert torch.autograd.gradcheck(getattr(discretize, rule), leaves)


def test_half_precision_is_widened():  # traps: S11
    A = torch.full((1,), -0.001, dtype=torch.bfloat16)
    A_bar, _ = discretize.zoh_diagonal(A, torch.ones(1, dtype=torch.bfloat16), 1.0)
    assert A_bar.dtype == torch.float32
    assert A_bar.item() < 1


def test_a_rule_is_stable_where_the_book_says_so():
    one = torch.ones(1, dtype=torch.float64)
    for step in (0.5, 1.9, 2.1, 10.0, 100.0):
        size = {rule: abs(getattr(discretize, f"{rule}_diagonal")(-one, one, step)[0].item()) for rule in RULES}
        assert max(size["zoh"], size["bilinear"], size["backward_euler"]) < 1
        assert (size["forward_euler"] < 1) == (step < 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: discretize.zoh(torch.zeros(2, 3), torch.zeros(2), 0.1), r"A must be \(n n\), got \(2, 3\)"),
        (lambda: discretize.zoh(torch.zeros(2, 2), torch.zeros(3), 0.1), r"B must be \(n\) = \(2,\), got \(3,\)"),
        (
            lambda: discretize.zoh(torch.zeros(2, 2), torch.zeros(2), torch.zeros(4)),
            r"delta must be a scalar, got \(4,\)",
        ),
        (
            lambda: discretize.zoh_diagonal(torch.zeros(2, 2, 2), torch.zeros(2), 0.1),
            r"A must be \(n\) or \(d n\), got \(2, 2, 2\)",
        ),
        (lambda: discretize.zoh_diagonal(torch.zeros(3, 2), torch.zeros(4), 0.1), r"B must be .* n = 2, got \(4,\)"),
        (lambda: discretize.zoh_diagonal(torch.zeros(3, 2), torch.zeros(2, 2), 0.1), r"B must be \(d n\) = \(3, 2\)"),
        (
            lambda: discretize.zoh_diagonal(torch.zeros(3, 2), torch.zeros(2), torch.zeros(1, 5, 4)),
            r"delta must end in d = 3",
        ),
        (
            lambda: discretize.zoh_diagonal(torch.zeros(3, 2), torch.zeros(1, 5, 2), torch.zeros(1, 4, 3)),
            r"B is \(b l n\)",
        ),
        (lambda: discretize.zoh_diagonal([1.0], torch.zeros(1), 0.1), r"A must be \(n\) or \(d n\), got list"),
        (lambda: discretize.simulate(torch.eye(2), torch.ones(2), torch.ones(2, 2)), r"u must be \(l\), got \(2, 2\)"),
        (
            lambda: discretize.simulate(torch.eye(2), torch.ones(2), torch.ones(2), torch.ones(3)),
            r"h0 must be \(n\) = \(2,\), got \(3,\)",
        ),
    ],
)
def test_errors_name_the_symbol_and_both_shapes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
