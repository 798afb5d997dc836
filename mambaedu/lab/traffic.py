"""Count the elements that a Triton kernel loads and stores, exactly, on any CPU.

Triton's interpreter sends every access to memory through four functions of one private module. For the time of a count they are
replaced by functions that count the elements under a true mask and then do the same work. So masked and unmasked accesses,
block pointers, descriptors and atomics are all seen, whatever they are built from. What is not one of the four is refused.
"""

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
