"""The selective scan on a CPU: CPU time against other people's scans, its share of what a core could do, first call and memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ... import backends, selective_scan, selective_scan_step
from . import peers
from .arithmetic import update_seconds
from .clock import cpu_seconds
from .rows import Row, measured, refuse_if_wrong
from .selective_scan import REPEATS, Inputs, errors, gradients, scan_inputs, step_inputs

SHAPE = (1, 2048, 1536, 16)  # b, l, d, n
SMALL = (1, 256, 256, 16)


def bench_cpu(quick: bool, keep: Callable[[dict[str, Any]], None]) -> None:
    """The tables: `rows` (forward, plain and with everything; both; a step), and what a fresh process pays and holds."""
    start = time.monotonic()
    repeats = 3 if quick else REPEATS
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # PyTorch's threads wait for each other by turning round: that would be counted
    data: dict[str, Any] = {"backend": "numba", "device": "cpu", "rows": []}
    try:
        scans, data["peers"] = peers.find()
        for name, about in data["peers"].items():
            print(f"{name}: {about}", flush=True)
        data["seconds for an update"] = update_seconds(repeats=repeats)

        def kept() -> None:
            data["seconds"] = time.monotonic() - start
            keep(data)

        b, l, d, n = SMALL if quick else SHAPE
        for what, measure in (
            ("forward, plain", measure_forward),
            ("forward", measure_forward),
            ("both", measure_both),
            ("step", measure_step),
        ):
            row = {"what": what, "b": b, "l": 1 if what == "step" else l, "d": d, "n": n, "dtype": "fp32"}
            measured(data["rows"], row, partial(measure, repeats, scans, data["seconds for an update"]), kept)
        if not quick:
            data["first call"] = first_call()
            print(f"first call, CPU seconds: {data['first call']}", flush=True)
            data["peak"] = peak()
            print(f"forward and backward hold {data['peak']} tensors of u's size", flush=True)
            kept()
    finally:
        torch.set_num_threads(threads)
    print(f"{time.monotonic() - start:.0f} s", flush=True)


def row_inputs(row: Row) -> tuple[Inputs, Tensor]:
    """Inputs of a row and the gradient that comes back; "plain" is without gate, bias and softplus, with a delta that is already positive."""
    inputs, grad_y = scan_inputs(row["b"], row["l"], row["d"], row["n"], torch.float32, "cpu")
    if row["what"] == "forward, plain":
        delta = peers.step_size(inputs["delta"], inputs["delta_bias"])
        inputs = {name: x for name, x in inputs.items() if name not in ("z", "delta_bias")} | {"delta": delta}
    return inputs, grad_y


def ours(inputs: Inputs, backend: str) -> Tensor:
    """y, by one of our backends."""
    return selective_scan(**inputs, delta_softplus="delta_bias" in inputs, backend=backend)[0]


def measure_forward(repeats: int, scans: dict[str, peers.Scan], update: float, row: Row) -> None:
    """Forward: every scan must give the same y, in fp64's digits, before it is timed."""
    inputs, _ = row_inputs(row)
    runs: dict[str, Callable[[], Tensor]] = {
        "numba": partial(ours, inputs, "numba"),
        "naive": partial(ours, inputs, "naive"),
    }
    runs |= {name: partial(scan, **inputs) for name, scan in scans.items()}
    with torch.no_grad():
        truth = ours({name: x.double() for name, x in inputs.items()}, "numba")
        for name, run in runs.items():
            error = float((run() - truth).abs().max() / truth.abs().max())
            refuse_if_wrong(row, name, {"y": error})
        sequences = sum(x.ndim == 3 and x.shape == truth.shape for x in inputs.values())  # u, delta and perhaps z
        source = torch.ones(sequences + 1, *truth.shape)
        seconds = cpu_seconds(runs | {"copy": lambda: source[1:].clone()}, repeats)
    _compare(row, seconds)
    # A copy reads as much as it writes: of `sequences` tensors read and one written, half as many would do.
    row["copy"] = seconds["copy"] * (sequences + 1) / (2 * sequences)
    row["floor"] = update * row["b"] * row["l"] * row["d"] * row["n"]
    row["share"] = row["floor"] / row["numba"]


def measure_both(repeats: int, scans: dict[str, peers.Scan], update: float, row: Row) -> None:
    """Forward and backward with everything, against the scans whose backward is not quadratic in l."""
    inputs, grad_y = row_inputs(row)

    def differentiate(scan: Callable[..., Tensor]) -> Tensor:
        leaves = {name: x.detach().requires_grad_() for name, x in inputs.items()}
        return torch.autograd.grad(scan(**leaves), list(leaves.values()), grad_y)[0]

    y, *grads = gradients(inputs, grad_y, "numba")
    refuse_if_wrong(row, "both", errors(inputs, grad_y, y, *grads, backend="numba", wide=2**22))
    runs: dict[str, Callable[[], Any]] = {
        "numba": partial(gradients, inputs, grad_y, "numba"),
        "naive": partial(gradients, inputs, grad_y, "naive"),
    }
    for name, scan in scans.items():
        if name not in peers.QUADRATIC:
            error = float((differentiate(scan) - grads[0]).abs().max() / grads[0].abs().max())
            refuse_if_wrong(row, name, {"grad_u": error})
            runs[name] = partial(differentiate, scan)
    _compare(row, cpu_seconds(runs, repeats))


def measure_step(repeats: int, scans: dict[str, peers.Scan], update: float, row: Row) -> None:
    """One token, a hundred times over: a clock of CPU time is too coarse for one. "kernel" is without the checks and tensors around it."""
    inputs = step_inputs(row["b"], row["d"], row["n"], torch.float32, "cpu")

    def steps(backend: str) -> None:
        for _ in range(100):
            selective_scan_step(**inputs, delta_softplus=True, backend=backend)

    kernel = backends.kernel_module("selective_scan", "numba").selective_scan_step
    arrays = {name: x.numpy() for name, x in inputs.items()}
    arrays |= {name: arrays[name][:, None] for name in ("B_t", "C_t")}  # (b g n), one group

    def kernels() -> None:
        for _ in range(100):
            kernel(**arrays, delta_softplus=True)

    def lines() -> None:
        for _ in range(100):
            step_in_torch(**inputs)

    with torch.no_grad():
        truth = step_in_torch(**{name: x.double() for name, x in inputs.items()})
        got = selective_scan_step(**inputs, delta_softplus=True, backend="numba")[1]
        refuse_if_wrong(row, "step", {"y_t": float((got - truth).abs().max() / truth.abs().max())})
        runs: dict[str, Callable[[], Any]] = {
            "numba": partial(steps, "numba"),
            "kernel": kernels,
            "naive": partial(steps, "naive"),
            "torch line": lines,
        }
        _compare(row, {name: seconds / 100 for name, seconds in cpu_seconds(runs, repeats).items()})


def step_in_torch(h: Tensor, u_t: Tensor, delta_t: Tensor, B_t: Tensor, C_t: Tensor, z_t: Tensor, A: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:  # fmt: skip
    """The step that one writes in plain PyTorch: y_t (b d)."""
    delta_t = peers.step_size(delta_t, delta_bias)  # (b d)
    h = torch.exp(delta_t[..., None] * A) * h + (delta_t * u_t)[..., None] * B_t[:, None]  # (b d n)
    return peers.gated((h @ C_t[..., None])[..., 0], u_t, D, z_t)


def _compare(row: Row, seconds: dict[str, float]) -> None:
    """The seconds of each, and how many times longer than numba each takes."""
    row |= {name: value for name, value in seconds.items() if name != "copy"}
    row |= {
        f"ratio {name}": value / seconds["numba"] for name, value in seconds.items() if name not in ("numba", "copy")
    }


# ---- in fresh processes --------------------------------------------------------------------------------------------------

_INPUTS = """
import json, resource, sys, time
import torch
from mambaedu.lab.bench import selective_scan_cpu as bench
inputs, grad_y = bench.scan_inputs({shape}, torch.float32, "cpu")
token = bench.step_inputs(1, 64, 16, torch.float32, "cpu")
"""
_FIRST_CALL = """
start = time.process_time()
bench.ours(inputs, "numba")
forward = time.process_time() - start
bench.gradients(inputs, grad_y, "numba")
both = time.process_time() - start
bench.selective_scan_step(**token, delta_softplus=True, backend="numba")
step = time.process_time() - start - both
print(json.dumps({"forward": forward, "backward": both - forward, "step": step}))
"""
_PEAK = """
bench.gradients(*bench.scan_inputs(1, 8, 16, 16, torch.float32, "cpu"), "numba")
def held(what):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(what))
open("/proc/self/clear_refs", "w").write("5")  # the high-water mark starts again from what is held now
before = held("VmRSS")
kept = bench.gradients(inputs, grad_y, "numba")
print(json.dumps((held("VmHWM") - before) / grad_y.nbytes))
"""


def first_call() -> dict[str, dict[str, float]]:
    """CPU seconds of the first forward, backward and step in a process: cold, when they are compiled, and warm, when they lie in a cache."""
    code = _INPUTS.format(shape="1, 32, 64, 16") + _FIRST_CALL
    with tempfile.TemporaryDirectory() as cache:
        return {how: in_a_fresh_process(code, NUMBA_CACHE_DIR=cache) for how in ("cold", "warm")}


def peak() -> float | None:
    """The memory that forward and backward take beyond the inputs, in tensors of u's size; None where the system does not tell.

    Neither PyTorch nor Python counts what NumPy and PyTorch allocate together, so the system is asked, in a process that did nothing else:
    what a compiler leaves behind would be used again. And large arrays go back to the system as soon as they are freed.
    """
    if not os.access("/proc/self/clear_refs", os.W_OK):
        return None
    code = _INPUTS.format(shape=", ".join(map(str, SHAPE))) + _PEAK
    _, warm = (in_a_fresh_process(code, MALLOC_MMAP_THRESHOLD_="65536") for _ in range(2))
    return warm


def in_a_fresh_process(code: str, **environment: str) -> Any:
    """What a Python program prints, read as JSON."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    variables = os.environ | environment | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables)
    if done.returncode != 0:
        raise RuntimeError(f"a fresh process failed: {done.stderr[-500:]}")
    return json.loads(done.stdout)
