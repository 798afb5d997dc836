"""The kernel that measures the rate of exponentials makes them."""

import pytest
import torch

from mambaedu.lab.bench import exponentials


def test_the_kernel_makes_round_times_exponentials():
    x = torch.linspace(0, 1, exponentials.BLOCK)
    truth = x.double()
    for _ in range(2 * exponentials.ROUND):
        truth = torch.exp2(-truth)
    assert torch.allclose(exponentials.iterate(x, 2).double(), truth, atol=1e-6)
    # Rounds that are left out show: two give something else than one, everywhere but at the fixed point.
    assert (exponentials.iterate(x, 1) - truth).abs().max() > 1e-3
    assert abs(2**-exponentials.FIXED_POINT - exponentials.FIXED_POINT) < 1e-9


@pytest.mark.parametrize("wrong", [lambda x, rounds: x, lambda x, rounds: torch.full_like(x, exponentials.FIXED_POINT)])
def test_a_kernel_that_computes_nothing_is_not_timed(monkeypatch, wrong):
    monkeypatch.setattr(exponentials, "iterate", wrong)
    with pytest.raises(ArithmeticError, match="exponentials is off by"):
        exponentials.checked(1, 20, "cpu")


def test_launching_does_not_count(monkeypatch):
    monkeypatch.setattr(exponentials, "checked", lambda blocks, rounds, device: torch.zeros(blocks * 1024))
    # A launch takes a second; a round of 3 x 1024 numbers, four times each, 3 x 1024 x 4 / 1e6 seconds.
    monkeypatch.setattr(exponentials, "clock", lambda run, repeats, device: 1 + 3 * 1024 * 4 * run.args[1] / 1e6)
    assert exponentials.exponential_rate("cpu", 1, blocks=3, rounds=10) == pytest.approx(1e6)
