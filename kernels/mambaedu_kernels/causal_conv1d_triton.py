"""The causal convolution on the GPU, forward, backward and one step:

    y_t = activation(bias + sum_{j=0}^{k-1} weight[:, j] u_{t-k+1+j})

Tensors are contiguous: u, y (b l d), weight (d k), bias (d), conv_state (b k-1 d), reset (b l). bias, conv_state and reset may be None.
reset is True where another sequence begins: an input before that step counts as zero from there on. Arithmetic is FLOAT, fp32 or fp64.
One program owns BLOCK_D channels of one sequence and a segment of time, which it walks in tiles of T steps. A tile loads its inputs
and the K-1 before them, which the first-level cache still has from the tile before. Nothing crosses channels, and there are no
atomics: sums over time are made segment by segment, and added afterwards in one order.
"""

import torch
import triton
import triton.language as tl

# Channels of a program, by the bytes of one input: 16 (forward) or 8 (backward) bytes a lane, one warp.
T_FWD, T_BWD = 8, 8
SEGMENT_FWD, SEGMENT_BWD = 64, 128
LANES = 32


# ---- small functions -------------------------------------------------------------------------------------------------
@triton.jit
def _owned(l, d, segment, BLOCK_D: tl.constexpr):
    """What this program owns: channels of sequence pid_b and the steps [t0, t1). All offsets are 64-bit."""
    pid = tl.program_id(0).to(tl.int64)
    n_blocks = tl.cdiv(d, BLOCK_D)
    n_segments = tl.cdiv(l, segment)
    offs_d = (pid % n_blocks) * BLOCK_D + tl.arange(0, BLOCK_D)  # (BLOCK_D)
    pid_k = (pid // n_blocks) % n_segments
    pid_b = pid // n_blocks // n_segments
    t0 = pid_k * segment
    return offs_d, pid_b, pid_b * n_segments + pid_k, t0, tl.minimum(t0 + segment, l)


@triton.jit
def _weights(weight_ptr, bias_ptr, offs_d, d, K: tl.constexpr, BLOCK_D: tl.constexpr, FLOAT: tl.constexpr):
    """A tuple of K columns (BLOCK_D), and the bias (BLOCK_D)."""
    weight = ()
    for j in tl.static_range(K):
        weight += (tl.load(weight_ptr + offs_d * K + j, mask=offs_d < d, other=0.0).to(FLOAT),)
    bias = tl.zeros((BLOCK_D,), FLOAT)
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + offs_d, mask=offs_d < d, other=0.0).to(FLOAT)
    return weight, bias


@triton.jit
def _input(u_ptr, conv_state_ptr, pid_b, t, l, d, offs_d, K: tl.constexpr, FLOAT: tl.constexpr):
    """u_t (BLOCK_D): before step 0 from the state, past the last step zero."""
    mask = offs_d < tl.minimum(tl.minimum(t + 1, l - t), 1) * d
    u_t = tl.load(u_ptr + (pid_b * l + t) * d + offs_d, mask=mask, other=0.0).to(FLOAT)  # (BLOCK_D)
    if conv_state_ptr is not None:
        mask = offs_d < tl.minimum(tl.minimum(-t, K + t), 1) * d
        offs = (pid_b * (K - 1) + K - 1 + t) * d + offs_d
        before = tl.load(conv_state_ptr + offs, mask=mask, other=0.0).to(FLOAT)  # (BLOCK_D)
        u_t = tl.where(t < 0, before, u_t)
    return u_t


@triton.jit
def _numbers(reset_ptr, pid_b, t, l, ROWS: tl.constexpr):
    """A tuple: for each of the steps t ... t+ROWS-1 the number of its sequence, counted from the first of them."""
    numbers = ()
    number = 0
    for i in tl.static_range(ROWS):
        if reset_ptr is not None:
            inside = (t + i >= 0) & (t + i < l)
            number += tl.load(reset_ptr + pid_b * l + t + i, mask=inside, other=0).to(tl.int32)
        numbers += (number,)
    return numbers


@triton.jit
def _weigh(u, numbers, i, weight, bias, K: tl.constexpr, RESET: tl.constexpr):
    """bias + the K inputs from u[i] on, weighed."""
    p = bias
    for j in tl.static_range(K):
        u_j = u[i + j]
        if RESET:
            u_j = tl.where(numbers[i + j] == numbers[i + K - 1], u_j, 0.0)
        p += weight[j] * u_j
    return p


# ---- kernels ---------------------------------------------------------------------------------------------------------
@triton.jit
def _fwd(u_ptr, weight_ptr, bias_ptr, conv_state_ptr, reset_ptr, y_ptr, l, d, segment, SILU: tl.constexpr,
         K: tl.constexpr, T: tl.constexpr, BLOCK_D: tl.constexpr, FLOAT: tl.constexpr):  # fmt: skip
    offs_d, pid_b, _, t0, t1 = _owned(l, d, segment, BLOCK_D)
    weight, bias = _weights(weight_ptr, bias_ptr, offs_d, d, K, BLOCK_D, FLOAT)
    for t in range(t0, t1, T):
        # Load T inputs, after the K-1 before them. u[i] is the input of step t-K+1+i.
        u = ()
        for i in tl.static_range(K - 1):
            u += (_input(u_ptr, conv_state_ptr, pid_b, t - K + 1 + i, l, d, offs_d, K, FLOAT),)
        for i in tl.static_range(T):
            u += (_input(u_ptr, None, pid_b, t + i, l, d, offs_d, K, FLOAT),)
        numbers = _numbers(reset_ptr, pid_b, t - K + 1, l, T + K - 1)

        # Compute T outputs, and store each.
        for i in tl.static_range(T):
            y = _weigh(u, numbers, i, weight, bias, K, reset_ptr is not None)  # (BLOCK_D) [eq-causal-conv]
            if SILU:
                y = y / (1.0 + tl.exp(-y))  # (BLOCK_D)
            mask = offs_d < tl.minimum(t1 - t - i, 1) * d
            tl.store(y_ptr + (pid_b * l + t + i) * d + offs_d, y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _bwd(grad_y_ptr, u_ptr, weight_ptr, bias_ptr, conv_state_ptr, reset_ptr,
         grad_u_ptr, grad_weight_ptr, grad_bias_ptr, grad_conv_state_ptr, l, d, segment, SILU: tl.constexpr,
         K: tl.constexpr, T: tl.constexpr, BLOCK_D: tl.constexpr, FLOAT: tl.constexpr):  # fmt: skip
    offs_d, pid_b, piece, t0, t1 = _owned(l, d, segment, BLOCK_D)
    weight, bias = _weights(weight_ptr, bias_ptr, offs_d, d, K, BLOCK_D, FLOAT)
    grad_bias = tl.zeros((BLOCK_D,), FLOAT)
    grad_weight = ()
    for _ in tl.static_range(K):
        grad_weight += (tl.zeros((BLOCK_D,), FLOAT),)
    if conv_state_ptr is not None:  # the state is K-1 steps before step 0, without outputs
        t0 = tl.where(t0 == 0, 1 - K, t0)
    for t in range(t0, t1, T):
        # Load. u[i] is the input of step t-K+1+i, grad_y[i] the gradient of step t+i: the K-1 steps after the tile look back into it.
        u = ()
        grad_y = ()
        for i in tl.static_range(T + 2 * K - 2):
            u += (_input(u_ptr, conv_state_ptr, pid_b, t - K + 1 + i, l, d, offs_d, K, FLOAT),)
        for i in tl.static_range(T + K - 1):
            grad_y += (_input(grad_y_ptr, None, pid_b, t + i, l, d, offs_d, K, FLOAT),)
        numbers = _numbers(reset_ptr, pid_b, t - K + 1, l, T + 2 * K - 2)

        # g = grad_y activation'(p), where p is what the activation met.
        g = ()
        for i in tl.static_range(T + K - 1):
            if SILU:
                p = _weigh(u, numbers, i, weight, bias, K, reset_ptr is not None)  # (BLOCK_D)
                sigmoid = 1.0 / (1.0 + tl.exp(-p))  # (BLOCK_D)
                g += (grad_y[i] * sigmoid * (1.0 + p * (1.0 - sigmoid)),)
            else:
                g += (grad_y[i],)

        # Compute, and store. Step t+i has number numbers[i+K-1].
        for i in tl.static_range(T):
            g_i = tl.where(t + i < t1, g[i], 0.0)  # (BLOCK_D), each in one segment only
            grad_u = tl.zeros((BLOCK_D,), FLOAT)
            sums = ()
            # [eq-causal-conv-grad]
            for j in tl.static_range(K):
                u_j, g_j = u[i + j], g[i + K - 1 - j]
                if reset_ptr is not None:
                    u_j = tl.where(numbers[i + j] == numbers[i + K - 1], u_j, 0.0)
                    g_j = tl.where(numbers[i + 2 * K - 2 - j] == numbers[i + K - 1], g_j, 0.0)
                grad_u += weight[j] * g_j
                sums += (grad_weight[j] + g_i * u_j,)
            # [/eq-causal-conv-grad]
            grad_weight = sums
            grad_bias += g_i
            mask = offs_d < tl.minimum(tl.minimum(t + i + 1, t1 - t - i), 1) * d
            tl.store(grad_u_ptr + (pid_b * l + t + i) * d + offs_d, grad_u.to(grad_u_ptr.dtype.element_ty), mask=mask)
            if conv_state_ptr is not None:
                mask = offs_d < tl.minimum(-t - i, 1) * d
                offs = (pid_b * (K - 1) + K - 1 + t + i) * d + offs_d
                tl.store(grad_conv_state_ptr + offs, grad_u.to(grad_conv_state_ptr.dtype.element_ty), mask=mask)
    for j in tl.static_range(K):
        tl.store(grad_weight_ptr + (piece * K + j) * d + offs_d, grad_weight[j], mask=offs_d < d)
    if bias_ptr is not None:
        tl.store(grad_bias_ptr + piece * d + offs_d, grad_bias, mask=offs_d < d)


@triton.jit
def _step(conv_state_ptr, u_ptr, weight_ptr, bias_ptr, new_state_ptr, y_ptr, d, SILU: tl.constexpr,
          K: tl.constexpr, BLOCK_D: tl.constexpr, FLOAT: tl.constexpr):  # fmt: skip
    offs_d, pid_b, _, _, _ = _owned(1, d, 1, BLOCK_D)
    weight, y = _weights(weight_ptr, bias_ptr, offs_d, d, K, BLOCK_D, FLOAT)
    for j in tl.static_range(K):
        u_j = _input(u_ptr, conv_state_ptr, pid_b, pid_b * 0 - K + 1 + j, 1, d, offs_d, K, FLOAT)  # (BLOCK_D)
        y += weight[j] * u_j  # (BLOCK_D)
        if j > 0:
            offs = (pid_b * (K - 1) + j - 1) * d + offs_d
            tl.store(new_state_ptr + offs, u_j.to(new_state_ptr.dtype.element_ty), mask=offs_d < d)
    if SILU:
        y = y / (1.0 + tl.exp(-y))  # (BLOCK_D)
    tl.store(y_ptr + pid_b * d + offs_d, y.to(y_ptr.dtype.element_ty), mask=offs_d < d)


# ---- launch ----------------------------------------------------------------------------------------------------------
def _meta(u, silu, k, dtype, bytes_a_lane):
    channels = max(1, bytes_a_lane // u.element_size())
    float_ = tl.float64 if dtype == torch.float64 else tl.float32
    return dict(SILU=silu, K=k, BLOCK_D=LANES * channels, FLOAT=float_, num_warps=1)


def causal_conv1d_fwd(u, weight, bias, conv_state, reset, silu, dtype):
    """-> y (b l d), in u's dtype."""
    (b, l, d), k = u.shape, weight.shape[1]
    y = torch.empty_like(u)  # (b l d)
    meta = _meta(u, silu, k, dtype, 16)
    grid = (b * triton.cdiv(l, SEGMENT_FWD) * triton.cdiv(d, meta["BLOCK_D"]),)
    _fwd[grid](u, weight, bias, conv_state, reset, y, l, d, SEGMENT_FWD, T=T_FWD, **meta)
    return y


def causal_conv1d_bwd(grad_y, u, weight, bias, conv_state, reset, silu, dtype):
    """-> grad_u (b l d), grad_conv_state (b k-1 d) in the dtype of their input; grad_weight (d k), grad_bias (d) in `dtype`; None for what is absent."""
    (b, l, d), k = u.shape, weight.shape[1]
    meta = _meta(u, silu, k, dtype, 8)
    pieces = b * triton.cdiv(l, SEGMENT_BWD)
    grad_u = torch.empty_like(u)  # (b l d)
    grad_conv_state = None if conv_state is None else torch.empty_like(conv_state)  # (b k-1 d)
    grad_weight = torch.empty((pieces, k, d), dtype=dtype, device=u.device)
    grad_bias = None if bias is None else torch.empty((pieces, d), dtype=dtype, device=u.device)
    _bwd[(pieces * triton.cdiv(d, meta["BLOCK_D"]),)](
        grad_y, u, weight, bias, conv_state, reset, grad_u, grad_weight, grad_bias, grad_conv_state,
        l, d, SEGMENT_BWD, T=T_BWD, **meta,
    )  # fmt: skip
    grad_bias = None if bias is None else grad_bias.sum(0)  # (d)
    return grad_u, grad_weight.sum(0).T.contiguous(), grad_bias, grad_conv_state


def causal_conv1d_step(conv_state, u_t, weight, bias, silu, dtype):
    """-> conv_state (b k-1 d), a new one; y_t (b d), in u_t's dtype."""
    (b, d), k = u_t.shape, weight.shape[1]
    new_state = torch.empty_like(conv_state, dtype=torch.promote_types(conv_state.dtype, u_t.dtype))  # (b k-1 d)
    y_t = torch.empty_like(u_t)  # (b d)
    meta = _meta(u_t, silu, k, dtype, 8)
    _step[(b * triton.cdiv(d, meta["BLOCK_D"]),)](conv_state, u_t, weight, bias, new_state, y_t, d, **meta)
    return new_state, y_t
