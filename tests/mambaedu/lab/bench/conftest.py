import itertools

import pytest


@pytest.fixture
def tick():
    """A clock under which the first thing timed takes 1 ms, the second 2 ms, and so on; everything runs once."""
    seconds = itertools.count(1)

    def clock(run, repeats, device, graph=True):
        run()
        return next(seconds) * 1e-3

    return clock
