"""`echo`: drop impulses into a loop. Its output is the sum of shifted echoes, and that sum is a convolution.

Drawn by echo.js; `compute` here is the same mathematics with the library's own functions. Chapter 02.
"""

from typing import TYPE_CHECKING

import torch

from ..convolution import fft_convolve, kernel_by_powers
from ..discretize import mamba_rule_diagonal
from ..linear_scan import linear_scan
from . import palette
from .explorable import Data, Explorable, Params, explorable, slider

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compute(*, decay: float, frequency: float, l: int, at: list[int], size: list[float]) -> Data:
    """The output twice: by the loop h_t = A_bar h_{t-1} + u_t, y_t = Re h_t, and by the convolution with its echo."""
    u = torch.zeros(l, dtype=torch.float64)  # (l)
    for t, height in zip(at, size, strict=True):
        u[t] += height
    A = torch.tensor([complex(-decay, frequency)], dtype=torch.complex128)  # (1)
    A_bar, B_bar = mamba_rule_diagonal(A, torch.ones(1), 1.0)  # (1), (1): exp(A) and 1
    h = linear_scan(A_bar.expand(1, l, 1), (B_bar * u[:, None])[None])  # (1 l 1)
    kernel = kernel_by_powers(A_bar, B_bar, torch.ones_like(A_bar), l).real  # (l)
    return {
        "u": u.tolist(),
        "kernel": kernel.tolist(),
        "loop": h.real.flatten().tolist(),
        "convolution": fft_convolve(u, kernel).tolist(),
    }


def picture(data: Data, params: Params) -> "Figure":
    """The starting position on paper."""
    from matplotlib.figure import Figure

    colors, l = palette.LIGHT, params["l"]
    fig = Figure(figsize=(4.2, 4.4), layout="constrained")
    (u, kernel), (loop, convolution) = fig.subplots(2, 2, sharex=True)
    u.stem(params["at"], params["size"], linefmt=colors.input, markerfmt="o", basefmt=" ")
    kernel.plot(data["kernel"], color=colors.other)
    loop.plot(data["loop"], "o", ms=4, color=colors.output)
    for t, height in zip(params["at"], params["size"], strict=True):
        echo = [height * k for k in data["kernel"][: l - t]]
        convolution.plot(range(t, l), echo, color=colors.output, alpha=0.45, lw=1)
    convolution.plot(data["convolution"], color=colors.output)
    u.set(xlabel="step t", ylabel="input u", ylim=(-1.2, 1.2))
    kernel.set(xlabel="steps later", ylabel="kernel K", ylim=(-1.2, 1.2))
    loop.set(xlabel="step t", ylabel="y by the loop", ylim=(-2, 2))
    convolution.set(xlabel="step t", ylabel="y by the echoes", ylim=(-2, 2))
    return fig


def echo(
    *,
    decay: float = 0.08,
    frequency: float = 0.5,
    l: int = 48,
    at: tuple[int, int, int] = (4, 15, 29),
    size: tuple[float, float, float] = (1.0, 0.7, -0.6),
) -> Explorable:
    """Drop three impulses and hear their echoes: the loop and the convolution draw the same curve.

    Args:
        decay: how fast an echo fades, per step, between 0.01 and 0.5.
        frequency: how fast it swings, in radians per step, between 0 and 3.1.
        l: the number of steps.
        at: the steps of the three impulses.
        size: their heights, between -1 and 1; 0 for none.

    Returns:
        An `Explorable`; `.live(compute=f)` calls your own `f(*, decay, frequency, l, at, size)`, which returns `u`, `kernel`,
        `loop` and `convolution`, each (l).

    Raises:
        ValueError: `at` or `size` has not three entries, or an impulse lies outside the l steps.

    >>> echo().params["at"]
    [4, 15, 29]
    """
    if len(at) != 3 or len(size) != 3:
        raise ValueError(f"at and size must have 3 entries, one an impulse, got {len(at)} and {len(size)}")
    if not all(0 <= t < l for t in at):
        raise ValueError(f"at must lie between 0 and l - 1 = {l - 1}, got {list(at)}")
    return explorable(
        "echo",
        title="An echo for every impulse",
        params={
            "decay": decay,
            "frequency": frequency,
            "l": l,
            "at": list(at),
            "size": list(size),
            "which": 0,
            "t": l - 1,
        },
        controls=[
            slider("decay", "decay", 0.01, 0.5, log=True),
            slider("frequency", "frequency", 0, 3.1, 0.05),
            slider("which", "impulse", values={0: "the first", 1: "the second", 2: "the third"}),
            slider("at", "at step", 0, l - 1, 1, index="which"),
            slider("size", "height", -1, 1, 0.05, index="which"),
            slider("t", "loop until", 0, l - 1, 1),
        ],
        compute=compute,
        picture=picture,
        play="t",
        alt="Above: three impulses, and the echo of a single one, a fading oscillation. Below: the output of the loop step by "
        "step, and the sum of three shifted echoes. The two curves are the same.",
    )
