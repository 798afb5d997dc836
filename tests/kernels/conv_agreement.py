"""How far a backend is from the naive convolution: outputs and gradients, relative to the largest reference value."""

import torch
from agreement import distance

from mambaedu import causal_conv1d

OPTIONS = ("bare", "plain", "silu", "state", "packed", "all")


def conv_inputs(options, *, b=2, l=9, d=3, k=4, dtype=torch.float64, device="cpu", seed=0):
    """The arguments of a call, by name. "bare" has no bias; "packed" has sequences of one to several tokens; "all" has everything."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=random, dtype=torch.float64).to(device, dtype)

    x = {"u": normal(b, l, d), "weight": normal(d, k)}
    if options != "bare":
        x["bias"] = normal(d)
    if options in ("state", "all"):
        x["conv_state"] = normal(b, k - 1, d)
    if options in ("silu", "all"):
        x["activation"] = "silu"
    if options in ("packed", "all"):
        x["seq_idx"] = (torch.rand(b, l, generator=random) < 0.3).cumsum(1).to(device)
    return x


def conv_results(backend, arguments):
    """y, conv_state and the gradient of every tensor that has one, for a loss that weighs every output differently."""
    floats = {name: x for name, x in arguments.items() if isinstance(x, torch.Tensor) and x.is_floating_point()}
    leaves = {name: x.detach().clone().requires_grad_() for name, x in floats.items()}
    y, conv_state = causal_conv1d(**(arguments | leaves), backend=backend)
    loss = 0
    for out in (y, conv_state):
        # Random, because a sum over evenly spaced weights would cancel in grad_bias.
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        loss = loss + (out * weights.to(out.device, out.dtype)).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return [y.detach(), conv_state.detach(), *grads]


def conv_distance(backend, options, **sizes):
    """The distance of a backend from naive with one set of options."""
    arguments = conv_inputs(options, **sizes)
    return distance(conv_results(backend, arguments), conv_results("naive", arguments))
