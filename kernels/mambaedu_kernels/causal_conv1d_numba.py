"""The causal convolution on the CPU, forward, backward and one step:

    y_t = activation(bias + sum_{j=0}^{k-1} weight[:, j] u_{t-k+1+j})

Arrays are contiguous and of one dtype, fp32 or fp64: u, y (b l d), weight (d k), bias (d), conv_state (b k-1 d); reset (b l) is bool,
True where another sequence begins: an input before that step counts as zero from there on. bias, conv_state and reset may be None.

A task is a tile: some steps of one strip of channels of one sequence. The compiled functions are plain loops over a range of tasks
that release the GIL; Python threads share the tasks. Sums over time are made tile by tile and added in one order afterwards,
so the bits do not depend on the number of threads.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import config, njit, types
from numba.extending import overload

# The k rows of a strip that one output needs fit in the first-level cache, with the row that is written.
STRIP = 512
STEPS = 256  # of a tile; the backward computes k-1 more
# "contract" allows fused multiply-add. Never nnan or ninf, hence never fastmath=True: NaN must show.
COMPILE = dict(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})

LOG2E = np.float32(1 / math.log(2))
# ln 2 in two parts, the first of so few digits that m LN2_HIGH is exact: else exp(20) would be off by 1e-6.
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(math.log(2) - 0.693359375)
TAYLOR = tuple(np.float32(1 / math.factorial(i)) for i in range(7))


def _exp(x):
    """exp(x), for x = fp32 without a call of the C library, which would keep a loop from being vectorised. Relative error 2e-7."""
    return math.exp(x)  # Python's; numba takes one of the two below


@overload(_exp)
def _exp_of(x):
    if x != types.float32:
        return lambda x: math.exp(x)

    def exp(x):
        x = np.float32(89) if x > np.float32(89) else x  # from there on inf; NaN passes
        x = np.float32(-88) if x < np.float32(-88) else x  # from there on 0
        m = np.rint(x * LOG2E)
        r = x - m * LN2_HIGH - m * LN2_LOW  # exp(x) = 2^m exp(r), |r| < 0.35
        p = TAYLOR[6]
        p = p * r + TAYLOR[5]
        p = p * r + TAYLOR[4]
        p = p * r + TAYLOR[3]
        p = p * r + TAYLOR[2]
        p = p * r + TAYLOR[1]
        p = p * r + TAYLOR[0]
        bits = np.int32((np.int32(m) + np.int32(127)) << np.int32(23))  # of the number 2^m
        return p * bits.view(np.float32)

    return exp


@njit(**COMPILE)
def _tile(i, l, d):
    """What task i owns: sequence ib, the steps [t0, t1), the channels [d0, d1)."""
    strips, pieces = (d + STRIP - 1) // STRIP, (l + STEPS - 1) // STEPS
    ib, t0, d0 = i // (strips * pieces), i // strips % pieces * STEPS, i % strips * STRIP
    return ib, t0, min(t0 + STEPS, l), d0, min(d0 + STRIP, d)


@njit(**COMPILE)
def _reach(reset, ib, t, k):
    """How many inputs before step t count: k-1, or fewer when its sequence began less than k-1 steps ago."""
    i = 0
    while i < k - 1 and not (t >= i and reset[ib, t - i]):
        i += 1
    return i


@njit(**COMPILE)
def _weigh(p, reach, u, weight, bias, conv_state, ib, t, d0, d1):
    """p (d1-d0) = bias + sum_j weight[j] u_{t-k+1+j}. Here weight is (k d)."""
    k = weight.shape[0]
    bias_d = bias[d0:d1]
    for c in range(d1 - d0):
        p[c] = bias_d[c]
    for j in range(k - 1 - reach, k):
        s = t - k + 1 + j
        weight_j = weight[j, d0:d1]
        u_s = u[ib, s, d0:d1] if s >= 0 else conv_state[ib, k - 1 + s, d0:d1]
        for c in range(d1 - d0):
            p[c] += weight_j[c] * u_s[c]


@njit(**COMPILE)
def _fwd_tasks(i0, i1, u, weight, bias, conv_state, reset, silu, y):
    _, l, d = u.shape
    k = weight.shape[0]
    one = u.dtype.type(1)
    for i in range(i0, i1):
        ib, t0, t1, d0, d1 = _tile(i, l, d)
        for t in range(t0, t1):
            y_t = y[ib, t, d0:d1]
            _weigh(y_t, _reach(reset, ib, t, k), u, weight, bias, conv_state, ib, t, d0, d1)  # [eq-causal-conv]
            if silu:
                for c in range(d1 - d0):
                    y_t[c] = y_t[c] / (one + _exp(-y_t[c]))


@njit(**COMPILE)
def _bwd_tasks(
    i0, i1, grad_y, u, weight, bias, conv_state, reset, silu, grad_u, grad_weight, grad_bias, grad_conv_state, rows
):
    _, l, d = u.shape
    k = weight.shape[0]
    one = u.dtype.type(1)
    for i in range(i0, i1):
        ib, t0, t1, d0, d1 = _tile(i, l, d)
        p, g = rows[i, 0], rows[i, 1]
        piece = ib * ((l + STEPS - 1) // STEPS) + t0 // STEPS
        grad_weight[piece, :, d0:d1] = 0
        grad_bias[piece, d0:d1] = 0
        if t0 == 0:
            grad_conv_state[ib, :, d0:d1] = 0
        # The k-1 steps after the tile look back into it.
        for t in range(t0, min(t1 + k - 1, l)):
            reach = _reach(reset, ib, t, k)
            grad_y_t = grad_y[ib, t, d0:d1]
            # g = grad_y activation'(p)
            if silu:
                _weigh(p, reach, u, weight, bias, conv_state, ib, t, d0, d1)
                for c in range(d1 - d0):
                    sigmoid = one / (one + _exp(-p[c]))
                    g[c] = grad_y_t[c] * sigmoid * (one + p[c] * (one - sigmoid))
            else:
                for c in range(d1 - d0):
                    g[c] = grad_y_t[c]
            if t < t1:
                grad_bias_d = grad_bias[piece, d0:d1]
                grad_u_t = grad_u[ib, t, d0:d1]
                for c in range(d1 - d0):
                    grad_bias_d[c] += g[c]
                    grad_u_t[c] = 0  # the first to write to it; the present and the future add
            for j in range(k - 1 - reach, k):
                s = t - k + 1 + j
                u_s = u[ib, s, d0:d1] if s >= 0 else conv_state[ib, k - 1 + s, d0:d1]
                grad_u_s = grad_u[ib, s, d0:d1] if s >= 0 else grad_conv_state[ib, k - 1 + s, d0:d1]
                weight_j, grad_weight_j = weight[j, d0:d1], grad_weight[piece, j, d0:d1]
                # [eq-causal-conv-grad]
                if t < t1:
                    for c in range(d1 - d0):
                        grad_weight_j[c] += g[c] * u_s[c]
                if s < t1 and (s >= t0 or t0 == 0):
                    for c in range(d1 - d0):
                        grad_u_s[c] += g[c] * weight_j[c]
                # [/eq-causal-conv-grad]


def _run(kernel, shape, arrays, threads):
    """kernel(i0, i1, *arrays) over all tiles. Which thread takes which tile does not change the result."""
    b, l, d = shape
    tasks = b * -(-l // STEPS) * -(-d // STRIP)
    threads = min(threads or config.NUMBA_DEFAULT_NUM_THREADS, tasks)
    if threads <= 1 or b * l * d < 4_000_000:  # some 3 ms of work: below that starting threads costs more than it saves
        kernel(0, tasks, *arrays)
        return
    size = -(-tasks // (4 * threads))  # about four pieces a thread: the last one ends early
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(kernel, i, min(i + size, tasks), *arrays) for i in range(0, tasks, size)]
        for job in jobs:
            job.result()


def _prepare(u, weight, bias, conv_state, reset):
    """The same inputs with weight as (k d), channels side by side, and zeros for what is absent."""
    (b, l, d), k = u.shape, weight.shape[1]
    weight = np.ascontiguousarray(weight.T)  # (k d)
    bias = np.zeros(d, u.dtype) if bias is None else bias  # (d)
    conv_state = np.zeros((b, k - 1, d), u.dtype) if conv_state is None else conv_state  # (b k-1 d)
    reset = np.zeros((b, l), np.bool_) if reset is None else reset  # (b l)
    return u, weight, bias, conv_state, reset


def causal_conv1d_fwd(u, weight, bias, conv_state, reset, silu, threads=None):
    """-> y (b l d)."""
    y = np.empty_like(u)
    _run(_fwd_tasks, u.shape, (*_prepare(u, weight, bias, conv_state, reset), silu, y), threads)
    return y


def causal_conv1d_bwd(grad_y, u, weight, bias, conv_state, reset, silu, threads=None):
    """-> grad_u (b l d), grad_weight (d k), grad_bias (d), grad_conv_state (b k-1 d); None for what is absent."""
    (b, l, d), k = u.shape, weight.shape[1]
    pieces = b * -(-l // STEPS)
    grad_u, grad_conv_state = np.empty_like(u), np.empty((b, k - 1, d), u.dtype)
    grad_weight, grad_bias = np.empty((pieces, k, d), u.dtype), np.empty((pieces, d), u.dtype)
    grads = (grad_u, grad_weight, grad_bias, grad_conv_state)
    rows = np.empty((pieces * -(-d // STRIP), 2, STRIP), u.dtype)  # two for each task to work with
    _run(_bwd_tasks, u.shape, (grad_y, *_prepare(u, weight, bias, conv_state, reset), silu, *grads, rows), threads)
    grad_weight = np.ascontiguousarray(grad_weight.sum(0).T)  # (d k)
    grad_bias = None if bias is None else grad_bias.sum(0)  # (d)
    return grad_u, grad_weight, grad_bias, None if conv_state is None else grad_conv_state


def causal_conv1d_step(conv_state, u_t, weight, bias, silu):
    """-> conv_state (b k-1 d), a new one; y_t (b d). A convolution of length 1: the same bits."""
    u = u_t[:, None]  # (b 1 d)
    y = causal_conv1d_fwd(u, weight, bias, conv_state, None, silu, threads=1)  # (b 1 d)
    return np.ascontiguousarray(np.concatenate([conv_state, u], axis=1)[:, 1:]), y[:, 0]
