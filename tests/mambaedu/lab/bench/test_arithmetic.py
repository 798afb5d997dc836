"""The loop that measures the arithmetic of a scan computes what it says."""

import pytest

from mambaedu.lab.bench import arithmetic


def test_an_update_takes_some_of_a_second():
    assert 0 < arithmetic.update_seconds(rounds=2000, repeats=2) < 1e-6


def test_a_loop_that_computes_something_else_is_not_timed(monkeypatch):
    monkeypatch.setattr(arithmetic, "_kernel", lambda: lambda *arguments: None)
    with pytest.raises(ArithmeticError, match="computes something else"):
        arithmetic.update_seconds(rounds=1, repeats=1)
