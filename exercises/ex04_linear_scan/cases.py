"""Exercise 4: what `linear_scan` is called with, and what it must give. The reference is plain numpy in fp64, by a sum over all pairs."""

from typing import Any

import numpy as np

from exercises._grader.answers import gradients, tensors, unpack
from exercises._grader.case import Arrays, Case

AXES = {"h": "b l d", "grad_a": "b l d", "grad_b": "b l d", "grad_h0": "b d"}


def cases(seed: int) -> list[Case]:
    """Lengths 1, odd, prime, not a power of two; with h0 and without; decays that are 0 and 1."""
    rng = np.random.default_rng([4, seed])
    found: list[Case] = []

    def add(
        test: str, words: str, shape: tuple[int, int, int], dtype: str, h0: bool = False, ends: bool = False
    ) -> None:
        b, _, d = shape
        inputs = {"a": rng.uniform(0.2, 1.0, shape), "b": rng.normal(size=shape)}  # (b l d)
        if ends:  # a step that keeps all, and one that forgets all
            inputs["a"][:, 1], inputs["a"][:, 3] = 1.0, 0.0
        if h0:
            inputs["h0"] = 2 + rng.uniform(size=(b, d))  # (b d)
        if test == "gradient":
            inputs["grad_h"] = rng.normal(size=shape)  # (b l d)
        start = "from h0" if h0 else "h0 = None"
        found.append(
            Case(test, f"{words}, {start}, {dtype}, (b l d) = {shape}", {k: v.astype(dtype) for k, v in inputs.items()})
        )

    add("loop", "ordinary decays", (2, 5, 3), "float64")
    add("loop", "a single step", (1, 1, 2), "float64")
    add("loop", "ordinary decays", (2, 13, 1), "float32")
    add("loop", "a decay of 1 at t = 1 and of 0 at t = 3", (1, 12, 4), "float64", ends=True)
    add("h0", "ordinary decays", (2, 7, 3), "float64", h0=True)
    add("h0", "a single step", (3, 1, 2), "float64", h0=True)
    add("h0", "as many batches as channels", (3, 11, 3), "float32", h0=True)
    add("gradient", "ordinary decays", (2, 5, 3), "float64")
    add("gradient", "a decay of 1 at t = 1 and of 0 at t = 3", (2, 9, 2), "float64", h0=True, ends=True)
    return found


def _weights(a: np.ndarray) -> np.ndarray:
    """w[b, t, s, d] = a_t a_{t-1} ... a_{s+1}: what is left at t of what came in at s; 0 for s > t."""
    b, l, d = a.shape
    w = np.zeros((b, l, l, d))
    for t in range(l):
        for s in range(t + 1):
            w[:, t, s] = np.prod(a[:, s + 1 : t + 1], axis=1)
    return w


def reference(inputs: Arrays) -> Arrays:
    """h as the sum of all that came in and what is left of it; or, when grad_h comes in, the gradients."""
    dtype = inputs["a"].dtype
    a, b = inputs["a"].astype(np.float64), inputs["b"].astype(np.float64)  # (b l d)
    h0 = inputs.get("h0", np.zeros_like(a[:, 0])).astype(np.float64)  # (b d)
    w = _weights(a)  # (b l l d)
    h = np.einsum("btsd,bsd->btd", w, b) + np.cumprod(a, axis=1) * h0[:, None]  # (b l d)
    if "grad_h" not in inputs:
        return {"h": h.astype(dtype)}

    # g_s: all that a change of h_s does to the loss, now and later.
    g = np.einsum("btsd,btd->bsd", w, inputs["grad_h"].astype(np.float64))  # (b l d)
    before = np.concatenate([h0[:, None], h[:, :-1]], axis=1)  # (b l d)
    found = {"grad_a": g * before, "grad_b": g}
    if "h0" in inputs:
        found["grad_h0"] = a[:, 0] * g[:, 0]  # (b d)
    return {name: value.astype(dtype) for name, value in found.items()}


def call(answer: Any, inputs: Arrays) -> dict[str, Any]:
    """Call the learner's linear_scan, and ask torch for gradients when grad_h comes in."""
    leaves: dict[str, Any] = {name: tensors(inputs, name) for name in ("a", "b", "h0") if name in inputs}
    if "grad_h" in inputs:
        for leaf in leaves.values():
            leaf.requires_grad_()
    h0 = (leaves["h0"],) if "h0" in leaves else ()
    (h,) = unpack(answer.linear_scan(leaves["a"], leaves["b"], *h0), "linear_scan", "h")
    return gradients({"h": h}, inputs, leaves) if "grad_h" in inputs else {"h": h}


def explain(case: Case, got: Arrays, expected: Arrays) -> str:
    """A sentence about mistakes that need no name: late, early, only the last state, no memory."""
    if "h" not in got:
        return ""
    h, want, b = got["h"], expected["h"], case.inputs["b"]

    def equal(one: np.ndarray, other: np.ndarray) -> bool:
        return one.size > 0 and bool(np.allclose(one, other, rtol=1e-4, atol=1e-6))

    if equal(h, b):
        return "Your h is b itself: nothing is carried from one step to the next."
    if equal(h, np.cumsum(b, axis=1)):
        return "Your h is the sum of b so far: nothing decays."
    if equal(h[:, 1:], want[:, :-1]):
        return "Each state arrives one step late."
    if equal(h[:, :-1], want[:, 1:]):
        return "Each state arrives one step early: is the first one lost?"
    if h.shape[1] > 1 and np.array_equal(h, np.broadcast_to(h[:, -1:], h.shape)):
        return "Every row is the same: a tensor that is changed in place is the same tensor everywhere it was kept."
    if equal(h, want[:, ::-1]):
        return "The states are right but run backwards in time."
    return ""
