"""Exercise 17: what `combine` and `scan_channel` are called with, and what they must give. The reference is a plain loop in fp64."""

from typing import Any

import numpy as np

from exercises._grader.answers import WrongAnswer, tensors, unpack
from exercises._grader.case import Arrays, Case

AXES = {"a": "d", "b": "d", "h": "l", "h_ptr past the end": "i"} | {
    f"{name} of {words}": "d" for name in "ab" for words in ("combine(IDENTITY, right)", "combine(left, IDENTITY)")
}
GUARD = 8  # numbers that lie behind the end of each array
UNTOUCHED = 7.0  # what they hold, and still must hold


def cases(seed: int) -> list[Case]:
    """Pairs whose order matters; lengths 1, odd, prime, a power of two and not."""
    rng = np.random.default_rng([17, seed])
    found: list[Case] = []
    for d in (1, 5):
        names = ("a_left", "b_left", "a_right", "b_right")
        found.append(
            Case(
                "combine",
                f"pairs of {d} channels, float64, (d) = ({d})",
                {name: rng.uniform(0.5, 2.0, d) for name in names},
            )
        )
    for test, lengths in (("scan", (7, 1, 13, 16, 50)), ("traffic", (13, 1, 32, 50))):
        for l in lengths:
            block = 1 << (l - 1).bit_length()
            inputs = {"a": rng.uniform(0.3, 1.0, l).astype(np.float32), "b": rng.normal(size=l).astype(np.float32)}
            if test == "traffic":
                inputs["count"] = np.asarray(1)
            found.append(Case(test, f"one channel, float32, l = {l}, BLOCK_L = {block}", inputs))
    return found


def reference(inputs: Arrays) -> Arrays:
    """Both steps one after the other; or h by a loop, with what lies behind it untouched, or with the counts."""
    if "a_left" in inputs:
        a_left, b_left, a_right, b_right = (inputs[name] for name in ("a_left", "b_left", "a_right", "b_right"))
        # h -> a h + b is known from what it makes of 0 and of 1.
        at_0, at_1 = (a_right * (a_left * h + b_left) + b_right for h in (0.0, 1.0))
        return {
            "a": at_1 - at_0,
            "b": at_0,
            "a of combine(IDENTITY, right)": a_right,
            "b of combine(IDENTITY, right)": b_right,
            "a of combine(left, IDENTITY)": a_left,
            "b of combine(left, IDENTITY)": b_left,
        }
    l = len(inputs["a"])
    h, now = np.empty(l), 0.0
    for t in range(l):
        now = float(inputs["a"][t]) * now + float(inputs["b"][t])
        h[t] = now
    found = {"h": h.astype(np.float32)}
    if "count" in inputs:
        return found | {"loads": np.asarray(2 * l), "stores": np.asarray(l)}
    return found | {"h_ptr past the end": np.full(GUARD, UNTOUCHED, np.float32)}


def call(answer: Any, inputs: Arrays) -> dict[str, Any]:
    """Call combine on three pairs of pairs; or run scan_channel in the interpreter, with its loads and stores counted."""
    if "a_left" in inputs:
        left, right = tuple(tensors(inputs, "a_left", "b_left")), tuple(tensors(inputs, "a_right", "b_right"))
        a, b = unpack(answer.combine(left, right), "combine", "a", "b")
        if not isinstance(answer.IDENTITY, tuple | list) or len(answer.IDENTITY) != 2:
            raise WrongAnswer(f"IDENTITY must be a pair of numbers (a, b), got {answer.IDENTITY!r}")
        identity = tuple(answer.IDENTITY)
        a_first, b_first = unpack(answer.combine(identity, right), "combine", "a", "b")
        a_last, b_last = unpack(answer.combine(left, identity), "combine", "a", "b")
        return {
            "a": a,
            "b": b,
            "a of combine(IDENTITY, right)": a_first,
            "b of combine(IDENTITY, right)": b_first,
            "a of combine(left, IDENTITY)": a_last,
            "b of combine(left, IDENTITY)": b_last,
        }

    import torch

    from mambaedu.lab.traffic import count

    a, b = tensors(inputs, "a", "b")
    l = len(a)
    block = 1 << (l - 1).bit_length()
    # The kernel gets room for a whole tile, so that a missing mask shows in the numbers and not as a crash.
    a_room, b_room, h_room = (torch.full((block + GUARD,), UNTOUCHED) for _ in range(3))
    a_room[:l], b_room[:l] = a, b
    traffic = count(answer.scan_channel, (1,), a_room, b_room, h_room, l, BLOCK_L=block)
    if not torch.equal(a_room[:l], a) or not torch.equal(b_room[:l], b):
        raise WrongAnswer("scan_channel wrote into a_ptr or b_ptr; only h_ptr is for writing")
    return {
        "h": h_room[:l],
        "h_ptr past the end": h_room[l : l + GUARD],
        "loads": int(traffic.loads),
        "stores": int(traffic.stores),
    }


def explain(case: Case, got: Arrays, expected: Arrays) -> str:
    """A sentence about the order, the end of the array, and trips to memory."""
    if "a" in expected:
        if np.allclose(got["b"], expected["b"]) and not np.allclose(got["a"], expected["a"]):
            return "b is right. For a: by how much has h decayed after both steps?"
        return ""
    if "h_ptr past the end" in expected and not np.array_equal(
        got["h_ptr past the end"], expected["h_ptr past the end"]
    ):
        return "The store has no mask, or a wrong one: it writes behind the last h."
    l = len(expected["h"])
    if "loads" in expected and np.allclose(got["h"], expected["h"], rtol=1e-4):
        loads, stores = int(got["loads"]), int(got["stores"])
        return (
            f"Your kernel loads {loads} numbers and stores {stores}. It needs each a and each b once, 2 l = {2 * l}, "
            f"and each h once, l = {l}."
        )
    if np.allclose(got["h"], UNTOUCHED):
        return "Nothing was written: is there a tl.store?"
    if np.allclose(got["h"], case.inputs["b"]):
        return "Your h is b itself: the tiles are loaded and stored, but not scanned."
    return ""
