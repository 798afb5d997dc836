"""`sampling`: a spring is pushed, and looked at every Δ seconds. Which rule lands on the true path?

Drawn by sampling.js; `compute` here is the same mathematics with the library's own functions. Chapter 01.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import discretize
from ..linear_scan import linear_scan
from . import palette
from .explorable import Data, Explorable, Params, explorable, slider

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS = 8  # the input is drawn through one point a second
FINE = 0.05  # the true paths are drawn this finely

RULES = {
    "zoh": "zero-order hold",
    "bilinear": "bilinear",
    "forward_euler": "forward Euler",
    "backward_euler": "backward Euler",
    "mamba_rule": "Mamba's rule",
}

# h' = A h + u, and the path that is drawn is Re(C h). A spring is one complex mode: it decays while it turns.
SPRING = -0.5 + 2j
SYSTEMS = {
    "spring": (SPRING, -1j * abs(SPRING) ** 2 / SPRING.imag),  # its rest position under u = 1 is 1
    "decay": (-1.0 + 0j, 1.0 + 0j),
}


def compute(*, delta: float, rule: str, system: str, u: list[float]) -> Data:
    """The rule's dots, and the exact paths for the held input and for the input as drawn."""
    mode, weight = SYSTEMS[system]
    A = torch.tensor([mode], dtype=torch.complex128)  # (1)
    B = torch.ones(1, dtype=torch.complex128)  # (1)

    def path(A_bar: Tensor, b: Tensor) -> list[float]:
        """Re(C h) for h_t = A_bar h_{t-1} + b_t from h = 0."""
        h = linear_scan(A_bar.expand(1, len(b), 1), b[None, :, None])  # (1 l 1)
        return [0.0, *(weight * h.flatten()).real.tolist()]

    # What the rule sees: the input at the start of each step.
    l = int(SECONDS / delta + 1e-9)
    held = np.interp(np.arange(l) * delta, range(SECONDS + 1), u)  # (l)
    A_bar, B_bar = getattr(discretize, f"{rule}_diagonal")(A, B, delta)
    dots = path(A_bar, B_bar * torch.tensor(held))

    # The exact answer to the held input: the zero-order hold has no error, so many small steps show what lies between.
    parts = math.ceil(delta / FINE)
    A_part, B_part = discretize.zoh_diagonal(A, B, delta / parts)
    true = path(A_part, B_part * torch.tensor(np.repeat(held, parts)))

    # The exact answer to the input as drawn: straight lines from point to point, so the first-order hold has no error.
    drawn = torch.tensor(np.interp(np.arange(int(SECONDS / FINE) + 1) * FINE, range(SECONDS + 1), u))
    A_fine, B_prev, B_next = discretize.foh_diagonal(A, B, FINE)
    smooth = path(A_fine, B_prev * drawn[:-1] + B_next * drawn[1:])
    return {
        "held": held.tolist(),
        "dots": dots,
        "true": true,
        "parts": parts,
        "smooth": smooth,
        "size": A_bar.abs().item(),
    }


def picture(data: Data, params: Params) -> "Figure":
    """The starting position on paper."""
    from matplotlib.figure import Figure

    colors, delta = palette.LIGHT, params["delta"]
    fig = Figure(figsize=(4.2, 4.4), layout="constrained")
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    above.plot(
        np.arange(len(data["smooth"])) * FINE,
        data["smooth"],
        color=colors.truth,
        ls="--",
        lw=1.2,
        label="exact, input as drawn",
    )
    above.plot(
        np.arange(len(data["true"])) * delta / data["parts"],
        data["true"],
        color=colors.truth,
        label="exact, input held",
    )
    above.plot(np.arange(len(data["dots"])) * delta, data["dots"], "o", color=colors.state, label=RULES[params["rule"]])
    above.set(xlabel="time", ylabel="position", ylim=(-2.8, 1.6))
    above.legend(loc="lower left", fontsize=9)
    below.plot(range(SECONDS + 1), params["u"], "o-", color=colors.input, lw=1.2)
    below.stairs(data["held"], np.arange(len(data["held"]) + 1) * delta, fill=True, color=colors.input, alpha=0.25)
    below.set(xlabel="time", ylabel="input u", ylim=(-1.2, 1.2))
    return fig


def sampling(
    *,
    delta: float = 0.5,
    rule: str = "zoh",
    system: str = "spring",
    u: tuple[float, ...] = (0.0, 0.8, 1.0, 0.7, -0.1, -0.8, -0.6, 0.2, 0.5),
) -> Explorable:
    """Draw an input, choose a step size and a rule, and see whether the dots land on the true path.

    Args:
        delta: the step size in seconds, between 0.1 and 2.
        rule: "zoh", "bilinear", "forward_euler", "backward_euler" or "mamba_rule".
        system: "spring" or "decay".
        u: the input at 0, 1, ..., 8 seconds, each between -1 and 1.

    Returns:
        An `Explorable`; `.live(compute=f)` calls your own `f(*, delta, rule, system, u)`, which returns what
        `mambaedu.viz.sampling`'s `compute` returns.

    Raises:
        ValueError: an unknown rule or system, or u with another number of points.

    >>> sampling(rule="bilinear").params["rule"]
    'bilinear'
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {list(RULES)}, got {rule!r}")
    if system not in SYSTEMS:
        raise ValueError(f"system must be one of {list(SYSTEMS)}, got {system!r}")
    if len(u) != SECONDS + 1:
        raise ValueError(f"u must have {SECONDS + 1} points, one a second from 0 to {SECONDS}, got {len(u)}")
    return explorable(
        "sampling",
        title="A spring or a decay, looked at every Δ seconds",
        params={"delta": delta, "rule": rule, "system": system, "u": list(u), "point": 2},
        controls=[
            slider("delta", "step size Δ", 0.1, 2, log=True),
            slider("rule", "rule", values=RULES),
            slider("system", "system", values={"spring": "a spring", "decay": "a decay"}),
            slider("point", "point at time", 0, SECONDS, 1),
            slider("u", "its height", -1, 1, 0.05, index="point"),
        ],
        compute=compute,
        picture=picture,
        play="delta",
        alt="Above: the exact path of a spring in grey, and the dots of the zero-order hold, which lie on it. Below: the "
        "input that pushes the spring, drawn as a curve and held in steps between the samples.",
    )
