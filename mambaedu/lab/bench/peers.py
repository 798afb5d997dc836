"""Other people's selective scans on a CPU, and the two loops that one writes in plain PyTorch. All are called like `selective_scan`, and give y.

mambapy and transformers are optional: without them the bench says how to install them, and times the others.
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Scan = Callable[..., Tensor]


def step_size(delta: Tensor, delta_bias: Tensor | None) -> Tensor:
    """delta (b l d) as the scan uses it: with a bias comes softplus."""
    return delta if delta_bias is None else F.softplus(delta + delta_bias)


def gated(y: Tensor, u: Tensor, D: Tensor, z: Tensor | None) -> Tensor:
    """y (b l d) with the skip, and with the gate where there is one."""
    y = y + D * u  # (b l d)
    return y if z is None else y * F.silu(z)


def reference_loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None = None, delta_bias: Tensor | None = None) -> Tensor:  # fmt: skip
    """What the official package's reference does: exp(delta A) and delta B u of all steps are made first, (b l d n); then comes a loop.

    Slices of one tensor make the backward quadratic in l: the gradient of each is a tensor of the whole length.
    """
    delta = step_size(delta, delta_bias)  # (b l d)
    A_bar = torch.exp(delta[..., None] * A)  # (b l d n)
    B_bar_u = (delta * u)[..., None] * B[:, :, None]  # (b l d n)
    h = torch.zeros_like(A_bar[:, 0])  # (b d n)
    outputs = []
    for t in range(u.shape[1]):
        h = A_bar[:, t] * h + B_bar_u[:, t]  # (b d n)
        outputs.append(torch.einsum("bdn,bn->bd", h, C[:, t]))
    return gated(torch.stack(outputs, dim=1), u, D, z)


def unbind_loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None = None, delta_bias: Tensor | None = None) -> Tensor:  # fmt: skip
    """The fastest loop in plain PyTorch that we know: nothing (b l d n), `unbind` for slices whose gradients are cheap, one line a step."""
    delta = step_size(delta, delta_bias)  # (b l d)
    h = u.new_zeros(u.shape[0], *A.shape)  # (b d n)
    outputs = []
    steps = (x.unbind(1) for x in (delta[..., None], (delta * u)[..., None], B[:, :, None], C[..., None]))
    for delta_t, delta_u_t, B_t, C_t in zip(*steps, strict=True):
        h = torch.exp(delta_t * A) * h + delta_u_t * B_t  # (b d n)
        outputs.append(h @ C_t)  # (b d 1)
    return gated(torch.stack(outputs, dim=1)[..., 0], u, D, z)


def mambapy_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None = None, delta_bias: Tensor | None = None) -> Tensor:  # fmt: skip
    """mambapy's parallel scan, with what its block does before and after."""
    pscan = importlib.import_module("mambapy.pscan").pscan
    delta = step_size(delta, delta_bias)  # (b l d)
    A_bar = torch.exp(delta[..., None] * A)  # (b l d n)
    B_bar_u = delta[..., None] * B[:, :, None] * u[..., None]  # (b l d n)
    h = pscan(A_bar, B_bar_u)  # (b l d n)
    return gated((h @ C[..., None])[..., 0], u, D, z)


def transformers_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None = None, delta_bias: Tensor | None = None) -> Tensor:  # fmt: skip
    """What transformers runs without the official CUDA kernels: its "slow path". It has time last, and gets views of our tensors."""
    scan = importlib.import_module("transformers.models.mamba.modeling_mamba").mamba_selective_scan
    first = (x.transpose(1, 2) for x in (u, delta))  # (b d l)
    maps = (x.transpose(1, 2) for x in (B, C))  # (b n l)
    gate = None if z is None else z.transpose(1, 2)  # (b d l)
    y = scan(*first, A, *maps, D, gate, delta_bias, delta_softplus=delta_bias is not None)  # (b d l)
    return y.transpose(1, 2)


INSTALLED = {"mambapy": mambapy_scan, "transformers": transformers_scan}
QUADRATIC = ("reference loop", "transformers")  # in the backward, which takes minutes and is not timed
LOOPS: Mapping[str, Scan] = {"reference loop": reference_loop, "unbind loop": unbind_loop}


def find() -> tuple[dict[str, Scan], dict[str, str]]:
    """The peers that can run here; and, by name, the version of each package or why it is left out."""
    scans, about = dict(LOOPS), {}
    example = [torch.ones(1, 4, 2), torch.ones(1, 4, 2), -torch.ones(2, 3), torch.ones(1, 4, 3), torch.ones(1, 4, 3), torch.ones(2)]  # fmt: skip
    for package, scan in INSTALLED.items():
        try:
            scan(*example)
        except ModuleNotFoundError:
            about[package] = "not installed: pip install mambapy transformers"
        except Exception as error:  # another version of the package, which calls it otherwise
            about[package] = f"does not run as it did: {type(error).__name__}: {error}"[:200]
        else:
            scans[package], about[package] = scan, importlib.metadata.version(package)
    return scans, about
