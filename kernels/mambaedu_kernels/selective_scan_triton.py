"""The selective scan on the GPU: forward, backward and one step.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t ;   y_t = C_t . h_t + D u_t ;   y = y * silu(z)

Who owns what. One program is one warp. A lane owns one channel and all n states of it, in registers, and walks through time in
tiles of T unrolled steps. Nothing crosses lanes in the forward; in the backward only the sums over channels do. The states
(b l d n) never reach memory: the forward leaves one at the start of every CHUNK steps, and the backward computes the others again.
There are no atomics: sums over programs are made afterwards, in one order.

When channels cannot fill the GPU, time is cut into segments: (1) each segment is scanned from zero, which gives its end state and
its sum of delta; (2) `_carry` joins them: h_in = exp(A sum delta) h_in + end; (3) each segment is scanned again, from its h_in.

Tensors are contiguous: u, delta, z, y (b l d); A (d n); B, C (b l g n), or (d n) when fixed; D, delta_bias (d); h0, h_last (b d n);
reset (b l). Arithmetic is FLOAT = fp32, or fp64, whatever is stored.

Layout. Tiles (BLOCK_D, T) and (BLOCK_D, N) have the channel on axis 0, where memory is contiguous, so that axis 0 goes on the
lanes and axis 1 into registers. Their offsets carry `shift`, a zero that the compiler does not know: it hides the alignment, or a lane would
take several neighbouring channels in one wide load.
"""

import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)

CHUNK = 32  # steps between saved states
T_BWD = 4  # steps in a tile of the backward, which keeps the states of a tile: 8 spill
LANES = 32
# How many programs a large GPU wants. With ENOUGH of them, time is not cut. Otherwise it is, into segments of at least SHORTEST steps.
ENOUGH = 2048
WANTED_FWD, WANTED_BWD = 16384, 8192
SHORTEST = 64
AT_ONCE = 4224  # programs in one launch of the backward: each has scratch memory of its own


# ---- small functions -------------------------------------------------------------------------------------------------
@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp2(-x * LOG2E))


@triton.jit
def _softplus(x):
    """max(x, 0) + log(1 + e) with e = exp(-|x|): nothing cancels."""
    e = tl.exp2(-tl.abs(x) * LOG2E)
    if x.dtype == tl.float64:
        w = 1.0 + e
        log1p = tl.where(w == 1.0, e, tl.log(w) * (e / (w - 1.0)))
    else:
        # e times a polynomial: 10 instructions where log takes 25. Relative error 2e-7.
        p = 0.005253457929939032 * e - 0.02958850748836994
        p = p * e + 0.07836166769266129
        p = p * e - 0.13674770295619965
        p = p * e + 0.19111430644989014
        p = p * e - 0.24844369292259216
        p = p * e + 0.33319270610809326
        p = p * e - 0.49999502301216125
        log1p = p * e * e + e
    return tl.where(x != x, x, tl.maximum(x, 0.0) + log1p)


@triton.jit
def _column(x, i, T: tl.constexpr):
    """(BLOCK_D, T) -> (BLOCK_D): column i. Axis 1 lies in registers, so this only names one (x + -0.0 is x; x + 0.0 is not)."""
    return tl.sum(tl.where(tl.arange(0, T)[None, :] == i, x, -0.0), 1)


@triton.jit
def _put(x, i, value, T: tl.constexpr):
    """(BLOCK_D, T) with column i replaced by value (BLOCK_D)."""
    return tl.where(tl.arange(0, T)[None, :] == i, value[:, None], x)


@triton.jit
def _load(ptr, mask, EVEN: tl.constexpr, FLOAT: tl.constexpr):
    x = tl.load(ptr) if EVEN else tl.load(ptr, mask=mask, other=0.0)
    return x.to(FLOAT)


@triton.jit
def _row(ptr, fixed, t, t1, row, groups, group, n, N: tl.constexpr, FIXED: tl.constexpr, EVEN: tl.constexpr, FLOAT: tl.constexpr):  # fmt: skip
    """B_t or C_t: (1, N), the same for every lane; or (BLOCK_D, N) when it does not change with time. Nothing is read past the end."""
    if FIXED:
        out = fixed
    else:
        offs_n = tl.arange(0, N)
        mask = offs_n < tl.minimum(t1 - t, 1) * n
        out = _load(ptr + (row * groups + group) * n + offs_n, mask, EVEN, FLOAT)[None, :]
    return out


@triton.jit
def _warm(ptr, t, t_first, t_end, row, groups, group, n, N: tl.constexpr, T: tl.constexpr, FLOAT: tl.constexpr):
    """Read the rows [t, t + T) of B or C that lie in [t_first, t_end), 16 bytes a lane: later, `_row` finds them in the L1 cache."""
    offs = tl.arange(0, T * N)
    offs_t, offs_n = offs // N, offs % N
    mask = (offs_n < n) & (t + offs_t < t_end) & (t + offs_t >= t_first)
    return tl.load(ptr + ((row + offs_t) * groups + group) * n + offs_n, mask=mask, other=0.0).to(FLOAT)  # (T N)


@triton.jit
def _keep(warm, ptr, l):
    """A store that never happens. Without it the compiler would see that nobody uses what `_warm` read, and not read it."""
    never = (warm == 1.2345e30) & (l < 0)
    tl.store(ptr + tl.arange(0, warm.shape[0]), warm.to(ptr.dtype.element_ty), mask=never)


@triton.jit
def _plus(raw, bias, HAS_BIAS: tl.constexpr):
    if HAS_BIAS:
        raw += bias[:, None]
    return raw


@triton.jit
def _step_size(raw, mask, SOFTPLUS: tl.constexpr, EVEN: tl.constexpr):
    """(BLOCK_D, T) delta. Past the end delta = 0: A_bar = 1 and B_bar u = 0, so the state stays. After softplus, because softplus(0) is not 0."""
    delta = _softplus(raw) if SOFTPLUS else raw
    return delta if EVEN else tl.where(mask, delta, 0.0)


@triton.jit
def _starts_anew(reset_ptr, row, t, t1):
    """Is step t the first of another sequence? A scalar."""
    return tl.load(reset_ptr + row, mask=t < t1, other=0) != 0


@triton.jit
def _owned(l, d, groups, segment, n_segments, first, count, BLOCK_D: tl.constexpr):
    """What this program owns: channels of one group of one sequence, and the steps [t0, t1). Offsets into memory are 64-bit.
    A launch covers `count` blocks of channels of each group, from number `first`."""
    pid = tl.program_id(0).to(tl.int64)
    in_group = d // groups
    block = (pid % (groups * count)).to(tl.int32)
    pid_k = ((pid // (groups * count)) % n_segments).to(tl.int32)
    pid_b = pid // (groups * count) // n_segments
    group = block // count
    offs = (first + block % count) * BLOCK_D + tl.arange(0, BLOCK_D)
    t0 = pid_k * segment
    return pid_b, pid_k, block, group, group * in_group + offs, offs < in_group, t0, tl.minimum(t0 + segment, l)


# ---- forward ---------------------------------------------------------------------------------------------------------
@triton.jit(do_not_specialize=["shift"])
def _fwd(u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, bias_ptr, h0_ptr, reset_ptr, enter_ptr, y_ptr, h_last_ptr, saved_ptr,
         l, d, n, groups, shift, segment, n_segments, first, count, chunk, n_chunks,
         N: tl.constexpr, T: tl.constexpr, BLOCK_D: tl.constexpr, FLOAT: tl.constexpr, EVEN: tl.constexpr, SOFTPLUS: tl.constexpr,
         HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESET: tl.constexpr, FIXED_B: tl.constexpr,
         FIXED_C: tl.constexpr, SPLIT: tl.constexpr, HAS_H0: tl.constexpr, SAVE: tl.constexpr):  # fmt: skip
    pid_b, pid_k, _, group, offs_d, mask_d, t0, t1 = _owned(l, d, groups, segment, n_segments, first, count, BLOCK_D)
    offs_n = tl.arange(0, N)
    offs_t = tl.arange(0, T)
    offs_dn = offs_d[:, None] * n + offs_n[None, :]  # (BLOCK_D, N), into (d n)
    offs_nd = offs_n[None, :] * d + offs_d[:, None] + shift  # (BLOCK_D, N), into (n d)
    offs_td = offs_t[None, :].to(tl.int64) * d + offs_d[:, None] + shift  # (BLOCK_D, T), into (l d)
    mask_dn = mask_d[:, None] & (offs_n < n)[None, :]

    # What does not change with time. exp(delta A) is exp2(delta A2).
    A2 = tl.load(A_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT) * LOG2E  # (BLOCK_D, N)
    B_fixed, C_fixed, bias, D = A2, A2, A2, A2
    if FIXED_B:
        B_fixed = tl.load(B_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    if FIXED_C:
        C_fixed = tl.load(C_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + offs_d, mask=mask_d, other=0.0).to(FLOAT)  # (BLOCK_D)
    if HAS_D:
        D = tl.load(D_ptr + offs_d, mask=mask_d, other=0.0).to(FLOAT)  # (BLOCK_D)
    h = tl.zeros((BLOCK_D, N), FLOAT)
    if SPLIT:
        h = tl.load(enter_ptr + (pid_b * n_segments + pid_k) * N * d + offs_nd, mask=mask_d[:, None], other=0.0)
    elif HAS_H0:
        h = tl.load(h0_ptr + pid_b * d * n + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    warm = tl.zeros((T * N,), FLOAT)

    # Load the first tile.
    row = pid_b * l + t0
    mask = (offs_t < t1 - t0)[None, :] & mask_d[:, None]
    u_next = tl.load(u_ptr + row * d + offs_td, mask=mask, other=0.0)  # (BLOCK_D, T)
    raw_next = tl.load(delta_ptr + row * d + offs_td, mask=mask, other=0.0)  # (BLOCK_D, T)
    if HAS_Z:
        z_next = tl.load(z_ptr + row * d + offs_td, mask=mask, other=0.0)  # (BLOCK_D, T)
    for t in range(t0, t1, T):
        row = pid_b * l + t
        if SAVE:  # noqa: SIM102 - SAVE is known when this is compiled, t is not
            if t % chunk == 0:
                tl.store(saved_ptr + (pid_b * n_chunks + t // chunk) * N * d + offs_nd, h, mask=mask_d[:, None])
        # Load the next tile: it is on its way while this one is computed.
        mask = (offs_t < t1 - t)[None, :] & mask_d[:, None]
        u = u_next.to(FLOAT)
        delta = _step_size(_plus(raw_next.to(FLOAT), bias, HAS_BIAS), mask, SOFTPLUS, EVEN)
        mask_next = (offs_t < t1 - t - T)[None, :] & mask_d[:, None]
        u_next = tl.load(u_ptr + (row + T) * d + offs_td, mask=mask_next, other=0.0)
        raw_next = tl.load(delta_ptr + (row + T) * d + offs_td, mask=mask_next, other=0.0)
        if HAS_Z:
            z = z_next.to(FLOAT)
            z_next = tl.load(z_ptr + (row + T) * d + offs_td, mask=mask_next, other=0.0)
        if not FIXED_B:
            warm += _warm(B_ptr, t + 2 * T, t0, t1, row + 2 * T, groups, group, n, N, T, FLOAT)
        if not FIXED_C:
            warm += _warm(C_ptr, t + 2 * T, t0, t1, row + 2 * T, groups, group, n, N, T, FLOAT)

        # Compute T steps.
        delta_u = delta * u  # (BLOCK_D, T)
        y = tl.zeros((BLOCK_D, T), FLOAT)
        for i in tl.static_range(T):
            B = _row(B_ptr, B_fixed, t + i, t1, row + i, groups, group, n, N, FIXED_B, EVEN, FLOAT)  # (1, N)
            C = _row(C_ptr, C_fixed, t + i, t1, row + i, groups, group, n, N, FIXED_C, EVEN, FLOAT)  # (1, N)
            if HAS_RESET:
                h = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, h)
            # [eq-selective-scan]
            A_bar = tl.exp2(A2 * _column(delta, i, T)[:, None])  # (BLOCK_D, N)
            h = A_bar * h + _column(delta_u, i, T)[:, None] * B  # (BLOCK_D, N)
            y = _put(y, i, tl.sum(C * h, 1), T)  # (BLOCK_D, T)
            # [/eq-selective-scan]
        if HAS_D:
            y += D[:, None] * u
        if HAS_Z:
            y = y * (z * _sigmoid(z))

        # Store the tile.
        if EVEN:
            tl.store(y_ptr + row * d + offs_td, y.to(y_ptr.dtype.element_ty))
        else:
            tl.store(y_ptr + row * d + offs_td, y.to(y_ptr.dtype.element_ty), mask=mask)
    # Only the segment that ends at step l knows h_last.
    tl.store(h_last_ptr + pid_b * d * n + offs_dn, h, mask=mask_dn & (offs_n < tl.maximum(t1 - l + 1, 0) * N)[None, :])
    _keep(warm, y_ptr, l)


# ---- backward --------------------------------------------------------------------------------------------------------
@triton.jit
def _sum_over_d(x, BLOCK_D: tl.constexpr):
    """(BLOCK_D, N) -> the sum over channels. Plain sums would shuffle log2(BLOCK_D) times for every state. A butterfly transposes as it adds:
    at step s a lane keeps the upper or the lower half of its states, as bit s of its channel says, and sends the other half to the lane that
    differs in that bit. So the number of states halves with each step, and where a sum ends up is what `_states_of_sums` says."""
    channel = tl.arange(0, BLOCK_D)
    for s in tl.static_range(5):
        if 2**s < BLOCK_D:
            partner = (channel ^ (1 << s))[:, None]
            if x.shape[1] * BLOCK_D > 32:
                low, high = tl.split(x.reshape(BLOCK_D, 2, x.shape[1] // 2).permute(0, 2, 1))
                upper = ((channel >> s) & 1)[:, None] == 1
                send = tl.where(upper, low, high)
                x = tl.where(upper, high, low) + tl.gather(send, tl.broadcast_to(partner, send.shape), 0)
            else:  # one state is left in each lane
                x = x + tl.gather(x, tl.broadcast_to(partner, x.shape), 0)
    return x


@triton.jit
def _states_of_sums(BLOCK_D: tl.constexpr, N: tl.constexpr):
    """Which state's sum each entry of `_sum_over_d` holds; N and more for the copies that nobody needs."""
    channel = tl.arange(0, BLOCK_D)
    first = tl.zeros((BLOCK_D,), tl.int32)
    for s in tl.static_range(5):
        if 2**s < BLOCK_D:
            bit = (channel >> s) & 1
            if N // 2**s * BLOCK_D > 32:
                first += bit * (N // 2 ** (s + 1))
            else:
                first += bit * N
    SMALL: tl.constexpr = N if N * BLOCK_D <= 32 else 32 // BLOCK_D
    LEFT: tl.constexpr = SMALL if SMALL > N // BLOCK_D else N // BLOCK_D
    return first[:, None] + tl.arange(0, LEFT)[None, :]  # (BLOCK_D, LEFT)


@triton.jit(do_not_specialize=["shift", "zero"])
def _bwd(u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, bias_ptr, reset_ptr, grad_y_ptr, grad_h_last_ptr, saved_ptr, enter_ptr, parked_ptr,
         grad_u_ptr, grad_delta_ptr, grad_A_ptr, grad_B_ptr, grad_C_ptr, grad_D_ptr, grad_z_ptr, grad_bias_ptr, grad_h0_ptr,
         l, d, n, groups, shift, segment, n_segments, first, count, chunk, n_chunks, bl, zero,
         N: tl.constexpr, T: tl.constexpr, BLOCK_D: tl.constexpr, FLOAT: tl.constexpr, EVEN: tl.constexpr, SOFTPLUS: tl.constexpr,
         HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESET: tl.constexpr, FIXED_B: tl.constexpr,
         FIXED_C: tl.constexpr, SPLIT: tl.constexpr, HAS_GRAD_H: tl.constexpr):  # fmt: skip
    pid_b, pid_k, block, group, offs_d, mask_d, t0, t1 = _owned(
        l, d, groups, segment, n_segments, first, count, BLOCK_D
    )
    program = tl.program_id(0).to(tl.int64)
    offs_n = tl.arange(0, N)
    offs_t = tl.arange(0, T)
    lane = tl.arange(0, BLOCK_D)
    offs_dn = offs_d[:, None] * n + offs_n[None, :]  # (BLOCK_D, N), into (d n)
    offs_nd = offs_n[None, :] * d + offs_d[:, None] + shift  # (BLOCK_D, N), into (n d)
    offs_td = offs_t[None, :].to(tl.int64) * d + offs_d[:, None] + shift  # (BLOCK_D, T), into (l d)
    mask_dn = mask_d[:, None] & (offs_n < n)[None, :]
    # The sums over channels: one row of n for each step and each block of channels.
    offs_sum = _states_of_sums(BLOCK_D, N)
    rows_before = block.to(tl.int64) * bl

    A2 = tl.load(A_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT) * LOG2E  # (BLOCK_D, N)
    B_fixed, C_fixed, bias, D = A2, A2, A2, A2
    if FIXED_B:
        B_fixed = tl.load(B_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    if FIXED_C:
        C_fixed = tl.load(C_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + offs_d, mask=mask_d, other=0.0).to(FLOAT)  # (BLOCK_D)
    if HAS_D:
        D = tl.load(D_ptr + offs_d, mask=mask_d, other=0.0).to(FLOAT)  # (BLOCK_D)
    # later: what flows into h_t from the steps after it, A_bar_{t+1} grad_h_{t+1}.
    later = tl.zeros((BLOCK_D, N), FLOAT)
    if SPLIT:
        later = tl.load(enter_ptr + (pid_b * n_segments + pid_k) * N * d + offs_nd, mask=mask_d[:, None], other=0.0)
    elif HAS_GRAD_H:
        later = tl.load(grad_h_last_ptr + pid_b * d * n + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)
    grad_A = tl.zeros((BLOCK_D, N), FLOAT)
    grad_B_fixed = tl.zeros((BLOCK_D, N), FLOAT)
    grad_C_fixed = tl.zeros((BLOCK_D, N), FLOAT)
    grad_D = tl.zeros((BLOCK_D,), FLOAT)
    grad_bias = tl.zeros((BLOCK_D,), FLOAT)
    # A place of this program's own for the states at the start of each tile of one chunk. The same lane writes and reads them.
    parked = parked_ptr + program * (chunk // T) * N * BLOCK_D + offs_n[None, :] * BLOCK_D + lane[:, None] + shift
    warm = tl.zeros((T * N,), FLOAT)

    c_first = t0 // chunk
    c_end = tl.cdiv(t1, chunk)
    for c_back in range(0, c_end - c_first):
        c0 = (c_end - 1 - c_back) * chunk
        c1 = tl.minimum(c0 + chunk, t1)
        n_tiles = tl.cdiv(c1 - c0, T)

        # 1. Forwards through the chunk from its saved state; park the state at the start of each tile.
        h = tl.load(saved_ptr + (pid_b * n_chunks + c0 // chunk) * N * d + offs_nd, mask=mask_d[:, None], other=0.0)
        for j in range(0, n_tiles):
            tl.store(parked + j * N * BLOCK_D, h)
            if j < n_tiles - 1:
                t = c0 + j * T
                row = pid_b * l + t
                if not FIXED_B:
                    warm += _warm(B_ptr, t + 2 * T, c0, c1, row + 2 * T, groups, group, n, N, T, FLOAT)
                if not FIXED_C:
                    warm += _warm(C_ptr, t + 2 * T, c0, c1, row + 2 * T, groups, group, n, N, T, FLOAT)
                mask = (offs_t < t1 - t)[None, :] & mask_d[:, None]
                raw = _plus(_load(delta_ptr + row * d + offs_td, mask, EVEN, FLOAT), bias, HAS_BIAS)
                delta = _step_size(raw, mask, SOFTPLUS, EVEN)
                delta_u = delta * _load(u_ptr + row * d + offs_td, mask, EVEN, FLOAT)  # (BLOCK_D, T)
                for i in tl.static_range(T):
                    B = _row(B_ptr, B_fixed, t + i, t1, row + i, groups, group, n, N, FIXED_B, EVEN, FLOAT)  # (1, N)
                    if HAS_RESET:
                        h = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, h)
                    h = tl.exp2(A2 * _column(delta, i, T)[:, None]) * h + _column(delta_u, i, T)[:, None] * B

        # 2. Backwards, tile by tile.
        for j_back in range(0, n_tiles):
            j = n_tiles - 1 - j_back
            t = c0 + j * T
            row = pid_b * l + t

            # Load the tile.
            mask = (offs_t < t1 - t)[None, :] & mask_d[:, None]
            u = _load(u_ptr + row * d + offs_td, mask, EVEN, FLOAT)  # (BLOCK_D, T)
            raw = _plus(_load(delta_ptr + row * d + offs_td, mask, EVEN, FLOAT), bias, HAS_BIAS)  # (BLOCK_D, T)
            delta = _step_size(raw, mask, SOFTPLUS, EVEN)
            grad_y = _load(grad_y_ptr + row * d + offs_td, mask, EVEN, FLOAT)  # (BLOCK_D, T)
            if HAS_Z:
                z = _load(z_ptr + row * d + offs_td, mask, EVEN, FLOAT)  # (BLOCK_D, T)
                gate = _sigmoid(z)
                grad_out = grad_y
                grad_y = grad_out * (z * gate)  # before the gate

            # Compute the tile's states, kept in registers: states[i] is the one that enters step i.
            delta_u = delta * u  # (BLOCK_D, T)
            h = tl.load(parked + j * N * BLOCK_D)  # (BLOCK_D, N)
            states = ()
            for i in tl.static_range(T):
                B = _row(B_ptr, B_fixed, t + i, t1, row + i, groups, group, n, N, FIXED_B, EVEN, FLOAT)  # (1, N)
                states += (h,)
                if HAS_RESET:
                    h = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, h)
                h = tl.exp2(A2 * _column(delta, i, T)[:, None]) * h + _column(delta_u, i, T)[:, None] * B
            states += (h,)

            # Compute T gradients, the last step first.
            y = tl.zeros((BLOCK_D, T), FLOAT)  # before D and the gate
            along_B = tl.zeros((BLOCK_D, T), FLOAT)  # sum over n of grad_h B
            along_A = tl.zeros((BLOCK_D, T), FLOAT)  # sum over n of grad_h A_bar h_{t-1} A2
            for i in tl.static_range(T - 1, -1, -1):
                B = _row(B_ptr, B_fixed, t + i, t1, row + i, groups, group, n, N, FIXED_B, EVEN, FLOAT)  # (1, N)
                C = _row(C_ptr, C_fixed, t + i, t1, row + i, groups, group, n, N, FIXED_C, EVEN, FLOAT)  # (1, N)
                delta_i = _column(delta, i, T)[:, None]
                h_before = states[i]
                if HAS_RESET:
                    h_before = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, h_before)
                if not EVEN:  # past the end, where a state that is inf or NaN would make NaN of 0
                    h_before = tl.where(t + i < t1, h_before, 0.0)
                if HAS_Z:
                    y = _put(y, i, tl.sum(C * states[i + 1], 1), T)
                # [eq-selective-scan-grad]
                grad_C = _column(grad_y, i, T)[:, None] * states[i + 1]  # (BLOCK_D, N)
                grad_h = _column(grad_y, i, T)[:, None] * C + later  # (BLOCK_D, N)
                grad_B = _column(delta_u, i, T)[:, None] * grad_h  # (BLOCK_D, N)
                along_B = _put(along_B, i, tl.sum(grad_h * B, 1), T)  # (BLOCK_D, T)
                # `zero` is a zero that the compiler does not know. Without it, it would keep all A_bar of the loop above, and spill.
                later = tl.exp2(A2 * delta_i + zero) * grad_h  # (BLOCK_D, N)
                grad_decay = later * h_before  # (BLOCK_D, N): grad_h A_bar h_{t-1}
                along_A = _put(along_A, i, tl.sum(grad_decay * A2, 1), T)  # (BLOCK_D, T)
                grad_A += grad_decay * delta_i
                # [/eq-selective-scan-grad]
                if HAS_RESET:
                    later = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, later)
                mask_sum = offs_sum < tl.minimum(t1 - t - i, 1) * n
                if FIXED_B:
                    grad_B_fixed += grad_B
                else:
                    tl.store(
                        grad_B_ptr + (rows_before + row + i) * n + offs_sum,
                        _sum_over_d(grad_B, BLOCK_D),
                        mask=mask_sum,
                    )
                if FIXED_C:
                    grad_C_fixed += grad_C if EVEN else tl.where(t + i < t1, grad_C, 0.0)
                else:
                    tl.store(
                        grad_C_ptr + (rows_before + row + i) * n + offs_sum,
                        _sum_over_d(grad_C, BLOCK_D),
                        mask=mask_sum,
                    )
            grad_u = delta * along_B
            grad_delta = u * along_B + LN2 * along_A
            if HAS_D:
                grad_u += D[:, None] * grad_y
                grad_D += tl.sum(grad_y * u, 1)
                y += D[:, None] * u
            if SOFTPLUS:
                grad_delta = grad_delta * _sigmoid(raw)
            if not EVEN:
                grad_delta = tl.where(mask, grad_delta, 0.0)
            if HAS_BIAS:
                grad_bias += tl.sum(grad_delta, 1)

            # Store the tile.
            if HAS_Z:
                grad_z = grad_out * y * (gate * (1.0 + z * (1.0 - gate)))
                tl.store(grad_z_ptr + row * d + offs_td, grad_z.to(grad_z_ptr.dtype.element_ty), mask=mask)
            tl.store(grad_u_ptr + row * d + offs_td, grad_u.to(grad_u_ptr.dtype.element_ty), mask=mask)
            tl.store(grad_delta_ptr + row * d + offs_td, grad_delta.to(grad_delta_ptr.dtype.element_ty), mask=mask)

    # One partial sum for each sequence and segment; they are added up after the launch.
    part = pid_b * n_segments + pid_k
    tl.store(grad_A_ptr + part * N * d + offs_nd, grad_A, mask=mask_d[:, None])
    if FIXED_B:
        tl.store(grad_B_ptr + part * N * d + offs_nd, grad_B_fixed, mask=mask_d[:, None])
    if FIXED_C:
        tl.store(grad_C_ptr + part * N * d + offs_nd, grad_C_fixed, mask=mask_d[:, None])
    if HAS_D:
        tl.store(grad_D_ptr + part * d + offs_d, grad_D, mask=mask_d)
    if HAS_BIAS:
        tl.store(grad_bias_ptr + part * d + offs_d, grad_bias, mask=mask_d)
    # Only the segment that starts at step 0 reaches h0.
    tl.store(grad_h0_ptr + pid_b * d * n + offs_dn, later, mask=mask_dn & (offs_n < tl.maximum(1 - t0, 0) * N)[None, :])
    _keep(warm, grad_A_ptr, l)


# ---- time cut into segments --------------------------------------------------------------------------------------------
@triton.jit(do_not_specialize=["shift"])
def _segment(u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, z_ptr, bias_ptr, reset_ptr, grad_y_ptr, end_ptr, total_ptr,
             l, d, n, groups, shift, segment, n_segments, first, count,
             N: tl.constexpr, T: tl.constexpr, BLOCK_D: tl.constexpr, FLOAT: tl.constexpr, EVEN: tl.constexpr, SOFTPLUS: tl.constexpr,
             HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESET: tl.constexpr, FIXED_B: tl.constexpr, FIXED_C: tl.constexpr,
             REVERSE: tl.constexpr):  # fmt: skip
    """One segment from zero: the state at its end, and its sum of delta. REVERSE: from its end to its start, what it hands to the step before it."""
    pid_b, pid_k, _, group, offs_d, mask_d, t0, t1 = _owned(l, d, groups, segment, n_segments, first, count, BLOCK_D)
    offs_n = tl.arange(0, N)
    offs_t = tl.arange(0, T)
    offs_dn = offs_d[:, None] * n + offs_n[None, :]  # (BLOCK_D, N), into (d n)
    offs_nd = offs_n[None, :] * d + offs_d[:, None] + shift  # (BLOCK_D, N), into (n d)
    offs_td = offs_t[None, :].to(tl.int64) * d + offs_d[:, None] + shift  # (BLOCK_D, T), into (l d)
    mask_dn = mask_d[:, None] & (offs_n < n)[None, :]
    A2 = tl.load(A_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT) * LOG2E  # (BLOCK_D, N)
    B_fixed, C_fixed, bias = A2, A2, A2
    if FIXED_B and not REVERSE:
        B_fixed = tl.load(B_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    if FIXED_C and REVERSE:
        C_fixed = tl.load(C_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + offs_d, mask=mask_d, other=0.0).to(FLOAT)  # (BLOCK_D)
    h = tl.zeros((BLOCK_D, N), FLOAT)
    total = tl.zeros((BLOCK_D,), FLOAT)
    warm = tl.zeros((T * N,), FLOAT)
    n_tiles = tl.cdiv(t1 - t0, T)
    FORWARDS: tl.constexpr = -1 if REVERSE else 1
    t = t0
    if REVERSE:
        t = t0 + (n_tiles - 1) * T

    # Load the first tile.
    row = pid_b * l + t
    mask = (offs_t < t1 - t)[None, :] & mask_d[:, None]
    x_ptr = grad_y_ptr if REVERSE else u_ptr  # what drives the state
    x_next = tl.load(x_ptr + row * d + offs_td, mask=mask, other=0.0)  # (BLOCK_D, T)
    raw_next = tl.load(delta_ptr + row * d + offs_td, mask=mask, other=0.0)  # (BLOCK_D, T)
    if REVERSE and HAS_Z:
        z_next = tl.load(z_ptr + row * d + offs_td, mask=mask, other=0.0)  # (BLOCK_D, T)
    for _tile in range(0, n_tiles):
        row = pid_b * l + t
        # Load the next tile.
        mask = (offs_t < t1 - t)[None, :] & mask_d[:, None]
        x = x_next.to(FLOAT)
        delta = _step_size(_plus(raw_next.to(FLOAT), bias, HAS_BIAS), mask, SOFTPLUS, EVEN)
        t_next = t + FORWARDS * T
        row_next = row + FORWARDS * T
        mask_next = ((offs_t < t1 - t_next) & (offs_t >= t0 - t_next))[None, :] & mask_d[:, None]
        x_next = tl.load(x_ptr + row_next * d + offs_td, mask=mask_next, other=0.0)
        raw_next = tl.load(delta_ptr + row_next * d + offs_td, mask=mask_next, other=0.0)
        if REVERSE and HAS_Z:
            z = z_next.to(FLOAT)
            x *= z * _sigmoid(z)
            z_next = tl.load(z_ptr + row_next * d + offs_td, mask=mask_next, other=0.0)
        if REVERSE and not FIXED_C:
            warm += _warm(C_ptr, t - 2 * T, t0, t1, row - 2 * T, groups, group, n, N, T, FLOAT)
        if not REVERSE and not FIXED_B:
            warm += _warm(B_ptr, t + 2 * T, t0, t1, row + 2 * T, groups, group, n, N, T, FLOAT)

        # Compute T steps.
        total += tl.sum(delta, 1)
        if REVERSE:
            for i in tl.static_range(T - 1, -1, -1):
                C = _row(C_ptr, C_fixed, t + i, t1, row + i, groups, group, n, N, FIXED_C, EVEN, FLOAT)  # (1, N)
                h = tl.exp2(A2 * _column(delta, i, T)[:, None]) * (h + _column(x, i, T)[:, None] * C)
                if HAS_RESET:
                    h = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, h)
        else:
            delta_u = delta * x  # (BLOCK_D, T)
            for i in tl.static_range(T):
                B = _row(B_ptr, B_fixed, t + i, t1, row + i, groups, group, n, N, FIXED_B, EVEN, FLOAT)  # (1, N)
                if HAS_RESET:
                    h = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, h)
                h = tl.exp2(A2 * _column(delta, i, T)[:, None]) * h + _column(delta_u, i, T)[:, None] * B
        t = t_next
    part = pid_b * n_segments + pid_k
    tl.store(end_ptr + part * N * d + offs_nd, h, mask=mask_d[:, None])
    tl.store(total_ptr + part * d + offs_d, total, mask=mask_d)
    _keep(warm, end_ptr, l)


@triton.jit(do_not_specialize=["shift"])
def _carry(A_ptr, start_ptr, cut_ptr, end_ptr, total_ptr, d, n, shift, n_segments, AHEAD: tl.constexpr, N: tl.constexpr,
           BLOCK_D: tl.constexpr, FLOAT: tl.constexpr, HAS_START: tl.constexpr, HAS_RESET: tl.constexpr, REVERSE: tl.constexpr):  # fmt: skip
    """In place, from each segment's end state to the state that enters it. A program owns one state of BLOCK_D channels; AHEAD segments are
    loaded before they are used. A segment inside which a packed sequence starts (cut) lets nothing through."""
    pid = tl.program_id(0).to(tl.int64)
    n_blocks = tl.cdiv(d, BLOCK_D)
    offs_d = (pid % n_blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    i_n = (pid // n_blocks) % N
    pid_b = pid // n_blocks // N
    offs_k = tl.arange(0, AHEAD)
    mask_d = offs_d < tl.where(i_n < n, d, 0)  # the states that only pad n to N are zero
    A2 = tl.load(A_ptr + offs_d * n + i_n, mask=mask_d, other=0.0).to(FLOAT) * LOG2E  # (BLOCK_D)
    h = tl.zeros((BLOCK_D,), FLOAT)
    if HAS_START:
        h = tl.load(start_ptr + pid_b * d * n + offs_d * n + i_n, mask=mask_d, other=0.0).to(FLOAT)  # (BLOCK_D)
    for j in range(0, n_segments, AHEAD):
        k = j + offs_k
        if REVERSE:
            k = n_segments - 1 - k
        part = pid_b * n_segments + k
        mask = (offs_k < n_segments - j)[None, :] & (offs_d < d)[:, None]
        end_ptrs = end_ptr + (part * N + i_n)[None, :] * d + offs_d[:, None] + shift  # (BLOCK_D, AHEAD)
        end = tl.load(end_ptrs, mask=mask, other=0.0)
        total = tl.load(total_ptr + part[None, :] * d + offs_d[:, None] + shift, mask=mask, other=0.0)
        decay = tl.exp2(A2[:, None] * total)  # (BLOCK_D, AHEAD)
        if HAS_RESET:
            cut = tl.load(cut_ptr + part, mask=offs_k < n_segments - j, other=0)  # (AHEAD)
        enter = tl.zeros((BLOCK_D, AHEAD), FLOAT)
        for i in tl.static_range(AHEAD):
            enter = _put(enter, i, h, AHEAD)
            h = _column(decay, i, AHEAD) * h  # (BLOCK_D)
            if HAS_RESET:  # chosen and not multiplied, and after the decay, which is NaN where a delta was
                h = tl.where(tl.sum(tl.where(offs_k == i, cut, 0), 0) != 0, 0.0, h)
            h += _column(end, i, AHEAD)
        tl.store(end_ptrs, enter, mask=mask)


# ---- one step ----------------------------------------------------------------------------------------------------------
@triton.jit
def _step(h_ptr, u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, bias_ptr, h_out_ptr, y_ptr, d, n, groups,
          N: tl.constexpr, BLOCK_D: tl.constexpr, FLOAT: tl.constexpr, SOFTPLUS: tl.constexpr,
          HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr):  # fmt: skip
    pid = tl.program_id(0).to(tl.int64)
    n_blocks = tl.cdiv(d, BLOCK_D)
    pid_b = pid // n_blocks
    offs_d = (pid % n_blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    offs_n = tl.arange(0, N)
    mask_d = offs_d < d
    mask_dn = mask_d[:, None] & (offs_n < n)[None, :]
    offs_dn = offs_d[:, None] * n + offs_n[None, :]  # (BLOCK_D, N), into (d n)
    offs_gn = (pid_b * groups + offs_d // (d // groups))[:, None] * n + offs_n[None, :]  # (BLOCK_D, N), into (b g n)

    h = tl.load(h_ptr + pid_b * d * n + offs_dn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    A2 = tl.load(A_ptr + offs_dn, mask=mask_dn, other=0.0).to(FLOAT) * LOG2E  # (BLOCK_D, N)
    B = tl.load(B_ptr + offs_gn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    C = tl.load(C_ptr + offs_gn, mask=mask_dn, other=0.0).to(FLOAT)  # (BLOCK_D, N)
    u = tl.load(u_ptr + pid_b * d + offs_d, mask=mask_d, other=0.0).to(FLOAT)  # (BLOCK_D)
    delta = tl.load(delta_ptr + pid_b * d + offs_d, mask=mask_d, other=0.0).to(FLOAT)  # (BLOCK_D)
    if HAS_BIAS:
        delta += tl.load(bias_ptr + offs_d, mask=mask_d, other=0.0).to(FLOAT)
    if SOFTPLUS:
        delta = _softplus(delta)

    # [eq-selective-scan]
    h = tl.exp2(A2 * delta[:, None]) * h + (delta * u)[:, None] * B  # (BLOCK_D, N)
    y = tl.sum(C * h, 1)  # (BLOCK_D)
    # [/eq-selective-scan]
    if HAS_D:
        y += tl.load(D_ptr + offs_d, mask=mask_d, other=0.0).to(FLOAT) * u
    if HAS_Z:
        z = tl.load(z_ptr + pid_b * d + offs_d, mask=mask_d, other=0.0).to(FLOAT)
        y = y * (z * _sigmoid(z))

    tl.store(h_out_ptr + pid_b * d * n + offs_dn, h, mask=mask_dn)
    tl.store(y_ptr + pid_b * d + offs_d, y.to(y_ptr.dtype.element_ty), mask=mask_d)


# ---- launch ------------------------------------------------------------------------------------------------------------
def _plan(b, l, d, groups, N, backward):
    """-> channels of a program, steps of a tile, registers at most, steps of a segment. What suits an H100, by measurement; on other sizes and cards the answers are the same."""
    # Up to 16 states to a lane: 32 channels of up to 16 states, 16 of 32, and so on.
    block_d = min(LANES, max(1, LANES * 16 // N))
    programs = b * groups * triton.cdiv(d // groups, block_d)
    # 168 registers let three warps run on a scheduler; at 169 there would be two. With more states than 16 the rows of B and C need the room.
    T, registers = (8, 168) if N <= 16 else (4, 255)
    whole = triton.cdiv(l, CHUNK) * CHUNK
    if backward:
        T, registers = T_BWD, 255
    elif ENOUGH // 4 <= programs < ENOUGH:
        # A cut costs the forward a second scan. Half the channels, twice the programs, and longer tiles, do better.
        if N <= 16:
            block_d, T, registers = block_d // 2, 16, 255
        return block_d, T, registers, whole
    if programs >= ENOUGH:
        return block_d, T, registers, whole
    segment = max(SHORTEST, l * programs // (WANTED_BWD if backward else WANTED_FWD))
    return block_d, T, registers, triton.cdiv(segment, CHUNK) * CHUNK


class _Call:
    """What the launches of one call share: sizes, flags, and the plan of who owns what."""

    def __init__(self, u, A, B, C, z, delta_bias, reset, delta_softplus, dtype, backward):
        (self.b, self.l, self.d), self.n = u.shape, A.shape[1]
        self.N = triton.next_power_of_2(self.n)
        self.groups = next((x.shape[2] for x in (B, C) if x.ndim == 4), 1)
        self.block_d, self.T, self.registers, self.segment = _plan(
            self.b, self.l, self.d, self.groups, self.N, backward
        )
        self.n_chunks, self.n_segments = triton.cdiv(self.l, CHUNK), triton.cdiv(self.l, self.segment)
        self.count = triton.cdiv(self.d // self.groups, self.block_d)  # blocks of channels in a group
        self.dtype, self.device, self.reset = dtype, u.device, reset
        self.float = tl.float64 if dtype == torch.float64 else tl.float32
        self.flags = dict(SOFTPLUS=delta_softplus, HAS_Z=z is not None, HAS_BIAS=delta_bias is not None, HAS_RESET=reset is not None,
                          FIXED_B=B.ndim == 2, FIXED_C=C.ndim == 2)  # fmt: skip

    def grid(self, count):
        return (self.b * self.n_segments * self.groups * count,)

    def options(self, first=0, count=None):
        """Of a launch. EVEN: every tile of every program is whole, and no load needs a mask."""
        even = self.l % self.T == 0 and self.d // self.groups % self.block_d == 0 and self.n == self.N
        return dict(l=self.l, d=self.d, n=self.n, groups=self.groups, shift=0, segment=self.segment, n_segments=self.n_segments, first=first,
                    count=count or self.count, N=self.N, T=self.T, BLOCK_D=self.block_d, FLOAT=self.float, EVEN=even, num_warps=1, **self.flags)  # fmt: skip

    def chunks(self):
        return dict(chunk=CHUNK, n_chunks=self.n_chunks)

    def new(self, *shape):
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def enter(self, reverse, start, inputs):
        """What enters each segment, (b n_segments N d); None when there is but one."""
        if self.n_segments == 1:
            return None
        u, delta, A, B, C, z, delta_bias, grad_y = inputs
        end, total = self.new(self.b, self.n_segments, self.N, self.d), self.new(self.b, self.n_segments, self.d)
        _segment[self.grid(self.count)](u, delta, A, B, C, z, delta_bias, self.reset, grad_y, end, total,
                                        **self.options(), REVERSE=reverse)  # fmt: skip
        cut = None
        if self.reset is not None:
            padded = torch.nn.functional.pad(self.reset, (0, self.n_segments * self.segment - self.l))
            cut = padded.reshape(self.b, self.n_segments, self.segment).amax(2)  # (b n_segments)
        _carry[(self.b * self.N * triton.cdiv(self.d, LANES),)](
            A, start, cut, end, total, self.d, self.n, 0, self.n_segments, AHEAD=8, N=self.N, BLOCK_D=LANES, FLOAT=self.float,
            HAS_START=start is not None, HAS_RESET=cut is not None, REVERSE=reverse, num_warps=1)  # fmt: skip
        return end


def _prepared(B, C, reset, dtype):
    """B and C are small and every lane reads them: they are cast once, here. A mask is loaded as bytes."""
    return B.to(dtype), C.to(dtype), None if reset is None else reset.to(torch.int8)


def selective_scan_fwd(u, delta, A, B, C, D, z, delta_bias, h0, reset, delta_softplus, *, save, dtype):
    """-> y (b l d) in u's dtype, h_last (b d n) in `dtype`, and what the backward wants: the states at the start of each chunk."""
    B, C, reset = _prepared(B, C, reset, dtype)
    call = _Call(u, A, B, C, z, delta_bias, reset, delta_softplus, dtype, backward=False)
    y, h_last = torch.empty_like(u), call.new(call.b, call.d, call.n)
    saved = call.new(call.b, call.n_chunks, call.N, call.d) if save else None
    enter = call.enter(False, h0, (u, delta, A, B, C, z, delta_bias, None))
    _fwd[call.grid(call.count)](u, delta, A, B, C, D, z, delta_bias, h0, reset, enter, y, h_last, saved, **call.chunks(), **call.options(),
                                HAS_D=D is not None, SPLIT=enter is not None, HAS_H0=h0 is not None, SAVE=save, maxnreg=call.registers)  # fmt: skip
    return y, h_last, (saved,) if save else ()


def selective_scan_bwd(kept, grad_y, grad_h_last, u, delta, A, B, C, D, z, delta_bias, reset, delta_softplus, *, dtype):
    """-> grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_z, grad_delta_bias, grad_h0; None where the input is None."""
    (saved,) = kept
    B, C, reset = _prepared(B, C, reset, dtype)
    call = _Call(u, A, B, C, z, delta_bias, reset, delta_softplus, dtype, backward=True)
    enter = call.enter(True, grad_h_last, (None, delta, A, B, C, z, delta_bias, grad_y))
    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(delta)
    grad_z = None if z is None else torch.empty_like(z)
    grad_h0 = call.new(call.b, call.d, call.n)
    # Partial sums of the parameters, one for each sequence and segment.
    part, part_n = (call.b, call.n_segments, call.d), (call.b, call.n_segments, call.N, call.d)
    grad_A, grad_D, grad_bias = call.new(*part_n), call.new(*part), call.new(*part)

    # A launch takes `count` blocks of channels of each group. It leaves partial sums of grad_B and grad_C, one for each block; they are added
    # before the next launch uses their memory again.
    n_launches = triton.cdiv(call.grid(call.count)[0], AT_ONCE)
    count = triton.cdiv(call.count, n_launches)
    partial_B, partial_C = (
        call.new(*(part_n if x.ndim == 2 else (call.groups * count, call.b, call.l, call.n))) for x in (B, C)
    )
    parked = call.new(call.grid(count)[0], CHUNK // T_BWD, call.N, call.block_d)
    grad_B = grad_C = None
    for first in range(0, call.count, count):
        now = min(count, call.count - first)
        _bwd[call.grid(now)](u, delta, A, B, C, D, z, delta_bias, reset, grad_y, grad_h_last, saved, enter, parked,
                             grad_u, grad_delta, grad_A, partial_B, partial_C, grad_D, grad_z, grad_bias, grad_h0,
                             **call.chunks(), bl=call.b * call.l, zero=0.0, **call.options(first, now), HAS_D=D is not None,
                             SPLIT=enter is not None, HAS_GRAD_H=grad_h_last is not None)  # fmt: skip
        if B.ndim == 4:
            grad_B = _add_blocks(grad_B, partial_B, call.groups, now)
        if C.ndim == 4:
            grad_C = _add_blocks(grad_C, partial_C, call.groups, now)

    def parameter(partial):
        """(b n_segments N d) -> (d n)"""
        return partial.sum((0, 1))[: call.n].T

    return (
        grad_u,
        grad_delta,
        parameter(grad_A),
        parameter(partial_B) if B.ndim == 2 else grad_B,
        parameter(partial_C) if C.ndim == 2 else grad_C,
        None if D is None else grad_D.sum((0, 1)),
        grad_z,
        None if delta_bias is None else grad_bias.sum((0, 1)),
        grad_h0,
    )


def _add_blocks(grad, partial, groups, now):
    """(b l g n): the sum over the `now` blocks of channels that a launch took of each group, added to what earlier launches left."""
    new = partial[: groups * now].unflatten(0, (groups, now)).sum(1).permute(1, 2, 0, 3)  # (b l g n)
    return new if grad is None else grad.add_(new)


def selective_scan_step(h, u_t, delta_t, A, B_t, C_t, D, z_t, delta_bias, delta_softplus, *, dtype):
    """-> h (b d n) in `dtype`, a new tensor, and y_t (b d) in u_t's dtype."""
    b, d, n = h.shape
    block_d = 64
    h_out, y_t = torch.empty(h.shape, dtype=dtype, device=h.device), torch.empty_like(u_t)
    _step[(b * triton.cdiv(d, block_d),)](
        h, u_t, delta_t, A, B_t, C_t, D, z_t, delta_bias, h_out, y_t, d, n, B_t.shape[1], N=triton.next_power_of_2(n), BLOCK_D=block_d,
        FLOAT=tl.float64 if dtype == torch.float64 else tl.float32, SOFTPLUS=delta_softplus,
        HAS_D=D is not None, HAS_Z=z_t is not None, HAS_BIAS=delta_bias is not None)  # fmt: skip
    return h_out, y_t
