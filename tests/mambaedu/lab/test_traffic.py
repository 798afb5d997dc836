"""Every element that a kernel moves is counted once, and what cannot be counted is refused."""

import os
import subprocess
import sys

import pytest
import torch
import triton
import triton.language as tl
import triton.runtime.interpreter as interpreter

from mambaedu import backends, linear_scan
from mambaedu.backends import kernel_module
from mambaedu.lab import traffic
from mambaedu.lab.testing import linear_inputs
from mambaedu.lab.traffic import count, counting


@triton.jit
def copy_kernel(u_ptr, y_ptr, l, MASKED: tl.constexpr, BLOCK: tl.constexpr):
    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # (BLOCK)
    if MASKED:
        tl.store(y_ptr + offs, tl.load(u_ptr + offs, mask=offs < l), mask=offs < l)
    else:
        tl.store(y_ptr + offs, tl.load(u_ptr + offs))


@triton.jit
def scalar_kernel(u_ptr, y_ptr, l):
    total = 0.0
    for t in range(l):
        total += tl.load(u_ptr + t)
    tl.store(y_ptr, total)


@triton.jit
def block_pointer_kernel(u_ptr, y_ptr, l, d, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr):
    start = tl.program_id(0) * BLOCK_L
    u = tl.make_block_ptr(u_ptr, (l, d), (d, 1), (start, 0), (BLOCK_L, BLOCK_D), (1, 0))
    y = tl.make_block_ptr(y_ptr, (l, d), (d, 1), (start, 0), (BLOCK_L, BLOCK_D), (1, 0))
    tl.store(y, tl.load(u, boundary_check=(0, 1)), boundary_check=(0, 1))


@triton.jit
def descriptor_kernel(u_ptr, y_ptr, l, d, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr):
    start = tl.program_id(0) * BLOCK_L
    u = tl.make_tensor_descriptor(u_ptr, (l, d), (d, 1), (BLOCK_L, BLOCK_D))
    y = tl.make_tensor_descriptor(y_ptr, (l, d), (d, 1), (BLOCK_L, BLOCK_D))
    y.store([start, 0], u.load([start, 0]))


@triton.jit
def gather_kernel(u_ptr, index_ptr, y_ptr, l, BLOCK: tl.constexpr):
    offs = tl.arange(0, BLOCK)  # (BLOCK)
    index = tl.load(index_ptr + offs, mask=offs < l, other=0)
    tl.store(y_ptr + offs, tl.load(u_ptr + index, mask=offs < l), mask=offs < l)


@triton.jit
def two_sources_kernel(u_ptr, v_ptr, y_ptr, BLOCK: tl.constexpr):
    """One load whose pointers lead into two tensors."""
    offs = tl.arange(0, BLOCK)  # (BLOCK)
    tl.store(y_ptr + offs, tl.load(tl.where(offs < 3, u_ptr + offs, v_ptr + offs)))


@triton.jit
def atomic_add_kernel(u_ptr, y_ptr, l, BLOCK: tl.constexpr):
    offs = tl.arange(0, BLOCK)  # (BLOCK)
    tl.atomic_add(y_ptr + offs * 0, tl.load(u_ptr + offs, mask=offs < l), mask=offs < l)


@triton.jit
def atomic_cas_kernel(y_ptr):
    tl.atomic_cas(y_ptr, 0, 7)


def vector(l):
    return torch.arange(l, dtype=torch.float32)


def moved(counted):
    return counted.loads, counted.stores


# ---- what is counted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("l", [1, 5, 16, 17])
def test_a_masked_copy_moves_each_element_once(l):
    u, y = vector(l), torch.full((l,), -1.0)
    counted = count(copy_kernel, (triton.cdiv(l, 8),), u, y, l, MASKED=True, BLOCK=8)
    assert torch.equal(y, u)
    assert moved(counted) == (l, l)
    assert counted.by_pointer == {"u_ptr": (l, 0), "y_ptr": (0, l)}


def test_without_a_mask_the_whole_block_is_moved():
    u, y = vector(16), torch.empty(16)
    counted = count(copy_kernel, (2,), u, y, 13, MASKED=False, BLOCK=8)
    assert moved(counted) == (16, 16)
    assert torch.equal(y, u)


def test_scalar_loads():
    u, y = vector(9), torch.empty(1)
    assert moved(count(scalar_kernel, (1,), u, y, 9)) == (9, 1)
    assert y.item() == 36


@pytest.mark.filterwarnings("ignore:tl.make_block_ptr is deprecated:UserWarning")
@pytest.mark.parametrize("kernel", [block_pointer_kernel, descriptor_kernel])
def test_what_lies_outside_a_block_pointer_or_a_descriptor_is_not_moved(kernel):
    l, d = 5, 4
    u, y = vector(l * d).reshape(l, d), torch.full((l, d), -1.0)
    # Two programs of 4 steps and 8 columns: 64 places for 20 elements.
    counted = count(kernel, (2,), u, y, l, d, BLOCK_L=4, BLOCK_D=8)
    assert torch.equal(y, u)
    assert moved(counted) == (20, 20)
    assert counted.by_pointer == {"u_ptr": (20, 0), "y_ptr": (0, 20)}


def test_a_gather_counts_the_element_again_each_time():
    u, y = vector(10), torch.empty(6)
    counted = count(gather_kernel, (1,), u, torch.tensor([9, 9, 9, 0, 1, 9]), y, 6, BLOCK=8)
    assert y.tolist() == [9, 9, 9, 0, 1, 9]
    assert counted.by_pointer == {"u_ptr": (6, 0), "index_ptr": (6, 0), "y_ptr": (0, 6)}
    assert moved(counted) == (12, 6)


def test_one_load_from_two_tensors_is_told_apart():
    counted = count(two_sources_kernel, (1,), vector(8), vector(8), torch.empty(8), BLOCK=8)
    assert counted.by_pointer == {"u_ptr": (3, 0), "v_ptr": (5, 0), "y_ptr": (0, 8)}


def test_an_atomic_is_a_load_and_a_store():
    u, y = vector(5), torch.zeros(1)
    counted = count(atomic_add_kernel, (1,), u, y, 5, BLOCK=8)
    assert y.item() == 10
    assert counted.by_pointer == {"u_ptr": (5, 0), "y_ptr": (5, 5)}
    assert moved(counted) == (10, 5)

    place = torch.zeros(1, dtype=torch.int32)
    counted = count(atomic_cas_kernel, (1,), place)
    assert place.item() == 7
    assert moved(counted) == (1, 1)
    assert counted.by_pointer == {"y_ptr": (1, 1)}


def test_a_slice_is_named_and_tensors_may_come_by_keyword():
    u, y = vector(20), torch.empty(5)
    counted = count(copy_kernel, (1,), u[7:12], y_ptr=y, l=5, MASKED=True, BLOCK=8)
    assert y.tolist() == [7, 8, 9, 10, 11]
    assert counted.by_pointer == {"u_ptr": (5, 0), "y_ptr": (0, 5)}


def test_counting_adds_up_several_kernels():
    u, y = vector(5), torch.empty(5)
    with counting({"u": u}) as counted:
        for _ in range(3):
            copy_kernel[(1,)](u, y, 5, MASKED=True, BLOCK=8)
    assert moved(counted) == (15, 15)
    assert counted.by_pointer == {"u": (15, 0)}


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_an_access_of_another_kind_is_refused_by_name(monkeypatch):
    """A Triton of tomorrow may send some accesses through a fifth function."""

    class Tomorrow:
        def __getattr__(self, name):
            return getattr(real, name)

        def prefetch(self, pointers):
            pass

    real = interpreter._interpreter
    monkeypatch.setattr(interpreter, "_interpreter", Tomorrow())
    with (
        counting(),
        pytest.raises(NotImplementedError, match=r"traffic cannot count triton's prefetch: it is not a load"),
    ):
        interpreter._interpreter.prefetch(None)


def test_the_private_module_is_where_it_was():
    """The pin: it fails when a new Triton moves the four functions, and traffic.py then needs to follow."""
    module = traffic._interpreter_module()
    assert module is interpreter
    assert {"load", "store", "atomic_rmw", "atomic_cas"} <= set(dir(module._interpreter))
    # Nothing else there is a function: all accesses to memory are these four.
    functions = [name for name in dir(module._interpreter) if not name.startswith("_")]
    functions = [
        name for name in functions if type(getattr(module._interpreter, name)).__name__ == "builtin_function_or_method"
    ]
    assert sorted(functions) == ["atomic_cas", "atomic_rmw", "load", "store"]


def test_a_moved_module_is_told_in_a_sentence(monkeypatch):
    class Moved:
        load = store = atomic_cas = None

    monkeypatch.setattr(interpreter, "_interpreter", Moved)
    with pytest.raises(
        RuntimeError,
        match=r"this Triton moved the interpreter's memory functions: triton\.runtime\.interpreter\._interpreter has no atomic_rmw$",
    ):
        count(scalar_kernel, (1,), vector(3), torch.empty(1), 3)
    monkeypatch.delattr(interpreter, "_interpreter")
    with pytest.raises(RuntimeError, match="has no load, store, atomic_rmw, atomic_cas"):
        count(scalar_kernel, (1,), vector(3), torch.empty(1), 3)


def test_without_triton_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton.runtime.interpreter", None)
    with pytest.raises(RuntimeError, match=r"counting traffic needs triton \(pip install triton, Linux only\)"):
        count(scalar_kernel, (1,), vector(3), torch.empty(1), 3)


def test_a_process_that_compiles_is_refused(monkeypatch):
    monkeypatch.setattr(backends, "interpreting", lambda: False)
    with pytest.raises(RuntimeError, match="set TRITON_INTERPRET=1 before triton is imported"):
        count(scalar_kernel, (1,), vector(3), torch.empty(1), 3)


def test_importing_the_counter_does_not_import_triton():
    """Else TRITON_INTERPRET=1 in a later line would come too late."""
    code = "import sys, mambaedu.lab.traffic; sys.exit('triton' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


# ---- afterwards -----------------------------------------------------------------------------------------------------


def test_the_module_is_put_back_after_a_count_and_after_an_error():
    real = interpreter._interpreter
    count(scalar_kernel, (1,), vector(3), torch.empty(1), 3)
    assert interpreter._interpreter is real
    try:
        with counting({"u": vector(3)}) as counted:
            scalar_kernel[(1,)](vector(3), torch.empty(1), 3)
            assert interpreter._interpreter is not real
            raise KeyError("an error in the block")
    except KeyError:
        pass
    else:
        pytest.fail("the error was swallowed")
    assert interpreter._interpreter is real
    assert moved(counted) == (3, 1)  # what was moved before the error
    assert counted.by_pointer == {"u": (0, 0)}


# ---- the linear scan ------------------------------------------------------------------------------------------------

SIZES = [(1, 16, 4), (2, 35, 3), (1, 7, 40)]  # (b, l, m): whole tiles; a tile cut short; more channels than one block


def scan_tensors(b, l, m):
    random = torch.Generator().manual_seed(0)
    a, x, grad_h = (torch.rand(b, l, m, generator=random) for _ in range(3))
    return a, x, torch.rand(b, m, generator=random), grad_h


@pytest.mark.parametrize(("b", "l", "m"), SIZES)
def test_the_linear_scan_keeps_its_state_out_of_memory(b, l, m):
    triton_scan = kernel_module("linear_scan", "triton")
    a, x, h0, _ = scan_tensors(b, l, m)
    with counting({"a": a, "b": x, "h0": h0}) as counted:
        h = triton_scan.linear_scan_fwd(a, x, h0, torch.float32)
    # a and b once, h0 once, h once: nothing is read twice.
    assert moved(counted) == (2 * b * l * m + b * m, b * l * m)
    assert counted.by_pointer == {"a": (b * l * m, 0), "b": (b * l * m, 0), "h0": (b * m, 0)}
    assert h.shape == (b, l, m)


@pytest.mark.parametrize(("b", "l", "m"), SIZES)
def test_the_backward_reads_each_tensor_once(b, l, m):
    triton_scan = kernel_module("linear_scan", "triton")
    a, x, h0, grad_h = scan_tensors(b, l, m)
    h = triton_scan.linear_scan_fwd(a, x, h0, torch.float32)
    with counting({"a": a, "h": h, "h0": h0, "grad_h": grad_h}) as counted:
        triton_scan.linear_scan_bwd(a, h0, h, grad_h, torch.float32)
    # a and grad_h; h one step earlier, which is h0 at the first step; and what enters from the right, zero.
    by_pointer = {"a": (b * l * m, 0), "h": (b * (l - 1) * m, 0), "h0": (b * m, 0), "grad_h": (b * l * m, 0)}
    assert counted.by_pointer == by_pointer
    # grad_a, grad_b, and grad_h0.
    assert moved(counted) == (3 * b * l * m + b * m, 2 * b * l * m + b * m)


@triton.jit
def walk_in_registers(a_ptr, b_ptr, h_ptr, h_last_ptr, l, N: tl.constexpr):
    """One channel of N modes. The state stays in the program; only the last one is written."""
    n = tl.arange(0, N)
    h = tl.load(h_ptr + n)
    for t in range(l):
        h = tl.load(a_ptr + n) * h + tl.load(b_ptr + t)
    tl.store(h_last_ptr + n, h)


@triton.jit
def walk_in_memory(a_ptr, b_ptr, h_ptr, h_last_ptr, l, N: tl.constexpr):
    """The same, but the state lies in memory, and each step fetches it and puts it back."""
    n = tl.arange(0, N)
    for t in range(l):
        h = tl.load(h_ptr + n)
        h = tl.load(a_ptr + n) * h + tl.load(b_ptr + t)
        tl.store(h_ptr + n, h)
    tl.store(h_last_ptr + n, tl.load(h_ptr + n))


def test_a_state_in_memory_moves_many_times_more_with_the_same_answer():
    l, n = 64, 16
    a, b = torch.linspace(0.5, 0.99, n), vector(l) / l
    results = []
    for kernel in (walk_in_registers, walk_in_memory):
        h, h_last = torch.zeros(n), torch.empty(n)
        counted = count(kernel, (1,), a, b, h, h_last, l, N=n)
        results.append((counted, h_last))
    (kept, answer), (spilled, same) = results
    assert torch.equal(answer, same)
    assert moved(kept) == (n + l * (n + 1), n)
    assert moved(spilled) == (l * (2 * n + 1) + n, l * n + n)
    assert kept.by_pointer["h_ptr"] == (n, 0)
    assert spilled.by_pointer["h_ptr"] == ((l + 1) * n, l * n)
    # What the state alone moves: sixteen numbers, or sixteen numbers a step, there and back.
    assert sum(spilled.by_pointer["h_ptr"]) > 100 * sum(kept.by_pointer["h_ptr"])
    assert spilled.stores > 60 * kept.stores


def test_a_count_of_the_public_scan_sees_its_kernel():
    """The public function makes tensors of its own: totals are still seen."""
    a, b, h0 = linear_inputs("with h0", l=5, dtype=torch.float32)  # (b l d n) = (2, 5, 3, 2)
    with counting() as counted:
        linear_scan(a, b, h0=h0, backend="triton")
    assert moved(counted) == (2 * 60 + 12, 60)
    assert counted.by_pointer == {}
