"""The short causal convolution before each selective scan: every channel mixes its last k inputs.

    y_t = activation(bias + sum_{j=0}^{k-1} weight[:, j] u_{t-k+1+j})

The last weight meets the present input. What came before the first step is the state, the last k-1 inputs; so a sequence can be
cut anywhere. The naive version below is the definition. The Numba and Triton versions give the same outputs and gradients.
"""

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

MAX_K = 16  # weights of a channel that the Triton kernels hold in registers


def causal_conv1d_naive(
    u: Tensor, weight: Tensor, bias: Tensor, conv_state: Tensor, number: Tensor | None = None
) -> Tensor:
    """The sum. u is (b l d), weight (d k), bias (d), conv_state (b k-1 d); number, the number of each input's sequence, (b k-1+l)."""
    l, k = u.shape[1], weight.shape[1]
    inputs = torch.cat([conv_state, u], dim=1)  # (b m d), with m = k-1+l
    y = bias.expand(u.shape)  # (b l d)
    for j in range(k):
        u_j = inputs[:, j : j + l]  # (b l d), at step t the input u_{t-k+1+j}
        if number is not None:
            same = number[:, j : j + l] == number[:, k - 1 :]  # (b l)
            u_j = torch.where(same[..., None], u_j, 0)  # (b l d)
        y = y + weight[:, j] * u_j  # (b l d) [eq-causal-conv]
    return y


def causal_conv1d(
    u: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    conv_state: Tensor | None = None,
    activation: str | None = None,
    seq_idx: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Convolve each channel with its own k weights, looking back only.

    Equation: y_t = activation(bias + sum_{j=0}^{k-1} weight[:, j] u_{t-k+1+j}).

    Args:
        u: (b l d), the input.
        weight: (d k). The last column meets the present input, as in `torch.nn.Conv1d`.
        bias: (d); none when absent.
        conv_state: (b k-1 d), the k-1 inputs before the first step, oldest first; zero when absent.
        activation: None or "silu".
        seq_idx: (b l), integers: several sequences packed into one row. Where this number changes another sequence begins, and the
            inputs before count as zero. `conv_state` belongs to the first one.
        backend: "auto", "naive", "numba" or "triton"; see `mambaedu.backends.explain`.

    Returns:
        y: (b l d), in u's dtype. conv_state: (b k-1 d), the last k-1 inputs, to go on from; zero where they belong to another
        sequence than the last step. Gradients reach u, weight, bias and conv_state, through both.

    Raises:
        ValueError: a shape, device, activation or backend name that does not fit, by symbol.
        TypeError: an input that is not a tensor of real floating-point numbers.
        RuntimeError: the backend that was named cannot run here or cannot take this, with the reason.

    The arithmetic is fp64 when any input is, else fp32, also for bf16 and fp16 inputs and under autocast. Any memory layout is
    accepted; y is contiguous. The triton backend takes k up to 16; the numba and triton backends have first derivatives only.

    Source: Mamba, section 3.4 and figure 3.

    >>> u = torch.tensor([1.0, 0.0, 2.0, 0.0]).reshape(1, 4, 1)
    >>> y, conv_state = causal_conv1d(u, torch.tensor([[0.5, 1.0]]))
    >>> y.flatten()
    tensor([1.0000, 0.5000, 2.0000, 1.0000])
    >>> causal_conv1d(u, torch.tensor([[0.5, 1.0]]), conv_state=u[:, 2:3])[0].flatten()
    tensor([2.0000, 0.5000, 2.0000, 1.0000])
    """
    tensors = dict(u=u, weight=weight, bias=bias, conv_state=conv_state, seq_idx=seq_idx)
    k = _check(tensors, "u", "(b l d)", activation)[-1]
    backend = not_compiled(backends.choose, backend, u, partial(_why_not, k))
    dtype = _dtype(tensors)
    reset = number = None
    if seq_idx is not None:
        reset = where_it_changes(seq_idx)  # (b l)
        number = F.pad(reset.cumsum(1), (k - 1, 0))  # (b m), with m = k-1+l: 0 is the first sequence, and the state's
    with no_autocast(u.device):
        if backend == "naive" or u.numel() == 0:
            y = _naive(u, weight, bias, conv_state, number, activation, dtype)
        else:
            module = backends.kernel_module("causal_conv1d", backend)
            y = not_compiled(_KernelConv.apply, module, dtype, activation == "silu", reset, u, weight, bias, conv_state)
    return y, _last_inputs(u, conv_state, number, k)


def causal_conv1d_step(
    conv_state: Tensor,
    u_t: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of the causal convolution, for one new token.

    Equation: y_t = activation(bias + sum_{j=0}^{k-2} weight[:, j] conv_state[:, j] + weight[:, k-1] u_t).

    Args:
        conv_state: (b k-1 d), the inputs before, oldest first. It stays as it is; the new one is returned.
        u_t: (b d), the input.
        weight: (d k). bias: (d). activation: None or "silu".
        backend: "auto", "naive", "numba" or "triton".

    Returns:
        conv_state: (b k-1 d), without its oldest input and with u_t. y_t: (b d), in u_t's dtype.

    Raises:
        ValueError, TypeError, RuntimeError: as `causal_conv1d`.

    Source: Mamba, section 3.3 (the recurrent mode).

    >>> conv_state, y_t = causal_conv1d_step(torch.full((1, 1, 1), 2.0), torch.ones(1, 1), torch.tensor([[0.5, 1.0]]))
    >>> conv_state.flatten(), y_t.flatten()
    (tensor([1.]), tensor([2.]))
    """
    tensors = dict(u_t=u_t, weight=weight, bias=bias, conv_state=conv_state)
    k = _check(tensors, "u_t", "(b d)", activation)[-1]
    backend = not_compiled(backends.choose, backend, u_t, partial(_why_not, k))
    inputs = (conv_state, u_t, weight, bias)
    wants_gradient = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    if backend != "naive" and not wants_gradient and u_t.numel() > 0:
        module = backends.kernel_module("causal_conv1d", backend)
        new_state, y_t = not_compiled(
            run_kernel, module, "causal_conv1d_step", _dtype(tensors), *inputs, activation == "silu"
        )
        return new_state.to(torch.promote_types(u_t.dtype, conv_state.dtype)), y_t.to(u_t.dtype)
    # With a gradient the step is a convolution of length 1, by the same backend.
    y, new_state = causal_conv1d(
        u_t[:, None], weight, bias, conv_state=conv_state, activation=activation, backend=backend
    )
    return new_state, y[:, 0]


# ---- the definition, with everything round it ------------------------------------------------------------------------


def _naive(u: Tensor, weight: Tensor, bias: Tensor | None, conv_state: Tensor | None, number: Tensor | None,
           activation: str | None, dtype: torch.dtype) -> Tensor:  # fmt: skip
    y_dtype, (b, _, d), k = u.dtype, u.shape, weight.shape[1]
    u, weight = u.to(dtype), weight.to(dtype)  # (b l d), (d k)
    bias = u.new_zeros(d) if bias is None else bias.to(dtype)  # (d)
    conv_state = u.new_zeros(b, k - 1, d) if conv_state is None else conv_state.to(dtype)  # (b k-1 d)
    y = causal_conv1d_naive(u, weight, bias, conv_state, number)  # (b l d)
    if activation == "silu":
        y = F.silu(y)  # (b l d)
    return y.to(y_dtype).contiguous()


def _last_inputs(u: Tensor, conv_state: Tensor | None, number: Tensor | None, k: int) -> Tensor:
    """The last k-1 inputs, (b k-1 d), some of which may be the state's; zero where they are of another sequence than the last."""
    b, l, d = u.shape
    if conv_state is None:
        conv_state = u.new_zeros(b, k - 1, d)  # (b k-1 d)
    last = torch.cat([conv_state[:, l:], u[:, max(l - k + 1, 0) :]], dim=1)  # (b k-1 d)
    if number is not None:
        same = number[:, l:][:, : k - 1] == number[:, -1:]  # (b k-1)
        last = torch.where(same[..., None], last, 0)  # (b k-1 d)
    return last


# ---- the compiled backends -------------------------------------------------------------------------------------------


class _KernelConv(torch.autograd.Function):
    """A compiled convolution, with the gradients that its own backward kernel computes. What the activation met is computed again there.

    With p_t the sum before the activation and g_t = grad_y_t activation'(p_t), the backward is the same sum, looking forward:
    grad_u_t = sum_j weight[:, j] g_{t+k-1-j};  grad_weight[:, j] = sum_t g_t u_{t-k+1+j};  grad_bias = sum_t g_t.
    """

    @staticmethod
    def forward(ctx: Any, module: ModuleType, dtype: torch.dtype, silu: bool, reset: Tensor | None, *inputs: Tensor | None) -> Tensor:  # fmt: skip
        u = inputs[0]
        assert u is not None
        (y,) = run_kernel(module, "causal_conv1d_fwd", dtype, *inputs, reset, silu)
        ctx.save_for_backward(*inputs, reset)
        ctx.module, ctx.dtype, ctx.silu = module, dtype, silu
        return y.to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, reset = ctx.saved_tensors
        backward = partial(_backward, ctx.module, ctx.dtype, ctx.silu)
        grads = first_derivative_only("causal_conv1d", backward, grad_y, *inputs, reset)
        needed = ctx.needs_input_grad[4:]
        cast = (grad.to(x.dtype) if need else None for need, grad, x in zip(needed, grads, inputs, strict=True))
        return None, None, None, None, *cast


def _backward(module: ModuleType, dtype: torch.dtype, silu: bool, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    return run_kernel(module, "causal_conv1d_bwd", dtype, *tensors, silu)


# ---- what may come in ------------------------------------------------------------------------------------------------


def _why_not(k: int, backend: str) -> str | None:
    if backend == "triton" and k > MAX_K:
        return (
            f"k = {k}, and the triton kernels hold at most k = {MAX_K} weights a channel; the other backends take any"
        )
    return None


def _dtype(tensors: dict[str, Tensor | None]) -> torch.dtype:
    """fp64 when any input is, else fp32."""
    wide = any(value is not None and value.dtype == torch.float64 for value in tensors.values())
    return torch.float64 if wide else torch.float32


def _check(tensors: dict[str, Tensor | None], first: str, letters: str, activation: str | None) -> Sequence[int]:
    """Every input by symbol; the sizes of the first one, and k."""
    check_tensors(tensors, ("bias", "seq_idx") if first == "u_t" else ("bias", "seq_idx", "conv_state"))
    for name, value in tensors.items():
        if value is not None and name != "seq_idx" and not value.is_floating_point():
            raise TypeError(f"{name} must hold real floating-point numbers, got {value.dtype}")
    u, weight = tensors[first], tensors["weight"]
    assert u is not None
    assert weight is not None
    if u.ndim != len(letters.split()):
        raise ValueError(f"{first} must be {letters}, got {tuple(u.shape)}")
    b, d = u.shape[0], u.shape[-1]
    if weight.ndim != 2 or weight.shape[0] != d or weight.shape[1] == 0:
        raise ValueError(f"weight must be (d k) with d = {d} and k at least 1, got {tuple(weight.shape)}")
    k = weight.shape[1]
    shapes = {
        "bias": ("(d)", (d,)),
        "conv_state": ("(b k-1 d)", (b, k - 1, d)),
        "seq_idx": ("(b l)", tuple(u.shape[:2])),
    }
    check_shapes(tensors, shapes)
    if activation not in (None, "silu"):
        raise ValueError(f'activation must be None or "silu", got {activation!r}')
    return *u.shape, k
