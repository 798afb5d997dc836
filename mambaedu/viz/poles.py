"""`poles`: drag a mode λ of the continuous system and see where each rule sends it.

Drawn by poles.js; `compute` here is the same mathematics with the library's own functions. Chapter 01.
"""

from typing import TYPE_CHECKING

import torch

from .. import discretize
from . import palette
from .explorable import Data, Explorable, Params, explorable, slider

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULES = {
    "zoh": "exp: ZOH and Mamba's rule",
    "bilinear": "bilinear",
    "forward_euler": "forward Euler",
    "backward_euler": "backward Euler",
}


def compute(*, re: float, im: float, delta: float) -> Data:
    """A_bar of each rule for the mode re + i im, on its way from step size 0 (where it is 1) to delta."""
    A = torch.tensor([complex(re, im)], dtype=torch.complex128)  # (1)
    B = torch.ones(1, dtype=torch.complex128)  # (1)
    steps = delta * torch.arange(33, dtype=torch.float64) / 32  # (33)
    data = {}
    for rule in RULES:
        A_bar, _ = getattr(discretize, f"{rule}_diagonal")(A, B, steps)  # (33 1)
        data[rule] = {"re": A_bar.real.flatten().tolist(), "im": A_bar.imag.flatten().tolist()}
    return data


def picture(data: Data, params: Params) -> "Figure":
    """The starting position on paper."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    colors = palette.LIGHT
    fig = Figure(figsize=(4.2, 7), layout="constrained")
    left, right = fig.subplots(2, 1, height_ratios=[2, 3])
    left.axvspan(-4.5, 0, color=colors.state, alpha=0.1, lw=0)
    left.plot(params["re"], params["im"], "o", color=colors.text, ms=9)
    left.set(xlabel="Re λ", ylabel="Im λ", xlim=(-4.5, 1), ylim=(-6.5, 6.5), title="the mode λ")
    right.add_patch(Circle((0, 0), 1, facecolor=colors.state, alpha=0.1))
    right.add_patch(Circle((0, 0), 1, fill=False, edgecolor=colors.truth))
    marks = zip(RULES, "os^D", (colors.state, colors.extra, colors.other, colors.truth), strict=True)
    for rule, mark, color in marks:
        re, im = data[rule]["re"], data[rule]["im"]
        right.plot(re, im, color=color, lw=1.2)
        right.plot(re[-1], im[-1], mark, color=color, ms=8, label=RULES[rule])
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=9)
    right.set(
        xlabel="Re $\\bar A$",
        ylabel="Im $\\bar A$",
        xlim=(-2, 2),
        ylim=(-2, 2),
        aspect="equal",
        title="$\\bar A$ under each rule",
    )
    return fig


def poles(*, re: float = -0.5, im: float = 3.0, delta: float = 0.5) -> Explorable:
    """Which rule keeps a decaying mode decaying? Drag λ, or move Δ.

    Args:
        re, im: the mode λ of h' = λ h; it decays when `re` is negative.
        delta: the step size, between 0.05 and 2.

    Returns:
        An `Explorable`; `.live(compute=f)` calls your own `f(*, re, im, delta)`, which returns, for each rule, `re` and
        `im` of A_bar at 33 step sizes from 0 to `delta`.

    >>> poles().controls[0]["name"]
    're'
    """
    return explorable(
        "poles",
        title="Where each rule sends a mode",
        params={"re": re, "im": im, "delta": delta},
        controls=[
            slider("re", "Re λ", -4, 0.4, 0.05),
            slider("im", "Im λ", -6, 6, 0.1),
            slider("delta", "step size Δ", 0.05, 2, log=True),
        ],
        compute=compute,
        picture=picture,
        play="delta",
        alt="Left: the complex plane with one mode λ, left of the imaginary axis, so it decays. Right: the unit circle with "
        "Ā of four rules; exp, bilinear and backward Euler lie inside, forward Euler outside.",
    )
