"""The picture of the book: every station is drawn, and the filled ones are those that are written."""

import sys

import matplotlib.figure
import pytest
from matplotlib.colors import to_hex

from mambaedu.viz import path
from mambaedu.viz.palette import DARK, LIGHT

# The name `mambaedu.viz.path` is the function, which hides its module.
MODULE = sys.modules["mambaedu.viz.path"]


@pytest.fixture
def draw(monkeypatch):
    """What the picture is drawn with, and the words that stand for it."""
    caught = {}
    monkeypatch.setattr(MODULE, "figure", lambda draw, **how: caught.update(draw=draw, **how))
    path()
    return caught


@pytest.mark.parametrize("colors", [LIGHT, DARK])
def test_every_station_is_drawn_and_the_written_ones_are_filled(draw, colors):
    fig = matplotlib.figure.Figure(figsize=draw["size"])
    draw["draw"](fig, colors)
    (ax,) = fig.axes
    texts = [text.get_text() for text in ax.texts]
    stations = [station for _, stations in MODULE.PARTS for station in stations]
    assert len(stations) == len(set(stations)) == 16
    assert [text for text in texts if text in stations] == stations
    assert [text for text in texts if text not in stations] == [name for name, _ in MODULE.PARTS]

    markers = [line for line in ax.lines if line.get_marker() == "o"]
    filled = [to_hex(line.get_markerfacecolor()) != to_hex(colors.background) for line in markers]
    ready = {station for group in MODULE.READY for station in group}
    assert [station for station, full in zip(stations, filled, strict=True) if full] == [
        s for s in stations if s in ready
    ]


def test_ready_stations_are_stations():
    stations = {station for _, stations in MODULE.PARTS for station in stations}
    assert {station for group in MODULE.READY for station in group} <= stations


def test_every_text_starts_inside_the_picture(draw):
    for size in (draw["size"], draw["narrow"]):
        fig = matplotlib.figure.Figure(figsize=size)
        draw["draw"](fig, LIGHT)
        (ax,) = fig.axes
        (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
        assert all(x0 < text.get_position()[0] < x1 and y0 < text.get_position()[1] < y1 for text in ax.texts)


def test_the_words_say_how_many_stations_are_filled(draw):
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
    ready = sum(len(group) for group in MODULE.READY)
    assert f"The first {names[ready]} stations are filled" in draw["alt"]


def test_the_picture_is_a_figure():
    assert repr(path()).startswith("StaticFigure('The path of the book: from a spring")
    assert path().to_html().count("<picture") == 2
