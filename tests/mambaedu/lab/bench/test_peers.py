"""The scans that we are compared with compute the same thing, and a missing one is no error."""

import pytest
import torch

from mambaedu import selective_scan
from mambaedu.lab.bench import peers
from mambaedu.lab.bench.selective_scan import scan_inputs

SCANS, ABOUT = peers.find()


@pytest.fixture(params=["plain", "full"])
def inputs(request):
    inputs, _ = scan_inputs(2, 13, 5, 3, torch.float64, "cpu")
    inputs = {name: x.double() for name, x in inputs.items()}
    if request.param == "plain":
        inputs["delta"] = peers.step_size(inputs["delta"], inputs.pop("delta_bias"))
        del inputs["z"]
    return inputs


@pytest.mark.parametrize("name", SCANS)
def test_a_peer_gives_the_same_y_and_the_same_gradients(name, inputs):
    leaves = {symbol: x.clone().requires_grad_() for symbol, x in inputs.items()}
    y = SCANS[name](**leaves)
    y_true, _ = selective_scan(**leaves, delta_softplus="delta_bias" in inputs, backend="naive")
    # transformers makes B u in fp32, whatever comes in; mambapy and we do not.
    atol = 1e-6 if name == "transformers" else 1e-12
    assert torch.allclose(y, y_true, atol=atol)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    grads, grads_true = (torch.autograd.grad((out * weights).sum(), list(leaves.values())) for out in (y, y_true))
    for symbol, grad, truth in zip(leaves, grads, grads_true, strict=True):
        assert torch.allclose(grad, truth, atol=10 * atol), symbol


def test_both_loops_are_always_there():
    assert {"reference loop", "unbind loop"} <= set(SCANS)
    assert set(ABOUT) == {"mambapy", "transformers"}


def test_a_missing_package_is_named_and_left_out(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(peers.importlib, "import_module", missing)
    scans, about = peers.find()
    assert set(scans) == {"reference loop", "unbind loop"}
    assert set(about.values()) == {"not installed: pip install mambapy transformers"}


def test_a_package_that_changed_is_named_and_left_out(monkeypatch):
    monkeypatch.setattr(peers.importlib, "import_module", lambda name: object())
    scans, about = peers.find()
    assert set(scans) == {"reference loop", "unbind loop"}
    assert about["mambapy"].startswith("does not run as it did: AttributeError")
