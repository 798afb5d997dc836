"""Frames: one ready-made picture for each position of a slider. For drawings that only matplotlib can make."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from . import palette
from .explorable import Data, Explorable, slider
from .figure import checked_alt, data_uri, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def frames(
    draw: Callable[["Figure", palette.Palette, float], object],
    *,
    label: str,
    values: Sequence[float],
    alt: Callable[[float], str],
    title: str | None = None,
    start: int = 0,
    size: tuple[float, float] = (3.7, 2.6),
) -> Explorable:
    """A slider through pictures that were drawn beforehand, in a light and a dark version.

    Prefer an `explorable`: it answers at every position and is smaller. This is the last resort.

    Args:
        draw: called as `draw(fig, colors, value)` for each value; see `figure`.
        label: what stands beside the slider.
        values: the slider's positions, at most 25.
        alt: `alt(value)` says in words what the picture shows there. The words are also shown under the picture.
        title: the line above; `label` when absent.
        start: the position at first.
        size: width and height in inches; keep it narrow, so that a phone can show it without shrinking its text.

    Returns:
        An `Explorable`.

    Raises:
        ValueError: no value or more than 25; `start` is no position; an empty `alt`; axes without labels.

    >>> def draw(fig, colors, value):
    ...     ax = fig.subplots()
    ...     ax.plot([0, value], color=colors.state)
    ...     ax.set(xlabel="step t", ylabel="state h")
    >>> frames(draw, label="slope", values=[1, 2], alt=lambda value: f"A line that rises by {value}.").params
    {'value': 1}
    """
    values = list(values)
    if not 1 <= len(values) <= 25:
        raise ValueError(f"values must hold 1 to 25 positions, got {len(values)}")
    if not 0 <= start < len(values):
        raise ValueError(f"start must be a position of values, 0 to {len(values) - 1}, got {start}")
    for value in values:
        checked_alt(alt(value))

    def drawn(value: float, colors: palette.Palette) -> "Figure":
        from matplotlib.figure import Figure

        fig = Figure(figsize=size, layout="constrained")
        draw(fig, colors, value)
        return fig

    def compute(*, value: float) -> Data:
        data: Data = {"alt": alt(value), "ratio": size[1] / size[0]}
        for theme, colors in (("light", palette.LIGHT), ("dark", palette.DARK)):
            with house_style(colors):
                data[theme] = data_uri(drawn(value, colors))
        return data

    return Explorable(
        "frames",
        title=title or label,
        params={"value": values[start]},
        controls=[slider("value", label, values=values)],
        compute=compute,
        picture=lambda data, params: drawn(params["value"], palette.LIGHT),
        alt=alt(values[start]),
        play="value" if len(values) > 1 else None,
        table_limit=2_000_000,  # pictures are larger than numbers
    )
