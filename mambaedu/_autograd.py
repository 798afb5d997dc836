"""What every operation with compiled kernels needs: tensors to arrays and back, and first derivatives only."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def run_kernel(module: ModuleType, name: str, dtype: torch.dtype, *arguments: Any, **options: Any) -> tuple[Any, ...]:
    """Call a function of a kernel file. Numba gets contiguous arrays of one dtype (masks stay bool); Triton contiguous tensors of any, which it widens
    as it loads them. Out come tensors; a tuple among the results is opened."""
    kernel = getattr(module, name)
    if module.__name__.endswith("numba"):
        return tuple(_as_tensor(x) for x in _flat(kernel(*(_as_array(x, dtype) for x in arguments), **options)))
    return _flat(kernel(*(_plain(x) for x in arguments), dtype=dtype, **options))


def not_compiled(function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments), which torch.compile leaves alone: it would trace the launch of a kernel, Numba's NumPy and Triton's interpreter too.

    As a decorator, `torch.compiler.disable` would load the compiler, 1.5 s, whenever this package is imported.
    """
    if torch.compiler.is_compiling():
        function = torch.compiler.disable(function)
    return function(*arguments)


def first_derivative_only(
    op: str, backward: Callable[..., tuple[Any, ...]], *tensors: Tensor | None
) -> tuple[Any, ...]:
    """backward(*tensors), in a function of its own so that whoever differentiates it is told why that cannot be."""
    return _Backward.apply(op, backward, *tensors)


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, op: str, backward: Callable[..., tuple[Any, ...]], *tensors: Tensor | None) -> Any:
        ctx.op = op
        return backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise RuntimeError(f'the numba and triton backends of {ctx.op} have no second derivative; use backend="naive"')


def no_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast lowers the precision of some functions of torch; a scan keeps its own."""
    if not torch.amp.is_autocast_available(device.type) or not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _plain(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(_plain(item) for item in x)
    if not isinstance(x, Tensor):
        return x
    if x.requires_grad:  # each question is cheaper than its answer, and a step asks them seven times
        x = x.detach()
    if x.is_conj() or x.is_neg():
        x = x.resolve_conj().resolve_neg()
    return x if x.is_contiguous() else x.contiguous()


def _as_array(x: Any, dtype: torch.dtype) -> Any:
    if isinstance(x, tuple):
        return tuple(_as_array(item, dtype) for item in x)
    if not isinstance(x, Tensor):
        return x
    return _plain(x if x.dtype in (dtype, torch.bool) else x.to(dtype)).numpy()


def _as_tensor(x: Any) -> Tensor | None:
    return None if x is None else torch.from_numpy(x)


def _flat(out: Any) -> tuple[Any, ...]:
    if not isinstance(out, tuple):
        return (out,)
    return tuple(item for x in out for item in _flat(x))
