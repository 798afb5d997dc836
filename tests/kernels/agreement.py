"""How far a backend is from the naive loop: states and gradients, relative to the largest reference value."""

import torch

from mambaedu import linear_scan, selective_scan
from mambaedu.lab.testing import linear_inputs, selective_inputs

# fp64 sums of a few hundred terms round at 1e-14; fp32 ones at 5e-6. Both leave room, and no bug is this small.
TOLERANCE = {torch.float64: 1e-12, torch.complex128: 1e-12, torch.float32: 1e-5, torch.complex64: 1e-5}


def results(backend, a, b, h0, *, weights=None):
    """h, grad_a, grad_b, grad_h0 for a loss that weighs every state differently."""
    a, b = a.detach().clone().requires_grad_(), b.detach().clone().requires_grad_()
    h0 = torch.zeros(b.shape[:1] + b.shape[2:], dtype=b.dtype, device=b.device) if h0 is None else h0.detach().clone()
    h0.requires_grad_()
    h = linear_scan(a, b, h0=h0, backend=backend)
    if weights is None:
        weights = torch.linspace(-1, 1, h.numel(), dtype=torch.float64, device=h.device).reshape(h.shape).to(h.dtype)
    if h.is_complex():
        weights = weights * (1 + 0.5j)
    if h.numel() == 0:
        return (h.detach(),)
    return (h.detach(), *torch.autograd.grad(h, (a, b, h0), weights))


def distance(got, expected):
    """The largest difference over all results, relative to each one's maximum. NaN and inf must stand in the same places."""
    worst = 0.0
    for g, e in zip(got, expected, strict=True):
        assert g.shape == e.shape, f"shape {tuple(g.shape)}, expected {tuple(e.shape)}"
        assert g.dtype == e.dtype, f"dtype {g.dtype}, expected {e.dtype}"
        g, e = (torch.view_as_real(x) if x.is_complex() else x for x in (g, e))
        if not all(torch.equal(where(g), where(e)) for where in (torch.isnan, torch.isposinf, torch.isneginf)):
            return float("inf")
        g, e = (torch.where(torch.isfinite(e), x, 0) for x in (g, e))
        if e.numel():
            worst = max(worst, float((g - e).abs().max() / e.abs().max().clamp(min=1e-300)))
    return worst


def row_distance(backend, row, l, *, dtype=torch.float64, device="cpu", seed=0, **sizes):
    """The distance of a backend from naive on one row of the input table."""
    a, b, h0 = linear_inputs(row, l=l, dtype=dtype, seed=seed, **sizes)
    a, b, h0 = (None if x is None else x.to(device) for x in (a, b, h0))
    return distance(results(backend, a, b, h0), results("naive", a, b, h0))


# ---- the selective scan ---------------------------------------------------------------------------------------------


def selective_results(backend, arguments, *, through=("y", "h_last"), weights=None):
    """y, h_last and the gradient of every tensor among the arguments, for a loss that weighs every number of `through` differently.

    weights: {"y": (b l d), "h_last": (b d n)}, in place of numbers between -1 and 1.
    """
    tensors = {name: x.detach() for name, x in arguments.items() if isinstance(x, torch.Tensor)}
    leaves = {name: x.requires_grad_() for name, x in tensors.items() if x.is_floating_point() or x.is_complex()}
    y, h_last = selective_scan(**(arguments | tensors), backend=backend)
    outputs = {"y": y, "h_last": h_last}
    loss = 0
    for name in through:
        out = outputs[name]
        if weights is None:
            weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64, device=out.device).reshape(out.shape)
        else:
            weight = weights[name]
        loss = loss + (out * weight.to(out.dtype)).sum()
    grads = torch.autograd.grad(loss, leaves.values(), allow_unused=True, materialize_grads=True)
    return {name: x.detach() for name, x in outputs.items()} | {
        f"grad_{name}": grad for name, grad in zip(leaves, grads, strict=True)
    }


def selective_distances(got, expected):
    """The largest difference of each result, relative to its maximum: {name: distance}."""
    assert got.keys() == expected.keys()
    return {name: distance([got[name]], [expected[name]]) for name in expected}


def selective_row_distance(backend, row, options, l, *, device="cpu", through=("y", "h_last"), **sizes):
    """The distance of a backend from naive on one row of the input table with one set of options."""
    arguments = selective_inputs(row, options, l=l, **sizes)
    arguments = {name: x.to(device) if isinstance(x, torch.Tensor) else x for name, x in arguments.items()}
    got, expected = (selective_results(which, arguments, through=through) for which in (backend, "naive"))
    return max(selective_distances(got, expected).values())
