"""The fused scan moves what its formula says, element for element; the unfused one moves about n times as much."""

import pytest
import torch
import triton
import triton.language as tl
from mambaedu_kernels import linear_scan_triton
from mambaedu_kernels import selective_scan_triton as kernels

from mambaedu.lab.traffic import counting, selective_scan_traffic

CHUNK = kernels.CHUNK


def inputs_of(b, l, d, n, groups=1, *, D=True, z=True, delta_bias=True, h0=False):
    generator = torch.Generator().manual_seed(0)

    def new(*shape):
        return torch.randn(shape, generator=generator)

    inputs = dict(u=new(b, l, d), delta=new(b, l, d).abs(), A=-torch.rand(d, n, generator=generator), B=new(b, l, groups, n), C=new(b, l, groups, n))  # fmt: skip
    optional = dict(D=new(d), z=new(b, l, d), delta_bias=new(d), h0=new(b, d, n))
    wanted = dict(D=D, z=z, delta_bias=delta_bias, h0=h0)
    return inputs | {name: value if wanted[name] else None for name, value in optional.items()}


def counted(inputs, save):
    arguments = [inputs[name] for name in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "h0")]
    with counting({name: value for name, value in inputs.items() if value is not None}) as traffic:
        kernels.selective_scan_fwd(*arguments, None, True, save=save, dtype=torch.float32)
    return traffic


def plan_of(b, l, d, n, groups):
    block_d, T, _, segment = kernels._plan(b, l, d, groups, triton.next_power_of_2(n), False)
    return dict(block_d=block_d, T=T, segment=segment)


def check(sizes, groups, save, **there):
    inputs = inputs_of(*sizes, groups, **there)
    moved = counted(inputs, save)
    present = {name: inputs[name] is not None for name in ("D", "z", "delta_bias", "h0")}
    said = selective_scan_traffic(*sizes, **plan_of(*sizes, groups), groups=groups, save_every=CHUNK if save else None, **present)  # fmt: skip
    for name, count in moved.by_pointer.items():
        assert count == said.by_pointer[name], name
    assert (moved.loads, moved.stores) == (said.loads, said.stores)


@pytest.mark.parametrize(
    ("sizes", "groups", "save", "there"),
    [
        ((1, 40, 32, 4), 1, False, {}),
        ((2, 19, 37, 3), 1, True, dict(h0=True, z=False)),  # neither d nor n nor l fills its tile
        ((1, 33, 70, 2), 2, True, dict(D=False, delta_bias=False)),
    ],
)
def test_fused_forward_moves_what_the_formula_says(sizes, groups, save, there, monkeypatch):
    monkeypatch.setattr(kernels, "ENOUGH", 1)  # programs: do not cut time
    assert plan_of(*sizes, groups)["segment"] >= sizes[1]
    check(sizes, groups, save, **there)


@pytest.mark.parametrize(
    ("sizes", "groups", "save", "there"),
    [
        ((1, 3 * CHUNK, 32, 2), 1, False, {}),
        ((2, 2 * CHUNK + 5, 37, 3), 1, True, dict(h0=True)),
        ((1, 3 * CHUNK - 1, 6, 2), 2, True, dict(D=False, z=False, delta_bias=False)),
    ],
)
def test_fused_forward_cut_in_time_moves_what_the_second_formula_says(sizes, groups, save, there, monkeypatch):
    monkeypatch.setattr(kernels, "SHORTEST", CHUNK)
    assert plan_of(*sizes, groups)["segment"] == CHUNK
    check(sizes, groups, save, **there)


# ---- the unfused scan: each part of the equation is a kernel, and (b l d n) tensors lie in memory between them -----------


@triton.jit
def _discretize(u_ptr, delta_ptr, A_ptr, B_ptr, decay_ptr, drive_ptr, d, N: tl.constexpr, BLOCK_D: tl.constexpr):
    row, offs_d, offs_n = tl.program_id(0), tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D), tl.arange(0, N)
    mask = (offs_d < d)[:, None] & (offs_n < N)[None, :]
    offs = offs_d[:, None] * N + offs_n[None, :]  # (BLOCK_D, N), into (d n)
    u = tl.load(u_ptr + row * d + offs_d, mask=offs_d < d, other=0.0)
    delta = tl.load(delta_ptr + row * d + offs_d, mask=offs_d < d, other=0.0)
    A = tl.load(A_ptr + offs, mask=mask, other=0.0)
    B = tl.load(B_ptr + row * N + offs_n)
    tl.store(decay_ptr + row * d * N + offs, tl.exp(delta[:, None] * A), mask=mask)
    tl.store(drive_ptr + row * d * N + offs, (delta * u)[:, None] * B[None, :], mask=mask)


@triton.jit
def _read_out(h_ptr, C_ptr, y_ptr, d, N: tl.constexpr, BLOCK_D: tl.constexpr):
    row, offs_d, offs_n = tl.program_id(0), tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D), tl.arange(0, N)
    mask = (offs_d < d)[:, None] & (offs_n < N)[None, :]
    offs = offs_d[:, None] * N + offs_n[None, :]
    h = tl.load(h_ptr + row * d * N + offs, mask=mask, other=0.0)
    tl.store(y_ptr + row * d + offs_d, tl.sum(h * tl.load(C_ptr + row * N + offs_n)[None, :], 1), mask=offs_d < d)


def unfused(u, delta, A, B, C):
    (b, l, d), n = u.shape, A.shape[1]
    decay, drive = (torch.empty(b, l, d * n) for _ in range(2))
    grid = (b * l, triton.cdiv(d, 32))
    _discretize[grid](u, delta, A, B, decay, drive, d, N=n, BLOCK_D=32)
    h, *_ = linear_scan_triton.linear_scan_fwd(decay, drive, torch.zeros(b, d * n), dtype=torch.float32)
    y = torch.empty_like(u)
    _read_out[grid](h, C, y, d, N=n, BLOCK_D=32)
    return y


@pytest.mark.parametrize("n", [4, 8, 16])
def test_unfused_scan_moves_about_n_times_as_much(n, monkeypatch):
    monkeypatch.setattr(kernels, "ENOUGH", 1)
    inputs = inputs_of(1, 32, 32, n, D=False, z=False, delta_bias=False)
    u, delta, A, B, C = (inputs[name] for name in ("u", "delta", "A", "B", "C"))
    with counting() as fused:
        y, _, _ = kernels.selective_scan_fwd(u, delta, A, B, C, None, None, None, None, None, False, save=False, dtype=torch.float32)  # fmt: skip
    with counting() as apart:
        y_apart = unfused(u, delta, A, B[:, :, 0].contiguous(), C[:, :, 0].contiguous())
    assert torch.allclose(y, y_apart, rtol=1e-5, atol=1e-5)
    ratio = (apart.loads + apart.stores) / (fused.loads + fused.stores)
    # At least 6 n tensors of u's size against 3 (and B and C); the linear scan of few channels is cut in time, and reads twice.
    assert n < ratio < 2.5 * n
