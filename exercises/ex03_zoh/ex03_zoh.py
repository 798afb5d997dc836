"""Exercise 3: the zero-order hold of a diagonal system. README.md has the formula and a picture."""

import torch


def zoh(A: torch.Tensor, B: torch.Tensor, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn h'(t) = A h(t) + B u(t) into h_t = A_bar h_{t-1} + B_bar u_t, with u held still for a time delta.

    Args:
        A: (d n), real, at most 0; it may be 0.
        B: (d n).
        delta: (b l d), positive; a step size for each channel at each step.

    Returns:
        A_bar, B_bar: both (b l d n), in the dtype of the inputs.
    """
    raise NotImplementedError("exercise 3: return A_bar and B_bar, both (b l d n); start from x = delta * A, (b l d n)")
