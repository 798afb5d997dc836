"""Pictures of speed are made of the numbers of a record, and say them in words."""

import itertools

import pytest
from matplotlib.figure import Figure

from mambaedu.viz import speed
from mambaedu.viz.figure import check_labels, house_style
from mambaedu.viz.palette import DARK, LIGHT


def gpu():
    """What a GPU might give that copies 1 TB/s and makes 2e12 exponentials in a second."""

    def row(l, n, dtype, forward, **more):
        scan = {"b": 1, "l": l, "d": 1000, "n": n, "dtype": dtype, "forward": forward, "both": 5 * forward}
        return scan | {"floor forward": forward / 2, "share forward": 0.5} | more

    failed = {"b": 1, "l": 99, "d": 1000, "n": 16, "dtype": "fp32", "failed": "RuntimeError: no"}
    naive = {"naive forward": 0.03, "ratio forward": 300.0}
    return {
        "backend": "triton",
        "copy_bytes_per_second": 1e12,
        "exponentials_per_second": 2e12,
        "rows": [row(4096, 16, "bf16", 1e-3, **{"share forward": 0.25}), row(4096, 16, "fp32", 1e-3), failed, row(64, 64, "bf16", 1e-4)],
        "lengths": [row(256, 16, "fp32", 1e-4, **naive), failed, row(4096, 16, "fp32", 1e-3), row(65536, 16, "fp32", 2e-2)],
    }  # fmt: skip


def cpu():
    return {
        "backend": "numba",
        "rows": [
            {"what": "forward, plain", "b": 1, "l": 2048, "d": 1536, "n": 16, "ratio mambapy": 40.0, "ratio naive": 6.0, "numba": 0.02},
            {"what": "both", "b": 1, "l": 2048, "d": 1536, "n": 16, "ratio naive": 5.0, "ratio late loop": 0.5, "numba": 0.02},
            {"what": "step", "b": 1, "l": 1, "d": 1536, "n": 16, "failed": "RuntimeError: no"},
        ],
    }  # fmt: skip


def drawn(monkeypatch, make, *arguments):
    """The axes of a picture, as it is drawn wide and light; all four are drawn."""
    figures = []

    def figure(draw, *, alt, size, narrow):
        for colors in (LIGHT, DARK):
            for inches in (size, narrow):
                with house_style(colors):
                    figures.append(Figure(figsize=inches, layout="constrained"))
                    draw(figures[-1], colors)
                    check_labels(figures[-1])

    monkeypatch.setattr(speed, "figure", figure)
    make(*arguments)
    return figures[0].axes


def words(axes):
    return {text.get_text() for ax in axes for text in ax.texts}


def test_a_curve_is_what_was_measured(monkeypatch):
    (ax,) = drawn(monkeypatch, speed.time_against_length, gpu())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    curves = {tuple(line.get_xdata()): list(line.get_ydata()) for line in ax.lines if line.get_marker() == "o"}
    assert set(curves) == {(256,), (256, 4096, 65536)}
    assert curves[(256,)] == pytest.approx([30])  # ms
    assert [list(line.get_ydata()) for line in ax.lines][2] == pytest.approx([0.1, 1, 20])
    assert words([ax]) == {"naive loop", "triton,\nwith backward", "triton", "floor"}


def test_names_that_would_meet_move_apart(monkeypatch):
    data = gpu()
    for row in data["lengths"]:
        row["both"] = row["floor forward"] = row.get("forward")
    (ax,) = drawn(monkeypatch, speed.time_against_length, data)
    heights = sorted(text.xy[1] for text in ax.texts if text.xy[0] == 65536)
    assert len(heights) == 3
    assert all(second >= 1.5 * first for first, second in itertools.pairwise(heights))


def test_the_words_of_a_curve_are_its_numbers():
    alt = speed.time_against_length(gpu()).alt
    assert "From l = 256 to 65,536 the triton forward grows from 0.1 ms to 20 ms, where its floor is 10 ms." in alt
    assert "The naive loop takes 30 ms at l = 256, 300 times as long as triton there." in alt


def test_a_bar_begins_where_both_are_equally_fast_and_ends_at_the_ratio(monkeypatch):
    axes = drawn(monkeypatch, speed.ratio_bars, cpu())
    assert [ax.get_title("left") for ax in axes] == ["forward", "forward and backward"]
    ends = [{bar.get_x() + bar.get_width() for bar in ax.patches} for ax in axes]
    assert ends == [{6, 40}, {0.5, 5}]
    assert {bar.get_x() for ax in axes for bar in ax.patches} <= {1, 0.5}
    assert words(axes) == {"6.0", "40.0", "5.0", "0.5"}
    assert axes[0].get_xlim()[0] < 0.5
    assert axes[0].get_xlim()[1] > 40


def test_the_words_of_the_bars_are_their_numbers():
    alt = speed.ratio_bars(cpu()).alt
    assert "forward at b = 1, l = 2,048, d = 1,536, n = 16: naive 6.0, mambapy 40.0." in alt
    assert "forward and backward at b = 1, l = 2,048, d = 1,536, n = 16: late loop 0.5, naive 5.0." in alt


def test_the_roof_has_its_corner_where_memory_and_exponentials_take_as_long(monkeypatch):
    (ax,) = drawn(monkeypatch, speed.roofline, gpu())
    roof, *points = ax.lines
    xs, ys = list(roof.get_xdata()), list(roof.get_ydata())
    assert xs[1] == 2
    assert ys[1:] == [2, 2]
    assert ys[0] == pytest.approx(xs[0])  # 1e12 bytes in a second, x exponentials each
    places = {line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in points}
    # 4096 x 1000 x 16 exponentials in a millisecond; 4 x 1000 + 2 x 16 numbers of 4 bytes for 1000 x 16 exponentials.
    assert places["fp32"] == [(pytest.approx(16000 / (4 * 4032)), pytest.approx(0.065536))]
    assert len(places["bf16"]) == 2
    assert {"memory", "exponentials", "$n$ = 16", "$n$ = 64"} <= words([ax])


def test_the_words_of_the_roof_are_its_numbers():
    alt = speed.roofline(gpu()).alt
    assert "memory rises until 2.0 exponentials for each byte, then 2.0e12 exponentials a second" in alt
    assert "3 points lie below, at 25% to 50% of the roof." in alt


@pytest.mark.parametrize(
    ("make", "data", "message"),
    [
        (speed.time_against_length, gpu() | {"lengths": []}, "no lengths"),
        (speed.roofline, gpu() | {"rows": []}, "no rows"),
        (speed.roofline, {**gpu(), "exponentials_per_second": None}, "no rate of exponentials"),
        (lambda data: speed.ratio_bars(data, ("step",)), cpu(), "no row 'step'"),
    ],
)
def test_what_was_not_measured_is_not_drawn(make, data, message):
    with pytest.raises(ValueError, match=message):
        make(data)
