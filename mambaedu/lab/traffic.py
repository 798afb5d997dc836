"""Count the elements that a Triton kernel loads and stores, exactly, on any CPU.

Triton's interpreter sends every access to memory through four functions of one private module. For the time of a count they are
replaced by functions that count the elements under a true mask and then do the same work. So masked and unmasked accesses,
block pointers, descriptors and atomics are all seen, whatever they are built from. What is not one of the four is refused.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from .. import backends


@dataclass
class Traffic:
    """Elements moved between memory and the kernel.

    loads, stores: totals. An atomic counts as one load and one store.
    by_pointer: {argument: (loads, stores)} for each tensor argument of the kernel.
    """

    loads: int = 0
    stores: int = 0
    by_pointer: dict[str, tuple[int, int]] = field(default_factory=dict)


def _interpreter_module() -> Any:
    """The module whose global `_interpreter` all memory accesses go through."""
    try:
        import triton.runtime.interpreter as module
    except ImportError as error:
        raise RuntimeError("counting traffic needs triton (pip install triton, Linux only)") from error
    gone = [
        name
        for name in ("load", "store", "atomic_rmw", "atomic_cas")
        if not hasattr(getattr(module, "_interpreter", None), name)
    ]
    if gone:
        raise RuntimeError(
            f"this Triton moved the interpreter's memory functions: triton.runtime.interpreter._interpreter has no {', '.join(gone)}"
        )
    return module


class _Counter:
    """Stands in for the private module: counts, then calls the real one."""

    def __init__(self, real: Any, traffic: Traffic, tensors: dict[str, Tensor]):
        self._real, self._traffic = real, traffic
        self._ranges = [
            (t.untyped_storage().data_ptr(), t.untyped_storage().data_ptr() + t.untyped_storage().nbytes(), name)
            for name, t in tensors.items()
        ]
        self._loads = dict.fromkeys(tensors, 0)
        self._stores = dict.fromkeys(tensors, 0)

    def _count(self, pointers: Any, mask: Any, *tallies: dict[str, int]) -> int:
        moved = np.asarray(pointers)[np.asarray(mask, dtype=bool)]
        for start, end, name in self._ranges:
            inside = int(((moved >= start) & (moved < end)).sum())
            for tally in tallies:
                tally[name] += inside
        return int(moved.size)

    def load(self, pointers: Any, mask: Any, *rest: Any) -> Any:
        self._traffic.loads += self._count(pointers, mask, self._loads)
        return self._real.load(pointers, mask, *rest)

    def store(self, pointers: Any, value: Any, mask: Any) -> Any:
        self._traffic.stores += self._count(pointers, mask, self._stores)
        return self._real.store(pointers, value, mask)

    def atomic_rmw(self, op: Any, pointers: Any, value: Any, mask: Any, sem: Any) -> Any:
        moved = self._count(pointers, mask, self._loads, self._stores)
        self._traffic.loads += moved
        self._traffic.stores += moved
        return self._real.atomic_rmw(op, pointers, value, mask, sem)

    def atomic_cas(self, pointers: Any, compare: Any, value: Any, sem: Any) -> Any:
        moved = self._count(pointers, np.ones_like(pointers, dtype=bool), self._loads, self._stores)
        self._traffic.loads += moved
        self._traffic.stores += moved
        return self._real.atomic_cas(pointers, compare, value, sem)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if callable(value) and not isinstance(value, type):
            raise NotImplementedError(
                f"traffic cannot count triton's {name}: it is not a load, a store or a known atomic"
            )
        return value

    def close(self) -> None:
        self._traffic.by_pointer = {name: (self._loads[name], self._stores[name]) for name in self._loads}


@contextmanager
def counting(tensors: dict[str, Tensor] | None = None) -> Iterator[Traffic]:
    """Count everything that interpreted kernels move inside a `with` block, however many kernels run.

    Args:
        tensors: names for memory: `by_pointer` then says how much of each was moved.

    Yields:
        The Traffic, complete when the block ends.

    Raises:
        RuntimeError: triton is absent, does not interpret in this process, or has moved its private module.
    """
    module = _interpreter_module()
    if not backends.interpreting():
        raise RuntimeError(
            "counting traffic needs Triton's interpreter: set TRITON_INTERPRET=1 before triton is imported"
        )
    traffic = Traffic()
    real = module._interpreter
    counter = _Counter(real, traffic, tensors or {})
    module._interpreter = counter
    try:
        yield traffic
    finally:
        module._interpreter = real
        counter.close()


def count(kernel: Any, grid: tuple[int, ...], *args: Any, **meta: Any) -> Traffic:
    """Run a kernel in the interpreter and count what it moves.

    Args:
        kernel: a function under @triton.jit.
        grid: the number of programs along each axis.
        args, meta: its arguments; tensors are on the CPU.

    Returns:
        Traffic: elements under a true mask, in total and by the name of the tensor argument.

    Raises:
        RuntimeError: see `counting`.

    >>> traffic = count(kernel, (1,), a, b, h, l, BLOCK=16)     # doctest: +SKIP
    """
    names = list(getattr(kernel, "arg_names", None) or [f"argument {i}" for i in range(len(args))])
    tensors = {name: value for name, value in zip(names, args, strict=False) if isinstance(value, Tensor)}
    tensors |= {name: value for name, value in meta.items() if isinstance(value, Tensor)}
    with counting(tensors) as traffic:
        kernel[grid](*args, **meta)
    return traffic


def selective_scan_traffic(b: int, l: int, d: int, n: int, *, block_d: int, T: int, segment: int | None = None, groups: int = 1, D: bool = False,
                           z: bool = False, delta_bias: bool = False, h0: bool = False, save_every: int | None = None) -> Traffic:  # fmt: skip
    """What the forward of the Triton selective scan must move: a formula, for comparison with a count.

    One program owns block_d channels and one segment of time, and keeps their states in registers. So u, delta, z and y move once, and no
    state moves at all; B and C move once for each program that needs them, and once more when a tile's rows are fetched ahead.

        loads = b l d (2 + [z]) + 2 P n (l + ahead) + b d n + ... ;   stores = b l d + b d n

    with P = b groups ceil(d / groups / block_d) programs for each segment, and ahead = the steps of all segments after their first two tiles.
    When time is cut into segments, each is scanned once more before, from zero, and the states between segments go through memory.

    Args:
        b, l, d, n, groups: sizes; B and C are variable, (b l n) or (b l groups n).
        block_d: channels of a program. T: steps of a tile. segment: steps of a segment; all of them when absent.
        D, z, delta_bias, h0: is that input there?
        save_every: the forward leaves a state for the backward at the start of each so many steps; none when absent.

    Returns:
        Traffic: in elements; by_pointer for u, delta, z, A, B, C, D, delta_bias, h0.

    Source: Mamba, section 3.3.2, which counts the bytes of the fused scan.

    >>> t = selective_scan_traffic(1, 64, 32, 16, block_d=32, T=8)
    >>> t.by_pointer["u"], t.by_pointer["B"]            # B: 64 rows of 16, and the 48 after the first two tiles once more
    ((2048, 0), (1792, 0))
    """
    segment = segment or l
    lengths = [min(segment, l - t0) for t0 in range(0, l, segment)]
    n_segments = len(lengths)
    N = 1 << (n - 1).bit_length()  # states are padded to a power of two
    programs = b * groups * math.ceil(d // groups / block_d)
    tokens, state, padded = b * l * d, b * d * n, b * d * N
    rows = programs * n * sum(length + max(length - 2 * T, 0) for length in lengths)
    by = {"u": tokens, "delta": tokens, "A": n_segments * state, "B": rows, "C": rows}
    by |= {
        "z": tokens * z,
        "D": n_segments * b * d * D,
        "delta_bias": n_segments * b * d * delta_bias,
        "h0": state * h0,
    }
    scratch_loads, stores = 0, tokens + state
    if save_every is not None:
        stores += math.ceil(l / save_every) * padded
    if n_segments > 1:
        # 1. Each segment from zero: its end, and its sum of delta.
        by["u"] += tokens
        by["delta"] += tokens
        by["A"] += n_segments * state
        by["B"] += rows
        by["delta_bias"] *= 2
        stores += n_segments * (padded + b * d)
        # 2. The ends are joined, in place: each of the N states of a channel reads that channel's sums.
        by["A"] += state
        scratch_loads += n_segments * 2 * padded
        stores += n_segments * padded
        # 3. Each segment again, from the state that enters it.
        scratch_loads += n_segments * padded
    return Traffic(sum(by.values()) + scratch_loads, stores, {name: (moved, 0) for name, moved in by.items()})
