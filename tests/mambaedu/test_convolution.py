"""The loop, the sum and the Fourier transform give one y; scipy gives the same."""

import numpy as np
import pytest
import scipy.signal
import torch

from mambaedu import linear_scan
from mambaedu.convolution import direct_convolve, fft_convolve, kernel_by_powers
from mambaedu.discretize import simulate, zoh

LENGTHS = (0, 1, 2, 3, 17, 200)
WAYS = (direct_convolve, fft_convolve)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def system(n=4, delta=0.1):
    """A stable dense system in steps: A_bar (n n), B_bar (n), C (n)."""
    A = normal(n, n, seed=1) - 2 * torch.eye(n, dtype=torch.float64)
    A_bar, B_bar = zoh(A, normal(n, seed=2), delta)
    return A_bar, B_bar, normal(n, seed=3)


def close(got, expected, tolerance=1e-12):
    assert got.shape == expected.shape
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    assert got.numel() == 0 or float((got - expected).abs().max()) < tolerance * scale


# ---- the kernel -----------------------------------------------------------------------------------------------------


@pytest.mark.equation("eq-kernel")
@pytest.mark.parametrize("l", LENGTHS)
def test_the_kernel_is_made_of_matrix_powers(l):
    A_bar, B_bar, C = system()
    expected = [C.numpy() @ np.linalg.matrix_power(A_bar.numpy(), j) @ B_bar.numpy() for j in range(l)]
    close(kernel_by_powers(A_bar, B_bar, C, l), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.equation("eq-kernel")
@pytest.mark.parametrize("l", LENGTHS)
def test_the_kernel_of_a_diagonal_system_is_a_sum_of_powers(l):
    A_bar, B_bar, C = torch.tensor([0.9, -0.5, 0.0], dtype=torch.float64), normal(3, seed=2), normal(3, seed=3)
    j = torch.arange(l, dtype=torch.float64)[:, None]
    close(kernel_by_powers(A_bar, B_bar, C, l), (C * B_bar * A_bar**j).sum(-1))
    close(kernel_by_powers(A_bar, B_bar, C, l), kernel_by_powers(torch.diag(A_bar), B_bar, C, l))


@pytest.mark.equation("eq-kernel")
def test_complex_modes_have_a_complex_kernel():
    A_bar = torch.tensor([0.9 * np.exp(0.3j), 0.5j], dtype=torch.complex128)
    B_bar, C = torch.tensor([1 + 1j, 2], dtype=torch.complex128), torch.tensor([1 - 2j, 0.5j], dtype=torch.complex128)
    j = torch.arange(20, dtype=torch.float64)[:, None]
    close(kernel_by_powers(A_bar, B_bar, C, 20), (C * B_bar * A_bar**j).sum(-1))


@pytest.mark.equation("eq-kernel")
def test_the_kernel_is_the_impulse_response_of_scipy():
    A_bar, B_bar, C = (x.numpy() for x in system())
    # scipy reads the state before the step: y_t = C' h_{t-1} + D' u_t. Ours is y_t = C h_t, so C' = C A_bar and D' = C B_bar.
    theirs = (A_bar, B_bar[:, None], (C @ A_bar)[None], np.array([[C @ B_bar]]), 1.0)
    _, (y,) = scipy.signal.dimpulse(theirs, n=50)
    close(kernel_by_powers(*system(), 50), torch.from_numpy(y[:, 0]))


# ---- loop = sum = transform -----------------------------------------------------------------------------------------


@pytest.mark.equation("eq-convolution")
@pytest.mark.equation("eq-fft")
@pytest.mark.parametrize("l", LENGTHS)
def test_the_loop_the_sum_and_the_transform_agree(l):
    A_bar, B_bar, C = system()
    u = normal(l, seed=4)
    K = kernel_by_powers(A_bar, B_bar, C, l)
    loop = simulate(A_bar, B_bar, u) @ C
    for way in WAYS:
        close(way(u, K), loop)


@pytest.mark.equation("eq-convolution")
@pytest.mark.equation("eq-fft")
@pytest.mark.parametrize("l", LENGTHS)
def test_batches_and_channels_agree_with_the_linear_scan(l):
    a = torch.tensor([0.9, -0.5, 0.99], dtype=torch.float64)  # one mode a channel: (d)
    u = normal(2, l, 3)
    K = a ** torch.arange(l, dtype=torch.float64)[:, None]  # (l d)
    loop = linear_scan(a.expand(2, l, 3), u, backend="naive")
    for way in WAYS:
        close(way(u, K), loop)


@pytest.mark.equation("eq-convolution")
@pytest.mark.equation("eq-fft")
@pytest.mark.parametrize("l", [l for l in LENGTHS if l])
def test_scipy_agrees(l):
    A_bar, B_bar, C = system()
    u, K = normal(l, seed=4), kernel_by_powers(A_bar, B_bar, C, l)
    a, b, c = A_bar.numpy(), B_bar.numpy(), C.numpy()
    theirs = (a, b[:, None], (c @ a)[None], np.array([[c @ b]]), 1.0)
    _, y, _ = scipy.signal.dlsim(theirs, u.numpy()[:, None])
    convolved = scipy.signal.fftconvolve(u.numpy(), K.numpy())[:l]
    for way in WAYS:
        close(way(u, K), torch.from_numpy(y[:, 0]))
        close(way(u, K), torch.from_numpy(convolved))


@pytest.mark.parametrize("way", WAYS)
def test_one_kernel_for_all_channels_or_one_each(way):
    u, K = normal(2, 17, 3), normal(17, 3, seed=1)
    each = torch.stack([torch.stack([way(u[b, :, d], K[:, d]) for d in range(3)], dim=1) for b in range(2)])
    close(way(u, K), each)
    close(way(u, K[:, 0]), way(u, K[:, :1].expand(17, 3)))


# ---- what the padding is for ----------------------------------------------------------------------------------------


@pytest.mark.equation("eq-fft")
def test_a_transform_as_short_as_the_signal_is_wrong_by_as_much_as_the_signal():
    l = 64
    u = torch.zeros(l, dtype=torch.float64)
    u[-1] = 1  # an impulse at the last step
    K = 0.9 ** torch.arange(l, dtype=torch.float64)
    short = torch.fft.irfft(torch.fft.rfft(u) * torch.fft.rfft(K), n=l)
    close(fft_convolve(u, K), direct_convolve(u, K))
    assert fft_convolve(u, K)[:-1].abs().max() < 1e-14
    # The echo that has no room left comes out at the start, at nearly full size.
    assert (short - direct_convolve(u, K)).abs().max() > 0.8 * u.abs().max()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("t", [0, 1, 8, 16])
def test_an_output_knows_nothing_of_later_inputs(way, t):
    u, K = normal(2, 17, 3), normal(17, 3, seed=1)
    other = u.clone()
    other[:, t] += 1.0
    change = (way(other, K) - way(u, K)).abs()
    assert (change[:, :t] < 1e-13).all()
    assert (change[:, t] - K[0].abs()).abs().max() < 1e-12


# ---- gradients and types --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(5,), (2, 5, 3)])
def test_gradients_of_the_convolution(way, shape):
    u = normal(*shape).requires_grad_()
    K = normal(*shape[-2:], seed=1).requires_grad_()
    assert torch.autograd.gradcheck(way, (u, K))


@pytest.mark.parametrize("diagonal", [False, True])
def test_gradients_of_the_kernel(diagonal):
    A_bar, B_bar, C = (x.requires_grad_() for x in system(3))
    if diagonal:
        A_bar = torch.tensor([0.9, -0.5, 0.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: kernel_by_powers(*x, 5), (A_bar, B_bar, C))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_transform_is_at_least_single_precision(dtype):
    u, K = normal(2, 17, 3, dtype=dtype), normal(17, seed=1, dtype=dtype)
    y = fft_convolve(u, K)
    assert y.dtype == torch.float32
    close(y.double(), direct_convolve(u.double(), K.double()), 1e-6)
    assert fft_convolve(u, K.double()).dtype == torch.float64
    assert fft_convolve(u[:, :0], K[:0]).dtype == torch.float32


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("A_bar", "B_bar", "C", "sentence"),
    [
        ((2, 2), (2, 1), (2,), r"B_bar must be \(n\), got \(2, 1\)"),
        ((2, 3), (2,), (2,), r"A_bar must be \(n n\) or \(n\) with n = 2, got \(2, 3\)"),
        ((3,), (2,), (2,), r"A_bar must be \(n n\) or \(n\) with n = 2, got \(3,\)"),
        ((2, 2), (2,), (1, 2), r"C must be \(n\) = \(2,\), got \(1, 2\)"),
    ],
)
def test_a_bad_shape_of_the_system_is_named(A_bar, B_bar, C, sentence):
    with pytest.raises(ValueError, match=sentence):
        kernel_by_powers(torch.ones(A_bar), torch.ones(B_bar), torch.ones(C), 3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("u", "kernel", "sentence"),
    [
        ((2, 5), (5,), r"u must be \(l\) or \(b l d\), got \(2, 5\)"),
        ((5,), (4,), r"kernel must be \(l\) = \(5,\) or \(l d\), as long as u, got \(4,\)"),
        ((5,), (5, 1), r"kernel must be \(l\) = \(5,\) or \(l d\), as long as u, got \(5, 1\)"),
        ((2, 5, 3), (5, 2), r"kernel must be \(l\) = \(5,\) or \(l d\), as long as u, got \(5, 2\)"),
        ((2, 5, 3), (3,), r"kernel must be \(l\) = \(5,\) or \(l d\), as long as u, got \(3,\)"),
    ],
)
def test_a_bad_shape_of_the_convolution_is_named(way, u, kernel, sentence):
    with pytest.raises(ValueError, match=sentence):
        way(torch.ones(u), torch.ones(kernel))


@pytest.mark.parametrize("way", WAYS)
def test_complex_numbers_are_refused(way):
    with pytest.raises(TypeError, match=r"u and kernel must be real, got torch.float32 and torch.complex64"):
        way(torch.ones(3), torch.ones(3, dtype=torch.complex64))
    with pytest.raises(TypeError, match=r"got torch.complex64 and torch.float32"):
        way(torch.ones(3, dtype=torch.complex64), torch.ones(3))
