"""Compile what a call would launch, without a GPU: registers, spilled bytes, shuffles and layouts, as JSON.

Run as a program, with TRITON_INTERPRET unset: python tests/kernels/offline.py <capability> <shape> ...
where capability is 80 or 90, and a shape is b,l,d,n,dtype,groups.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from mambaedu_kernels import selective_scan_triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TYPES = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32", torch.int8: "*i8"}


class Recorder:
    """Stands in for a kernel: writes down each launch instead of making it."""

    def __init__(self, kernel, launches):
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid):
        return lambda *args, **options: self.launches.append((self.kernel, args, options))


def launches_of(b, l, d, n, dtype, groups):
    """What the forward and the backward of one call launch. Tensors are on the meta device: they have sizes and no memory."""
    found = []
    kernels = {name: getattr(selective_scan_triton, name) for name in ("_fwd", "_bwd", "_segment", "_carry")}
    dtype = getattr(torch, dtype)

    def new(*shape, dtype=dtype):
        return torch.empty(shape, dtype=dtype, device="meta")

    u, A, B, D = new(b, l, d), new(d, n, dtype=torch.float32), new(b, l, groups, n), new(d, dtype=torch.float32)
    try:
        for name, kernel in kernels.items():
            setattr(selective_scan_triton, name, Recorder(kernel, found))
        inputs = (u, u, A, B, B, D, u, D)
        _, _, kept = selective_scan_triton.selective_scan_fwd(*inputs, None, None, True, save=True, dtype=torch.float32)
        selective_scan_triton.selective_scan_fwd(*inputs, None, None, True, save=False, dtype=torch.float32)
        selective_scan_triton.selective_scan_bwd(kept, u, None, *inputs, None, True, dtype=torch.float32)
    finally:
        for name, kernel in kernels.items():
            setattr(selective_scan_triton, name, kernel)
    return found


def compiled(kernel, args, options, capability):
    """As the launch would specialise it: 1 and None are constants, what 16 divides is known to be so."""
    values = dict(zip(kernel.arg_names, args, strict=False)) | {
        k: v for k, v in options.items() if k in kernel.arg_names
    }
    fixed = set(kernel.do_not_specialize or ())
    constants = {p.name for p in kernel.params if p.is_constexpr}
    signature, constexprs, attributes = {}, {}, {}
    for i, name in enumerate(kernel.arg_names):
        value = values[name]
        if name in constants or value is None or (isinstance(value, int) and value == 1 and name not in fixed):
            signature[name], constexprs[name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[name], attributes[(i,)] = TYPES[value.dtype], [["tt.divisibility", 16]]
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            signature[name] = "i64" if value >= 2**31 else "i32"
            if value % 16 == 0 and name not in fixed:
                attributes[(i,)] = [["tt.divisibility", 16]]
    extra = {k: v for k, v in options.items() if k not in kernel.arg_names}
    source = ASTSource(kernel, signature, constexprs, attributes)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=extra), extra


def about(binary):
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        usage, code = (
            subprocess.run([tool, what, file.name], capture_output=True, text=True, check=True).stdout
            for what in ("--dump-resource-usage", "-sass")
        )
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    layouts = re.findall(
        r"sizePerThread = (\[[\d, ]+\]), threadsPerWarp = (\[[\d, ]+\]).*?order = (\[[\d, ]+\])", binary.asm["ttgir"]
    )
    return dict(registers=int(registers), stack=int(stack), shuffles=code.count("SHFL"), exps=code.count("MUFU.EX2"),
                layouts=sorted(set(" ".join(layout) for layout in layouts)))  # fmt: skip


def main():
    capability, seen = int(sys.argv[1]), {}
    for shape in sys.argv[2:]:
        b, l, d, n, dtype, groups = shape.split(",")
        for kernel, args, options in launches_of(int(b), int(l), int(d), int(n), dtype, int(groups)):
            name = kernel.fn.__name__
            flags = {k: v for k, v in options.items() if k in ("SAVE", "SPLIT", "REVERSE", "BLOCK_D", "T", "EVEN")}  # fmt: skip
            key = (name, dtype, tuple(map(str, flags.items())), n, groups)
            if key in seen:
                continue
            binary, extra = compiled(kernel, args, options, capability)
            seen[key] = dict(kernel=name, shape=shape, capability=capability, most=extra.get("maxnreg", 255)) | flags | about(binary)  # fmt: skip
    print(json.dumps(list(seen.values())))


if __name__ == "__main__":
    main()
