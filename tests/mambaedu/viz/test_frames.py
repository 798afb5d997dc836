"""Frames: one picture a slider position, in both themes."""

import re

import pytest

from mambaedu.viz import frames


def draw(fig, colors, value):
    ax = fig.subplots()
    ax.plot([0, value], color=colors.state)
    ax.set(xlabel="step t", ylabel="state h")


def make(values, **options):
    return frames(draw, label="slope", values=values, alt=lambda v: f"A line that rises by {v}.", **options)


def test_the_page_holds_two_pictures_a_position_and_the_stand_in():
    page = make([1, 2, 3]).to_html()
    assert len(re.findall(r"data:image/[^\"]+", page)) == 7
    assert len(set(re.findall(r"data:image/[^\"]+", page))) == 6  # the stand-in is the first light one
    assert all(f"A line that rises by {v}." in page for v in (1, 2, 3))


def test_start_chooses_the_first_picture():
    assert make([1, 2, 3], start=2).params == {"value": 3}


def test_the_same_frames_give_the_same_bytes():
    def page():
        return re.sub(r"mx-frames-\d+", "", make([1]).to_html())

    assert page() == page()


@pytest.mark.parametrize("count", [0, 26])
def test_1_to_25_positions(count):
    with pytest.raises(ValueError, match=f"values must hold 1 to 25 positions, got {count}"):
        make(range(count))


def test_start_must_be_a_position():
    with pytest.raises(ValueError, match="start must be a position of values, 0 to 1, got 2"):
        make([1, 2], start=2)


def test_every_position_needs_words():
    with pytest.raises(ValueError, match="alt must say in words"):
        frames(draw, label="slope", values=[1, 2], alt=lambda v: "" if v == 2 else "One.")


def test_axes_need_names():
    with pytest.raises(ValueError, match="axes 0 must have an x label"):
        frames(lambda fig, colors, v: fig.subplots(), label="v", values=[1], alt=str).to_html()
