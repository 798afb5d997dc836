"""E02: the loop, the direct convolution and the FFT compute one thing. What does each cost as the sequence grows?

A diagonal system of n real modes, the same for every step: y = C h, with h_t = A_bar h_{t-1} + B_bar u_t. Times depend on the machine; slopes hardly do.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...convolution import fft_convolve
from ...discretize import zoh_diagonal
from ...linear_scan import linear_scan
from .. import records

KERNELS = ("linear_scan_numba.py",)
ARMS = ("naive loop", "numba loop", "direct", "FFT")


def system(d: int, n: int, seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A_bar, B_bar and C, each (d n): real modes, step sizes log-uniform in [1e-3, 0.1]."""
    random = torch.Generator().manual_seed(seed)
    A = -torch.arange(1, n + 1, dtype=torch.float64).repeat(d, 1)  # (d n)
    B = torch.ones(d, n, dtype=torch.float64)  # (d n)
    C = torch.randn(d, n, generator=random, dtype=torch.float64)  # (d n)
    delta = 10 ** (-3 + 2 * torch.rand(d, generator=random, dtype=torch.float64))  # (d)
    A_bar, B_bar = zoh_diagonal(A, B, delta)  # (d n)
    return A_bar.to(dtype), B_bar.to(dtype), C.to(dtype)


def kernels(A_bar: Tensor, B_bar: Tensor, C: Tensor, l: int) -> Tensor:
    """K_j = C A_bar^j B_bar for every channel at once: (l d)."""
    powers = A_bar[None] ** torch.arange(l, dtype=A_bar.dtype)[:, None, None]  # (l d n)
    return (powers * B_bar * C).sum(-1)  # (l d)


def by_loop(u: Tensor, A_bar: Tensor, B_bar: Tensor, C: Tensor, backend: str) -> Tensor:
    """Walk, and read the state out: (b l d)."""
    b_t = u[..., None] * B_bar  # (b l d n)
    h = linear_scan(A_bar.expand_as(b_t), b_t, backend=backend)  # (b l d n)
    return (h * C).sum(-1)


def by_matrix(u: Tensor, A_bar: Tensor, B_bar: Tensor, C: Tensor) -> Tensor:
    """Write the convolution as one lower triangular matrix a channel, and multiply: (b l d)."""
    l = u.shape[1]
    K = kernels(A_bar, B_bar, C, l)  # (l d)
    lag = torch.arange(l)[:, None] - torch.arange(l)[None, :]  # (l l)
    matrix = torch.where(lag[..., None] >= 0, K[lag.clamp(min=0)], 0.0)  # (l l d)
    return torch.einsum("tsd,bsd->btd", matrix, u)


def by_fft(u: Tensor, A_bar: Tensor, B_bar: Tensor, C: Tensor) -> Tensor:
    """Make the kernel, and convolve: (b l d)."""
    return fft_convolve(u, kernels(A_bar, B_bar, C, u.shape[1]))


def best_time(run: Callable[[], Tensor], repeats: int) -> float:
    """The shortest of a few runs, in seconds, after one that is not counted."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def run(seed: int = 0, quick: bool = True) -> dict:
    """Time and error of the four ways at each length.

    Args:
        seed: of the system and the input.
        quick: shorter sequences, fewer repeats.

    Returns:
        lengths, seconds[arm], errors[arm] (fp32 against the fp64 FFT, relative to its maximum; None where an arm was left out),
        slopes[arm] of log time against log length, repeats, sizes.
    """
    started = time.perf_counter()
    b, d, n = (2, 8, 16) if quick else (4, 32, 16)
    lengths = [64, 256, 1024] if quick else [64, 256, 1024, 4096, 16384]
    repeats = 3 if quick else 7
    longest_matrix = 1024  # beyond it the matrix takes l^2 d numbers: gigabytes
    seconds: dict[str, list[float | None]] = {arm: [] for arm in ARMS}
    errors: dict[str, list[float | None]] = {arm: [] for arm in ARMS}
    for l in lengths:
        random = torch.Generator().manual_seed(seed + l)
        u = torch.randn(b, l, d, generator=random, dtype=torch.float64)
        truth = by_fft(u, *system(d, n, seed, torch.float64))
        u32, parts = u.float(), system(d, n, seed, torch.float32)
        ways: dict[str, Callable[[], Tensor]] = {
            "naive loop": partial(by_loop, u32, *parts, backend="naive"),
            "numba loop": partial(by_loop, u32, *parts, backend="numba"),
            "direct": partial(by_matrix, u32, *parts),
            "FFT": partial(by_fft, u32, *parts),
        }
        for arm, way in ways.items():
            if arm == "direct" and l > longest_matrix:
                seconds[arm].append(None)
                errors[arm].append(None)
                continue
            seconds[arm].append(best_time(way, repeats))
            errors[arm].append(float((way() - truth).abs().max() / truth.abs().max()))
    result = {
        "lengths": lengths,
        "seconds": seconds,
        "errors": errors,
        "slopes": {arm: _slope(lengths, s) for arm, s in seconds.items()},
        "repeats": repeats,
        "sizes": {"b": b, "d": d, "n": n},
    }
    if quick:
        records.keep_quick("e02", result, time.perf_counter() - started)
    return result


def _slope(lengths: list[int], seconds: list[float | None]) -> float:
    """The slope between the last two lengths that were timed: 1 is linear, 2 quadratic."""
    known = [(l, s) for l, s in zip(lengths, seconds, strict=True) if s is not None]
    (l0, s0), (l1, s1) = known[-2:]
    return float(np.log(s1 / s0) / np.log(l1 / l0))


def _verdict(direct_to_fft: float, fft_to_loop: list[float]) -> str:
    """What the ratios of times say: below 1 the first one is faster."""
    if direct_to_fft < 1:
        return "not confirmed: at l = 1,024 the written-out convolution was faster than the FFT."
    faster = sum(ratio < 1 for ratio in fft_to_loop)
    if faster == 0:
        return "held in part: the convolution needs the FFT; even so, the compiled loop was as fast at every length. The paper speaks of GPUs; this is a CPU."
    held = "held" if faster == len(fft_to_loop) else "held in part"
    return f"{held}: the convolution needs the FFT; with it, it was faster than the compiled loop at {faster} of {len(fft_to_loop)} lengths. The paper speaks of GPUs; this is a CPU."


def paper_boxes(data: dict) -> list[dict[str, str]]:
    """What S4 says about the two views, beside what a run measured."""
    at = data["lengths"].index(1024)
    loop, direct, fft = (data["seconds"][arm] for arm in ("numba loop", "direct", "FFT"))
    ratios = [f / n for f, n in zip(fft, loop, strict=True)]
    return [
        {
            "paper": "S4, section 2.4, equations 4 and 5",
            "says": "The recurrence cannot be trained in practice, since it is sequential; the same map is a convolution, which the FFT computes efficiently.",
            "ran": f"b, d, n = {', '.join(str(v) for v in data['sizes'].values())}, l = {data['lengths'][0]} to {data['lengths'][-1]}, fp32, forward only, CPU.",
            "measured": f"At l = 1,024 the written-out convolution takes {direct[at] / fft[at]:.0f} times as long as the FFT. The FFT takes {min(ratios):.2f} to {max(ratios):.2f} times as long as the compiled loop; the loop in PyTorch {data['seconds']['naive loop'][at] / fft[at]:.1f} times as long as the FFT at l = 1,024.",
            "verdict": _verdict(direct[at] / fft[at], ratios),
        }
    ]
