"""The linear scan: h_t = a_t h_{t-1} + b_t, the one recurrence under every model of this book.

The naive version below is the definition. The Numba and Triton versions give the same states and the same gradients.
"""

from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from . import backends
from ._autograd import first_derivative_only, not_compiled, run_kernel


def linear_scan_naive(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """The loop. a and b are (b l d n), h0 is (b d n)."""
    h = h0  # (b d n)
    states = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t  # (b d n) [eq-linear-scan]
        states.append(h)
    return torch.stack(states, dim=1)  # (b l d n)


def linear_scan(a: Tensor, b: Tensor, *, h0: Tensor | None = None, backend: str = "auto") -> Tensor:
    """Scan a sequence: every state is the previous one, decayed, plus what comes in.

    Equation: h_t = a_t h_{t-1} + b_t, for t = 1 ... l, each channel on its own.

    Args:
        a: (b l d) or (b l d n), the decay of each step, real or complex.
        b: like a, what each step adds.
        h0: (b d) or (b d n), the state before the first step; zero when absent.
        backend: "auto", "naive", "numba" or "triton"; see `mambaedu.backends.explain`.

    Returns:
        h: like b, the state after each step, at least fp32 (fp64 or complex when any input is). Its gradients reach a, b and h0.

    Raises:
        ValueError: a shape, device or backend name that does not fit, by symbol.
        TypeError: an input that is not a tensor of floating-point or complex numbers.
        RuntimeError: the backend that was named cannot run here, with the reason.

    Any memory layout is accepted; the result is contiguous. The triton backend is real; the numba and triton backends
    have first derivatives only.

    Source: S4, equation 3 (with a constant); Mamba, section 3.3.

    >>> a = torch.full((1, 3, 1), 0.5)
    >>> b = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1)
    >>> linear_scan(a, b).flatten()
    tensor([1.0000, 0.5000, 0.2500])
    """
    a, b, h0 = _check(a, b, h0)
    backend = not_compiled(backends.choose, backend, b)
    dtype = _state_dtype(a, b, h0)
    if b.shape[1] == 0:
        return b.to(dtype)
    if h0 is None:
        h0 = torch.zeros(b.shape[:1] + b.shape[2:], dtype=dtype, device=b.device)
    if backend == "naive":
        if b.ndim == 3:  # (b l d) is the case n = 1
            a, b, h0 = a[..., None], b[..., None], h0[..., None]
            return linear_scan_naive(a.to(dtype), b.to(dtype), h0.to(dtype))[..., 0]
        return linear_scan_naive(a.to(dtype), b.to(dtype), h0.to(dtype))
    module = backends.kernel_module("linear_scan", backend)
    # The kernels see one axis of independent channels: m = d n.
    h = not_compiled(_KernelScan.apply, a.flatten(2), b.flatten(2), h0.flatten(1), dtype, module)  # (b l m)
    return h.reshape(b.shape)


class _KernelScan(torch.autograd.Function):
    """A compiled scan, with the gradients that its own backward kernel computes.

    With g_t = dL/dh_t, all the future included:  g_t = grad_h_t + conj(a_{t+1}) g_{t+1};
    grad_b_t = g_t;  grad_a_t = g_t conj(h_{t-1});  grad_h0 = conj(a_1) g_1.                    [eq-linear-scan-grad] is in the kernels.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor, dtype: torch.dtype, module: ModuleType) -> Tensor:
        (h,) = run_kernel(module, "linear_scan_fwd", dtype, a, b, h0)
        ctx.save_for_backward(a, h0, h)
        ctx.module, ctx.dtype, ctx.b_dtype = module, dtype, b.dtype
        return h

    @staticmethod
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor | None, ...]:
        a, h0, h = ctx.saved_tensors
        backward = partial(run_kernel, ctx.module, "linear_scan_bwd", ctx.dtype)
        grad_a, grad_b, grad_h0 = first_derivative_only("linear_scan", backward, a, h0, h, grad_h)
        if not a.is_complex():
            grad_a = _real(grad_a)
        if not ctx.b_dtype.is_complex:
            grad_b = _real(grad_b)
        if not h0.is_complex():
            grad_h0 = _real(grad_h0)
        return grad_a.to(a.dtype), grad_b.to(ctx.b_dtype), grad_h0.to(h0.dtype), None, None


def _real(x: Tensor) -> Tensor:
    return x.real if x.is_complex() else x


def _state_dtype(a: Tensor, b: Tensor, h0: Tensor | None) -> torch.dtype:
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return dtype if h0 is None else torch.promote_types(dtype, h0.dtype)


def _check(a: Tensor, b: Tensor, h0: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    for name, value in (("a", a), ("b", b), ("h0", h0)):
        if value is None and name == "h0":
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
        if not (value.is_floating_point() or value.is_complex()):
            raise TypeError(f"{name} must hold floating-point or complex numbers, got {value.dtype}")
    if b.ndim not in (3, 4):
        raise ValueError(f"b must be (b l d) or (b l d n), got {tuple(b.shape)}")
    letters = "(b l d)" if b.ndim == 3 else "(b l d n)"
    if a.shape != b.shape:
        raise ValueError(f"a must be {letters} = {tuple(b.shape)}, like b, got {tuple(a.shape)}")
    if a.device != b.device:
        raise ValueError(f"a must be on {b.device}, like b, got {a.device}")
    if h0 is not None:
        state = tuple(b.shape[:1] + b.shape[2:])
        if tuple(h0.shape) != state:
            raise ValueError(f"h0 must be {letters.replace(' l', '')} = {state}, got {tuple(h0.shape)}")
        if h0.device != b.device:
            raise ValueError(f"h0 must be on {b.device}, like b, got {h0.device}")
    return a, b, h0
