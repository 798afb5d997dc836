"""Is an answer right, and if not, where does it first differ? Plain numpy, in a process that never runs a learner's code."""

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from .case import Arrays, Case, Outcome

# Largest error as a share of max|expected|. A right answer stays ten times below; each known mistake is far above.
TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}
INDEX = {"l": "t"}  # the axis of length l is counted by t


@dataclass(frozen=True)
class Difference:
    """What is wrong with one output.

    Args:
        name: its symbol.
        lines: what is wrong, in words, one sentence a line.
        sequences: got and expected (l) along time at the first difference, and its t; None when there is no time axis.
    """

    name: str
    lines: tuple[str, ...]
    sequences: tuple[np.ndarray, np.ndarray, int] | None = None


def tolerance(case: Case, expected: np.ndarray) -> float:
    """The largest error allowed, as a share of max|expected|: the case's own, or that of the dtype."""
    if case.tolerance is not None:
        return case.tolerance
    return TOLERANCE.get(np.zeros((), expected.dtype).real.dtype, 0.0)


def close(got: np.ndarray, expected: np.ndarray, tol: float) -> np.ndarray:
    """Where `got` is finite and within `tol` of max|expected|. Both have the same shape."""
    if expected.dtype.kind in "iub":
        return got == expected
    scale = float(np.max(np.abs(expected), initial=0.0))
    with np.errstate(invalid="ignore", over="ignore"):
        return np.isfinite(got) & (np.abs(got - expected) <= tol * scale)


def number(value: Any) -> str:
    """A number as a person would write it: 0.125, 3, nan, 1.2e-08."""
    return f"{complex(value):.5g}" if np.iscomplexobj(value) else f"{value:.6g}"


def pair(expected: Any, got: Any) -> str:
    """Both numbers, with as many digits as it takes to see the difference."""
    one, other = number(expected), number(got)
    if one == other:
        digits = (lambda v: f"{complex(v):.15g}") if np.iscomplexobj(expected) else (lambda v: f"{v:.15g}")
        one, other = digits(expected), digits(got)
    return f"expected {one}, got {other}"


def shape_words(axes: str, shape: tuple[int, ...]) -> str:
    """(b l d) = (2, 5, 3)."""
    sizes = f"({', '.join(map(str, shape))})" if len(shape) != 1 else f"({shape[0]})"
    return f"({axes}) = {sizes}" if axes else sizes


def _swapped(got: np.ndarray, expected: np.ndarray, axes: list[str], tol: float) -> str:
    """The order of axes in which `got` would be right, or ""."""
    if got.ndim != expected.ndim or got.ndim > 4 or len(axes) != got.ndim:
        return ""
    for order in permutations(range(got.ndim)):
        turned = got.transpose(order)
        if order == tuple(range(got.ndim)) or turned.shape != expected.shape:
            continue
        if close(turned, expected, tol).all():
            names = [""] * got.ndim
            for place, axis in zip(order, axes, strict=True):
                names[place] = axis
            return f"The numbers are right, but the axes stand as ({' '.join(names)})."
    return ""


def _first(wrong: np.ndarray, axes: list[str]) -> tuple[int, ...]:
    """The index of the first True, the earliest t first, then b, d, n."""
    indices = np.argwhere(wrong)
    if "l" in axes:
        place = axes.index("l")
        indices = indices[np.argsort(indices[:, place], kind="stable")]
    return tuple(int(i) for i in indices[0])


def difference(case: Case, name: str, got: np.ndarray, expected: np.ndarray, axes_text: str) -> Difference | None:
    """None when `got` is right: shape, dtype, finite, within the tolerance.

    Args:
        name: the output's symbol.
        axes_text: its axes, "b l d n"; "" for a single number.
    """
    axes = axes_text.split()
    tol = tolerance(case, expected)
    if got.shape != expected.shape:
        hint = _swapped(got, expected, axes, tol)
        line = f"{name} must be {shape_words(axes_text, expected.shape)}, got {shape_words('', got.shape)}."
        return Difference(name, (line, hint) if hint else (line,))
    if got.dtype != expected.dtype and not (got.dtype.kind == expected.dtype.kind == "i"):
        return Difference(name, (f"{name} must be {expected.dtype} like the inputs, got {got.dtype}.",))

    wrong = ~close(got, expected, tol)
    if not wrong.any():
        return None
    if expected.ndim == 0:
        return Difference(name, (f"{name}: {pair(expected[()], got[()])}.",))
    first = _first(wrong, axes)
    at = dict(zip((INDEX.get(axis, axis) for axis in axes), first, strict=True))
    order = [key for key in ("t", "d", "n", "b") if key in at] + [key for key in at if key not in ("t", "d", "n", "b")]
    place = ", ".join(f"{key} = {at[key]}" for key in order)
    lines = [f"{name} differs first at {place}: {pair(expected[first], got[first])}."]
    bad = ~np.isfinite(got)
    scale = float(np.max(np.abs(expected), initial=0.0))
    count = f"{int(wrong.sum())} of {wrong.size} numbers differ"
    if bad.any():
        kinds = " and ".join(
            word for word, found in (("nan", np.isnan(got).any()), ("inf", np.isinf(got).any())) if found
        )
        lines.append(f"{count}; {int(bad.sum())} of them {kinds}.")
    elif scale > 0 and tol > 0:
        share = float(np.max(np.abs(got - expected))) / scale
        lines.append(f"{count}; the largest error is {share:.2g} of max|{name}|, allowed is {tol:.0e}.")
    else:
        lines.append(f"{count}.")
    hint = _swapped(got, expected, axes, tol)
    if hint:
        lines.append(hint)
    if not got.any() and name.startswith("grad_"):
        lines.append(f"{name} is 0 everywhere: on the way to the output, {name.removeprefix('grad_')} leaves torch.")

    sequences = None
    if "l" in axes and expected.shape[axes.index("l")] > 1:
        place_l = axes.index("l")
        row = tuple(slice(None) if i == place_l else index for i, index in enumerate(first))
        sequences = (got[row], expected[row], first[place_l])
    return Difference(name, tuple(lines), sequences)


def changed_input(case: Case, after: Arrays) -> Difference | None:
    """The first input that the call wrote into, or None."""
    for name, before in case.inputs.items():
        now = after.get(name)
        if now is None or now.shape != before.shape or now.dtype != before.dtype or now.tobytes() != before.tobytes():
            return Difference(
                name,
                (f"Your code wrote into its input {name}. Make a new tensor instead: the caller still needs {name}.",),
            )
    return None


def differences(case: Case, outcome: Outcome, expected: Arrays, axes: dict[str, str]) -> list[Difference]:
    """All that is wrong with an answered outcome; an empty list means right.

    Only what the reference names is looked at, and every name of it must be there.
    """
    assert outcome.outputs is not None
    found: list[Difference] = []
    for name, value in expected.items():
        if name not in outcome.outputs:
            found.append(Difference(name, (f"{name} is missing from your answer.",)))
        elif (one := difference(case, name, outcome.outputs[name], value, axes.get(name, ""))) is not None:
            found.append(one)
    if (change := changed_input(case, outcome.inputs_after or {})) is not None:
        found.append(change)
    return found


def same(one: Outcome, other: Outcome, names: list[str], tol: float = 1e-6) -> bool:
    """Do two answered outcomes agree, NaN for NaN, in the named outputs and in what they did to the inputs?"""
    if one.outputs is None or other.outputs is None:
        return False
    pairs = [(one.outputs.get(name), other.outputs.get(name)) for name in names]
    before, after = one.inputs_after or {}, other.inputs_after or {}
    pairs += [(before[name], after.get(name)) for name in before]
    for a, b in pairs:
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            return False
        scale = float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
        if not np.allclose(a, b, rtol=0.0, atol=tol * scale, equal_nan=True):
            return False
    return True
