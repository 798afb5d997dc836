"""Pictures: static figures in a light and a dark version, and explorables that work in a page without any kernel.

matplotlib and anywidget are needed only when something is drawn, not for this import.
"""

from .boxes import paper_box, provenance, table
from .echo import echo
from .explorable import explorable, slider
from .figure import figure
from .forgetting import forgetting
from .frames import frames
from .path import path
from .poles import poles
from .sampling import sampling
from .speed import ratio_bars, roofline, time_against_length

__all__ = [
    "echo",
    "explorable",
    "figure",
    "forgetting",
    "frames",
    "paper_box",
    "path",
    "poles",
    "provenance",
    "ratio_bars",
    "roofline",
    "sampling",
    "slider",
    "table",
    "time_against_length",
]
