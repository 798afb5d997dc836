"""Time the linear scan against the naive loop and against the memory.

On a CPU it times numba against naive; where there is a GPU, triton against naive, and the share of the copy bandwidth measured
in the same run.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ... import linear_scan
from .clock import clock, copy_bandwidth

SEEDS = [0]
REPEATS = 9


def scan_inputs(b: int, l: int, d: int, device: str, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Decays in (0.5, 1), normal inputs and weights for the gradient, fp32, each (b l d)."""
    random = torch.Generator(device=device).manual_seed(seed)
    a = 0.5 + 0.5 * torch.rand(b, l, d, generator=random, device=device)
    inputs, grad_h = (torch.randn(b, l, d, generator=random, device=device) for _ in range(2))
    return a, inputs, grad_h


def gradients(a: Tensor, b: Tensor, grad_h: Tensor, backend: str) -> tuple[Tensor, ...]:
    """Forward and backward: the gradients of a and b."""
    a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
    return torch.autograd.grad(linear_scan(a, b, backend=backend), (a, b), grad_h)


def bench(device: str, quick: bool, keep: Callable[[dict[str, Any]], None]) -> None:
    """Keep rows of sizes, seconds, ratios to the naive loop and shares of the copy bandwidth."""
    fast = "numba" if device == "cpu" else "triton"
    repeats = 3 if quick else REPEATS
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
    data = {
        "backend": fast,
        "device": device,
        "threads": torch.get_num_threads(),
        "copy_bytes_per_second": bandwidth,
        "rows": rows,
    }
    keep(data)
