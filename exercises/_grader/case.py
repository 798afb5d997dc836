"""One case of an exercise: an input, the test it belongs to, and a sentence that says what it is about."""

from dataclasses import dataclass

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """What a learner's answer is called with, once.

    Args:
        test: the name of the test in manifest.toml that this case belongs to.
        words: the case in words, for the message: "A = 0 in one mode, fp64, (b l d n) = (2, 5, 3, 4)".
        inputs: arrays by symbol.
        tolerance: largest error allowed, as a share of max|expected|. By default it follows from the dtype (compare.py).
    """

    test: str
    words: str
    inputs: Arrays
    tolerance: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of one case: arrays, or the reason why there are none.

    Args:
        status: "answered", "not done", "wrong", "error", "not allowed", "crashed", "timed out" or "missing".
        text: for every status but "answered": a message for the learner.
        outputs: arrays by symbol, when answered.
        inputs_after: the inputs as they were after the call, when answered.
        whole_file: whether the reason lies in the file as a whole and not in this case.
    """

    status: str
    text: str = ""
    outputs: Arrays | None = None
    inputs_after: Arrays | None = None
    whole_file: bool = False
