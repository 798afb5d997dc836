"""The selective scan on a GPU: its share of what the GPU could do, its memory, and the naive loop beside it.

A floor is the time that the hardware needs at least. Forward: u, delta, z, y, B and C pass through memory once, and there is one exponential
for every channel, step and state; whichever takes longer. Backward: seven tensors (b l d) pass through memory, u, delta, z and grad_y in,
grad_u, grad_delta and grad_z out. Both rates are measured in the same run.
"""

import math
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ... import backends, selective_scan_step
from .clock import clock, copy_bandwidth, peak_bytes, poison
from .exponentials import exponential_rate
from .rows import DTYPES, Row, measured, refuse_if_wrong
from .selective_scan import REPEATS, Inputs, errors, forward, gradients, scan_inputs, step_error, step_inputs

# b, l, d, n
SHAPES = [
    (8, 2048, 2048, 16),
    (64, 512, 1536, 16),
    (1, 2048, 1536, 16),
    (1, 65536, 2048, 16),
    (1, 1048576, 256, 16),
]
MORE_STATES = [(8, 2048, 2048, 64), (8, 2048, 2048, 128)]
LENGTHS = [2**k for k in range(8, 17)]  # of (1, l, 2048, 16)
STEPS = [(256, 4096, 16), (64, 2048, 16), (1, 2048, 16)]  # b, d, n
NAIVE_UP_TO = 2048  # steps: a loop in Python over more takes minutes to record and the whole memory to differentiate


def bench_gpu(device: str, quick: bool, keep: Callable[[dict[str, Any]], None]) -> None:
    """The tables: `rows` of forward and backward, `lengths` for a curve, `steps`."""
    start = time.monotonic()
    repeats = 3 if quick else REPEATS
    data: dict[str, Any] = {"backend": "triton", "device": device, "rows": [], "lengths": [], "steps": []}
    data["copy_bytes_per_second"] = copy = copy_bandwidth(device, repeats)
    exponentials = math.inf  # when they cannot be measured, the floor is the memory's alone
    try:
        data["exponentials_per_second"] = exponentials = exponential_rate(device, repeats)
    except Exception as error:
        data["exponentials failed"] = f"{type(error).__name__}: {error}"[:300]
        traceback.print_exc()
    print(f"copy {copy / 1e12:.2f} TB/s, {exponentials / 1e12:.2f} e12 exponentials/s", flush=True)

    def kept() -> None:
        data["seconds"] = time.monotonic() - start
        keep(data)

    def scans(table: str, shapes: list[tuple[int, int, int, int]], dtypes: list[str]) -> None:
        for b, l, d, n in shapes:
            for dtype in dtypes:
                row = {"b": b, "l": l, "d": d, "n": n, "dtype": dtype}
                measured(data[table], row, partial(measure_scan, device, repeats, copy, exponentials), kept)

    scans("rows", SHAPES[2:3] if quick else SHAPES, ["bf16", "fp32"])
    for b, d, n in STEPS[2:] if quick else STEPS:
        row = {"b": b, "d": d, "n": n, "dtype": "bf16"}
        measured(data["steps"], row, partial(measure_step, device, repeats, copy), kept)
    if not quick:
        scans("rows", MORE_STATES, ["bf16"])
        scans("lengths", [(1, l, 2048, 16) for l in LENGTHS], ["fp32"])
    print(f"{time.monotonic() - start:.0f} s", flush=True)


def measure_scan(device: str, repeats: int, copy: float, exponentials: float, row: Row) -> None:
    """Check one size against fp64, then time it: forward alone, backward alone, and both through autograd."""
    b, l, d, n = (row[size] for size in "bldn")
    inputs, grad_y = scan_inputs(b, l, d, n, DTYPES[row["dtype"]], device)
    size = inputs["u"].element_size()

    poison(8 * grad_y.nbytes, device)
    y, *grads = gradients(inputs, grad_y, "triton")
    found = errors(inputs, grad_y, y, *grads, backend="triton")
    alone = forward(inputs, "triton")
    found["y without gradients"] = float((alone.double() - y.double()).abs().amax() / y.double().abs().amax())
    refuse_if_wrong(row, "forward", {name: error for name, error in found.items() if name.startswith("y")})
    refuse_if_wrong(row, "backward", {name: error for name, error in found.items() if not name.startswith("y")})
    del y, grads, alone

    row["peak"] = peak_bytes(partial(gradients, inputs, grad_y, "triton")) / grad_y.nbytes  # in tensors like u
    moved = size * (4 * b * l * d + 2 * b * l * n)
    floors = {"bytes": moved / copy, "exponentials": b * l * d * n / exponentials}
    row["bound by"] = max(floors, key=lambda name: floors[name])
    row["floor forward"] = floors[row["bound by"]]
    row["floor backward"] = 7 * size * b * l * d / copy
    row["forward"] = clock(partial(forward, inputs, "triton"), repeats, device)
    row["share forward"] = row["floor forward"] / row["forward"]
    row["backward"] = clock(backward(inputs, grad_y), repeats, device)
    row["share backward"] = row["floor backward"] / row["backward"]
    row["both"] = clock(partial(gradients, inputs, grad_y, "triton"), repeats, device)
    if n == 16 and l <= NAIVE_UP_TO:
        row["naive forward"] = clock(partial(forward, inputs, "naive"), 3, device)
        row["ratio forward"] = row["naive forward"] / row["forward"]
        row["naive both"] = clock(partial(gradients, inputs, grad_y, "naive"), 3, device)
        row["ratio both"] = row["naive both"] / row["both"]


def backward(inputs: Inputs, grad_y: torch.Tensor) -> Callable[[], Any]:
    """The backward alone: the kernel that autograd would call, on what the forward kept for it."""
    kernels = backends.kernel_module("selective_scan", "triton")
    u, delta, A, B, C, D, z, delta_bias = inputs.values()
    arguments = (u, delta, A, B[:, :, None], C[:, :, None], D, z, delta_bias)
    _, _, kept = kernels.selective_scan_fwd(*arguments, None, None, True, save=True, dtype=torch.float32)
    return partial(kernels.selective_scan_bwd, kept, grad_y, None, *arguments, None, True, dtype=torch.float32)


def measure_step(device: str, repeats: int, copy: float, row: Row) -> None:
    """One token: the state is read and written, and little else."""
    inputs = step_inputs(row["b"], row["d"], row["n"], DTYPES[row["dtype"]], device)
    poison(2 * inputs["h"].nbytes, device)
    run = partial(selective_scan_step, **inputs, delta_softplus=True, backend="triton")
    h, y_t = run()
    refuse_if_wrong(row, "step", step_error(inputs, h, y_t))
    moved = sum(x.nbytes for x in inputs.values()) + h.nbytes + y_t.nbytes
    row["step"] = clock(run, repeats, device)
    row["share of copy"] = moved / row["step"] / copy
    row["naive step"] = clock(
        partial(selective_scan_step, **inputs, delta_softplus=True, backend="naive"), repeats, device
    )
    row["ratio step"] = row["naive step"] / row["step"]
