"""`forgetting`: a pulse enters the state. What is left of it after each step?

Drawn by forgetting.js; `compute` here is the same mathematics with the library's own functions. Chapter 01.
"""

import math
from typing import TYPE_CHECKING

import torch

from ..discretize import zoh_diagonal
from ..linear_scan import linear_scan
from . import palette
from .explorable import Data, Explorable, Params, explorable, slider

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compute(*, delta: float, A: float, l: int, pulse: int) -> Data:
    """h_t = A_bar h_{t-1} + B_bar u_t by the zero-order hold, for one pulse u and B = 1."""
    u = torch.zeros(l, dtype=torch.float64)  # (l)
    u[pulse] = 1
    A_bar, B_bar = zoh_diagonal(torch.tensor([A], dtype=torch.float64), torch.ones(1), delta)  # (1), (1)
    h = linear_scan(A_bar.expand(1, l, 1), (B_bar * u[:, None])[None])  # (1 l 1)
    return {
        "h": h.flatten().tolist(),
        "A_bar": A_bar.item(),
        "B_bar": B_bar.item(),
        "half_life": math.log(0.5) / math.log(A_bar.item()),
    }


def picture(data: Data, params: Params) -> "Figure":
    """The starting position on paper."""
    from matplotlib.figure import Figure

    colors = palette.LIGHT
    fig = Figure(figsize=(4.2, 2.8), layout="constrained")
    ax = fig.subplots()
    left = [h / data["B_bar"] for h in data["h"]]
    late = range(params["pulse"], len(left))
    ax.fill_between(late, left[params["pulse"] :], color=colors.state, alpha=0.15, lw=0)
    ax.plot(late, left[params["pulse"] :], color=colors.state)
    ax.axvline(params["pulse"], color=colors.input)
    half = params["pulse"] + data["half_life"]
    if half < len(left):
        ax.plot([half, half], [0, 0.5], color=colors.truth, ls="--")
        ax.annotate(
            f"half left after {data['half_life']:.3g} steps", (half, 0.5), xytext=(8, 4), textcoords="offset points"
        )
    ax.set(xlabel="step t", ylabel="left of the pulse, $h_t / \\bar B$", ylim=(0, 1.08), xlim=(0, len(left) - 1))
    return fig


def forgetting(*, delta: float = 0.05, A: float = -1.0, l: int = 100, pulse: int = 8) -> Explorable:
    """How fast a state forgets: move the step size Δ and the decay A.

    Args:
        delta: the step size, between 0.001 and 1.
        A: the mode of h' = A h + u, between -4 and -0.1.
        l: the number of steps.
        pulse: the step at which the pulse comes.

    Returns:
        An `Explorable`; `.live(compute=f)` calls your own `f(*, delta, A, l, pulse)`, which returns
        `h` (l), `A_bar`, `B_bar` and `half_life`.

    >>> forgetting().name
    'forgetting'
    """
    return explorable(
        "forgetting",
        title="How a state forgets",
        params={"delta": delta, "A": A, "l": l, "pulse": pulse},
        controls=[
            slider("delta", "step size Δ", 0.001, 1, log=True),
            slider("A", "mode A", -4, -0.1, 0.1),
            slider("pulse", "pulse at step", 0, l - 1, 1),
        ],
        compute=compute,
        picture=picture,
        play="delta",
        alt="A pulse enters the state at one step; from there on a curve falls towards zero, and a mark shows where half of "
        "it is left. A larger step size makes the fall steeper.",
    )
