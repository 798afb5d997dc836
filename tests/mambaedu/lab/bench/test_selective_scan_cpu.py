"""The bench of the CPU compares like with like, and counts CPU time."""

import json
import os
import time

import pytest
import torch

from mambaedu.lab.bench import clock, peers
from mambaedu.lab.bench import selective_scan_cpu as bench


@pytest.fixture
def seconds(monkeypatch):
    """Numba takes a millisecond, and the others two, three, ... in the order in which they are timed; everything runs once."""

    def cpu_seconds(runs, repeats):
        for run in runs.values():
            run()
        return {name: (i + 1) * 1e-3 for i, name in enumerate(runs)}

    monkeypatch.setattr(bench, "cpu_seconds", cpu_seconds)


def row(what, l=9):
    return {"what": what, "b": 1, "l": l, "d": 5, "n": 3, "dtype": "fp32"}


@pytest.mark.parametrize(("what", "moved"), [("forward, plain", 3), ("forward", 4)])
def test_forward_is_compared_with_loops_a_copy_and_the_arithmetic(seconds, what, moved):
    table = row(what)
    bench.measure_forward(1, dict(peers.LOOPS), 1e-6, table)
    assert table["error numba"] < 1e-6
    assert table["ratio naive"] == table["naive"] / table["numba"] == pytest.approx(2)
    assert table["ratio unbind loop"] == pytest.approx(4)
    # u, delta, y and perhaps z: `moved` tensors pass through memory. The copy that is timed reads as many, and writes as many.
    assert table["copy"] == pytest.approx(5e-3 * moved / (2 * (moved - 1)))
    assert table["floor"] == pytest.approx(1 * 9 * 5 * 3 * 1e-6)
    assert table["share"] == pytest.approx(table["floor"] / 1e-3)


def test_both_is_compared_with_what_has_a_linear_backward(seconds):
    table = row("both")
    bench.measure_both(1, dict(peers.LOOPS), 1e-6, table)
    assert table["ratio unbind loop"] == pytest.approx(3)
    assert "ratio reference loop" not in table


def test_a_step_is_compared_with_the_line_in_pytorch_and_with_its_own_kernel(seconds):
    table = row("step", l=1)
    bench.measure_step(1, {}, 1e-6, table)
    assert table["numba"] == pytest.approx(1e-5)  # of a hundred
    assert table["ratio kernel"] == pytest.approx(2)
    assert table["ratio torch line"] == pytest.approx(4)


def test_a_wrong_scan_is_not_timed(seconds):
    table = row("forward")
    with pytest.raises(ArithmeticError, match="late loop: y is off by"):
        bench.measure_forward(1, {"late loop": lambda **inputs: peers.unbind_loop(**inputs).roll(1, 1)}, 1e-6, table)
    assert "numba" not in table


def test_cpu_time_counts_work_not_waiting_takes_the_least_and_takes_turns(monkeypatch):
    now, turns = [0.0], []
    durations = {"a": iter([9, 5, 3, 4]), "b": iter([9, 2, 8, 7])}  # the first is not counted

    def work(name):
        turns.append(name)
        now[0] += next(durations[name])

    monkeypatch.setattr(clock.time, "process_time", lambda: now[0])
    assert clock.cpu_seconds({name: lambda name=name: work(name) for name in "ab"}, 3) == {"a": 3, "b": 2}
    assert "".join(turns) == "abababab"
    monkeypatch.undo()
    assert clock.cpu_seconds({"asleep": lambda: time.sleep(0.05)}, 1)["asleep"] < 0.04


def test_first_calls_are_cold_and_then_warm(monkeypatch, capsys):
    caches = []

    def here(code, NUMBA_CACHE_DIR):
        assert os.path.isdir(NUMBA_CACHE_DIR)
        caches.append(NUMBA_CACHE_DIR)
        exec(code, {})
        return json.loads(capsys.readouterr().out)

    monkeypatch.setattr(bench, "in_a_fresh_process", here)
    calls = bench.first_call()
    assert list(calls) == ["cold", "warm"]
    assert len(set(caches)) == 1
    for seconds in calls.values():
        assert list(seconds) == ["forward", "backward", "step"]
        assert min(seconds.values()) > 0


@pytest.mark.slow
@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="this system does not tell how much memory a process held"
)
def test_the_peak_is_the_results_and_little_else(monkeypatch):
    monkeypatch.setattr(bench, "SHAPE", (1, 1024, 512, 16))
    # y and three gradients like u; half a tensor of saved states, and the partial sums of grad_B and grad_C.
    assert 4.5 < bench.peak() < 9


def test_a_fresh_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no bread"):
        bench.in_a_fresh_process("raise SystemExit('no bread')")


def test_the_tables_are_kept_and_the_threads_given_back(monkeypatch):
    monkeypatch.setattr(bench.peers, "find", lambda: ({}, {"mambapy": "1.0"}))
    monkeypatch.setattr(bench, "update_seconds", lambda repeats: 1e-9)
    for name in ("measure_forward", "measure_both", "measure_step"):
        monkeypatch.setattr(bench, name, lambda repeats, scans, update, row: row.update(numba=1.0))
    monkeypatch.setattr(bench, "first_call", lambda: {"cold": {"forward": 3.0}})
    monkeypatch.setattr(bench, "peak", lambda: 5.0)
    threads, kept = torch.get_num_threads(), []
    bench.bench_cpu(False, lambda data: kept.append(dict(data)))
    assert torch.get_num_threads() == threads
    assert [row["what"] for row in kept[-1]["rows"]] == ["forward, plain", "forward", "both", "step"]
    assert (kept[-1]["peers"], kept[-1]["peak"], kept[-1]["first call"]) == (
        {"mambapy": "1.0"},
        5.0,
        {"cold": {"forward": 3.0}},
    )
    assert len(kept) == 5
