"""How fast a CPU core makes the arithmetic of a scan, measured: one exponential and four operations for every channel, state and step."""

import time
from functools import cache
from typing import Any

import numpy as np

from ... import backends

LANES = 16  # channels, as in a strip of the kernel
STATES = 16


@cache
def _kernel() -> Any:
    from numba import njit

    exp2 = backends.kernel_module("selective_scan", "numba")._exp2  # the same polynomial

    @njit(error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
    def updates(rounds: int, step: Any, drive: Any, A: Any, B: Any, C: Any, h: Any, out: Any) -> None:
        for _ in range(rounds):
            for j in range(STATES):
                for k in range(LANES):
                    h[k] = exp2(step[k] * A[j]) * h[k] + drive[k] * B[j]
                    out[k] += C[j] * h[k]

    return updates


def update_seconds(rounds: int = 50_000, repeats: int = 9) -> float:
    """CPU seconds that one update of one state takes at least, fp32: everything it needs lies in registers or a line of the first-level cache."""
    random = np.random.default_rng(0)
    step, drive, A, B, C = (random.standard_normal(16).astype(np.float32) for _ in range(5))
    h, out = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    run = _kernel()
    run(1, abs(step), drive, -abs(A), B, C, h, out)
    # What it computes is what it says: one round by hand.
    expected = np.zeros(LANES)
    for a, b in zip(-abs(A), B, strict=True):
        expected = np.exp2(abs(step).astype(np.float64) * a) * expected + drive.astype(np.float64) * b
    if not np.allclose(h, expected, rtol=1e-4, atol=1e-5):
        raise ArithmeticError("the loop that measures the arithmetic computes something else")
    least = np.inf
    for _ in range(repeats):
        start = time.process_time()
        run(rounds, abs(step), drive, -abs(A), B, C, h, out)
        least = min(least, time.process_time() - start)
    return least / (rounds * STATES * LANES)
