"""One answer to exercise 3."""

import torch
from torch import Tensor


def zoh(A: Tensor, B: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """A_bar = exp(delta A), B_bar = delta phi1(delta A) B, with phi1(x) = (e^x - 1)/x."""
    x = delta[..., None] * A  # (b l d n)
    A_bar = torch.exp(x)  # (b l d n)

    # expm1, because e^x - 1 cancels near 0. `where` differentiates both branches, so neither may divide by 0.
    zero = x == 0  # (b l d n)
    safe = torch.where(zero, torch.ones_like(x), x)  # (b l d n)
    phi1 = torch.where(zero, 1 + x / 2, torch.expm1(safe) / safe)  # (b l d n)

    B_bar = delta[..., None] * phi1 * B  # (b l d n)
    return A_bar, B_bar
