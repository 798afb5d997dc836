"""How many exponentials a GPU makes in a second, measured: the floor of a scan that has one for every state and step."""

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from .clock import clock

ROUND = 4  # exponentials of one number between two looks at the counter of the loop
BLOCK = 1024
FIXED_POINT = 0.6411857445  # the x with x = 2^-x, where iterating ends

tl: Any  # triton.language, once the kernel was made


@cache
def _kernel() -> Any:
    """The kernel, made when it is first wanted, so that the library can be imported where there is no Triton."""
    global tl  # the kernel looks for the language among the globals of this file
    import triton
    import triton.language as tl

    @triton.jit(do_not_specialize=["rounds"])
    def _iterate(x_ptr, out_ptr, rounds, ROUND: tl.constexpr, BLOCK: tl.constexpr):
        offs = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # (BLOCK)
        x = tl.load(x_ptr + offs)  # (BLOCK)
        for _ in range(0, rounds):
            for _ in tl.static_range(ROUND):
                x = tl.exp2(-x)
        tl.store(out_ptr + offs, x)

    return _iterate


def iterate(x: Tensor, rounds: int) -> Tensor:
    """x = 2^-x, ROUND times in each round; in registers. The numbers of x must fill blocks of BLOCK.

    Each result is the next argument, and the compiler does not know the number of rounds: there is nothing that it could leave out.
    """
    out = torch.empty_like(x)
    _kernel()[(x.numel() // BLOCK,)](x, out, rounds, ROUND=ROUND, BLOCK=BLOCK, num_warps=4)
    return out


def checked(blocks: int, rounds: int, device: str) -> Tensor:
    """The numbers that the rate is measured on, after a look at whether the kernel computes what it says.

    Raises:
        ArithmeticError: it does not.
    """
    x = torch.linspace(0, 1, blocks * BLOCK, device=device)
    truth = x.double()
    for _ in range(ROUND):
        truth = torch.exp2(-truth)
    # One round still depends on where each number started; many do not, and end at the fixed point.
    error = float((iterate(x, 1) - truth).abs().max())
    end_error = float((iterate(x, rounds) - FIXED_POINT).abs().max())
    if not (error < 1e-5 and end_error < 1e-5 and float(truth.max() - truth.min()) > 1e-4):
        raise ArithmeticError(f"the kernel that makes exponentials is off by {error:.1e} and {end_error:.1e}")
    return x


def exponential_rate(device: str, repeats: int, blocks: int = 4096, rounds: int = 512) -> float:
    """Exponentials per second, fp32, from the difference of two runs, one with twice the rounds: launching costs them the same."""
    x = checked(blocks, rounds, device)
    short, long = (clock(partial(iterate, x, many), repeats, device) for many in (rounds, 2 * rounds))
    return x.numel() * ROUND * rounds / (long - short)
