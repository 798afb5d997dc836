"""The selective scan on the CPU: forward, backward and one step.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t ;   y_t = C_t . h_t + D u_t ;   y = y * silu(z)

Arrays are contiguous and of one dtype, fp32 or fp64: u, delta, z, y (b l d); A (d n); B, C (b l g n) for g groups of channels, or (d n)
when fixed; D, delta_bias (d); h0, h_last (b d n); reset (b l) is bool, True where the state starts anew. n is at most MAX_N.

Who owns what. A strip is LANES = 16 neighbouring channels of one group, two vector registers of fp32. Its state, n rows of 16
lanes, stays in the first-level cache while time runs in chunks of 32 steps: load a tile of u, delta and z; compute; store.
The states (b l d n) never reach memory: the forward leaves one at the start of each chunk, and the backward computes the others again.

The compiled functions are plain loops over a range of tasks that release the GIL; Python threads share the tasks. A task's result
depends on the shapes alone, and partial sums are added in one order: the bits do not depend on the number of threads. There is
no OpenMP pool that would kill a forked child.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from llvmlite import ir
from numba import carray, config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

LANES = 16  # channels of a strip; with 32 the registers spill, 1.4 times slower
CHUNK = (
    32  # steps between saved states: one chunk's states and decays, 64 n LANES numbers, fit in the second-level cache
)
BLOCK = 4  # strips that share one partial sum of grad_B and grad_C
MAX_N = 256  # rows of the arrays on the stack
STATE, TILE, TWO_TILES = MAX_N * LANES, CHUNK * LANES, 2 * CHUNK * LANES

# "reassoc" lets a sum over lanes be vectorised. Never nnan or ninf, hence never fastmath=True: NaN must show.
FAST = {"contract", "nsz", "reassoc"}
COMPILE = dict(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
SCALAR = {"fastmath": {"contract", "nsz"}}

f32 = np.float32
LOG2E = math.log2(math.e)


# ---- small functions -----------------------------------------------------------------------------------------------------
# numba's exp is one call of the C library for each number, and no loop with a call in it is vectorised. So fp32 has its own.
# The plain functions are never called: numba takes one of the overloads, by type.
def _exp2(x): ...
def _in_log2(x): ...
def _sigmoid(x): ...
def _softplus(x): ...


@overload(_exp2, jit_options=SCALAR)
def _exp2_of(x):
    if x != types.float32:
        return lambda x: np.exp2(x)

    def exp2(x):
        """2^x: x = m + f, a polynomial for 2^f, |f| <= 1/2, and m added to the bits of the exponent. inf from 128 on, 0 below -127."""
        x = max(min(x, f32(128)), f32(-127))  # NaN passes
        m = np.rint(x)
        f = x - m
        p = f32(0.00015353362)
        p = p * f + f32(0.0013398875)
        p = p * f + f32(0.009618437)
        p = p * f + f32(0.055503324)
        p = p * f + f32(0.24022648)
        p = p * f + f32(0.69314718)
        p = p * f + f32(1)
        return np.int32(f32(p).view(np.int32) + (np.int32(m) << np.int32(23))).view(f32)

    return exp2


@overload(_in_log2, jit_options=SCALAR)
def _in_log2_of(x):
    """x log2(e): exp(x) = 2^(x log2 e)."""
    if x == types.float32:
        return lambda x: x * f32(LOG2E)
    return lambda x: x * LOG2E


@overload(_sigmoid, jit_options=SCALAR)
def _sigmoid_of(x):
    if x == types.float32:
        return lambda x: f32(1) / (f32(1) + _exp2(_in_log2(-x)))
    return lambda x: 1.0 / (1.0 + math.exp(-x))


@overload(_softplus, jit_options=SCALAR)
def _softplus_of(x):
    """max(x, 0) + log(1 + e), e = exp(-|x|): nothing cancels."""
    if x != types.float32:
        return lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x)))

    def softplus(x):
        e = _exp2(_in_log2(min(x, -x)))
        s = e / (e + f32(2))  # log(1 + e) = 2 atanh(s), and s is at most 1/3
        q = s * s
        p = f32(1 / 13)
        p = p * q + f32(1 / 11)
        p = p * q + f32(1 / 9)
        p = p * q + f32(1 / 7)
        p = p * q + f32(1 / 5)
        p = p * q + f32(1 / 3)
        return max(x, f32(0)) + f32(2) * (s + s * q * p)

    return softplus


@intrinsic
def _on_stack(typing_context, like, size):
    """A pointer to `size` numbers on the stack, of the type of `like`. LLVM knows that nothing else points there."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    count = size.literal_value

    def generate(context, builder, signature, arguments):
        value = context.get_value_type(signature.args[0])
        # `count` numbers, not one array: cgutils stores a zero in what it allocates, and LLVM takes seconds over a zero of 4096 numbers.
        pointer = cgutils.alloca_once(builder, value, ir.Constant(ir.IntType(64), count))
        pointer.align = 64
        return pointer

    return types.CPointer(like)(like, size), generate


@njit(**COMPILE)
def _strip(s, d, groups):
    """Strip number s: its group, its first channel, and how many of its lanes own one. A strip never straddles two groups."""
    in_group = d // groups
    strips = (in_group + LANES - 1) // LANES
    group, k = s // strips, (s % strips) * LANES
    return group, group * in_group + k, min(LANES, in_group - k)


@njit(inline="always", **COMPILE)
def _load(x, ib, t, d0, w, tile, r):
    """tile[r] (LANES) = x[ib, t, d0 : d0 + w], and zero in the lanes that own no channel."""
    if w == LANES:  # a number of steps that the compiler knows
        for k in range(LANES):
            tile[r, k] = x[ib, t, d0 + k]
    else:
        for k in range(w):
            tile[r, k] = x[ib, t, d0 + k]
        for k in range(w, LANES):
            tile[r, k] = 0


@njit(**COMPILE)
def _store(x, ib, t0, steps, d0, w, tile):
    for r in range(steps):
        row = x[ib, t0 + r, d0 : d0 + w]
        if w == LANES:
            for k in range(LANES):
                row[k] = tile[r, k]
        else:
            for k in range(w):
                row[k] = tile[r, k]


# Over a whole tile at once: 16 numbers at a time would not be vectorised as well.
@njit(**COMPILE)
def _softplus_tile(x):
    x = x.reshape(-1)
    for i in range(x.size):
        x[i] = _softplus(x[i])


@njit(**COMPILE)
def _prepare_tile(u, delta, drive, step):
    """drive = delta u ; step = delta log2(e), so that exp(delta A) = 2^(step A)."""
    u, delta, drive, step = u.reshape(-1), delta.reshape(-1), drive.reshape(-1), step.reshape(-1)
    for i in range(u.size):
        drive[i] = delta[i] * u[i]
    for i in range(u.size):
        step[i] = _in_log2(delta[i])


@njit(**COMPILE)
def _add_product_tile(out, x, y):
    """out += x y"""
    x, y, out = x.reshape(-1), y.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        out[i] += x[i] * y[i]


@njit(**COMPILE)
def _times_sigmoid(out, x):
    """out *= sigmoid(x): softplus' derivative."""
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        out[i] *= _sigmoid(x[i])


@njit(**COMPILE)
def _gate_tile(y, z):
    """y *= silu(z)"""
    y, z = y.reshape(-1), z.reshape(-1)
    for i in range(z.size):
        y[i] *= z[i] * _sigmoid(z[i])


@njit(**COMPILE)
def _gate_grad_tile(grad_out, y, z, one):
    """grad_out becomes grad_z = grad_out y silu'(z)."""
    grad_out, y, z = grad_out.reshape(-1), y.reshape(-1), z.reshape(-1)
    for i in range(z.size):
        gate = _sigmoid(z[i])
        grad_out[i] *= y[i] * (gate * (one + z[i] * (one - gate)))


@njit(inline="always", **COMPILE)
def _lanes(x, d0, w, lane):
    """lane (LANES) = x[d0 : d0 + w], zero where there is no channel or no x."""
    for k in range(LANES):
        lane[k] = 0
    if x.size > 0:
        for k in range(w):
            lane[k] = x[d0 + k]


@njit(inline="always", **COMPILE)
def _rows(x, d0, w, rows):
    """rows (n, LANES) = x[d0 : d0 + w] turned round; zero where there is no channel or no x."""
    for j in range(rows.shape[0]):
        for k in range(LANES):
            rows[j, k] = 0
    if x.size > 0:
        for k in range(w):
            for j in range(x.shape[1]):
                rows[j, k] = x[d0 + k, j]


# ---- forward ---------------------------------------------------------------------------------------------------------------
@njit(**COMPILE)
def _fwd_tasks(i0, i1, zero, groups, u, delta, A, B, C, D, z, delta_bias, h0, reset, delta_softplus, y, h_last, saved):
    _, l, d = u.shape
    n = A.shape[1]
    strips = groups * ((d // groups + LANES - 1) // LANES)
    # On the stack, in lanes: a strip's state and parameters, one chunk's tiles, one step's rows.
    h = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    A_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    B_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    C_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    D_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))  # the same row again and again
    step_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))
    drive_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))
    bias_s = carray(_on_stack(zero, LANES), (LANES,))
    u_s = carray(_on_stack(zero, TWO_TILES), (2 * CHUNK, LANES))
    delta_s = carray(_on_stack(zero, TWO_TILES), (2 * CHUNK, LANES))
    z_s = carray(_on_stack(zero, TWO_TILES), (2 * CHUNK, LANES))
    y_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))
    step = carray(_on_stack(zero, LANES), (LANES,))
    drive = carray(_on_stack(zero, LANES), (LANES,))
    out = carray(_on_stack(zero, LANES), (LANES,))
    for i in range(i0, i1):  # a task: one strip of one sequence
        ib, s = i // strips, i % strips
        group, d0, w = _strip(s, d, groups)
        for r in range(CHUNK):
            _lanes(D, d0, w, D_s[r])
        _lanes(delta_bias, d0, w, bias_s)
        _rows(A, d0, w, A_s[:n])
        _rows(h0[ib], d0, w, h[:n])
        if B.ndim == 2:
            _rows(B, d0, w, B_s[:n])
        if C.ndim == 2:
            _rows(C, d0, w, C_s[:n])
        for c in range(-1, (l + CHUNK - 1) // CHUNK):  # number -1 has no steps: the first chunk is loaded
            t0 = c * CHUNK
            steps = min(CHUNK, l - t0) if c >= 0 else 0
            now = (c % 2) * CHUNK  # which half of the tiles is computed; the other is being loaded
            if saved.size > 0 and c >= 0:
                for j in range(n):
                    for k in range(LANES):
                        saved[i, c, j, k] = h[j, k]

            for r in range(now, now + steps):
                for k in range(LANES):
                    delta_s[r, k] += bias_s[k]
            if delta_softplus:
                _softplus_tile(delta_s[now : now + steps])
            _prepare_tile(u_s[now : now + steps], delta_s[now : now + steps], drive_s[:steps], step_s[:steps])

            # Compute the steps of this chunk. Load those of the next meanwhile: while numbers are under way, others are computed.
            for r in range(CHUNK):
                t = t0 + r
                if t + CHUNK < l:
                    _load(u, ib, t + CHUNK, d0, w, u_s, CHUNK - now + r)
                    _load(delta, ib, t + CHUNK, d0, w, delta_s, CHUNK - now + r)
                    if z.size > 0:
                        _load(z, ib, t + CHUNK, d0, w, z_s, CHUNK - now + r)
                if r >= steps:
                    continue
                if reset.size > 0 and reset[ib, t]:
                    for j in range(n):
                        for k in range(LANES):
                            h[j, k] = zero
                for k in range(LANES):
                    step[k] = step_s[r, k]
                for k in range(LANES):
                    drive[k] = drive_s[r, k]
                for k in range(LANES):
                    out[k] = zero
                for j in range(n):
                    B_t = B[ib, t, group, j] if B.ndim == 4 else zero
                    C_t = C[ib, t, group, j] if C.ndim == 4 else zero
                    # [eq-selective-scan]
                    for k in range(LANES):
                        B_k = B_t if B.ndim == 4 else B_s[j, k]
                        C_k = C_t if C.ndim == 4 else C_s[j, k]
                        h_k = _exp2(step[k] * A_s[j, k]) * h[j, k] + drive[k] * B_k
                        h[j, k] = h_k
                        out[k] += C_k * h_k
                    # [/eq-selective-scan]
                for k in range(LANES):
                    y_s[r, k] = out[k]
            if D.size > 0:
                _add_product_tile(y_s[:steps], D_s[:steps], u_s[now : now + steps])
            if z.size > 0:
                _gate_tile(y_s[:steps], z_s[now : now + steps])

            # Store the tile.
            _store(y, ib, t0, steps, d0, w, y_s)
        for k in range(w):
            for j in range(n):
                h_last[ib, d0 + k, j] = h[j, k]


# ---- backward --------------------------------------------------------------------------------------------------------------
@njit(**COMPILE)
def _bwd_tasks(i0, i1, zero, groups, u, delta, A, B, C, D, z, delta_bias, reset, delta_softplus, saved, grad_y, grad_h_last,
               grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_z, grad_bias, grad_h0):  # fmt: skip
    _, l, d = u.shape
    n = A.shape[1]
    one = zero + 1
    strips = (d // groups + LANES - 1) // LANES  # of one group
    blocks = (strips + BLOCK - 1) // BLOCK
    A_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    B_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    C_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    grad_A_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    grad_B_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    grad_C_s = carray(_on_stack(zero, STATE), (MAX_N, LANES))
    later = carray(_on_stack(zero, STATE), (MAX_N, LANES))  # what flows into h_t from the steps after it
    D_s = carray(_on_stack(zero, LANES), (LANES,))
    bias_s = carray(_on_stack(zero, LANES), (LANES,))
    grad_D_s = carray(_on_stack(zero, LANES), (LANES,))
    grad_bias_s = carray(_on_stack(zero, LANES), (LANES,))
    u_s = carray(_on_stack(zero, TWO_TILES), (2 * CHUNK, LANES))
    raw_s = carray(_on_stack(zero, TWO_TILES), (2 * CHUNK, LANES))
    delta_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))
    z_s = carray(_on_stack(zero, TWO_TILES), (2 * CHUNK, LANES))
    y_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))
    grad_y_s = carray(_on_stack(zero, TWO_TILES), (2 * CHUNK, LANES))
    grad_out_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))
    grad_u_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))
    grad_delta_s = carray(_on_stack(zero, TILE), (CHUNK, LANES))
    step = carray(_on_stack(zero, LANES), (LANES,))
    drive = carray(_on_stack(zero, LANES), (LANES,))
    out = carray(_on_stack(zero, LANES), (LANES,))
    g = carray(_on_stack(zero, LANES), (LANES,))
    along_A = carray(_on_stack(zero, LANES), (LANES,))
    along_B = carray(_on_stack(zero, LANES), (LANES,))
    states = np.empty((CHUNK + 1, n, LANES), u.dtype)  # states[r] enters step r of the chunk
    A_bar = np.empty((CHUNK, n, LANES), u.dtype)
    for i in range(i0, i1):  # a task: BLOCK strips of one group of one sequence
        ib, group, block = i // (groups * blocks), (i // blocks) % groups, i % blocks
        for s in range(block * BLOCK, min(block * BLOCK + BLOCK, strips)):
            first = s == block * BLOCK
            _, d0, w = _strip(group * strips + s, d, groups)
            _lanes(D, d0, w, D_s)
            _lanes(delta_bias, d0, w, bias_s)
            _rows(A, d0, w, A_s[:n])
            _rows(grad_h_last[ib], d0, w, later[:n])
            if B.ndim == 2:
                _rows(B, d0, w, B_s[:n])
            if C.ndim == 2:
                _rows(C, d0, w, C_s[:n])
            for k in range(LANES):
                grad_D_s[k] = zero
                grad_bias_s[k] = zero
                for j in range(n):
                    grad_A_s[j, k] = zero
                    grad_B_s[j, k] = zero
                    grad_C_s[j, k] = zero
            for c in range((l + CHUNK - 1) // CHUNK, -1, -1):  # the first number has no steps: the last chunk is loaded
                t0 = c * CHUNK
                steps = max(0, min(CHUNK, l - t0))
                now = (c % 2) * CHUNK  # which half of the tiles is computed; the other is being loaded
                for r in range(steps):
                    for k in range(LANES):
                        raw_s[now + r, k] += bias_s[k]
                        delta_s[r, k] = raw_s[now + r, k]
                if delta_softplus:
                    _softplus_tile(delta_s[:steps])
                if z.size > 0:
                    for r in range(steps):
                        for k in range(LANES):
                            grad_out_s[r, k] = grad_y_s[now + r, k]
                    _gate_tile(grad_y_s[now : now + steps], z_s[now : now + steps])  # now the gradient before the gate

                # Forwards through the chunk: compute its states again, and load the chunk before it.
                if steps > 0:
                    for j in range(n):
                        for k in range(LANES):
                            states[0, j, k] = saved[(ib * groups + group) * strips + s, c, j, k]
                for r in range(CHUNK):
                    if c > 0 and t0 - CHUNK + r < l:
                        _load(u, ib, t0 - CHUNK + r, d0, w, u_s, CHUNK - now + r)
                        _load(delta, ib, t0 - CHUNK + r, d0, w, raw_s, CHUNK - now + r)
                        _load(grad_y, ib, t0 - CHUNK + r, d0, w, grad_y_s, CHUNK - now + r)
                        if z.size > 0:
                            _load(z, ib, t0 - CHUNK + r, d0, w, z_s, CHUNK - now + r)
                    if r >= steps:
                        continue
                    t = t0 + r
                    if reset.size > 0 and reset[ib, t]:
                        for j in range(n):
                            for k in range(LANES):
                                states[r, j, k] = zero
                    for k in range(LANES):
                        step[k] = _in_log2(delta_s[r, k])
                        drive[k] = delta_s[r, k] * u_s[now + r, k]
                        g[k] = grad_y_s[now + r, k]
                        out[k] = D_s[k] * u_s[now + r, k] if D.size > 0 else zero
                    for j in range(n):
                        B_t = B[ib, t, group, j] if B.ndim == 4 else zero
                        C_t = C[ib, t, group, j] if C.ndim == 4 else zero
                        grad_C_t = zero
                        for k in range(LANES):
                            B_k = B_t if B.ndim == 4 else B_s[j, k]
                            C_k = C_t if C.ndim == 4 else C_s[j, k]
                            a = _exp2(step[k] * A_s[j, k])
                            h_k = a * states[r, j, k] + drive[k] * B_k
                            A_bar[r, j, k] = a
                            states[r + 1, j, k] = h_k
                            out[k] += C_k * h_k
                            if C.ndim == 2:
                                grad_C_s[j, k] += g[k] * h_k
                            else:
                                grad_C_t += g[k] * h_k
                        if C.ndim == 4:
                            grad_C[ib, group * blocks + block, t, j] = (
                                grad_C_t if first else grad_C[ib, group * blocks + block, t, j] + grad_C_t
                            )
                    for k in range(LANES):
                        y_s[r, k] = out[k]

                # Backwards, the last step first.
                for r in range(steps - 1, -1, -1):
                    t = t0 + r
                    for k in range(LANES):
                        step[k] = delta_s[r, k]
                        drive[k] = delta_s[r, k] * u_s[now + r, k]
                        g[k] = grad_y_s[now + r, k]
                        along_A[k] = zero
                        along_B[k] = zero
                    for j in range(n):
                        B_t = B[ib, t, group, j] if B.ndim == 4 else zero
                        C_t = C[ib, t, group, j] if C.ndim == 4 else zero
                        grad_B_t = zero
                        # [eq-selective-scan-grad]
                        for k in range(LANES):
                            B_k = B_t if B.ndim == 4 else B_s[j, k]
                            C_k = C_t if C.ndim == 4 else C_s[j, k]
                            grad_h = g[k] * C_k + later[j, k]
                            along_B[k] += grad_h * B_k
                            if B.ndim == 2:
                                grad_B_s[j, k] += grad_h * drive[k]
                            else:
                                grad_B_t += grad_h * drive[k]
                            grad_h_before = A_bar[r, j, k] * grad_h
                            later[j, k] = grad_h_before
                            grad_decay = grad_h_before * states[r, j, k]
                            along_A[k] += grad_decay * A_s[j, k]
                            grad_A_s[j, k] += grad_decay * step[k]
                        # [/eq-selective-scan-grad]
                        if B.ndim == 4:
                            grad_B[ib, group * blocks + block, t, j] = (
                                grad_B_t if first else grad_B[ib, group * blocks + block, t, j] + grad_B_t
                            )
                    if reset.size > 0 and reset[ib, t]:
                        for j in range(n):
                            for k in range(LANES):
                                later[j, k] = zero
                    for k in range(LANES):
                        drive[k] = u_s[now + r, k]
                    for k in range(LANES):
                        grad_D_s[k] += g[k] * drive[k]
                    for k in range(LANES):
                        along_A[k] += drive[k] * along_B[k]
                    for k in range(LANES):
                        along_B[k] = step[k] * along_B[k] + (D_s[k] * g[k] if D.size > 0 else zero)
                    for k in range(LANES):
                        grad_u_s[r, k] = along_B[k]
                    for k in range(LANES):
                        grad_delta_s[r, k] = along_A[k]
                if delta_softplus:
                    _times_sigmoid(grad_delta_s[:steps], raw_s[now : now + steps])
                for r in range(steps):
                    for k in range(LANES):
                        grad_bias_s[k] += grad_delta_s[r, k]

                # Store the tile.
                _store(grad_u, ib, t0, steps, d0, w, grad_u_s)
                _store(grad_delta, ib, t0, steps, d0, w, grad_delta_s)
                if z.size > 0:
                    _gate_grad_tile(grad_out_s[:steps], y_s[:steps], z_s[now : now + steps], one)
                    _store(grad_z, ib, t0, steps, d0, w, grad_out_s)
            for k in range(w):
                grad_D[ib, d0 + k] = grad_D_s[k]
                grad_bias[ib, d0 + k] = grad_bias_s[k]
                for j in range(n):
                    grad_A[ib, d0 + k, j] = grad_A_s[j, k]
                    grad_h0[ib, d0 + k, j] = later[j, k]
                    if B.ndim == 2:
                        grad_B[ib, d0 + k, j] = grad_B_s[j, k]
                    if C.ndim == 2:
                        grad_C[ib, d0 + k, j] = grad_C_s[j, k]


# ---- one step --------------------------------------------------------------------------------------------------------------
@njit(**COMPILE)
def _step_tasks(i0, i1, zero, groups, h, u, delta, A, B, C, D, z, delta_bias, delta_softplus, h_out, y):
    _, d, n = h.shape
    strips = groups * ((d // groups + LANES - 1) // LANES)
    delta_s = carray(_on_stack(zero, LANES), (LANES,))
    out = carray(_on_stack(zero, LANES), (LANES,))
    for i in range(i0, i1):
        ib, s = i // strips, i % strips
        group, d0, w = _strip(s, d, groups)
        for k in range(LANES):
            delta_s[k] = zero
        for k in range(w):
            delta_s[k] = delta[ib, d0 + k] + (delta_bias[d0 + k] if delta_bias.size > 0 else zero)
        if delta_softplus:
            for k in range(LANES):
                delta_s[k] = _softplus(delta_s[k])
        for k in range(w):
            step = _in_log2(delta_s[k])
            drive = delta_s[k] * u[ib, d0 + k]
            y_k = zero
            # A state's n numbers are contiguous: here the loop over n is the one that is vectorised.
            # [eq-selective-scan]
            for j in range(n):
                h_j = _exp2(step * A[d0 + k, j]) * h[ib, d0 + k, j] + drive * B[ib, group, j]
                h_out[ib, d0 + k, j] = h_j
                y_k += C[ib, group, j] * h_j
            # [/eq-selective-scan]
            out[k] = y_k + (D[d0 + k] * u[ib, d0 + k] if D.size > 0 else zero)
        for k in range(w):
            y[ib, d0 + k] = out[k]
            if z.size > 0:
                y[ib, d0 + k] *= z[ib, d0 + k] * _sigmoid(z[ib, d0 + k])


# ---- launch ----------------------------------------------------------------------------------------------------------------
def _run(kernel, tasks, arguments, work, threads):
    """kernel(i0, i1, *arguments) over all tasks. Which thread takes which task does not change the result."""
    threads = min(threads or config.NUMBA_DEFAULT_NUM_THREADS, tasks)
    if threads <= 1 or work < 1_000_000:  # state updates: below that starting threads costs more than it saves
        kernel(0, tasks, *arguments)
        return
    size = -(-tasks // (4 * threads))  # about four pieces a thread: the last one ends early
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(kernel, i, min(i + size, tasks), *arguments) for i in range(0, tasks, size)]
        for job in jobs:
            job.result()


def _or_empty(x, ndim, dtype):
    """An absent argument is an empty array: a compiled function has one type for each argument."""
    return np.empty((0,) * ndim, dtype) if x is None else x


def _groups(B, C):
    return next((x.shape[2] for x in (B, C) if x.ndim == 4), 1)


def _strips(d, groups):
    return -(-(d // groups) // LANES)  # of one group


def selective_scan_fwd(u, delta, A, B, C, D, z, delta_bias, h0, reset, delta_softplus, *, save, threads=None):
    """-> y (b l d), h_last (b d n), and what the backward wants: the states at the start of each chunk."""
    (b, l, d), n, dtype, groups = u.shape, A.shape[1], u.dtype, _groups(B, C)
    tasks = b * groups * _strips(d, groups)
    y, h_last = np.empty_like(u), np.empty((b, d, n), dtype)
    saved = np.empty((tasks, -(-l // CHUNK), n, LANES) if save else (0, 0, 0, 0), dtype)
    h0 = np.zeros((b, d, n), dtype) if h0 is None else h0
    arguments = (dtype.type(0), groups, u, delta, A, B, C, _or_empty(D, 1, dtype), _or_empty(z, 3, dtype), _or_empty(delta_bias, 1, dtype),
                 h0, _or_empty(reset, 2, np.bool_), delta_softplus, y, h_last, saved)  # fmt: skip
    _run(_fwd_tasks, tasks, arguments, b * l * d * n, threads)
    return y, h_last, (saved,) if save else ()


def selective_scan_bwd(
    kept, grad_y, grad_h_last, u, delta, A, B, C, D, z, delta_bias, reset, delta_softplus, *, threads=None
):
    """-> grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_z, grad_delta_bias, grad_h0; None where the input is None."""
    (saved,) = kept
    (b, l, d), n, dtype, groups = u.shape, A.shape[1], u.dtype, _groups(B, C)
    blocks = -(-_strips(d, groups) // BLOCK)  # of one group
    grad_h_last = np.zeros((b, d, n), dtype) if grad_h_last is None else grad_h_last
    grad_u, grad_delta = np.empty_like(u), np.empty_like(u)
    grad_z = None if z is None else np.empty_like(u)
    # Partial sums: of a parameter, one for each sequence; of B and C, one for each block of strips.
    grad_A, grad_h0 = np.empty((b, d, n), dtype), np.empty((b, d, n), dtype)
    grad_D, grad_bias = np.empty((b, d), dtype), np.empty((b, d), dtype)
    grad_B, grad_C = (np.empty((b, d, n) if x.ndim == 2 else (b, groups * blocks, l, n), dtype) for x in (B, C))
    arguments = (dtype.type(0), groups, u, delta, A, B, C, _or_empty(D, 1, dtype), _or_empty(z, 3, dtype), _or_empty(delta_bias, 1, dtype),
                 _or_empty(reset, 2, np.bool_), delta_softplus, saved, grad_y, grad_h_last,
                 grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, _or_empty(grad_z, 3, dtype), grad_bias, grad_h0)  # fmt: skip
    _run(_bwd_tasks, b * groups * blocks, arguments, b * l * d * n, threads)

    def of_map(partial, x):
        """(d n), or (b l g n) from one partial sum for each block of strips."""
        if x.ndim == 2:
            return partial.sum(0)
        return np.ascontiguousarray(partial.reshape(b, groups, blocks, l, n).sum(2).swapaxes(1, 2))

    return (
        grad_u,
        grad_delta,
        grad_A.sum(0),
        of_map(grad_B, B),
        of_map(grad_C, C),
        None if D is None else grad_D.sum(0),
        grad_z,
        None if delta_bias is None else grad_bias.sum(0),
        grad_h0,
    )


def selective_scan_step(h, u_t, delta_t, A, B_t, C_t, D, z_t, delta_bias, delta_softplus):
    """-> h (b d n), a new array, and y_t (b d)."""
    (b, d, n), dtype, groups = h.shape, h.dtype, B_t.shape[1]
    h_out, y_t = np.empty_like(h), np.empty_like(u_t)
    tasks = b * groups * _strips(d, groups)
    arguments = (dtype.type(0), groups, h, u_t, delta_t, A, B_t, C_t, _or_empty(D, 1, dtype), _or_empty(z_t, 2, dtype),
                 _or_empty(delta_bias, 1, dtype), delta_softplus, h_out, y_t)  # fmt: skip
    _run(_step_tasks, tasks, arguments, b * d * n, None)
    return h_out, y_t
