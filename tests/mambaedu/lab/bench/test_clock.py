"""The clocks count what they say they count."""

import torch

from mambaedu.lab.bench import clock


def test_the_clock_takes_the_median_after_two_calls_that_do_not_count(monkeypatch):
    calls = []
    times = iter([0.0, 1.0, 10.0, 19.0, 20.0, 22.0])
    monkeypatch.setattr(clock.time, "perf_counter", lambda: next(times))
    assert clock.clock(lambda: calls.append(1), 3, "cpu") == 2.0
    assert len(calls) == 5


def test_the_copy_is_counted_in_both_directions(monkeypatch):
    monkeypatch.setattr(clock, "clock", lambda run, repeats, device, graph: 0.5)
    # 2^25 numbers of four bytes, read and written, in half a second.
    assert clock.copy_bandwidth("cpu", 1) == 2 * 2**25 * 4 / 0.5


def test_the_peak_is_what_a_call_holds_beyond_what_was_held_before_it(monkeypatch):
    held = {"now": 100, "most": 900}

    def run():
        held["most"] = max(held["most"], held["now"] + 70)

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: held["now"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: held.update(most=held["now"]))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: held["most"])
    assert clock.peak_bytes(run) == 70
