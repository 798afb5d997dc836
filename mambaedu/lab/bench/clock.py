"""The clocks of the bench, and what the hardware can do: the rate of a copy, and the memory of a call."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def clock(run: Callable[[], Any], repeats: int, device: str, graph: bool = True) -> float:
    """The median time of a call in seconds, after two that are not counted.

    On a GPU the call is captured as a graph and the graph is replayed, so that the time is the kernels' and not Python's, unless
    `graph` is False. The L2 cache is cleared before each call.
    """
    for _ in range(2):
        run()
    if device == "cpu":
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return statistics.median(times)
    scratch = torch.empty(64 * 2**20, dtype=torch.int32, device=device)  # 256 MB, larger than any L2
    torch.cuda.synchronize()
    if graph:
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            run()
        run = captured.replay
    times = []
    for _ in range(repeats):
        scratch.zero_()
        start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start_event.record()
        run()
        end_event.record()
        torch.cuda.synchronize()
        times.append(start_event.elapsed_time(end_event) / 1000)
    return statistics.median(times)


def cpu_seconds(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The CPU time of each call, of all its threads: the least of `repeats`, after one that is not counted.

    The calls take turns, so that a busy minute of the machine meets all of them. CPU time does not count the waiting, and the least
    is the one that was disturbed least.
    """
    for run in runs.values():
        run()
    least = dict.fromkeys(runs, math.inf)
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - start)
    return least


def copy_bandwidth(device: str, repeats: int) -> float:
    """Bytes read plus bytes written per second by a large copy, not in a graph: there the driver takes a slower way (2.4 for 3.0 TB/s)."""
    source = torch.ones(2**29 if device != "cpu" else 2**25, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / clock(lambda: target.copy_(source), repeats, device, graph=False)


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most GPU memory that a call holds at one time beyond what was held before it, its results included."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def poison(size: int, device: str) -> None:
    """Fill free memory with NaN. A kernel that forgets to write an element then gives NaN there, not the right answer of the call before it."""
    if device != "cpu":
        torch.cuda.empty_cache()
    torch.full((size // 4,), float("nan"), device=device)
