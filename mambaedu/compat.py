"""The official package's function, by its own name and in its own layout, for programs that have it already."""

import torch
from torch import Tensor

from .selective_scan import selective_scan


def selective_scan_fn(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The selective scan with the signature of `mamba_ssm.ops.selective_scan_interface.selective_scan_fn`: time is the last axis.

    Equation: h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t ;  out_t = (C_t . h_t + D u_t) * silu(z_t).

    Args:
        u, delta: (b d l).
        A: (d n), real or complex.
        B, C: (d n), (b n l), or (b g n l) for g groups of channels. With complex A, one that varies with time holds real and imaginary
            parts in turn, (b n 2l) or (b g n 2l), and one that does not may be complex itself.
        D, delta_bias: (d). z: (b d l).
        delta_softplus: take softplus(delta + delta_bias) as the step size.
        return_last_state: return the last state as well.

    Returns:
        out: (b d l), in u's dtype; with `return_last_state` also last_state (b d n).

    Raises:
        ValueError, TypeError, RuntimeError: as `mambaedu.selective_scan`, whose shapes (b l d) the message names.

    The computation is `mambaedu.selective_scan` with `backend="auto"`; the axes are swapped on the way in and out, which costs a copy.

    Source: mamba_ssm 1.0 and later, selective_scan_interface.py.

    >>> u, delta = torch.ones(1, 1, 4), torch.full((1, 1, 4), 0.5)
    >>> out = selective_scan_fn(u, delta, torch.full((1, 1), -1.0), torch.ones(1, 1, 4), torch.ones(1, 1, 4))
    >>> out.shape
    torch.Size([1, 1, 4])
    """

    for name, value in (("u", u), ("delta", delta), ("z", z)):
        if isinstance(value, Tensor) and value.ndim != 3:
            raise ValueError(f"{name} must be (b d l), got {tuple(value.shape)}")

    def time_second(x: Tensor) -> Tensor:
        """B or C: (b n l) -> (b l n), (b g n l) -> (b l g n)."""
        if not isinstance(x, Tensor) or x.ndim < 3:
            return x
        if A.is_complex() and not x.is_complex() and x.shape[-1] == 2 * u.shape[-1]:
            x = x if x.dtype == torch.float64 else x.float()
            x = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())  # (b n l) or (b g n l)
        return x.transpose(1, 2) if x.ndim == 3 else x.permute(0, 3, 1, 2)

    y, h_last = selective_scan(
        u.transpose(1, 2),
        delta.transpose(1, 2),
        A,
        time_second(B),
        time_second(C),
        D,
        z=None if z is None else z.transpose(1, 2),
        delta_bias=delta_bias,
        delta_softplus=delta_softplus,
    )
    out = y.transpose(1, 2).contiguous()  # (b d l)
    return (out, h_last) if return_last_state else out
