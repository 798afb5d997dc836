"""Comparison: exact shape and dtype, finite, close; and the first difference is the earliest one."""

import numpy as np
import pytest

from exercises._grader import compare, picture
from exercises._grader.case import Case, Outcome

CASE = Case("loop", "a case", {"a": np.ones(3)})


def lines(got: np.ndarray, expected: np.ndarray, axes: str = "b l d") -> str:
    found = compare.difference(CASE, "h", got, expected, axes)
    return "\n".join(found.lines) if found else ""


def test_equal_is_right() -> None:
    h = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert lines(h.copy(), h) == ""


@pytest.mark.parametrize(("dtype", "inside", "outside"), [("float64", 5e-11, 5e-10), ("float32", 5e-6, 5e-5)])
def test_the_tolerance_is_a_share_of_the_largest_value(dtype: str, inside: float, outside: float) -> None:
    h = np.array([1e-3, 1000.0], dtype)
    assert lines(h + np.array([1000 * inside, 0], dtype), h, "l") == ""
    assert "differs first at t = 0" in lines(h + np.array([1000 * outside, 0], dtype), h, "l")


def test_the_first_difference_is_the_earliest_in_time() -> None:
    h = np.zeros((2, 5, 3)) + 1.0
    got = h.copy()
    got[0, 4, 0] = got[1, 3, 2] = 2.0
    assert lines(got, h).startswith("h differs first at t = 3, d = 2, b = 1: expected 1, got 2.")
    assert "2 of 30 numbers differ" in lines(got, h)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_wrong(value: float) -> None:
    h = np.ones((1, 3, 1))
    got = h.copy()
    got[0, 1, 0] = value
    assert "1 of 3 numbers differ; 1 of them" in lines(got, h)


def test_shape_and_dtype_are_exact() -> None:
    h = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert "h must be (b l d) = (2, 5, 3), got (2, 5)." in lines(h[..., 0], h)
    assert "h must be (b l d) = (2, 5, 3), got (2, 5, 1)." in lines(h[..., :1], h)
    assert lines(h.astype(np.float32), h) == "h must be float64 like the inputs, got float32."
    assert lines(h.astype(complex), h) == "h must be float64 like the inputs, got complex128."


def test_swapped_axes_are_named() -> None:
    h = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert "the axes stand as (b d l)" in lines(h.transpose(0, 2, 1), h)
    assert "the axes stand as (l d b)" in lines(h.transpose(1, 2, 0), h)
    square = np.random.default_rng(0).normal(size=(1, 4, 4))
    assert "the axes stand as (b d l)" in lines(square.transpose(0, 2, 1), square)


def test_counts_are_exact() -> None:
    assert compare.difference(CASE, "loads", np.asarray(20), np.asarray(20), "") is None
    found = compare.difference(CASE, "loads", np.asarray(21), np.asarray(20), "")
    assert found is not None
    assert found.lines == ("loads: expected 20, got 21.",)


def test_an_input_that_was_written_into_is_named() -> None:
    after = {"a": np.array([1.0, 1.0, 1.0 + 1e-15])}
    outcome = Outcome("answered", outputs={"h": np.ones(2)}, inputs_after=after)
    (found,) = compare.differences(CASE, outcome, {"h": np.ones(2)}, {"h": "l"})
    assert "wrote into its input a" in found.lines[0]


def test_an_output_that_is_not_there_is_named() -> None:
    outcome = Outcome("answered", outputs={}, inputs_after=CASE.inputs)
    (found,) = compare.differences(CASE, outcome, {"h": np.ones(2)}, {"h": "l"})
    assert found.lines == ("h is missing from your answer.",)


def test_an_input_that_was_not_sent_back_counts_as_written() -> None:
    outcome = Outcome("answered", outputs={"h": np.ones(2)}, inputs_after={})
    assert compare.differences(CASE, outcome, {"h": np.ones(2)}, {"h": "l"})


def test_same_takes_nan_for_nan_and_sees_the_inputs() -> None:
    one = Outcome("answered", outputs={"h": np.array([1.0, np.nan])}, inputs_after={"a": np.ones(3)})
    equal = Outcome("answered", outputs={"h": np.array([1.0, np.nan])}, inputs_after={"a": np.ones(3)})
    other = Outcome("answered", outputs={"h": np.array([1.0, 2.0])}, inputs_after={"a": np.ones(3)})
    writes = Outcome("answered", outputs={"h": np.array([1.0, np.nan])}, inputs_after={"a": np.zeros(3)})
    assert compare.same(one, equal, ["h"])
    assert not compare.same(one, other, ["h"])
    assert not compare.same(one, writes, ["h"])
    assert not compare.same(one, Outcome("error", "x"), ["h"])


def test_the_picture_shows_where() -> None:
    expected = np.array([0.0, 1.0, 2.0, 3.0])
    got = np.array([0.0, 1.0, np.nan, 9.0])
    assert picture.pair(got, expected, 2) == ["▁▃▆█", "▁▃×█", "  ^ t = 2"]


def test_a_long_picture_is_cut_around_the_difference() -> None:
    expected = np.arange(1000.0)
    got = expected.copy()
    got[700] = 0
    top, bottom, mark = picture.pair(got, expected, 700)
    assert len(top) == len(bottom) == picture.WIDTH
    assert bottom[mark.index("^")] == "▁" != top[mark.index("^")]
