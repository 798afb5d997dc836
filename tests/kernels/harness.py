"""What the tests of the kernels share: memory that shows who forgot it, processes of their own, and kernels with one thing wrong."""

import importlib.util
import multiprocessing
import os
import subprocess
import sys
import types
from pathlib import Path

import numba
import numpy as np
import torch

from mambaedu import backends

KERNELS = Path(__file__).parents[2] / "kernels" / "mambaedu_kernels"


class NumPy:
    """numpy for the launching side of a Numba kernel, with an `empty` of ours. The compiled functions keep the real one."""

    def __init__(self, empty):
        self.empty = empty
        self.empty_like = lambda x: empty(x.shape, x.dtype)

    def __getattr__(self, name):
        return getattr(np, name)


def launched_with(numpy, module):
    """A copy of a kernel module whose plain Python functions see another `np`."""
    copy = types.ModuleType(module.__name__)
    vars(copy).update(vars(module), np=numpy)
    for name, value in vars(module).items():
        if isinstance(value, types.FunctionType) and value.__globals__ is vars(module):
            function = types.FunctionType(value.__code__, vars(copy), name, value.__defaults__, value.__closure__)
            function.__kwdefaults__ = value.__kwdefaults__
            setattr(copy, name, function)
    return copy


def give_numba_kernels(numpy, monkeypatch):
    original = backends.kernel_module

    def kernel_module(op, backend):
        module = original(op, backend)
        return launched_with(numpy, module) if backend == "numba" else module

    monkeypatch.setattr(backends, "kernel_module", kernel_module)


def poison_new_memory(monkeypatch):
    """Memory that nobody wrote is NaN, so that a kernel that forgets an element is seen."""  # traps: T7
    empty, empty_like = torch.empty, torch.empty_like

    def poison(x):
        return x.fill_(float("nan")) if x.is_floating_point() or x.is_complex() else x

    def np_empty(shape, dtype=np.float64):
        return np.full(shape, np.nan, dtype) if np.dtype(dtype).kind in "fc" else np.empty(shape, dtype)

    monkeypatch.setattr(torch, "empty", lambda *a, **k: poison(empty(*a, **k)))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: poison(empty_like(*a, **k)))
    give_numba_kernels(NumPy(np_empty), monkeypatch)


class Guards:
    """New memory of a kernel lies between two bands of 64 numbers, which must stay as they are."""

    VALUE = 12345.0

    def __init__(self, backend, monkeypatch):
        self.bands = []
        if backend == "numba":
            give_numba_kernels(NumPy(self.new), monkeypatch)
        else:
            plain = torch.empty  # Triton's interpreter makes tensors, too; the outputs are those with a dtype

            def empty(*shape, **kind):
                if "dtype" not in kind:
                    return plain(*shape, **kind)
                return self.new(shape[0] if len(shape) == 1 else shape, kind["dtype"])

            monkeypatch.setattr(torch, "empty", empty)
            monkeypatch.setattr(torch, "empty_like", lambda x: self.new(x.shape, x.dtype))

    def new(self, shape, dtype):
        size = int(np.prod(shape))
        if isinstance(dtype, torch.dtype):
            whole = torch.full((size + 128,), self.VALUE, dtype=dtype)
        elif np.dtype(dtype).kind in "fc":
            whole = np.full((size + 128,), self.VALUE, dtype)
        else:
            return np.empty(shape, dtype)
        self.bands.append((whole, size))
        return whole[64 : 64 + size].reshape(shape)

    def check(self, at_least):
        assert len(self.bands) >= at_least, "the kernel makes its memory in another way: nothing is guarded"
        for whole, size in self.bands:
            assert (whole[:64] == self.VALUE).all()
            assert (whole[64 + size :] == self.VALUE).all()


def run_python(code, **environment):
    """A Python process of its own that can import both packages."""
    path = os.pathsep.join(str(KERNELS.parents[i]) for i in (1, 0))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def in_a_forked_child(function):
    """What a function gives in a child that this process forks, after it has used its threads."""
    torch.set_num_threads(1)
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=lambda: queue.put(function()))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    return queue.get()


def finish(*processes):
    for process in processes:
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output


def use_wrong_kernel(op, backend, right, wrong, tmp_path, monkeypatch, *, interpret=False):
    """The kernel file with one piece of text replaced, for every call that follows. Returns its module.

    interpret: a Numba kernel runs as plain Python, see `interpreted`. Compiling takes seconds.
    """
    source = (KERNELS / f"{op}_{backend}.py").read_text(encoding="utf-8")
    assert source.count(right) == 1, f"what is to be broken is there {source.count(right)} times: {right}"
    source = source.replace(right, wrong)
    if interpret and backend == "numba":
        module = interpreted(f"wrong_{op}_{backend}", source)
    else:
        file = tmp_path / f"wrong_{op}_{backend}.py"
        file.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, file.stem, module)
        spec.loader.exec_module(module)
    monkeypatch.setattr(backends, "kernel_module", lambda op, which: module)
    poison_new_memory(monkeypatch)
    return module


def interpreted(name, source):
    """A Numba kernel file as plain Python, in fp64: `njit` does nothing, the stack is an array of NaN, and of an overload the fp64 side is taken."""
    module = types.ModuleType(name)

    def njit(*functions, **options):
        return functions[0] if functions else lambda function: function

    def overload(stub, **options):
        def decorate(choose):
            setattr(module, stub.__name__, lambda *x: choose(*(numba.types.float64 for _ in x))(*x))
            return choose

        return decorate

    def on_stack(like, size):
        return np.full(size, np.nan, type(like))

    vars(module).update(
        njit=njit, overload=overload, intrinsic=lambda generate: on_stack, carray=lambda memory, shape: memory.reshape(shape),
        config=numba.config, types=numba.types,
    )  # fmt: skip
    lines = source.splitlines()
    lines = ["" if line.startswith(("from numba", "import numba", "from llvmlite")) else line for line in lines]
    exec(compile("\n".join(lines), name, "exec"), vars(module))
    return module
