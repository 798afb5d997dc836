"""From continuous time to steps: h'(t) = A h(t) + B u(t) becomes h_t = A_bar h_{t-1} + B_bar u_t.

Each rule comes twice: dense, A (n n) and B (n), and diagonal, where A is a list of modes and everything broadcasts to (b l d n).
Sources: S4 (Gu et al. 2022) section 2.3; Mamba (Gu and Dao 2023) section 2, equation 4; Van Loan (1978) for the block exponential.
"""

import math

import torch
from torch import Tensor

# ---- the functions phi_k -----------------------------------------------------------------------------------------


def _taylor(x: Tensor, k: int) -> Tensor:
    """The series of phi_k at 0: the sum of x^j / (j + k)!. Nineteen terms are exact to fp64 rounding for |x| <= 1."""
    total = torch.zeros_like(x)
    for j in reversed(range(19)):
        total = total * x + 1 / math.factorial(j + k)
    return total


def _phi(x: Tensor, k: int) -> Tensor:
    """phi_1(x) = (e^x - 1) / x and phi_2(x) = (e^x - 1 - x) / x^2, for every x, with the right gradients."""
    # Near 0 the quotient cancels: in fp32 (e^x - 1) / x is off by 100 % at x = -1e-8, and its gradient at 0 is NaN.
    near = x.abs() < 1
    # Each branch sees only arguments that it can take: `where` differentiates the branch it throws away, too.
    small = torch.where(near, x, torch.zeros_like(x))
    large = torch.where(near, torch.ones_like(x), x)
    grown = torch.exp(large) - 1
    quotient = grown / large if k == 1 else (grown - large) / large**2
    return torch.where(near, _taylor(small, k), quotient)


def phi1(x: Tensor) -> Tensor:
    """The mean of e^s for s between 0 and x: what a held input contributes over one step.

    Equation: phi1(x) = (e^x - 1) / x, and phi1(0) = 1, with derivative 1/2 there.

    Args:
        x: any shape, real or complex, fp32 or fp64.

    Returns:
        A tensor like x. Relative error below 3e-7 in fp32 and 1e-14 in fp64, at x = 0, -1e-300, -1e-8 as elsewhere.

    Source: Mamba, equation 4, where it is written (delta A)^-1 (exp(delta A) - I).

    >>> phi1(torch.tensor([0.0, -1.0]))
    tensor([1.0000, 0.6321])
    """
    return _phi(x, 1)  # [eq-phi1]


def phi2(x: Tensor) -> Tensor:
    """What the slope of the input contributes over one step; the first-order hold needs it.

    Equation: phi2(x) = (e^x - 1 - x) / x^2, and phi2(0) = 1/2.

    Args:
        x: any shape, real or complex.

    Returns:
        A tensor like x.

    >>> phi2(torch.tensor(0.0))
    tensor(0.5000)
    """
    return _phi(x, 2)


# ---- diagonal A: one number per mode, everything elementwise --------------------------------------------------------


def _float_at_least(*tensors: Tensor | float) -> torch.dtype:
    """The common type, at least fp32: exp(-0.001) is exactly 1 in bf16, and a slow mode would never forget."""
    dtype = torch.float32
    for tensor in tensors:
        if isinstance(tensor, Tensor):
            dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def _align(A: Tensor, B: Tensor, delta: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """Give A, B and delta the axes (b l d n), as far as they have them, and one dtype."""
    if not isinstance(A, Tensor) or A.ndim not in (1, 2):
        raise ValueError(f"A must be (n) or (d n), got {_what(A)}")
    n = A.shape[-1]
    dtype = _float_at_least(A, B, delta)
    real = torch.empty((), dtype=dtype).real.dtype
    delta = torch.as_tensor(delta, dtype=real, device=A.device)
    if delta.ndim not in (0, 1, 3):
        raise ValueError(f"delta must be a scalar, (d) or (b l d), got {_what(delta)}")
    if delta.ndim and A.ndim == 2 and delta.shape[-1] != A.shape[0]:
        raise ValueError(f"delta must end in d = {A.shape[0]}, the rows of A, got {_what(delta)}")
    if not isinstance(B, Tensor) or B.ndim not in (1, 2, 3) or B.shape[-1] != n:
        raise ValueError(f"B must be (n), (d n) or (b l n) with n = {n}, got {_what(B)}")
    if B.ndim == 2 and A.ndim == 2 and B.shape != A.shape:
        raise ValueError(f"B must be (d n) = {tuple(A.shape)} like A, got {_what(B)}")
    if B.ndim == 3:
        if delta.ndim != 3 or B.shape[:2] != delta.shape[:2]:
            raise ValueError(
                f"B is (b l n) = {tuple(B.shape)}, so delta must be (b l d) with the same b and l, got {_what(delta)}"
            )
        B = B[:, :, None, :]  # (b l 1 n)
    if delta.ndim:
        delta = delta[..., None]  # (b l d 1)
    return A.to(dtype), B.to(dtype), delta


def _what(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def forward_euler_diagonal(A: Tensor, B: Tensor, delta: Tensor | float) -> tuple[Tensor, Tensor]:
    """Forward Euler: the slope at the start of the step is kept for the whole step.

    Equation: A_bar = 1 + delta A;  B_bar = delta B. Stable for real A only while delta |A| < 2.

    Args:
        A: (n) or (d n), the modes, Re A < 0.
        B: (n), (d n) or (b l n).
        delta: scalar, (d) or (b l d), the step size, positive, in the time unit of 1/A.

    Returns:
        A_bar, B_bar: as far as the arguments have these axes, (b l d n).

    Raises:
        ValueError: a shape that does not fit, by symbol.

    >>> A_bar, B_bar = forward_euler_diagonal(torch.tensor([-1.0]), torch.tensor([1.0]), 0.5)
    >>> A_bar.item(), B_bar.item()
    (0.5, 0.5)
    """
    A, B, delta = _align(A, B, delta)
    A_bar = 1 + delta * A  # (b l d n) [eq-forward-euler-diagonal]
    B_bar = delta * B + torch.zeros_like(A_bar)  # (b l d n)
    return A_bar, B_bar


def backward_euler_diagonal(A: Tensor, B: Tensor, delta: Tensor | float) -> tuple[Tensor, Tensor]:
    """Backward Euler: the slope at the end of the step is used for the whole step.

    Equation: A_bar = 1 / (1 - delta A);  B_bar = delta B / (1 - delta A). Stable for every Re A < 0.

    Args, Returns, Raises: as in `forward_euler_diagonal`.

    >>> A_bar, B_bar = backward_euler_diagonal(torch.tensor([-1.0]), torch.tensor([1.0]), 1.0)
    >>> A_bar.item(), B_bar.item()
    (0.5, 0.5)
    """
    A, B, delta = _align(A, B, delta)
    A_bar = 1 / (1 - delta * A)  # (b l d n) [eq-backward-euler-diagonal]
    B_bar = A_bar * delta * B  # (b l d n)
    return A_bar, B_bar


def bilinear_diagonal(A: Tensor, B: Tensor, delta: Tensor | float) -> tuple[Tensor, Tensor]:
    """Bilinear (Tustin): the mean of the slopes at both ends. S4's rule.

    Equation: A_bar = (1 + delta A / 2) / (1 - delta A / 2);  B_bar = delta B / (1 - delta A / 2).

    Args, Returns, Raises: as in `forward_euler_diagonal`.

    Source: S4, equation 3.

    >>> A_bar, B_bar = bilinear_diagonal(torch.tensor([-1.0]), torch.tensor([1.0]), 2.0)
    >>> A_bar.item(), B_bar.item()
    (0.0, 1.0)
    """
    A, B, delta = _align(A, B, delta)
    half = delta * A / 2  # (b l d n)
    A_bar = (1 + half) / (1 - half)  # (b l d n) [eq-bilinear-diagonal]
    B_bar = delta * B / (1 - half)  # (b l d n)
    return A_bar, B_bar


def zoh_diagonal(A: Tensor, B: Tensor, delta: Tensor | float) -> tuple[Tensor, Tensor]:
    """Zero-order hold: exact when the input stays constant during each step.

    Equation: A_bar = exp(delta A);  B_bar = delta phi1(delta A) B.

    Args, Returns, Raises: as in `forward_euler_diagonal`. Right, with its gradients, at delta A = 0.

    Source: Mamba, equation 4.

    >>> A_bar, B_bar = zoh_diagonal(torch.tensor([0.0, -1.0]), torch.ones(2), 1.0)
    >>> B_bar
    tensor([1.0000, 0.6321])
    """
    A, B, delta = _align(A, B, delta)
    # [eq-zoh-diagonal]
    x = delta * A  # (b l d n)
    A_bar = torch.exp(x)  # (b l d n)
    B_bar = delta * phi1(x) * B  # (b l d n)
    # [/eq-zoh-diagonal]
    return A_bar, B_bar


def mamba_rule_diagonal(A: Tensor, B: Tensor, delta: Tensor | float) -> tuple[Tensor, Tensor]:
    """Mamba's rule: the exponential for A, Euler for B. First order; B is learned, so a constant factor costs nothing.

    Equation: A_bar = exp(delta A);  B_bar = delta B.

    Args, Returns, Raises: as in `forward_euler_diagonal`.

    Source: the Mamba code (selective_scan_interface); the paper's text has the zero-order hold.

    >>> A_bar, B_bar = mamba_rule_diagonal(torch.tensor([-1.0]), torch.ones(1), 1.0)
    >>> B_bar
    tensor([1.])
    """
    A, B, delta = _align(A, B, delta)
    A_bar = torch.exp(delta * A)  # (b l d n)
    B_bar = delta * B + torch.zeros_like(A_bar)  # (b l d n) [eq-mamba-rule]
    return A_bar, B_bar


def foh_diagonal(A: Tensor, B: Tensor, delta: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """First-order hold: exact when the input runs straight from one sample to the next.

    Equation: h_t = A_bar h_{t-1} + B_prev u_{t-1} + B_next u_t, with A_bar = exp(delta A),
    B_prev = delta (phi1 - phi2)(delta A) B, B_next = delta phi2(delta A) B.

    Args, Raises: as in `forward_euler_diagonal`.

    Returns:
        A_bar, B_prev, B_next: as far as the arguments have these axes, (b l d n).

    >>> A_bar, B_prev, B_next = foh_diagonal(torch.tensor([0.0]), torch.ones(1), 1.0)
    >>> B_prev.item(), B_next.item()
    (0.5, 0.5)
    """
    A, B, delta = _align(A, B, delta)
    x = delta * A  # (b l d n)
    A_bar = torch.exp(x)  # (b l d n)
    # [eq-foh-diagonal]
    B_next = delta * phi2(x) * B  # (b l d n)
    B_prev = delta * phi1(x) * B - B_next  # (b l d n)
    # [/eq-foh-diagonal]
    return A_bar, B_prev, B_next


# ---- dense A: (n n) -----------------------------------------------------------------------------------------------


def _check_dense(A: Tensor, B: Tensor, delta: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if not isinstance(A, Tensor) or A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(
            f"A must be (n n), got {_what(A)}; for a list of modes use the functions that end in _diagonal"
        )
    if not isinstance(B, Tensor) or B.shape != A.shape[:1]:
        raise ValueError(f"B must be (n) = ({A.shape[0]},), got {_what(B)}")
    dtype = _float_at_least(A, B, delta)
    delta = torch.as_tensor(delta, dtype=torch.empty((), dtype=dtype).real.dtype, device=A.device)
    if delta.ndim:
        raise ValueError(f"delta must be a scalar, got {_what(delta)}")
    return A.to(dtype), B.to(dtype), delta


def _expm(M: Tensor) -> Tensor:
    """exp(M) to fp64 rounding. torch's own takes too few terms for 1-norms between 0.0066 and 0.0501 (off by 2.6e-10)."""
    wide = M.to(torch.complex128 if M.is_complex() else torch.float64)
    norm = torch.linalg.matrix_norm(wide.detach(), 1)
    if 0.006 < norm < 0.06:
        E = torch.linalg.matrix_exp(wide / 16)
        for _ in range(4):
            E = E @ E
    else:
        E = torch.linalg.matrix_exp(wide)
    return E.to(M.dtype)


def forward_euler(A: Tensor, B: Tensor, delta: float | Tensor) -> tuple[Tensor, Tensor]:
    """Forward Euler for a dense system.

    Equation: A_bar = I + delta A;  B_bar = delta B.

    Args:
        A: (n n), real or complex.
        B: (n).
        delta: scalar, the step size, in the time unit of 1/A.

    Returns:
        A_bar (n n), B_bar (n).

    Raises:
        ValueError: a shape that does not fit, by symbol.

    >>> A_bar, B_bar = forward_euler(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([0.0, 1.0]), 0.5)
    >>> A_bar
    tensor([[1.0000, 0.5000],
            [0.0000, 1.0000]])
    """
    A, B, delta = _check_dense(A, B, delta)
    I = torch.eye(len(B), dtype=A.dtype, device=A.device)  # (n n)
    # [eq-forward-euler]
    A_bar = I + delta * A  # (n n)
    B_bar = delta * B  # (n)
    # [/eq-forward-euler]
    return A_bar, B_bar


def backward_euler(A: Tensor, B: Tensor, delta: float | Tensor) -> tuple[Tensor, Tensor]:
    """Backward Euler for a dense system.

    Equation: A_bar = (I - delta A)^-1;  B_bar = (I - delta A)^-1 delta B.

    Args, Returns, Raises: as in `forward_euler`.

    >>> backward_euler(torch.tensor([[-1.0]]), torch.tensor([1.0]), 1.0)[0]
    tensor([[0.5000]])
    """
    A, B, delta = _check_dense(A, B, delta)
    I = torch.eye(len(B), dtype=A.dtype, device=A.device)  # (n n)
    # [eq-backward-euler]
    A_bar = torch.linalg.solve(I - delta * A, I)  # (n n)
    B_bar = A_bar @ (delta * B)  # (n)
    # [/eq-backward-euler]
    return A_bar, B_bar


def bilinear(A: Tensor, B: Tensor, delta: float | Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear (Tustin) for a dense system. S4 keeps C and D as they are; scipy's bilinear changes them too.

    Equation: A_bar = (I - delta/2 A)^-1 (I + delta/2 A);  B_bar = (I - delta/2 A)^-1 delta B.

    Args, Returns, Raises: as in `forward_euler`.

    Source: S4, equation 3.

    >>> bilinear(torch.tensor([[-1.0]]), torch.tensor([1.0]), 2.0)
    (tensor([[0.]]), tensor([1.]))
    """
    A, B, delta = _check_dense(A, B, delta)
    I = torch.eye(len(B), dtype=A.dtype, device=A.device)  # (n n)
    # [eq-bilinear]
    A_bar = torch.linalg.solve(I - delta / 2 * A, I + delta / 2 * A)  # (n n)
    B_bar = torch.linalg.solve(I - delta / 2 * A, delta * B)  # (n)
    # [/eq-bilinear]
    return A_bar, B_bar


def zoh(A: Tensor, B: Tensor, delta: float | Tensor) -> tuple[Tensor, Tensor]:
    """Zero-order hold for a dense system, singular A included.

    Equation: exp(delta [[A, B], [0, 0]]) = [[A_bar, B_bar], [0, 1]], that is A_bar = exp(delta A), B_bar = A^-1 (A_bar - I) B.

    Args, Returns, Raises: as in `forward_euler`.

    Source: Van Loan (1978); Mamba, equation 4.

    >>> A_bar, B_bar = zoh(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([0.0, 1.0]), 1.0)
    >>> B_bar
    tensor([0.5000, 1.0000])
    """
    A, B, delta = _check_dense(A, B, delta)
    n = len(B)
    # [eq-zoh]
    M = torch.zeros(n + 1, n + 1, dtype=A.dtype, device=A.device)
    M[:n, :n] = delta * A
    M[:n, n] = delta * B
    E = _expm(M)
    A_bar = E[:n, :n]  # (n n)
    B_bar = E[:n, n]  # (n)
    # [/eq-zoh]
    return A_bar, B_bar


def mamba_rule(A: Tensor, B: Tensor, delta: float | Tensor) -> tuple[Tensor, Tensor]:
    """Mamba's rule for a dense system: the exponential for A, Euler for B.

    Equation: A_bar = exp(delta A);  B_bar = delta B.

    Args, Returns, Raises: as in `forward_euler`.

    >>> mamba_rule(torch.tensor([[0.0]]), torch.tensor([2.0]), 0.5)
    (tensor([[1.]]), tensor([1.]))
    """
    A, B, delta = _check_dense(A, B, delta)
    A_bar = _expm(delta * A)  # (n n)
    B_bar = delta * B  # (n)
    return A_bar, B_bar


def foh(A: Tensor, B: Tensor, delta: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First-order hold for a dense system, singular A included.

    Equation: h_t = A_bar h_{t-1} + B_prev u_{t-1} + B_next u_t, for an input that runs straight from u_{t-1} to u_t.

    Args, Raises: as in `forward_euler`.

    Returns:
        A_bar (n n), B_prev (n), B_next (n). scipy's "foh" folds B_prev into the state and changes C and D instead.

    Source: Van Loan (1978).

    >>> foh(torch.tensor([[0.0]]), torch.tensor([1.0]), 1.0)
    (tensor([[1.]]), tensor([0.5000]), tensor([0.5000]))
    """
    A, B, delta = _check_dense(A, B, delta)
    n = len(B)
    # [eq-foh]
    M = torch.zeros(n + 2, n + 2, dtype=A.dtype, device=A.device)
    M[:n, :n] = delta * A
    M[:n, n] = delta * B
    M[n, n + 1] = 1
    E = _expm(M)
    A_bar = E[:n, :n]  # (n n)
    B_next = E[:n, n + 1]  # (n)
    B_prev = E[:n, n] - B_next  # (n)
    # [/eq-foh]
    return A_bar, B_prev, B_next


def simulate(A_bar: Tensor, B_bar: Tensor, u: Tensor, h0: Tensor | None = None) -> Tensor:
    """Walk a dense system step by step, the plainest loop there is.

    Equation: h_t = A_bar h_{t-1} + B_bar u_t.

    Args:
        A_bar: (n n).
        B_bar: (n).
        u: (l), the input; u_t acts during step t, so that h_t already contains it.
        h0: (n), the state before the first step; zero when absent.

    Returns:
        h: (l n), the state after each step.

    Raises:
        ValueError: a shape that does not fit, by symbol.

    Source: S4, equation 3; Mamba, equation 2.

    >>> simulate(torch.tensor([[0.5]]), torch.tensor([1.0]), torch.tensor([1.0, 0.0, 0.0])).flatten()
    tensor([1.0000, 0.5000, 0.2500])
    """
    A_bar, B_bar, _ = _check_dense(A_bar, B_bar, 1.0)
    if u.ndim != 1:
        raise ValueError(f"u must be (l), got {_what(u)}")
    h = torch.zeros_like(B_bar) if h0 is None else h0
    if h.shape != B_bar.shape:
        raise ValueError(f"h0 must be (n) = {tuple(B_bar.shape)}, got {_what(h)}")
    states = []
    for u_t in u:
        h = A_bar @ h + B_bar * u_t  # (n) [eq-recurrence]
        states.append(h)
    return torch.stack(states) if states else h.new_zeros(0, len(h))
