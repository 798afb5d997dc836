"""The whole path of the book in one picture: what each chapter turns into what."""

from typing import TYPE_CHECKING

from .figure import StaticFigure, figure
from .palette import Palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Each part: its name, and what its chapters arrive at. The first READY parts are written, the rest is planned.
PARTS = (
    ("1 State spaces", ("spring", "loop", "convolution", "S4")),
    ("2 Selection", ("noise", "own Δ", "induction", "Δ B C")),
    ("3 The scan", ("tree", "Numba", "Triton", "backward")),
    ("4 Mamba", ("block", "text", "weights", "attention")),
)
READY = (("spring", "loop", "convolution"),)


def path() -> StaticFigure:
    """The book as a path: four parts of four stations each. Filled stations are written, open ones are planned.

    Returns:
        A `StaticFigure`.

    >>> path()
    StaticFigure('The path of the book: ...')
    """
    ready = {station for stations in READY for station in stations}

    def draw(fig: "Figure", colors: Palette) -> None:
        ax = fig.subplots()
        rows = [colors.input, colors.state, colors.extra, colors.output]
        for r, ((name, stations), color) in enumerate(zip(PARTS, rows, strict=True)):
            y = -r
            ax.plot([0, 3], [y, y], color=color, lw=3, zorder=1)
            if r:  # on to the next part
                ax.plot(
                    [3, 3.45, 3.45, -0.45, -0.45, 0],
                    [y + 1, y + 1, y + 0.5, y + 0.5, y, y],
                    color=colors.grid,
                    lw=2,
                    zorder=0,
                )
            ax.text(-0.05, y + 0.22, name, color=color, weight="bold", va="bottom", ha="left")
            for c, station in enumerate(stations):
                done = station in ready
                ax.plot(c, y, "o", ms=13, mew=2.5, mec=color, mfc=color if done else colors.background, zorder=2)
                ax.text(c, y - 0.2, station, color=colors.text, va="top", ha="center")
        ax.set(xlim=(-0.6, 3.6), ylim=(-3.6, 0.65))
        ax.set_axis_off()

    return figure(
        draw,
        alt="The path of the book: from a spring to the loop, the convolution and S4; from noise to a step size for each token, "
        "induction and what to make selective; from the tree to Numba, Triton and the backward; from the block to text, "
        "weights and attention. The first three stations are filled, the others are open: planned.",
        size=(7.0, 4.2),
        narrow=(3.7, 4.6),
    )
