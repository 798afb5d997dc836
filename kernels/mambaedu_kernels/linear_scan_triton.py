"""The linear scan on the GPU: h_t = a_t h_{t-1} + b_t, forward and backward.

Tensors are contiguous: a, b, h (b l m), h0 (b m), real. Arithmetic is fp32, or fp64 when the result is.
One program owns BLOCK_M channels of one sequence and walks through time. The state h stays in registers; T steps are loaded
before they are used, so that enough bytes are on their way. Nothing crosses channels, and there are no atomics: the same
input gives the same bits.

Too few channels cannot fill a GPU. Then time is cut into segments: (1) each segment is scanned from zero, which gives its end
state and its total decay; (2) these pairs are themselves a linear scan, which gives the state that enters each segment; (3) each
segment is scanned again, from there.
"""

import torch
import triton
import triton.language as tl

# 32 channels are one warp, a channel a lane. T is how many steps of it are loaded at once.
BLOCK_M = 32
T = 16
# With fewer than ENOUGH programs time is cut, to get about WANTED of them. Cutting reads a and b twice, so it must be worth it: on an
# H100, 512 uncut programs moved 73 % of the copy bandwidth and the same scan cut in four 53 %; 64 programs cut in 32 moved 49 %.
ENOUGH = 512
WANTED = 2048
MIN_SEGMENT = 256


@triton.jit
def _owned(l, m, n_segments, segment, BLOCK_M: tl.constexpr):
    """What this program owns: channels of one sequence and the steps [t0, t1). All offsets are 64-bit."""
    pid = tl.program_id(0).to(tl.int64)
    n_blocks = tl.cdiv(m, BLOCK_M)
    offs_m = (pid % n_blocks) * BLOCK_M + tl.arange(0, BLOCK_M)  # (BLOCK_M)
    pid_k = (pid // n_blocks) % n_segments
    pid_b = pid // n_blocks // n_segments
    t0 = pid_k * segment
    t1 = tl.minimum(t0 + segment, l)
    offs_bm = pid_b * m + offs_m  # (BLOCK_M), into (b m)
    offs_bkm = (pid_b * n_segments + pid_k) * m + offs_m  # (BLOCK_M), into (b n_segments m)
    offs_blm = pid_b * l * m + offs_m  # (BLOCK_M), into (b l m), at step 0
    return offs_m, offs_bm, offs_bkm, offs_blm, t0, t1


@triton.jit
def _fwd(
    a_ptr,
    b_ptr,
    enter_ptr,
    h_ptr,
    l,
    m,
    n_segments,
    segment,
    T: tl.constexpr,
    BLOCK_M: tl.constexpr,
    FLOAT: tl.constexpr,
):
    offs_m, _, offs_bkm, offs_blm, t0, t1 = _owned(l, m, n_segments, segment, BLOCK_M)
    h = tl.load(enter_ptr + offs_bkm, mask=offs_m < m, other=0.0).to(FLOAT)  # (BLOCK_M)
    for t in range(t0, t1, T):
        # Load T steps.
        a = ()
        b = ()
        for i in tl.static_range(T):
            offs_t = offs_blm + (t + i) * m  # (BLOCK_M)
            mask = offs_m < tl.minimum(t1 - t - i, 1) * m  # nothing past the last step
            a += (tl.load(a_ptr + offs_t, mask=mask, other=0.0).to(FLOAT),)
            b += (tl.load(b_ptr + offs_t, mask=mask, other=0.0).to(FLOAT),)

        # Compute T states, and store each.
        for i in tl.static_range(T):
            h = a[i] * h + b[i]  # (BLOCK_M) [eq-linear-scan]
            offs_t = offs_blm + (t + i) * m
            tl.store(h_ptr + offs_t, h, mask=offs_m < tl.minimum(t1 - t - i, 1) * m)


@triton.jit
def _bwd(a_ptr, h0_ptr, h_ptr, grad_h_ptr, later_ptr, grad_a_ptr, grad_b_ptr, grad_h0_ptr, l, m, n_segments, segment,
         T: tl.constexpr, BLOCK_M: tl.constexpr, FLOAT: tl.constexpr):  # fmt: skip
    offs_m, offs_bm, offs_bkm, offs_blm, t0, t1 = _owned(l, m, n_segments, segment, BLOCK_M)
    # What flows into h_t from the steps after it.
    later = tl.load(later_ptr + offs_bkm, mask=offs_m < m, other=0.0).to(FLOAT)  # (BLOCK_M)
    n_tiles = tl.cdiv(t1 - t0, T)
    for j in range(0, n_tiles):
        t = t0 + (n_tiles - 1 - j) * T
        # Load T steps. The state before step 0 is h0.
        a = ()
        grad_h = ()
        h_prev = ()
        for i in tl.static_range(T):
            offs_t = offs_blm + (t + i) * m  # (BLOCK_M)
            mask = offs_m < tl.minimum(t1 - t - i, 1) * m
            h_prev_ptr = tl.where(offs_m < tl.minimum(t + i, 1) * m, h_ptr + offs_t - m, h0_ptr + offs_bm)
            # Past the end a = 1 and grad_h = 0, which change nothing.
            a += (tl.load(a_ptr + offs_t, mask=mask, other=1.0).to(FLOAT),)
            grad_h += (tl.load(grad_h_ptr + offs_t, mask=mask, other=0.0).to(FLOAT),)
            h_prev += (tl.load(h_prev_ptr, mask=mask, other=0.0).to(FLOAT),)

        # Compute T gradients, the last step first, and store each.
        for i in tl.static_range(T - 1, -1, -1):
            mask = offs_m < tl.minimum(t1 - t - i, 1) * m
            # [eq-linear-scan-grad]
            g = grad_h[i] + later  # (BLOCK_M)
            grad_a = g * h_prev[i]  # (BLOCK_M)
            later = a[i] * g  # (BLOCK_M)
            # [/eq-linear-scan-grad]
            offs_t = offs_blm + (t + i) * m
            tl.store(grad_b_ptr + offs_t, g, mask=mask)
            tl.store(grad_a_ptr + offs_t, grad_a, mask=mask)
    # Only the segment that starts at step 0 reaches h0.
    tl.store(grad_h0_ptr + offs_bm, later, mask=offs_m < tl.maximum(1 - t0, 0) * m)


@triton.jit
def _segment(a_ptr, b_ptr, end_ptr, decay_ptr, l, m, n_segments, segment, REVERSE: tl.constexpr,
             T: tl.constexpr, BLOCK_M: tl.constexpr, FLOAT: tl.constexpr):  # fmt: skip
    """From zero, through one segment: what arrives at its end, and the product of a over it. REVERSE: the gradient's way, with grad_h for b."""
    offs_m, _, offs_bkm, offs_blm, t0, t1 = _owned(l, m, n_segments, segment, BLOCK_M)
    end = tl.zeros((BLOCK_M,), FLOAT)
    decay = tl.full((BLOCK_M,), 1.0, FLOAT)
    n_tiles = tl.cdiv(t1 - t0, T)
    for j in range(0, n_tiles):
        t = t0 + j * T
        if REVERSE:
            t = t0 + (n_tiles - 1 - j) * T
        a = ()
        b = ()
        for i in tl.static_range(T):
            offs_t = offs_blm + (t + i) * m  # (BLOCK_M)
            mask = offs_m < tl.minimum(t1 - t - i, 1) * m
            # Past the end a = 1 and b = 0, which change nothing.
            a += (tl.load(a_ptr + offs_t, mask=mask, other=1.0).to(FLOAT),)
            b += (tl.load(b_ptr + offs_t, mask=mask, other=0.0).to(FLOAT),)

        for i in tl.static_range(T):
            decay = a[i] * decay
        if REVERSE:
            for i in tl.static_range(T - 1, -1, -1):
                end = a[i] * (end + b[i])
        else:
            for i in tl.static_range(T):
                end = a[i] * end + b[i]
    tl.store(end_ptr + offs_bkm, end, mask=offs_m < m)
    tl.store(decay_ptr + offs_bkm, decay, mask=offs_m < m)


# ---- launch ---------------------------------------------------------------------------------------------------------
def _plan(b, l, m):
    """The number of segments and the length of each."""
    programs = b * triton.cdiv(m, BLOCK_M)
    n_segments = 1 if programs >= ENOUGH else max(1, min(WANTED // programs, l // MIN_SEGMENT))
    segment = triton.cdiv(triton.cdiv(l, n_segments), T) * T
    return triton.cdiv(l, segment), segment


def _enter(a, b, start, plan, reverse):
    """What enters each segment, (b n_segments m): the carry, which is again a linear scan."""
    n_segments, segment = plan
    if n_segments == 1:
        return start
    size, l, m = a.shape
    end = torch.empty((size, n_segments, m), dtype=start.dtype, device=a.device)  # (b n_segments m)
    decay = torch.empty_like(end)  # (b n_segments m)
    _segment[_grid(a, n_segments)](a, b, end, decay, l, m, n_segments, segment, REVERSE=reverse, **_meta(start.dtype))
    if reverse:  # the last segment first
        end, decay = end.flip(1), decay.flip(1)
    carry = linear_scan_fwd(decay, end, start, start.dtype)  # (b n_segments m): at the end of each segment
    enter = torch.cat([start[:, None], carry[:, :-1]], dim=1)  # (b n_segments m)
    return (enter.flip(1) if reverse else enter).contiguous()


def _grid(a, n_segments):
    return (a.shape[0] * n_segments * triton.cdiv(a.shape[2], BLOCK_M),)


def _meta(dtype):
    return dict(T=T, BLOCK_M=BLOCK_M, FLOAT=tl.float64 if dtype == torch.float64 else tl.float32, num_warps=1)


def linear_scan_fwd(a, b, h0, dtype):
    """a, b (b l m), h0 (b m) -> h (b l m), of dtype fp32 or fp64."""
    size, l, m = b.shape
    h = torch.empty((size, l, m), dtype=dtype, device=b.device)  # (b l m)
    if h.numel() > 0:
        plan = n_segments, segment = _plan(size, l, m)
        enter = _enter(a, b, h0.to(dtype), plan, reverse=False)
        _fwd[_grid(b, n_segments)](a, b, enter, h, l, m, n_segments, segment, **_meta(dtype))
    return h


def linear_scan_bwd(a, h0, h, grad_h, dtype):
    """a, h, grad_h (b l m), h0 (b m) -> grad_a, grad_b (b l m), grad_h0 (b m), of dtype fp32 or fp64."""
    size, l, m = h.shape
    grad_a, grad_b = torch.empty_like(h), torch.empty_like(h)  # (b l m)
    grad_h0 = torch.empty((size, m), dtype=dtype, device=h.device)  # (b m)
    if h.numel() > 0:
        plan = n_segments, segment = _plan(size, l, m)
        later = _enter(a, grad_h, torch.zeros_like(grad_h0), plan, reverse=True)
        _bwd[_grid(h, n_segments)](
            a, h0.to(dtype), h, grad_h, later, grad_a, grad_b, grad_h0, l, m, n_segments, segment, **_meta(dtype)
        )
    return grad_a, grad_b, grad_h0
