"""E02: four ways, one answer; the slopes are those of the algorithms; the words follow the numbers."""

import copy
import time

import pytest
import torch

from mambaedu.convolution import direct_convolve, kernel_by_powers
from mambaedu.lab import records
from mambaedu.lab.experiments import e02


@pytest.fixture(scope="module")
def result():
    start = time.perf_counter()
    result = e02.run(seed=0, quick=True)
    return {**result, "took": time.perf_counter() - start}


def test_the_quick_run_fits_on_a_page(result):
    assert result["took"] < 90
    assert result["lengths"] == [64, 256, 1024]
    assert set(result["seconds"]) == set(result["errors"]) == set(result["slopes"]) == set(e02.ARMS)


def test_every_arm_is_within_single_precision_of_the_truth(result):
    for arm in e02.ARMS:
        assert len(result["errors"][arm]) == len(result["seconds"][arm]) == 3
        assert all(0 < error < 1e-5 for error in result["errors"][arm]), arm
        assert all(seconds > 0 for seconds in result["seconds"][arm]), arm


@pytest.mark.parametrize("l", [1, 2, 3, 64, 100])
def test_all_arms_agree_in_double_precision(l):
    parts = e02.system(3, 4, 0, torch.float64)
    u = torch.randn(2, l, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ways = [
        e02.by_loop(u, *parts, backend="naive"),
        e02.by_loop(u, *parts, backend="numba"),
        e02.by_matrix(u, *parts),
        e02.by_fft(u, *parts),
    ]
    # A fifth, by the library's own kernel and sum.
    K = torch.stack([kernel_by_powers(*(x[d] for x in parts), l) for d in range(3)], dim=1)  # (l d)
    expected = direct_convolve(u, K)
    for y in ways:
        assert y.shape == (2, l, 3)
        assert (y - expected).abs().max() < 1e-12 * expected.abs().max()


def test_the_system_is_zoh_of_real_modes():
    A_bar, B_bar, C = e02.system(5, 4, 0, torch.float64)
    assert A_bar.shape == B_bar.shape == C.shape == (5, 4)
    # Mode k is exp(-k delta) with one delta a channel, and B_bar = (1 - A_bar) / k.
    k = torch.arange(1, 5, dtype=torch.float64)
    delta = -torch.log(A_bar[:, :1])
    assert (delta >= 1e-3).all()
    assert (delta <= 0.1).all()
    assert torch.allclose(A_bar, torch.exp(-k * delta), rtol=1e-12, atol=0)
    assert torch.allclose(B_bar, (1 - A_bar) / k, rtol=1e-12, atol=0)
    assert not torch.equal(C, e02.system(5, 4, 1, torch.float64)[2])


def test_slope_is_taken_between_the_last_two_that_were_timed():
    assert e02._slope([10, 100, 1000], [1.0, 1.0, 10.0]) == pytest.approx(1)
    assert e02._slope([10, 100, 1000], [1.0, 100.0, None]) == pytest.approx(2)


def test_the_first_call_is_not_timed_and_the_shortest_counts(monkeypatch):
    calls = []
    times = iter([0.0, 5.0, 10.0, 12.0, 20.0, 29.0])
    monkeypatch.setattr(e02.time, "perf_counter", lambda: next(times))
    assert e02.best_time(lambda: calls.append(1), 3) == 2.0
    assert len(calls) == 4


def test_the_recorded_slopes_are_those_of_the_algorithms():
    """On an idle machine, long sequences: the quick run's slopes are too rough to be asserted."""
    slopes = records.read("e02")["data"]["slopes"]
    assert slopes["direct"] > 1.6
    for arm in ("naive loop", "numba loop", "FFT"):
        assert 0.7 < slopes[arm] < 1.5, arm


def test_the_record_leaves_out_what_does_not_fit_in_memory():
    recorded = records.read("e02")["data"]
    for l, seconds, error in zip(
        recorded["lengths"], recorded["seconds"]["direct"], recorded["errors"]["direct"], strict=True
    ):
        assert (seconds is None) == (error is None) == (l > 1024)
    for arm in ("naive loop", "numba loop", "FFT"):
        assert all(error < 1e-5 for error in recorded["errors"][arm])


def test_the_record_and_the_page_tell_one_story(result):
    """Times differ between machines. What must be the same: which way loses, by far, at l = 1,024."""
    for data in (result, records.read("e02")["data"]):
        at = data["lengths"].index(1024)
        assert max(e02.ARMS, key=lambda arm: data["seconds"][arm][at]) == "direct"


KEYS = {"paper", "says", "ran", "measured", "verdict"}


def test_the_boxes_of_the_record_are_made_of_its_numbers(result):
    recorded = records.read("e02")["data"]
    assert e02.paper_boxes(recorded) == recorded["paper_boxes"]
    for box in e02.paper_boxes(result):
        assert set(box) == KEYS
        assert all(isinstance(text, str) and text for text in box.values())


def made_up(result, *, loop, direct, fft):
    data = copy.deepcopy(result)
    for arm, seconds in (("naive loop", 9.0), ("numba loop", loop), ("direct", direct), ("FFT", fft)):
        data["seconds"][arm] = [seconds] * 3
    (box,) = e02.paper_boxes(data)
    return box


def test_the_verdict_follows_the_numbers(result):
    wins = made_up(result, loop=4.0, direct=8.0, fft=2.0)
    assert "takes 4 times as long as the FFT" in wins["measured"]
    assert "0.50 to 0.50 times as long as the compiled loop" in wins["measured"]
    assert wins["verdict"].startswith("held: ")
    assert "faster than the compiled loop at 3 of 3 lengths" in wins["verdict"]
    loses = made_up(result, loop=1.0, direct=8.0, fft=2.0)
    assert loses["verdict"].startswith("held in part: ")
    assert "the compiled loop was as fast at every length" in loses["verdict"]
    assert not made_up(result, loop=1.0, direct=1.0, fft=2.0)["verdict"].startswith("held")
    data = copy.deepcopy(result)
    data["seconds"] |= {"numba loop": [1.0, 2.0, 3.0], "FFT": [2.0, 1.0, 1.0], "direct": [9.0] * 3}
    (box,) = e02.paper_boxes(data)
    assert box["verdict"].startswith("held in part: ")
    assert "at 2 of 3 lengths" in box["verdict"]
