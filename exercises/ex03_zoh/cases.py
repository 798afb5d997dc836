"""Exercise 3: what `zoh` is called with, and what it must give. The reference is plain numpy in fp64, by closed forms."""

from typing import Any

import numpy as np

from exercises._grader.answers import gradients, tensors, unpack
from exercises._grader.case import Arrays, Case

AXES = {"A_bar": "b l d n", "B_bar": "b l d n", "grad_A": "d n", "grad_B": "d n", "grad_delta": "b l d"}


def cases(seed: int) -> list[Case]:
    """Ordinary step sizes, tiny ones, and zero; lengths 1, odd, prime, not a power of two."""
    rng = np.random.default_rng([3, seed])
    found: list[Case] = []

    def add(
        test: str, words: str, shape: tuple[int, int, int, int], dtype: str, x: float | None = None, zero: bool = False
    ) -> None:
        b, l, d, n = shape
        delta = np.exp(rng.uniform(np.log(0.02), np.log(0.5), (b, l, d)))  # (b l d)
        A = -rng.uniform(0.5, 4.0, (d, n))  # (d n)
        B = rng.normal(size=(d, n))  # (d n)
        if x is not None:  # every delta A near x, so that the small ones do not hide behind large ones
            A = x / 0.1 * rng.uniform(0.5, 1.5, (d, n))  # (d n)
            B = np.sign(B) * (1 + np.abs(B))  # (d n)
        if zero:
            A[:, 0] = 0.0
        inputs = {"A": A, "B": B, "delta": delta}
        if test == "gradient":
            inputs["grad_A_bar"] = rng.normal(size=shape)  # (b l d n)
            inputs["grad_B_bar"] = rng.normal(size=shape)  # (b l d n)
        names = f"{words}, {dtype}, (b l d n) = {shape}"
        found.append(Case(test, names, {name: value.astype(dtype) for name, value in inputs.items()}))

    add("values", "ordinary step sizes", (2, 5, 3, 4), "float64")
    add("values", "a single step", (1, 1, 2, 3), "float64")
    add("values", "ordinary step sizes", (2, 13, 3, 1), "float32")
    add("values", "as many channels as modes", (1, 12, 4, 4), "float64")
    add("near_zero", "A = 0 in the first mode of each channel", (2, 5, 3, 4), "float64", zero=True)
    add("near_zero", "delta A about -1e-6", (2, 7, 2, 3), "float32", x=-1e-6)
    add("near_zero", "delta A about -1e-8", (1, 6, 2, 3), "float32", x=-1e-8)
    add("near_zero", "delta A about -1e-8", (1, 3, 2, 3), "float64", x=-1e-8)
    add("gradient", "ordinary step sizes", (2, 5, 3, 4), "float64")
    add("gradient", "A = 0 in the first mode of each channel", (2, 7, 3, 4), "float64", zero=True)
    add("gradient", "A = 0 in the first mode of each channel", (1, 11, 2, 2), "float32", zero=True)
    return found


def _phi1(x: np.ndarray) -> np.ndarray:
    """(e^x - 1)/x, and 1 at 0."""
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.expm1(safe) / safe)


def _phi1_slope(x: np.ndarray) -> np.ndarray:
    """The derivative of phi1: its series near 0, where the quotient would cancel."""
    series, term = np.zeros_like(x), np.full_like(x, 0.5)
    for k in range(20):  # sum of (k + 1) x^k / (k + 2)!
        series += term * (k + 1)
        term = term * x / (k + 3)
    safe = np.where(np.abs(x) < 0.5, 1.0, x)
    return np.where(np.abs(x) < 0.5, series, (np.exp(safe) * (safe - 1) + 1) / safe**2)


def reference(inputs: Arrays) -> Arrays:
    """A_bar and B_bar, or, when gradients of them come in, the gradients of A, B and delta."""
    dtype = inputs["A"].dtype
    wide = {name: value.astype(np.float64) for name, value in inputs.items()}
    A, B, delta = wide["A"], wide["B"], wide["delta"][..., None]  # (d n), (d n), (b l d 1)
    x = delta * A  # (b l d n)
    A_bar = np.exp(x)  # (b l d n)
    if "grad_A_bar" not in inputs:
        return {"A_bar": A_bar.astype(dtype), "B_bar": (delta * _phi1(x) * B).astype(dtype)}

    to_A, to_B = wide["grad_A_bar"], wide["grad_B_bar"]  # (b l d n)
    grad_A = (to_A * delta * A_bar + to_B * delta**2 * _phi1_slope(x) * B).sum(axis=(0, 1))  # (d n)
    grad_B = (to_B * delta * _phi1(x)).sum(axis=(0, 1))  # (d n)
    # B_bar = (e^(delta A) - 1)/A B, so its slope in delta is e^(delta A) B.
    grad_delta = (to_A * A * A_bar + to_B * A_bar * B).sum(axis=-1)  # (b l d)
    return {name: g.astype(dtype) for name, g in (("grad_A", grad_A), ("grad_B", grad_B), ("grad_delta", grad_delta))}


def call(answer: Any, inputs: Arrays) -> dict[str, Any]:
    """Call the learner's zoh, and ask torch for gradients when gradients come in."""
    A, B, delta = tensors(inputs, "A", "B", "delta")
    if "grad_A_bar" not in inputs:
        A_bar, B_bar = unpack(answer.zoh(A, B, delta), "zoh", "A_bar", "B_bar")
        return {"A_bar": A_bar, "B_bar": B_bar}
    leaves = {"A": A.requires_grad_(), "B": B.requires_grad_(), "delta": delta.requires_grad_()}
    A_bar, B_bar = unpack(answer.zoh(A, B, delta), "zoh", "A_bar", "B_bar")
    return gradients({"A_bar": A_bar, "B_bar": B_bar}, inputs, leaves)


def explain(case: Case, got: Arrays, expected: Arrays) -> str:
    """A sentence about mistakes that need no name: a missing factor, a swapped pair, a sign."""
    if "A_bar" not in got:
        return ""

    def equal(one: np.ndarray, other: np.ndarray) -> bool:
        return bool(np.allclose(one, other, rtol=1e-4, atol=0, equal_nan=True))

    A, B = case.inputs["A"], case.inputs["B"]
    delta = case.inputs["delta"][..., None]
    if equal(got["A_bar"], expected["B_bar"]) and equal(got["B_bar"], expected["A_bar"]):
        return "A_bar and B_bar stand in the wrong order."
    if equal(got["A_bar"], np.exp(-delta * A)) and not equal(got["A_bar"], expected["A_bar"]):
        return "A_bar grows: look at the sign of A, which is negative already."
    if not equal(got["A_bar"], expected["A_bar"]):
        if equal(got["A_bar"], 1 + delta * A):
            return "Your A_bar is 1 + delta A, the forward Euler rule."
        if equal(got["A_bar"], 1 / (1 - delta * A)):
            return "Your A_bar is 1/(1 - delta A), the backward Euler rule."
        if equal(got["A_bar"], (1 + delta * A / 2) / (1 - delta * A / 2)):
            return "Your A_bar is that of the bilinear rule."
        return ""
    if equal(got["B_bar"], expected["B_bar"]) and A.dtype == np.float64:
        return "B_bar is nearly right: does an epsilon stand in a denominator, or is a part computed in fp32? Only x = 0 itself needs care."
    if equal(got["B_bar"] * B, expected["B_bar"]):
        return "B_bar lacks the factor B."
    if equal(got["B_bar"] * delta, expected["B_bar"]):
        return "B_bar lacks the factor delta."
    if equal(got["B_bar"], -expected["B_bar"]):
        return "B_bar has the wrong sign: e^x - 1 and A are both negative."
    return ""
