"""A static figure: drawn once for a light page and once for a dark one, wide and narrow, with its description in words."""

import base64
import html
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .palette import DARK, DARK_PAGES, LIGHT, Palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Figure", Palette], object]

# The book's theme hides .only-light or .only-dark itself. Jupyter, Colab and a plain page have no such rule: there,
# exactly one of the two must show as well. Wide figures have a narrow twin, so that text keeps its size on a phone.
_CSS = """
.mx-fig{margin:1rem 0;max-width:720px}.mx-fig img{display:block;width:100%;height:auto;border-radius:4px;filter:none!important}
.mx-fig figcaption{margin-top:.4rem;font-size:.95em}
.mx-fig .only-dark{display:none}
@media screen{DARK .mx-fig .only-light{display:none}DARK .mx-fig .only-dark{display:block}}
@media print{.mx-fig .only-light{display:block!important}.mx-fig .only-dark{display:none!important}}
html[data-theme=dark] .bd-content .text_html:has(.mx-fig){background:none!important;padding:0!important}
"""


def figure(
    draw: Draw,
    *,
    alt: str,
    caption: str | None = None,
    size: tuple[float, float] = (7.0, 3.2),
    narrow: tuple[float, float] | None = None,
) -> "StaticFigure":
    """Draw a picture for the light page and for the dark one; the page shows the one that fits.

    Args:
        draw: called as `draw(fig, colors)` with an empty matplotlib `Figure` and the colours of one theme
            (`colors.input`, `colors.state`, `colors.output`, ...; see `palette.Palette`). It draws, and returns nothing.
            `fig.get_figwidth()` is below 5 when it draws for a phone: put two panels under each other then.
        alt: what the picture shows, in words, for a reader who cannot see it.
        caption: a line under the picture. In the book leave it out and use `{glue:figure}`, which numbers it.
        size: width and height in inches, for pages wider than 600 pixels.
        narrow: the same for phones; 3.7 inches wide and as high as `size` when absent.

    Returns:
        A `StaticFigure`, which shows itself in a notebook, in the book, and through `myst_nb.glue`.

    Raises:
        ValueError: `alt` is empty; or an axes has no x or y label and was not switched off.

    >>> def draw(fig, colors):
    ...     ax = fig.subplots()
    ...     ax.plot([0, 1, 2], [1.0, 0.5, 0.25], color=colors.state)
    ...     ax.set(xlabel="step t", ylabel="state h")
    >>> figure(draw, alt="The state halves at each step.")
    StaticFigure('The state halves at each step.')
    """
    return StaticFigure(draw, alt=alt, caption=caption, size=size, narrow=narrow)


class StaticFigure:
    """What `figure` returns: a picture in two themes and two widths."""

    def __init__(
        self,
        draw: Draw,
        *,
        alt: str,
        caption: str | None,
        size: tuple[float, float],
        narrow: tuple[float, float] | None,
    ) -> None:
        self.alt = checked_alt(alt)
        self.caption = caption
        narrow = narrow or (3.7, size[1])
        # Drawn at once, not when shown: an error in `draw` belongs to the cell that wrote it.
        self._wide, self._narrow = (
            {"light": _drawn(draw, LIGHT, inches), "dark": _drawn(draw, DARK, inches)} for inches in (size, narrow)
        )

    def to_html(self) -> str:
        """The figure as HTML that needs nothing else: no script, no file, no network."""
        dark = _CSS.replace("DARK .mx-fig", ":is(" + ",".join(DARK_PAGES) + ") .mx-fig")
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        pictures = "".join(self._picture(theme) for theme in ("light", "dark"))
        return f'<style>{dark}</style><figure class="mx-fig">{pictures}{caption}</figure>'

    def _picture(self, theme: str) -> str:
        return (
            f'<picture class="only-{theme}">'
            f'<source media="(max-width: 600px)" srcset="{self._narrow[theme]}">'
            f'<img class="dark-light" src="{self._wide[theme]}" alt="{html.escape(self.alt)}"></picture>'
        )

    def save(self, folder: Path | str, name: str) -> list[Path]:
        """Write the wide picture as <name>-light and <name>-dark, each SVG or PNG, for a page that is not ours.

        Args:
            folder: where to.
            name: how the files begin.

        Returns:
            The two paths.
        """
        paths = []
        for theme, uri in self._wide.items():
            kind = "svg" if uri.startswith("data:image/svg") else "png"
            paths.append(Path(folder) / f"{name}-{theme}.{kind}")
            paths[-1].write_bytes(base64.b64decode(uri.split(",", 1)[1]))
        return paths

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": self.alt}

    def __repr__(self) -> str:
        return f"StaticFigure({self.alt!r})"


def checked_alt(alt: str) -> str:
    """`alt`, or a ValueError when it says nothing."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must say in words what the picture shows, got {alt!r}")
    return alt


def check_labels(fig: "Figure") -> None:
    """Raise a ValueError unless every axes says what its axes are."""
    for i, ax in enumerate(fig.axes):
        if not ax.axison or not ax.get_visible():
            continue
        if hasattr(ax, "_colorbar"):  # a colour bar has one axis only
            if not (ax.get_xlabel() or ax.get_ylabel()):
                raise ValueError(f"the colour bar (axes {i}) must have a label: give colorbar(..., label=...)")
            continue
        name = ax.get_title("left") or ax.get_title("center") or ax.get_title("right")
        title = f" {name!r}" if name else ""
        labels = {"x": ax.get_xlabel() or fig.get_supxlabel(), "y": ax.get_ylabel() or fig.get_supylabel()}
        for axis, label in labels.items():
            if not label.strip():
                raise ValueError(
                    f"axes {i}{title} must have {'an x' if axis == 'x' else 'a y'} label: call ax.set_{axis}label(...), or ax.set_axis_off() if it has no axes"
                )


@contextmanager
def house_style(colors: Palette) -> Iterator[None]:
    """Within this block every matplotlib Figure looks like the book's. Pyplot and its backend are left alone."""
    import matplotlib as mpl
    from cycler import cycler

    style: dict[Any, Any] = {
        "figure.facecolor": colors.background,
        "savefig.facecolor": colors.background,
        "axes.facecolor": colors.background,
        "text.color": colors.text,
        "axes.labelcolor": colors.text,
        "axes.titlecolor": colors.text,
        "axes.edgecolor": colors.truth,
        "xtick.color": colors.truth,
        "ytick.color": colors.truth,
        "xtick.labelcolor": colors.text,
        "ytick.labelcolor": colors.text,
        "grid.color": colors.grid,
        "legend.facecolor": colors.background,
        "legend.edgecolor": colors.grid,
        "axes.prop_cycle": cycler(
            color=[colors.state, colors.input, colors.output, colors.extra, colors.other, colors.truth]
        ),
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
        "font.size": 10,
        "legend.fontsize": 10,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "lines.linewidth": 2,
        "svg.hashsalt": "mambaedu",  # without it the names inside an SVG are random and the bytes change at each build
    }
    with mpl.rc_context(style):
        yield


def data_uri(fig: "Figure") -> str:
    """The figure as a data: address, SVG or PNG, whichever is smaller. The same drawing gives the same bytes."""
    from PIL import Image

    check_labels(fig)
    svg, full, png = io.BytesIO(), io.BytesIO(), io.BytesIO()
    fig.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    fig.savefig(full, format="png", dpi=160)
    # A drawing has few colours: with a list of 64 the file is a quarter of the size, and nobody sees a difference.
    Image.open(full).convert("RGB").quantize(64).save(png, "png", optimize=True)
    if svg.tell() <= png.tell():
        return "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode()
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


def _drawn(draw: Draw, colors: Palette, inches: tuple[float, float]) -> str:
    from matplotlib.figure import Figure

    with house_style(colors):
        fig = Figure(figsize=inches, layout="constrained")
        draw(fig, colors)
        return data_uri(fig)
