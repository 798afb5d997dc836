"""What `call` of an exercise uses to hand inputs to a learner's answer and to take its outputs apart."""

from typing import Any

import numpy as np

from .case import Arrays


class WrongAnswer(Exception):
    """The answer has the wrong form. The message is for the learner and needs no traceback."""


def tensors(inputs: Arrays, *names: str) -> Any:
    """The named inputs as torch tensors that share memory with the arrays, so that a write into them is seen."""
    import torch

    found = [torch.from_numpy(inputs[name]) for name in names]
    return found[0] if len(names) == 1 else found


def unpack(returned: Any, function: str, *names: str) -> tuple[Any, ...]:
    """`returned` as the values called `names`.

    Raises:
        WrongAnswer: nothing was returned, or not that many values; the message says what to return.
    """
    want = ", ".join(names)
    if returned is None:
        raise WrongAnswer(f"{function} must return {want}, but it returned None: is the `return` missing?")
    if len(names) == 1:
        return (returned,)
    if not isinstance(returned, tuple | list):
        raise WrongAnswer(f"{function} must return {len(names)} values, {want}, but it returned one {_kind(returned)}")
    if len(returned) != len(names):
        raise WrongAnswer(f"{function} must return {len(names)} values, {want}, but it returned {len(returned)}")
    return tuple(returned)


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def to_array(name: str, value: Any) -> np.ndarray:
    """A tensor, array or number as a plain numpy array of its own memory.

    Raises:
        WrongAnswer: it is something else, an array of objects, or a tensor that is not on the CPU.
    """
    import torch

    if value is None:
        raise WrongAnswer(f"{name} is None")
    # Exact types: a subclass may say of itself whatever it likes.
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        if value.device.type != "cpu":
            raise WrongAnswer(f"{name} must be on the CPU, like the inputs, got {value.device}")
        if value.dtype in (torch.bfloat16, torch.float16):
            raise WrongAnswer(f"{name} must have the dtype of the inputs, got {value.dtype}")
        return value.detach().resolve_conj().resolve_neg().numpy().copy()
    if type(value) in (float, int):
        return np.asarray(value)
    if (type(value) is np.ndarray or isinstance(value, np.number)) and np.asarray(value).dtype.kind in "fciub":
        return np.array(value)
    raise WrongAnswer(f"{name} must be a torch tensor, got {_kind(value)}")


def gradients(outputs: dict[str, Any], inputs: Arrays, leaves: dict[str, Any]) -> dict[str, Any]:
    """d(sum of output * grad_output)/d leaf, for each leaf, as grad_<leaf>. `inputs` holds grad_<output>.

    Raises:
        WrongAnswer: an output does not depend on the inputs through torch.
    """
    import torch

    for name, value in outputs.items():
        if type(value) is not torch.Tensor:
            raise WrongAnswer(f"{name} must be a torch tensor, got {_kind(value)}")
        if value.shape != inputs[f"grad_{name}"].shape:
            raise WrongAnswer(
                f"{name} must have the shape {inputs[f'grad_{name}'].shape}, got {tuple(value.shape)}; gradients come after that"
            )
        if not value.requires_grad:
            raise WrongAnswer(
                f"{name} has no gradient: somewhere it leaves torch (.data, .detach(), .numpy(), .item(), torch.tensor(...), no_grad)"
            )
    cotangents = [torch.from_numpy(inputs[f"grad_{name}"]) for name in outputs]
    # A leaf that no output depends on gets a gradient of zeros: the comparison then says so.
    found = torch.autograd.grad(
        list(outputs.values()), list(leaves.values()), cotangents, allow_unused=True, materialize_grads=True
    )
    return {f"grad_{name}": gradient for name, gradient in zip(leaves, found, strict=True)}
