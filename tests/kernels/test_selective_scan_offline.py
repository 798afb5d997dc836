"""The Triton scan compiled without a GPU, for two generations of them: what no interpreter shows, registers, spills, shuffles, layouts.

A new Triton may lay a tile out otherwise and say nothing; a lane would then hold several channels, and a kernel be several times slower.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHAPES = (
    "8,2048,2048,16,bfloat16,1",  # half as many channels to a program
    "64,512,1536,16,float32,1",  # time in one piece
    "1,65536,2048,16,bfloat16,1",  # time cut into segments
    "8,2048,2048,64,bfloat16,1",  # n over four lanes
)


@pytest.fixture(scope="module", params=(80, 90), ids=("sm_80", "sm_90"))
def compiled(request):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    command = [sys.executable, str(ROOT / "tests" / "kernels" / "offline.py"), str(request.param), *SHAPES]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def of(compiled, kernel, **flags):
    found = [c for c in compiled if c["kernel"] == kernel and all(c[k] == v for k, v in flags.items())]
    assert found, f"no {kernel} with {flags} was compiled"
    return found


pytestmark = pytest.mark.slow  # half a minute for each generation


def test_every_plan_is_compiled(compiled):
    assert {(c["T"], c["BLOCK_D"]) for c in of(compiled, "_fwd")} == {(16, 16), (8, 32), (4, 8)}
    assert {c["SPLIT"] for c in of(compiled, "_fwd")} == {True, False}
    assert len(of(compiled, "_segment", REVERSE=True)) >= 1 <= len(of(compiled, "_segment", REVERSE=False))


def test_registers_stay_under_their_step(compiled):
    for c in compiled:
        assert c["registers"] <= c["most"], c
    # Three warps of the forward run on a scheduler of 16,384 registers, four of the sweep over a segment.
    assert all(c["registers"] <= 168 for c in of(compiled, "_fwd", BLOCK_D=32))
    assert all(c["registers"] <= 128 for c in of(compiled, "_segment", BLOCK_D=32))


def test_hardly_anything_spills(compiled):
    """Bytes of stack for each lane. The plan was measured on sm_90; sm_80 gets the same, and may spill a little more."""
    for c in compiled:
        most = {80: 160, 90: 96 if c.get("SAVE") else 64}[c["capability"]]
        if c["BLOCK_D"] == 8:  # n = 64 fills the registers of the backward, which is slower for it
            most = 256
        assert c["stack"] <= most, c


def test_a_lane_owns_a_channel(compiled):
    """axis 0 on 32 lanes, axis 1 in registers; so the forward's sum over n shuffles nothing."""
    for c in compiled:
        if c["BLOCK_D"] == 32:
            assert "[1, 1] [32, 1] [0, 1]" in c["layouts"], c
            assert c["kernel"] == "_bwd" or c["shuffles"] == 0, c
        if c["BLOCK_D"] == 16:
            assert "[1, 1] [16, 2] [0, 1]" in c["layouts"], c


def test_the_butterfly_halves_what_it_sends(compiled):
    """grad_B and grad_C, in each of 4 steps: 8 + 4 + 2 + 1 states to send, and one more for the last bit; plain sums would send 5 times 16."""
    for c in of(compiled, "_bwd", BLOCK_D=32):
        assert c["shuffles"] == 2 * c["T"] * (8 + 4 + 2 + 1 + 1), c


def test_no_more_exponentials_than_the_equation_has(compiled):
    """exp(delta A): one for each of T steps and n states; and one in each softplus and each gate."""
    for c in of(compiled, "_fwd", BLOCK_D=32):
        assert c["exps"] == c["T"] * 16 + 2 * c["T"], c
