"""The check that stands before every timing of the selective scan sees what is wrong."""

import math

import pytest
import torch

from mambaedu import selective_scan_step
from mambaedu.lab.bench import selective_scan as bench

B, L, D, N = 2, 9, 6, 3
NAMES = ("y", "grad_u", "grad_delta", "grad_A", "grad_B", "grad_C", "grad_D", "grad_z", "grad_delta_bias")


@pytest.fixture
def right():
    """Inputs, grad_y, and y and the gradients as they should be."""
    inputs, grad_y = bench.scan_inputs(B, L, D, N, torch.float64, "cpu")
    inputs = {name: x.double() for name, x in inputs.items()}
    return inputs, grad_y, list(bench.gradients(inputs, grad_y, "naive"))


def test_the_inputs_are_those_of_a_block_at_initialisation():
    inputs, grad_y = bench.scan_inputs(B, L, D, N, torch.bfloat16, "cpu")
    shapes = {name: tuple(x.shape) for name, x in inputs.items()}
    assert shapes == {"u": (B, L, D), "delta": (B, L, D), "A": (D, N), "B": (B, L, N), "C": (B, L, N), "D": (D,),
                      "z": (B, L, D), "delta_bias": (D,)}  # fmt: skip
    assert grad_y.shape == (B, L, D)
    assert {name for name, x in inputs.items() if x.dtype == torch.float32} == {"A", "D", "delta_bias"}
    assert inputs["A"].tolist() == [[-1, -2, -3]] * D
    step_size = torch.nn.functional.softplus(inputs["delta_bias"])
    assert torch.allclose(step_size[[0, -1]], torch.tensor([1e-3, 1e-1]), rtol=1e-4)
    again, _ = bench.scan_inputs(B, L, D, N, torch.bfloat16, "cpu")
    assert torch.equal(inputs["u"], again["u"])


@pytest.mark.parametrize("wide", [1, B * L * N * 4, 2**27], ids=["a channel at a time", "blocks of four", "at once"])
def test_the_right_results_are_right_in_blocks_of_channels_of_any_size(right, wide):
    inputs, grad_y, results = right
    found = bench.errors(inputs, grad_y, *results, backend="naive", wide=wide)
    assert tuple(sorted(found)) == tuple(sorted(NAMES))
    assert max(found.values()) < 1e-12


@pytest.mark.parametrize("which", range(len(NAMES)), ids=NAMES)
@pytest.mark.parametrize("value", [None, math.nan])
def test_one_wrong_number_anywhere_is_seen(right, which, value):
    inputs, grad_y, results = right
    # The largest entry of the last channel, or of the last step of a map.
    wrong = results[which].clone()
    wrong.view(-1)[-1] = 2 * wrong.abs().max() if value is None else value
    results[which] = wrong
    found = bench.errors(inputs, grad_y, *results, backend="naive", wide=B * L * N * 4)
    for i, name in enumerate(NAMES):
        assert (found[name] <= 1e-12) == (i != which), name


@pytest.mark.parametrize("backend", ["naive", "numba"])
def test_forward_is_the_scan_without_gradients(right, backend):
    inputs, _, results = right
    y = bench.forward(inputs, backend)
    assert not y.requires_grad
    assert torch.allclose(y, results[0])


def test_the_inputs_of_a_step_are_those_of_a_step():
    inputs = bench.step_inputs(B, D, N, torch.bfloat16, "cpu")
    h, y_t = selective_scan_step(**inputs, delta_softplus=True, backend="naive")
    assert (h.shape, y_t.shape) == ((B, D, N), (B, D))
    assert max(bench.step_error(inputs, h, y_t.double()).values()) < 1e-2
    h[-1, -1, -1] += 100
    assert bench.step_error(inputs, h, y_t)["h"] > 1
