"""Which backend runs a scan, and why.

    naive    a loop in PyTorch: any device, any dtype, the definition of the answer
    numba    compiled loops on the CPU
    triton   one kernel on the GPU; on the CPU through Triton's interpreter, to learn and to test

`backend="auto"` chooses. A backend that you name yourself runs or raises, with the reason: it never falls back in silence.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from torch import Tensor

BACKENDS = ("naive", "numba", "triton")


def kernel_module(op: str, backend: str) -> ModuleType:
    """The module kernels/mambaedu_kernels/<op>_<backend>.py."""
    if importlib.util.find_spec("mambaedu_kernels") is None:
        # A bare clone: nothing is installed, and the kernels stand beside the package.
        folder = Path(__file__).parents[1] / "kernels"
        if not folder.is_dir():
            raise ModuleNotFoundError("the kernels are not here: install the package, or put the folder kernels/ back")
        sys.path.append(str(folder))
        importlib.invalidate_caches()
    return importlib.import_module(f"mambaedu_kernels.{op}_{backend}")


def _broken_import(package: str) -> str | None:
    """Why a package cannot be used, in one sentence, or None."""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed (pip install {package})"
    try:
        importlib.import_module(package)
    except Exception as error:  # numba raises ImportError for a numpy it does not know, and others raise otherwise
        numpy = importlib.import_module("numpy").__version__
        return f"{package} does not import beside numpy {numpy}: {error}"
    return None


def _no_kernels() -> str | None:
    if importlib.util.find_spec("mambaedu_kernels") is None and not (Path(__file__).parents[1] / "kernels").is_dir():
        return "the kernels are not here (the folder kernels/ is missing)"
    return None


def interpreting() -> bool:
    """True when this process runs Triton kernels in the interpreter. It is decided when triton is imported."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


def why_not(backend: str, u: Tensor) -> str | None:
    """Why a backend cannot run on this tensor, in one sentence; None when it can."""
    if backend == "naive":
        return None
    if backend == "numba":
        if u.device.type != "cpu":
            return f"u is on {u.device}, and numba runs on CPU tensors"
        return _no_kernels() or _broken_import("numba")
    if u.is_complex():
        return "u is complex, and the triton kernels are real"
    if sys.platform != "linux" and importlib.util.find_spec("triton") is None:
        return "Triton has no package for this system (Linux only)"
    reason = _no_kernels() or _broken_import("triton")
    if reason is not None:
        return reason
    if u.device.type == "cpu" and not interpreting():
        return (
            "u is a CPU tensor, and this process compiles Triton for the GPU; "
            "to interpret on the CPU, set TRITON_INTERPRET=1 before triton is imported"
        )
    if u.device.type == "cuda" and interpreting():
        return "u is on the GPU, and this process interprets Triton on the CPU (TRITON_INTERPRET=1 is set)"
    if u.device.type not in ("cpu", "cuda"):
        return f"u is on {u.device}, and triton runs on CUDA tensors"
    return None


def choose(backend: str, u: Tensor, also: Callable[[str], str | None] = lambda backend: None) -> str:
    """The backend to run: the one that was named, or the fastest that can.

    Args:
        backend: "auto", "naive", "numba" or "triton".
        u: the tensor that the scan reads.
        also: what else may stand against a backend: called with its name, it says why not, or None.

    Returns:
        "naive", "numba" or "triton".

    Raises:
        ValueError: a name that is none of these.
        RuntimeError: the named backend cannot run here, with the reason.
    """
    if backend == "auto":
        fast = "triton" if u.device.type == "cuda" else "numba"
        return fast if (why_not(fast, u) or also(fast)) is None else "naive"
    if backend not in BACKENDS:
        raise ValueError(f'backend must be "auto", "naive", "numba" or "triton", got {backend!r}')
    reason = why_not(backend, u) or also(backend)
    if reason is not None:
        raise RuntimeError(f"backend {backend!r} cannot run: {reason}")
    return backend


def explain(u: Tensor) -> str:
    """Say which backend `auto` takes for a tensor, and what stands against the others.

    Args:
        u: any tensor: its device and dtype decide.

    Returns:
        One line a backend, the chosen one first.

    >>> import torch
    >>> "naive" in explain(torch.zeros(1, 4, 2))
    True
    """
    chosen = choose("auto", u)
    lines = [f"{chosen}: chosen for a {u.dtype} tensor on {u.device}"]
    for backend in reversed(BACKENDS):
        if backend != chosen:
            reason = why_not(backend, u)
            lines.append(f"{backend}: {reason or f'can run, when you ask for it: backend={backend!r}'}")
    return "\n".join(lines)
