"""A sequence as one line of text: ▁▂▃▅▇, with × where a value is not a finite number."""

import numpy as np

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def line(values: np.ndarray, low: float, high: float) -> str:
    """One character a value, from `low` (the lowest bar) to `high` (the highest); values beyond are cut off."""
    span = (high - low) or 1.0
    marks = []
    for value in values:
        if not np.isfinite(value):
            marks.append("×")
            continue
        share = min(max((float(value) - low) / span, 0.0), 1.0)
        marks.append(BARS[round(share * (len(BARS) - 1))])
    return "".join(marks)


def pair(got: np.ndarray, expected: np.ndarray, first: int) -> list[str]:
    """Three lines: expected, got, and a mark under the first value that differs. Both arrays are (l)."""
    if np.iscomplexobj(got) or np.iscomplexobj(expected):
        got, expected = got.real, expected.real
    start = max(0, min(first - WIDTH // 2, len(expected) - WIDTH))
    got, expected = got[start : start + WIDTH], expected[start : start + WIDTH]
    finite = expected[np.isfinite(expected)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return [line(expected, low, high), line(got, low, high), " " * (first - start) + f"^ t = {first}"]
