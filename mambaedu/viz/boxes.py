"""The paper box of a chapter, and the line under a recorded figure: text made from a record, never typed."""

import re
from html import escape
from typing import Any

from ..lab import records

_ROWS = (
    ("paper", "paper"),
    ("says", "it says"),
    ("ran", "we ran"),
    ("measured", "we measured"),
    ("verdict", "verdict"),
)


class Text:
    """A piece of HTML with its plain text, for notebooks and pages."""

    def __init__(self, html: str, plain: str) -> None:
        self.html, self.plain = html, plain

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.plain}

    def __repr__(self) -> str:
        return self.plain


def paper_box(name: str, index: int = 0) -> Text:
    """One paper box: what a paper says, what we ran, what we measured, and whether it held.

    Args:
        name: the record, for example "e01".
        index: which of its boxes.

    Returns:
        A table that shows itself in the book and in a notebook.

    Raises:
        FileNotFoundError, ValueError: as `mambaedu.lab.records.read`.
    """
    record = records.read(name)
    box = record["data"]["paper_boxes"][index]
    rows = "".join(f"<tr><th scope='row'>{label}</th><td>{escape(box[key])}</td></tr>" for key, label in _ROWS)
    line = _line(records.provenance(record))
    plain = "\n".join(f"{label}: {box[key]}" for key, label in _ROWS)
    return Text(f"<table class='table paper-box'><tbody>{rows}</tbody></table>{line}", plain)


def provenance(name: str) -> Text:
    """Where a recorded figure comes from: machine, versions, date, commit and command.

    Args:
        name: the record, for example "bench_linear_scan_gpu".
    """
    line = records.provenance(records.read(name))
    return Text(_line(line), line)


def _line(text: str) -> str:
    """The line under a figure, with the command between backticks as code."""
    command = re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
    return f"<p class='mx-provenance'>{command}</p>"


def table(heads: list[Any], rows: list[list[Any]]) -> Text:
    """A small table; numbers are shown with three digits.

    Args:
        heads: the title of each column.
        rows: one list of cells a row.

    >>> print(table(["l", "error"], [[64, 1.23456e-7]]))
    l | error
    64 | 1.23e-07
    """

    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    body = [[cell(value) for value in row] for row in rows]
    head = "".join(f"<th scope='col'>{escape(str(h))}</th>" for h in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body)
    plain = "\n".join(" | ".join(row) for row in [[str(h) for h in heads], *body])
    return Text(f"<table class='table'><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>", plain)
