"""The linear scan on the CPU: h_t = a_t h_{t-1} + b_t, forward and backward.

Arrays are contiguous and of one dtype: a, b, h (b l m), h0 (b m); real or complex, single or double.
A task is one strip of channels of one sequence. The compiled functions are plain loops over a range of tasks that release the
GIL; Python threads share the tasks. Every channel is computed by one thread in one order, so the bits do not depend on
the number of threads, and no OpenMP pool is left behind to kill a forked child.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import config, njit

# A strip's row fits in the first-level cache, so h_{t-1} is still there when step t reads it back.
STRIP = 256
# "contract" allows fused multiply-add. Never nnan or ninf, hence never fastmath=True: NaN must show.
COMPILE = dict(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})


@njit(**COMPILE)
def _fwd_tasks(i0, i1, a, b, h0, h):
    _, l, m = b.shape
    strips = (m + STRIP - 1) // STRIP
    for i in range(i0, i1):
        ib, k0 = i // strips, (i % strips) * STRIP
        k1 = min(k0 + STRIP, m)
        h_prev = h0[ib, k0:k1]
        for t in range(l):
            a_t = a[ib, t, k0:k1]
            b_t = b[ib, t, k0:k1]
            h_t = h[ib, t, k0:k1]
            # [eq-linear-scan]
            for k in range(k1 - k0):
                h_t[k] = a_t[k] * h_prev[k] + b_t[k]
            # [/eq-linear-scan]
            h_prev = h_t


@njit(**COMPILE)
def _bwd_tasks(i0, i1, a, h0, h, grad_h, grad_a, grad_b, grad_h0):
    _, l, m = h.shape
    strips = (m + STRIP - 1) // STRIP
    for i in range(i0, i1):
        ib, k0 = i // strips, (i % strips) * STRIP
        k1 = min(k0 + STRIP, m)
        # What flows into h_t from the steps after it. It waits in grad_h0, which it is once t passes the first step.
        later = grad_h0[ib, k0:k1]
        later[:] = 0
        for t in range(l - 1, -1, -1):
            a_t = a[ib, t, k0:k1]
            h_prev = h[ib, t - 1, k0:k1] if t > 0 else h0[ib, k0:k1]
            grad_h_t = grad_h[ib, t, k0:k1]
            grad_a_t = grad_a[ib, t, k0:k1]
            grad_b_t = grad_b[ib, t, k0:k1]
            # [eq-linear-scan-grad]
            for k in range(k1 - k0):
                g = grad_h_t[k] + later[k]
                grad_b_t[k] = g
                grad_a_t[k] = g * np.conj(h_prev[k])
                later[k] = np.conj(a_t[k]) * g
            # [/eq-linear-scan-grad]


def _run(kernel, shape, arrays, threads):
    """kernel(i0, i1, *arrays) over all strips. Which thread takes which strip does not change the result."""
    b, l, m = shape
    tasks = b * -(-m // STRIP)
    threads = min(threads or config.NUMBA_DEFAULT_NUM_THREADS, tasks)
    if threads <= 1 or b * l * m < 1_000_000:  # below that starting threads costs more than it saves
        kernel(0, tasks, *arrays)
        return
    size = -(-tasks // (4 * threads))  # about four pieces a thread: the last one ends early
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(kernel, i, min(i + size, tasks), *arrays) for i in range(0, tasks, size)]
        for job in jobs:
            job.result()


def linear_scan_fwd(a, b, h0, threads=None):
    """a, b (b l m), h0 (b m) -> h (b l m)."""
    h = np.empty_like(b)
    _run(_fwd_tasks, b.shape, (a, b, h0, h), threads)
    return h


def linear_scan_bwd(a, h0, h, grad_h, threads=None):
    """a, h, grad_h (b l m), h0 (b m) -> grad_a, grad_b (b l m), grad_h0 (b m)."""
    grad_a, grad_b, grad_h0 = np.empty_like(h), np.empty_like(h), np.empty_like(h0)
    _run(_bwd_tasks, h.shape, (a, h0, h, grad_h, grad_a, grad_b, grad_h0), threads)
    return grad_a, grad_b, grad_h0
