"""A system whose coefficients do not change is a convolution: y = K * u, with K_j = C A_bar^j B_bar.

Source: S4 (Gu et al. 2022), section 2.4, equations 4 and 5.
"""

import torch
from torch import Tensor


def kernel_by_powers(A_bar: Tensor, B_bar: Tensor, C: Tensor, l: int) -> Tensor:
    """The echo of one impulse: what the loop gives out when 1 goes in, and then nothing.

    Equation: K_j = C A_bar^j B_bar, for j = 0 ... l-1.

    Args:
        A_bar: (n n), or (n) for a diagonal system.
        B_bar: (n).
        C: (n).
        l: the number of steps.

    Returns:
        K: (l).

    Raises:
        ValueError: a shape that does not fit, by symbol.

    Source: S4, equation 5.

    >>> kernel_by_powers(torch.tensor([0.5]), torch.tensor([1.0]), torch.tensor([2.0]), 3)
    tensor([2.0000, 1.0000, 0.5000])
    """
    n = B_bar.shape[-1]
    if B_bar.ndim != 1:
        raise ValueError(f"B_bar must be (n), got {tuple(B_bar.shape)}")
    if A_bar.shape not in ((n,), (n, n)):
        raise ValueError(f"A_bar must be (n n) or (n) with n = {n}, got {tuple(A_bar.shape)}")
    if C.shape != (n,):
        raise ValueError(f"C must be (n) = ({n},), got {tuple(C.shape)}")
    # [eq-kernel]
    h, K = B_bar, []
    for _ in range(l):
        K.append((C * h).sum())
        h = A_bar * h if A_bar.ndim == 1 else A_bar @ h  # (n)
    # [/eq-kernel]
    return torch.stack(K) if K else B_bar.new_zeros(0)


def _check(u: Tensor, kernel: Tensor) -> Tensor:
    """The kernel with the axes of u."""
    if u.is_complex() or kernel.is_complex():
        raise TypeError(f"u and kernel must be real, got {u.dtype} and {kernel.dtype}")
    if u.ndim not in (1, 3):
        raise ValueError(f"u must be (l) or (b l d), got {tuple(u.shape)}")
    l = u.shape[0] if u.ndim == 1 else u.shape[1]
    fits = kernel.shape == (l,) or (u.ndim == 3 and kernel.shape == (l, u.shape[2]))
    if not fits:
        raise ValueError(f"kernel must be (l) = ({l},) or (l d), as long as u, got {tuple(kernel.shape)}")
    return kernel[:, None] if u.ndim == 3 and kernel.ndim == 1 else kernel


def direct_convolve(u: Tensor, kernel: Tensor) -> Tensor:
    """The sum as it stands: every output looks at every earlier input. l^2/2 products.

    Equation: y_t = sum over j = 0 ... t of K_j u_{t-j}.

    Args:
        u: (l) or (b l d).
        kernel: (l), or (l d) for one kernel a channel.

    Returns:
        y: like u, causal: y_t knows nothing of u after t.

    Raises:
        ValueError, TypeError: a shape or dtype that does not fit, by symbol.

    Source: S4, equation 4.

    >>> direct_convolve(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 0.5, 0.25]))
    tensor([1.0000, 0.5000, 1.2500])
    """
    kernel = _check(u, kernel)
    time = 0 if u.ndim == 1 else 1
    l = u.shape[time]
    y = torch.zeros_like(u)
    for j in range(l):
        echo = kernel[j] * u.narrow(time, 0, l - j)  # what u sounds like j steps later
        y = y + torch.nn.functional.pad(echo, (j, 0) if u.ndim == 1 else (0, 0, j, 0))  # [eq-convolution]
    return y


def fft_convolve(u: Tensor, kernel: Tensor) -> Tensor:
    """The same convolution through the Fourier transform: l log l instead of l^2.

    Equation: y = IFFT(FFT(u, 2l) FFT(K, 2l)), cut to l. The length 2l leaves the tail room: an FFT of length l wraps it round.

    Args:
        u: (l) or (b l d).
        kernel: (l), or (l d) for one kernel a channel.

    Returns:
        y: like u, at least fp32.

    Raises:
        ValueError, TypeError: a shape or dtype that does not fit, by symbol.

    Source: S4, section 2.4.

    >>> y = fft_convolve(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 0.5, 0.25]))
    >>> bool((y - torch.tensor([1.0, 0.5, 1.25])).abs().max() < 1e-6)
    True
    """
    kernel = _check(u, kernel)
    time = 0 if u.ndim == 1 else 1
    l = u.shape[time]
    dtype = torch.promote_types(torch.promote_types(u.dtype, kernel.dtype), torch.float32)
    if l == 0:
        return u.to(dtype)
    # [eq-fft]
    u_f = torch.fft.rfft(u.to(dtype), n=2 * l, dim=time)
    K_f = torch.fft.rfft(kernel.to(dtype), n=2 * l, dim=0)
    y = torch.fft.irfft(u_f * K_f, n=2 * l, dim=time).narrow(time, 0, l)
    # [/eq-fft]
    return y
