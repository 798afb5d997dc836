"""A bench is a table of rows, each measured on its own: one that fails says so, and the others go on."""

import math
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Row = dict[str, Any]

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
# How far from fp64 a result may be, of its largest value, before it is called wrong and not timed. It is no statement about
# accuracy, which the record states: bf16 outputs are rounded to 2e-3.
WRONG = {"bf16": 1e-2, "fp32": 1e-4}


def measured(rows: list[Row], row: Row, measure: Callable[[Row], None], keep: Callable[[], None]) -> None:
    """Fill one row and add it to the table. What stops the measuring is written into the row; what was measured before it stays."""
    rows.append(row)
    try:
        measure(row)
    except Exception as error:  # a GPU has many ways to fail, and the other rows are worth having
        row["failed"] = f"{type(error).__name__}: {error}"[:300]
        traceback.print_exc()
    print(told(row), flush=True)
    keep()


def told(row: Mapping[str, Any]) -> str:
    """A row as a line of progress.

    >>> told({"b": 1, "l": 16, "dtype": "bf16", "forward": 0.00025, "share forward": 0.5})
    'b=1 l=16 dtype=bf16  forward 0.2500 ms, share forward 50.0 %'
    """
    sizes = [f"{key}={row[key]}" for key in ("b", "l", "d", "n", "dtype") if key in row]
    values = [_told(key, value) for key, value in row.items() if key not in ("b", "l", "d", "n", "dtype")]
    return f"{' '.join(sizes)}  {', '.join(values)}"


def _told(key: str, value: Any) -> str:
    if not isinstance(value, float):
        return f"{key} {value}"
    if key.startswith("share"):
        return f"{key} {value:.1%}".replace("%", " %")
    if key.startswith("ratio"):
        return f"{key} {value:.1f}"
    if key.startswith(("error", "peak")):
        return f"{key} {value:.2g}"
    return f"{key} {value * 1e3:.4f} ms"


class Wrong(ArithmeticError):
    """A result that is not the one it should be: its time says nothing."""


def refuse_if_wrong(row: Row, what: str, errors: Mapping[str, float]) -> None:
    """Write the largest error into the row; raise when it says that the result is wrong."""
    worst = max(errors, key=lambda name: errors[name] if math.isfinite(errors[name]) else math.inf)
    if not errors[worst] <= WRONG[row["dtype"]]:  # true for NaN too
        raise Wrong(f"{what}: {worst} is off by {errors[worst]:.1e} of its largest value")
    row[f"error {what}"] = errors[worst]


def relative_error(got: Tensor, truth: Tensor) -> float:
    """The largest error, in units of the largest true value; NaN when anything is."""
    return float((got.double() - truth).abs().amax() / truth.abs().amax())
