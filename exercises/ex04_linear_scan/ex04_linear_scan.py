"""Exercise 4: the loop h_t = a_t h_{t-1} + b_t. README.md has the formula and a picture."""

import torch


def linear_scan(a: torch.Tensor, b: torch.Tensor, h0: torch.Tensor | None = None) -> torch.Tensor:
    """The state after every step: h_t = a_t h_{t-1} + b_t.

    Args:
        a: (b l d), the decay at each step.
        b: (b l d), what comes in at each step.
        h0: (b d), the state before the first step; None means 0.

    Returns:
        h: (b l d); h[:, t] is the state after step t.
    """
    raise NotImplementedError("exercise 4: return h, (b l d): the state after every step, from a loop over t")
