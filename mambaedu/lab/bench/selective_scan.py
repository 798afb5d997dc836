"""Time the selective scan: with D, a gate z, delta_bias and softplus, as a Mamba block calls it."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import linear_scan, selective_scan
from ...selective_scan import softplus
from .rows import relative_error

SEEDS = [0]
REPEATS = 9

Inputs = dict[str, Tensor]
WIDE = 2**27  # numbers (b l d n) that the check writes to memory at one time: 1 GB in fp64


def bench(device: str, quick: bool, keep: Callable[[dict[str, Any]], None]) -> None:
    """Every table of one device; `keep` is called with what is there so far after each row."""
    if device == "cpu":
        from .selective_scan_cpu import bench_cpu

        bench_cpu(quick, keep)
    else:
        from .selective_scan_gpu import bench_gpu

        bench_gpu(device, quick, keep)


def scan_inputs(
    b: int, l: int, d: int, n: int, dtype: torch.dtype, device: str, seed: int = 0
) -> tuple[Inputs, Tensor]:
    """What a trained block gives its scan, and the gradient that comes back; step sizes of 1e-3 to 1e-1, rates -1 ... -n, as at initialisation.

    u, delta, z, B and C are of `dtype`; A, D and delta_bias are parameters, and stay fp32. grad_y is (b l d).
    """
    random = torch.Generator(device=device).manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, device=device, dtype=dtype)

    step_size = 10 ** torch.linspace(-3, -1, d, device=device)  # (d)
    inputs = {
        "u": normal(b, l, d),
        "delta": 0.5 * normal(b, l, d),
        "A": -torch.arange(1.0, n + 1, device=device).expand(d, n).contiguous(),  # (d n)
        "B": normal(b, l, n),
        "C": normal(b, l, n),
        "D": torch.ones(d, device=device),
        "z": normal(b, l, d),
        "delta_bias": step_size + torch.log(-torch.expm1(-step_size)),  # (d), the inverse of softplus
    }
    return inputs, normal(b, l, d)


def forward(inputs: Inputs, backend: str) -> Tensor:
    """y (b l d)."""
    with torch.no_grad():
        return selective_scan(**inputs, delta_softplus=True, backend=backend)[0]


def gradients(inputs: Inputs, grad_y: Tensor, backend: str) -> tuple[Tensor, ...]:
    """Forward and backward: y, and the gradient of every input in the order of `inputs`."""
    leaves = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    y, _ = selective_scan(**leaves, delta_softplus=True, backend=backend)
    return y.detach(), *torch.autograd.grad(y, list(leaves.values()), grad_y)


def errors(
    inputs: Inputs, grad_y: Tensor, y: Tensor, *grads: Tensor, backend: str, wide: int = WIDE
) -> dict[str, float]:
    """How far y and the gradients are from fp64, each in units of its largest value.

    The truth is found in another way: the decays and inputs of all states, (b l d n), are written to memory and go through
    `linear_scan` in fp64, and PyTorch differentiates what surrounds it. A block of channels at a time.
    """
    (b, l, d), n = grad_y.shape, inputs["A"].shape[1]
    width = max(1, wide // (b * l * n))
    worst: dict[str, Tensor] = {}  # the largest error and the largest true value so far
    sums = {name: torch.zeros_like(inputs[name], dtype=torch.float64) for name in ("B", "C")}  # over channels

    def compare(name: str, got: Tensor, truth: Tensor) -> None:
        new = torch.stack([(got.double() - truth).abs().amax(), truth.abs().amax()])
        worst[name] = torch.maximum(worst[name], new) if name in worst else new  # maximum passes NaN on

    for first in range(0, d, width):
        block = slice(first, first + width)
        leaves = {name: _channels(name, x, block).double().requires_grad_() for name, x in inputs.items()}
        y_true = written_out(**leaves, backend=backend)
        grads_true = torch.autograd.grad(y_true, list(leaves.values()), grad_y[..., block].double())
        compare("y", y[..., block], y_true.detach())
        for (name, _), got, truth in zip(inputs.items(), grads, grads_true, strict=True):
            if name in sums:
                sums[name] += truth
            else:
                compare(f"grad_{name}", _channels(name, got, block), truth)
    for (name, _), got in zip(inputs.items(), grads, strict=True):
        if name in sums:
            compare(f"grad_{name}", got, sums[name])
    return {name: float(error / largest) for name, (error, largest) in worst.items()}


def _channels(name: str, x: Tensor, block: slice) -> Tensor:
    """The part of an input that belongs to a block of channels: they are the first axis of A, the last of others; B and C have none."""
    if name in ("B", "C"):
        return x
    return x[block] if name == "A" else x[..., block]


def written_out(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor, backend: str) -> Tensor:  # fmt: skip
    """The selective scan with every state in memory: y (b l d)."""
    delta = softplus(delta + delta_bias)  # (b l d)
    A_bar = torch.exp(delta[..., None] * A)  # (b l d n)
    B_bar_u = (delta * u)[..., None] * B[:, :, None]  # (b l d n)
    h = linear_scan(A_bar.flatten(2), B_bar_u.flatten(2), backend=backend).unflatten(2, A.shape)  # (b l d n)
    y = (C[:, :, None] * h).sum(-1) + D * u  # (b l d)
    return y * F.silu(z)


def step_inputs(b: int, d: int, n: int, dtype: torch.dtype, device: str) -> Inputs:
    """What one new token brings, by the names of `selective_scan_step`; the state is fp32."""
    inputs, _ = scan_inputs(b, 1, d, n, dtype, device)
    random = torch.Generator(device=device).manual_seed(1)
    token = {f"{name}_t": inputs[name][:, 0] for name in ("u", "delta", "B", "C", "z")}
    return {"h": torch.randn(b, d, n, generator=random, device=device), **token} | {
        name: inputs[name] for name in ("A", "D", "delta_bias")
    }


def step_error(inputs: Inputs, h: Tensor, y_t: Tensor) -> dict[str, float]:
    """How far a step is from fp64."""
    from ... import selective_scan_step

    wide = {name: x.double() for name, x in inputs.items()}
    h_true, y_true = selective_scan_step(**wide, delta_softplus=True, backend="naive")
    return {"h": relative_error(h, h_true), "y_t": relative_error(y_t, y_true)}
