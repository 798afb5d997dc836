"""Time a scan against the naive loop and against the memory, and record it: python -m mambaedu.lab.bench linear_scan.

On a CPU it times numba against naive; where there is a GPU, triton against naive, and the share of the copy bandwidth measured
in the same run. A ratio of two times from one run travels to other machines; a time does not.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .. import linear_scan
from . import records


def scan_inputs(b: int, l: int, d: int, device: str, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Decays in (0.5, 1), normal inputs and weights for the gradient, fp32, each (b l d)."""
    random = torch.Generator(device=device).manual_seed(seed)
    a = 0.5 + 0.5 * torch.rand(b, l, d, generator=random, device=device)
    inputs, grad_h = (torch.randn(b, l, d, generator=random, device=device) for _ in range(2))
    return a, inputs, grad_h


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


def copy_bandwidth(device: str, repeats: int) -> float:
    """Bytes read plus bytes written per second by a large copy, not in a graph: there the driver takes a slower way (2.4 for 3.0 TB/s)."""
    source = torch.ones(2**29 if device != "cpu" else 2**25, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / clock(lambda: target.copy_(source), repeats, device, graph=False)


def gradients(a: Tensor, b: Tensor, grad_h: Tensor, backend: str) -> tuple[Tensor, ...]:
    """Forward and backward: the gradients of a and b."""
    a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
    return torch.autograd.grad(linear_scan(a, b, backend=backend), (a, b), grad_h)


def bench_linear_scan(device: str, quick: bool) -> dict[str, Any]:
    """Rows of sizes, seconds, ratios to the naive loop and shares of the copy bandwidth."""
    fast = "numba" if device == "cpu" else "triton"
    repeats = 3 if quick else 9
    bandwidth = copy_bandwidth(device, repeats)
    print(f"copy bandwidth: {bandwidth / 1e9:.1f} GB/s")
    if device == "cpu":
        shapes = [(4, 256, 64), (4, 1024, 64), (4, 4096, 64)] + ([] if quick else [(4, 16384, 64), (2, 2048, 1024)])
    else:
        shapes = [(8, 2048, 2048), (16, 4096, 4096), (8, 16384, 4096), (1, 65536, 2048), (1, 1048576, 64)]
    rows = []
    for b, l, d in shapes:
        a, x, grad_h = scan_inputs(b, l, d, device)
        naive_too = (
            l <= 16384 and b * l * d <= 2**25
        )  # beyond that the naive backward takes minutes or the whole memory
        truth = linear_scan(a.double(), x.double(), backend=fast) if b * l * d <= 2**28 else None
        h = linear_scan(a, x, backend=fast)
        error = None if truth is None else float((h - truth).abs().max() / truth.abs().max())
        del truth, h
        row: dict[str, Any] = {"b": b, "l": l, "d": d, "error": error}
        row["forward"] = clock(partial(linear_scan, a, x, backend=fast), repeats, device)
        row["both"] = clock(partial(gradients, a, x, grad_h, fast), repeats, device)
        if naive_too:
            row["naive forward"] = clock(partial(linear_scan, a, x, backend="naive"), repeats, device)
            row["naive both"] = clock(partial(gradients, a, x, grad_h, "naive"), repeats, device)
            row["ratio forward"] = row["naive forward"] / row["forward"]
            row["ratio both"] = row["naive both"] / row["both"]
        # The forward must read a and b and write h; the backward reads a, h, grad_h and writes grad_a, grad_b.
        size = 4 * b * l * d
        row["share forward"] = 3 * size / row["forward"] / bandwidth
        row["share both"] = 8 * size / row["both"] / bandwidth
        rows.append(row)
        ratio = (
            f"naive/{fast} {row['ratio forward']:6.1f} forward, {row['ratio both']:6.1f} with backward; "
            if naive_too
            else ""
        )
        print(
            f"b={b} l={l} d={d}: {ratio}{row['forward'] * 1e3:.3f} ms, {row['share forward']:.0%} of the copy bandwidth; "
            f"with backward {row['both'] * 1e3:.3f} ms, {row['share both']:.0%}; error {error if error is None else f'{error:.1e}'}",
            flush=True,
        )
    return {
        "backend": fast,
        "device": device,
        "threads": torch.get_num_threads(),
        "copy_bytes_per_second": bandwidth,
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mambaedu.lab.bench", description="Time a scan in one run against the naive loop and the memory."
    )
    parser.add_argument("op", choices=["linear_scan"])
    parser.add_argument("--device", choices=["cpu", "cuda"], help="by default the GPU if there is one")
    parser.add_argument("--quick", action="store_true", help="few sizes and repeats; nothing is recorded")
    parser.add_argument("--out", help="the folder for the record; by default book/_data of the clone")
    arguments = parser.parse_args()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    data = bench_linear_scan(device, arguments.quick)
    if arguments.quick:
        return
    kernel = "linear_scan_numba.py" if device == "cpu" else "linear_scan_triton.py"
    name = f"bench_linear_scan_{'cpu' if device == 'cpu' else 'gpu'}"
    path = records.write(name, data, kernels=[kernel], seeds=[0], repeats=9, out=arguments.out)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
