"""The selective scan, the heart of Mamba: a linear scan whose decay and input are made of delta, A, B and u at each step.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t ;   y_t = C_t . h_t + D u_t ;   y = y * silu(z)

The naive version below is the definition. The Numba and Triton versions give the same outputs and the same gradients, and never
write the states (b l d n) to memory.
"""

import math
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import backends
from ._autograd import first_derivative_only, no_autocast, not_compiled, run_kernel
from ._inputs import check_shapes, check_tensors, where_it_changes

MAX_N = 256  # states of a channel that the Numba and Triton kernels hold


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)). torch returns x itself above 20, which is 2e-9 off: too much for fp64."""
    return F.softplus(x, threshold=40.0)


def selective_scan_naive(
    u: Tensor, delta: Tensor, A: Tensor, B: Sequence[Tensor], C: Sequence[Tensor], h0: Tensor, reset: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The loop. u, delta are (b l d), A is (d n), h0 is (b d n); B and C are lists of one tensor a step, like (b d n)."""
    h = h0  # (b d n)
    outputs = []
    for t, (u_t, delta_t) in enumerate(zip(u.unbind(1), delta.unbind(1), strict=True)):
        if reset is not None:
            h = torch.where(reset[:, t, None, None], 0, h)  # (b d n)
        A_bar = torch.exp(delta_t[..., None] * A)  # (b d n)
        B_bar_u = (delta_t * u_t)[..., None] * B[t]  # (b d n)
        # [eq-selective-scan]
        h = A_bar * h + B_bar_u  # (b d n)
        y_t = (C[t] * h).sum(-1)  # (b d)
        # [/eq-selective-scan]
        outputs.append(y_t)
    return torch.stack(outputs, dim=1), h  # (b l d), (b d n)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    h0: Tensor | None = None,
    seq_idx: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Scan a sequence with a state space model that chooses at each step what to keep, what to write and what to read.

    Equation: h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t ;  y_t = C_t . h_t + D u_t ;  y = y * silu(z).

    Args:
        u: (b l d), the input.
        delta: (b l d), the step size, in units of the time constants 1/|A|; before `delta_bias` and softplus, where those are asked for.
        A: (d n), the decay rates, negative; complex with `backend="naive"`, then y_t = 2 Re(C_t . h_t) + D u_t (one of each conjugate pair).
        B: what writes: (b l n) for every channel, (b l g n) for g groups of neighbouring channels, or (d n) at all times the same.
        C: what reads, of any of the same shapes.
        D: (d), the skip; none when absent.
        z: (b l d), the gate; none when absent.
        delta_bias: (d), added to delta.
        delta_softplus: take softplus(delta + delta_bias) as the step size.
        h0: (b d n), the state before the first step; zero when absent.
        seq_idx: (b l), integers: several sequences packed into one row; the state starts anew, from zero, where this number changes.
        backend: "auto", "naive", "numba" or "triton"; see `mambaedu.backends.explain`.

    Returns:
        y: (b l d), in u's dtype. h_last: (b d n), the state after the last step, at least fp32. Gradients reach every tensor input,
        through both.

    Raises:
        ValueError: a shape, device or backend name that does not fit, by symbol.
        TypeError: an input that is not a tensor of floating-point numbers (or, A, B, C and h0, of complex ones).
        RuntimeError: the backend that was named cannot run here or cannot take this, with the reason.

    The arithmetic and the state are fp64 when any input is, else fp32, also for bf16 and fp16 inputs and under autocast. Any memory
    layout is accepted; y is contiguous. The numba and triton backends hold 1 to 256 states a channel, real, and have first derivatives only.

    Source: Mamba, algorithm 2 and section 3.2; B_bar = delta B as in its code.

    >>> u, delta = torch.ones(1, 4, 1), torch.full((1, 4, 1), 0.5)
    >>> A, B, C = torch.full((1, 1), -1.0), torch.ones(1, 4, 1), torch.ones(1, 4, 1)
    >>> y, h_last = selective_scan(u, delta, A, B, C)
    >>> y.flatten()
    tensor([0.5000, 0.8033, 0.9872, 1.0988])
    """
    tensors = dict(u=u, delta=delta, A=A, B=B, C=C, D=D, z=z, delta_bias=delta_bias, h0=h0, seq_idx=seq_idx)
    b, l, d = _check_u(u, "u", "(b l d)")
    n = _check_A(A, d)
    shapes = {
        "delta": ("(b l d)", (b, l, d)),
        "D": ("(d)", (d,)),
        "z": ("(b l d)", (b, l, d)),
        "delta_bias": ("(d)", (d,)),
        "h0": ("(b d n)", (b, d, n)),
        "seq_idx": ("(b l)", (b, l)),
    }
    _check_numbers(tensors)
    check_shapes(tensors, shapes)
    for name, value in (("B", B), ("C", C)):
        _check_map(name, value, d, {2: ("(d n)", (d, n)), 3: ("(b l n)", (b, l, n)), 4: ("(b l g n)", (b, l, -1, n))})

    backend = not_compiled(backends.choose, backend, u, partial(_why_not, A))
    dtype = _state_dtype(tensors)
    B, C = _same_groups(*(x[:, :, None] if x.ndim == 3 else x for x in (B, C)))  # (b l g n) or (d n)
    reset = None if seq_idx is None else where_it_changes(seq_idx)
    arguments = (u, delta, A, B, C, D, z, delta_bias, h0, reset, delta_softplus, dtype)
    with no_autocast(u.device):
        if backend == "naive" or u.numel() == 0:
            return _naive(*arguments)
        return not_compiled(_compiled, backends.kernel_module("selective_scan", backend), *arguments)


def selective_scan_step(
    h: Tensor,
    u_t: Tensor,
    delta_t: Tensor,
    A: Tensor,
    B_t: Tensor,
    C_t: Tensor,
    D: Tensor | None = None,
    *,
    z_t: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of the selective scan: what a language model does for each new token, with a state that never grows.

    Equation: h = exp(delta_t A) h + delta_t B_t u_t ;  y_t = (C_t . h + D u_t) * silu(z_t).

    Args:
        h: (b d n), the state. It stays as it is; the new one is returned.
        u_t, delta_t: (b d).
        A: (d n).
        B_t, C_t: (b n), or (b g n) for g groups of channels; one that is always the same, (d n), is given as `B.expand(b, d, n)`.
        D: (d), the skip. z_t: (b d), the gate. delta_bias: (d). delta_softplus: as in `selective_scan`.
        backend: "auto", "naive", "numba" or "triton".

    Returns:
        h: (b d n), at least fp32. y_t: (b d), in u_t's dtype.

    Raises:
        ValueError, TypeError, RuntimeError: as `selective_scan`.

    Source: Mamba, section 3.3 (the recurrent mode), algorithm 2.

    >>> h, y_t = selective_scan_step(torch.zeros(1, 1, 1), torch.ones(1, 1), torch.full((1, 1), 0.5), torch.full((1, 1), -1.0), torch.ones(1, 1), torch.ones(1, 1))
    >>> y_t
    tensor([[0.5000]])
    """
    tensors = dict(u_t=u_t, delta_t=delta_t, A=A, B_t=B_t, C_t=C_t, D=D, z_t=z_t, delta_bias=delta_bias, h=h)
    b, d = _check_u(u_t, "u_t", "(b d)")
    n = _check_A(A, d)
    shapes = {
        "delta_t": ("(b d)", (b, d)),
        "D": ("(d)", (d,)),
        "z_t": ("(b d)", (b, d)),
        "delta_bias": ("(d)", (d,)),
        "h": ("(b d n)", (b, d, n)),
    }
    _check_numbers(tensors)
    check_shapes(tensors, shapes)
    for name, value in (("B_t", B_t), ("C_t", C_t)):
        _check_map(name, value, d, {2: ("(b n)", (b, n)), 3: ("(b g n)", (b, -1, n))})

    backend = not_compiled(backends.choose, backend, u_t, partial(_why_not, A))
    dtype = _state_dtype(tensors)
    B_t, C_t = _same_groups(*(x[:, None] if x.ndim == 2 else x for x in (B_t, C_t)))  # (b g n)
    inputs = (h, u_t, delta_t, A, B_t, C_t, D, z_t, delta_bias)
    wants_gradient = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    with no_autocast(u_t.device):
        if backend != "naive" and not wants_gradient and u_t.numel() > 0:
            return not_compiled(
                _compiled_step, backends.kernel_module("selective_scan", backend), dtype, inputs, delta_softplus
            )
    # With a gradient the step is a scan of length 1, by the same backend.
    y, h = selective_scan(
        u_t[:, None],
        delta_t[:, None],
        A,
        B_t[:, None],
        C_t[:, None],
        D,
        z=None if z_t is None else z_t[:, None],
        delta_bias=delta_bias,
        delta_softplus=delta_softplus,
        h0=h,
        backend=backend,
    )
    return h, y[:, 0]


# ---- the definition, with everything round it ------------------------------------------------------------------------


def _naive(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None, delta_bias: Tensor | None,
           h0: Tensor | None, reset: Tensor | None, delta_softplus: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:  # fmt: skip
    y_dtype, real = u.dtype, torch.float64 if dtype in (torch.float64, torch.complex128) else torch.float32
    u, delta = u.to(real), delta.to(real)  # (b l d)
    if delta_bias is not None:
        delta = delta + delta_bias.to(real)  # (b l d)
    if delta_softplus:
        delta = softplus(delta)  # (b l d)
    (b, l, d), n = u.shape, A.shape[1]
    A = A.to(dtype)  # (d n)
    h0 = A.new_zeros(b, d, n) if h0 is None else h0.to(dtype)  # (b d n)
    if l == 0:
        y, h_last = u.clone(), h0  # (b l d), (b d n): nothing to do, and gradients still flow
    else:
        B_steps, C_steps = (_steps(x.to(torch.promote_types(x.dtype, real)), l, d) for x in (B, C))
        y, h_last = selective_scan_naive(u, delta, A, B_steps, C_steps, h0, reset)
    if y.is_complex():
        y = 2 * y.real  # (b l d)
    if D is not None:
        y = y + D.to(real) * u  # (b l d)
    if z is not None:
        y = y * F.silu(z.to(real))  # (b l d)
    return y.to(y_dtype).contiguous(), h_last


def _steps(B: Tensor, l: int, d: int) -> Sequence[Tensor]:
    """B_t for each step, of a shape that meets (b d n): (d n), (b 1 n), or (b d n) when groups of channels have their own."""
    if B.ndim == 2:
        return [B] * l
    g = B.shape[2]
    return [B_t if g == 1 else B_t.repeat_interleave(d // g, dim=1) for B_t in B.unbind(1)]


def _same_groups(B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """B and C with as many groups each (... g n); a fixed one, (d n), stays as it is."""
    if B.ndim == 2 or C.ndim == 2:
        return B, C
    g = math.lcm(B.shape[-2], C.shape[-2])
    B, C = (x if x.shape[-2] == g else x.repeat_interleave(g // x.shape[-2], dim=-2) for x in (B, C))
    return B, C


# ---- the compiled backends ---------------------------------------------------------------------------------------------


def _compiled(module: ModuleType, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
              delta_bias: Tensor | None, h0: Tensor | None, reset: Tensor | None, delta_softplus: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:  # fmt: skip
    inputs = (u, delta, A, B, C, D, z, delta_bias, h0)
    save = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    return _KernelScan.apply(module, dtype, delta_softplus, save, reset, *inputs)


class _KernelScan(torch.autograd.Function):
    """A compiled scan, with the gradients that its own backward kernel computes. The states are computed again there, not kept."""

    @staticmethod
    def forward(ctx: Any, module: ModuleType, dtype: torch.dtype, delta_softplus: bool, save: bool, reset: Tensor | None, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:  # fmt: skip
        u = inputs[0]
        assert u is not None
        y, h_last, *kept = run_kernel(module, "selective_scan_fwd", dtype, *inputs, reset, delta_softplus, save=save)
        ctx.set_materialize_grads(False)  # an output that nobody used has no gradient: None, not zeros
        ctx.save_for_backward(*inputs, reset, *kept)
        ctx.module, ctx.dtype, ctx.delta_softplus = module, dtype, delta_softplus
        return y.to(u.dtype), h_last

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor | None, grad_h_last: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # read once: a checkpoint computes them again at each reading
        (*inputs, h0, reset), kept = saved[:10], saved[10:]
        if grad_y is None:
            grad_y = torch.zeros_like(inputs[0])  # (b l d)
        backward = partial(_backward, ctx.module, ctx.dtype, ctx.delta_softplus, len(kept))
        grads = first_derivative_only("selective_scan", backward, *kept, grad_y, grad_h_last, *inputs, reset)
        needed = ctx.needs_input_grad[5:]
        cast = (grad.to(x.dtype) if need else None for need, grad, x in zip(needed, grads, (*inputs, h0), strict=True))
        return None, None, None, None, None, *cast


def _backward(module: ModuleType, dtype: torch.dtype, delta_softplus: bool, n_kept: int, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:  # fmt: skip
    return run_kernel(module, "selective_scan_bwd", dtype, tensors[:n_kept], *tensors[n_kept:], delta_softplus)


def _compiled_step(module: ModuleType, dtype: torch.dtype, inputs: Sequence[Tensor | None], delta_softplus: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    h, y_t = run_kernel(module, "selective_scan_step", dtype, *inputs, delta_softplus)
    u_t = inputs[1]
    assert u_t is not None
    return h, y_t.to(u_t.dtype)


# ---- what may come in --------------------------------------------------------------------------------------------------

_MAY_BE_ABSENT = ("D", "z", "z_t", "delta_bias", "h0", "seq_idx")
_MAY_BE_COMPLEX = ("A", "B", "C", "B_t", "C_t", "h0", "h")


def _why_not(A: Tensor, backend: str) -> str | None:
    if backend == "naive":
        return None
    if A.is_complex():
        return f'A is complex, and the {backend} kernels are real; backend="naive" takes it'
    if A.shape[1] > MAX_N:
        return f'n = {A.shape[1]}, and the {backend} kernels hold at most n = {MAX_N} states a channel; backend="naive" takes any'
    return None


def _state_dtype(tensors: dict[str, Tensor | None]) -> torch.dtype:
    """fp64 when any input is, else fp32; complex when any is."""
    dtype = torch.float32
    for name, value in tensors.items():
        if value is not None and name != "seq_idx":
            dtype = torch.promote_types(dtype, value.dtype)
    return dtype


def _check_u(u: Tensor, name: str, letters: str) -> tuple[int, ...]:
    if not isinstance(u, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(u).__name__}")
    if u.ndim != len(letters.split()):
        raise ValueError(f"{name} must be {letters}, got {tuple(u.shape)}")
    return tuple(u.shape)


def _check_A(A: Tensor, d: int) -> int:
    if not isinstance(A, Tensor):
        raise TypeError(f"A must be a tensor, got {type(A).__name__}")
    if A.ndim != 2 or A.shape[0] != d or A.shape[1] == 0:
        raise ValueError(f"A must be (d n) with d = {d} and n at least 1, got {tuple(A.shape)}")
    return A.shape[1]


def _check_numbers(tensors: dict[str, Tensor | None]) -> None:
    """Floating-point numbers; complex ones where the mathematics has them, and only beside a complex A."""
    check_tensors(tensors, _MAY_BE_ABSENT)
    A = tensors["A"]
    assert A is not None
    for name, value in tensors.items():
        if value is None or name == "seq_idx":
            continue
        if value.is_complex():
            if name not in _MAY_BE_COMPLEX:
                raise TypeError(f"{name} must hold real numbers, got {value.dtype}")
            if not A.is_complex():
                raise TypeError(f"{name} is {value.dtype}, and A is real: {name} must be real too")
        elif not value.is_floating_point():
            raise TypeError(f"{name} must hold floating-point numbers, got {value.dtype}")


def _check_map(name: str, value: Tensor, d: int, allowed: dict[int, tuple[str, tuple[int, ...]]]) -> None:
    """B or C, which may have several shapes: {number of axes: (letters, sizes)}, where -1 stands for g, which must divide d."""
    if value.ndim not in allowed:
        forms = " or ".join(letters for letters, _ in allowed.values())
        raise ValueError(f"{name} must be {forms}, got {tuple(value.shape)}")
    letters, shape = allowed[value.ndim]
    g = next((value.shape[i] for i, size in enumerate(shape) if size == -1), 1)
    shape = tuple(g if size == -1 else size for size in shape)
    if tuple(value.shape) != shape:
        raise ValueError(f"{name} must be {letters} = {shape}, got {tuple(value.shape)}")
    if g == 0 or d % g != 0:
        raise ValueError(f"{name} must have a number of groups g that divides d = {d}, got g = {g}")
