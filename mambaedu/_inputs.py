"""What may come in: one clear error that names the symbol, what was expected and what came. And packed sequences."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor


def check_tensors(tensors: Mapping[str, Tensor | None], may_be_absent: Collection[str]) -> None:
    """Each input by symbol is a tensor, on the device of the first; `seq_idx`, where there is one, holds integers."""
    first, u = next(iter(tensors.items()))
    for name, value in tensors.items():
        if value is None and name in may_be_absent:
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
        if name == "seq_idx" and (value.is_floating_point() or value.is_complex()):
            raise TypeError(f"seq_idx must hold integers, got {value.dtype}")
        assert u is not None
        if value.device != u.device:
            raise ValueError(f"{name} must be on {u.device}, like {first}, got {value.device}")


def check_shapes(tensors: Mapping[str, Tensor | None], shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """{symbol: (letters, sizes)} for those that are there."""
    for name, (letters, shape) in shapes.items():
        value = tensors.get(name)
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(f"{name} must be {letters} = {shape}, got {tuple(value.shape)}")


def where_it_changes(seq_idx: Tensor) -> Tensor:
    """(b l), True at the first step of each packed sequence but the first: that one goes on from the state that came in."""
    reset = torch.zeros_like(seq_idx, dtype=torch.bool)  # (b l)
    reset[:, 1:] = seq_idx[:, 1:] != seq_idx[:, :-1]
    return reset
