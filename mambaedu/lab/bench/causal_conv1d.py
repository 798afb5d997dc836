"""Time the causal convolution, four weights a channel, with bias and SiLU, against the memory and against PyTorch's own convolution."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import backends, causal_conv1d, causal_conv1d_step
from .clock import clock, copy_bandwidth, poison
from .rows import DTYPES, Row, measured, refuse_if_wrong, relative_error

SEEDS = [0]
REPEATS = 9

K = 4
ON_CPU = [(1, 2048, 1536)]  # b, l, d
ON_GPU = [(8, 2048, 2048), (1, 65536, 2048)]
STEPS = [(256, 4096), (64, 2048), (1, 2048)]  # b, d


def bench(device: str, quick: bool, keep: Callable[[dict[str, Any]], None]) -> None:
    """The tables: `rows` of forward and backward, and `steps`. Shares are of the rate of a copy."""
    start = time.monotonic()
    repeats = 3 if quick else REPEATS
    backend = "numba" if device == "cpu" else "triton"
    copy = copy_bandwidth(device, repeats)
    data: dict[str, Any] = {
        "backend": backend,
        "device": device,
        "copy_bytes_per_second": copy,
        "rows": [],
        "steps": [],
    }
    print(f"copy {copy / 1e9:.1f} GB/s", flush=True)

    def kept() -> None:
        data["seconds"] = time.monotonic() - start
        keep(data)

    dtypes = ["fp32"] if device == "cpu" else ["bf16", "fp32"]
    for b, l, d in ON_CPU if device == "cpu" else ON_GPU[: 1 if quick else None]:
        for dtype in dtypes:
            row: Row = {"b": b, "l": l, "d": d, "dtype": dtype}
            measured(data["rows"], row, partial(measure_conv, backend, device, repeats, copy), kept)
    for b, d in STEPS[2:] if quick else STEPS:
        row = {"b": b, "d": d, "dtype": dtypes[0]}
        measured(data["steps"], row, partial(measure_step, backend, device, repeats, copy), kept)
    print(f"{time.monotonic() - start:.0f} s", flush=True)


def conv_inputs(b: int, l: int, d: int, dtype: torch.dtype, device: str, seed: int = 0) -> dict[str, Tensor]:
    """u and grad_y (b l d) of `dtype`, weight (d k) and bias (d) fp32."""
    random = torch.Generator(device=device).manual_seed(seed)
    u, grad_y = (torch.randn(b, l, d, generator=random, device=device, dtype=dtype) for _ in range(2))
    weight = 0.5 * torch.randn(d, K, generator=random, device=device)  # (d k)
    bias = 0.5 * torch.randn(d, generator=random, device=device)  # (d)
    return {"u": u, "weight": weight, "bias": bias, "grad_y": grad_y}


def gradients(u: Tensor, weight: Tensor, bias: Tensor, grad_y: Tensor, backend: str) -> tuple[Tensor, ...]:
    """y and the gradients of u, weight and bias."""
    leaves = [x.detach().requires_grad_() for x in (u, weight, bias)]
    y, _ = causal_conv1d(*leaves, activation="silu", backend=backend)
    return y.detach(), *torch.autograd.grad(y, leaves, grad_y)


def torch_conv1d(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What one writes without a kernel: PyTorch's convolution has time last, takes one dtype, and pads both ends."""
    l, k = u.shape[1], weight.shape[1]
    weight, bias = weight.to(u.dtype), bias.to(u.dtype)
    y = F.conv1d(u.transpose(1, 2), weight[:, None], bias, padding=k - 1, groups=u.shape[2])  # (b d l+k-1)
    return F.silu(y[..., :l].transpose(1, 2))  # (b l d)


def measure_conv(backend: str, device: str, repeats: int, copy: float, row: Row) -> None:
    """Check one size against fp64, then time it: the function as it is called, and the kernels alone."""
    inputs = conv_inputs(row["b"], row["l"], row["d"], DTYPES[row["dtype"]], device)
    u, weight, bias, grad_y = inputs.values()
    poison(4 * u.nbytes, device)
    results = gradients(**inputs, backend=backend)
    truths = gradients(**{name: x.double() for name, x in inputs.items()}, backend="naive")
    y_error, *grad_errors = (relative_error(got, truth) for got, truth in zip(results, truths, strict=True))
    refuse_if_wrong(row, "forward", {"y": y_error})
    refuse_if_wrong(row, "backward", dict(zip(("grad_u", "grad_weight", "grad_bias"), grad_errors, strict=True)))
    del results, truths

    def forward(backend: str) -> Tensor:
        with torch.no_grad():
            return causal_conv1d(u, weight, bias, activation="silu", backend=backend)[0]

    row["forward"] = clock(partial(forward, backend), repeats, device)
    row["share forward"] = 2 * u.nbytes / row["forward"] / copy  # u in, y out
    if backend == "triton":
        kernels = backends.kernel_module("causal_conv1d", backend)
        fwd = partial(kernels.causal_conv1d_fwd, u, weight, bias, None, None, True, dtype=torch.float32)
        bwd = partial(kernels.causal_conv1d_bwd, grad_y, u, weight, bias, None, None, True, dtype=torch.float32)
        row["kernel"] = clock(fwd, repeats, device)
        row["share kernel"] = 2 * u.nbytes / row["kernel"] / copy
        row["backward"] = clock(bwd, repeats, device)
        row["share backward"] = 3 * u.nbytes / row["backward"] / copy  # u and grad_y in, grad_u out
    row["both"] = clock(partial(gradients, **inputs, backend=backend), repeats, device)
    row["naive forward"] = clock(partial(forward, "naive"), repeats, device)
    row["ratio forward"] = row["naive forward"] / row["forward"]
    row["torch conv1d"] = clock(partial(torch_conv1d, u, weight, bias), repeats, device)
    row["ratio torch conv1d"] = row["torch conv1d"] / row["forward"]


def measure_step(backend: str, device: str, repeats: int, copy: float, row: Row) -> None:
    """One token: the state of k-1 inputs is read, and the new one written."""
    inputs = conv_inputs(row["b"], K, row["d"], DTYPES[row["dtype"]], device)
    u, weight, bias = inputs["u"], inputs["weight"], inputs["bias"]
    conv_state, u_t = u[:, :-1].contiguous(), u[:, -1].contiguous()  # (b k-1 d), (b d)
    arguments = (conv_state, u_t, weight, bias)
    poison(2 * conv_state.nbytes, device)
    run = partial(causal_conv1d_step, *arguments, activation="silu", backend=backend)
    results = run()
    truths = causal_conv1d_step(*(x.double() for x in arguments), activation="silu", backend="naive")
    found = [relative_error(got, truth) for got, truth in zip(results, truths, strict=True)]
    refuse_if_wrong(row, "step", dict(zip(("conv_state", "y_t"), found, strict=True)))
    row["step"] = clock(run, repeats, device)
    moved = sum(x.nbytes for x in (*arguments, *results))
    row["share of copy"] = moved / row["step"] / copy
