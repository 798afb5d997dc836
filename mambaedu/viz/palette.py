"""One palette for every picture of the book: input blue, state green, output vermillion.

The hues are those of Okabe and Ito, which people with any kind of colour vision tell apart. Each role has a value for
white paper and one for the dark page; both stand out from their background with a contrast of at least 3.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, by role. `draw` functions receive it as `colors`."""

    background: str
    text: str
    grid: str  # lines that may be faint: they carry no information of their own
    truth: str  # the exact answer, behind what is computed
    input: str
    state: str
    output: str
    extra: str  # a fourth and a fifth curve, where a picture compares rules
    other: str

    def data_colors(self) -> dict[str, str]:
        """The roles that carry information, which must stand out from the background."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("background", "grid")}


LIGHT = Palette(
    background="#ffffff",
    text="#1b1f24",
    grid="#d9dde3",
    truth="#7b828c",
    input="#0072b2",
    state="#009e73",
    output="#d55e00",
    extra="#a3589f",
    other="#8a7400",
)

DARK = Palette(
    background="#14181e",
    text="#e4e7eb",
    grid="#363e49",
    truth="#98a1ad",
    input="#4fa8e0",
    state="#3fdcab",
    output="#ff8a3d",
    extra="#e3a1df",
    other="#e6d34f",
)


def contrast(one: str, two: str) -> float:
    """The contrast of two colours, from 1 (none) to 21 (black on white).

    Equation: (L1 + 0.05) / (L2 + 0.05), with L the relative luminance and L1 the larger one.

    Args:
        one, two: colours as "#rrggbb".

    Returns:
        The contrast; 3 is the least for a line or a mark, 4.5 for small text.

    Source: WCAG 2.1, criteria 1.4.3 and 1.4.11.

    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    lighter, darker = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# How the places where the book is read say that their page is dark: the book, JupyterLab, Colab, VS Code.
DARK_PAGES = ("html[data-theme=dark]", "body[data-jp-theme-light=false]", "html[theme=dark]", "body.vscode-dark")


def css() -> str:
    """Both palettes as CSS variables, `--mx-input` and so on, and which of them a page takes. Paper is always light."""
    light, dark = ("".join(f"--mx-{f.name}:{getattr(p, f.name)};" for f in fields(p)) for p in (LIGHT, DARK))

    def on(inner: str) -> str:
        return ",".join(f"{page} .mx {inner}".strip() for page in DARK_PAGES)

    return (
        f".mx{{color-scheme:light;{light}}}.mx .mx-dark{{display:none}}\n"
        f"@media screen{{{on('')}{{color-scheme:dark;{dark}}}{on('.mx-light')}{{display:none}}{on('.mx-dark')}{{display:inline}}}}\n"
    )
