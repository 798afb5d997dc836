"""The Triton scan compiled, on a GPU: the full product of rows and lengths. `make gpu-test` runs it."""

import pytest
import torch
from agreement import TOLERANCE, results, row_distance

from mambaedu import backends, linear_scan
from mambaedu.lab.testing import LENGTHS, ROWS

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("row", ROWS)
def test_every_row_at_every_length(row, dtype):
    for l in LENGTHS:
        assert row_distance("triton", row, l, dtype=dtype, device="cuda", d=37) <= TOLERANCE[dtype], l


@pytest.mark.parametrize("l", [513, 1024, 1531, 8192])
def test_time_cut_into_segments(l):
    assert row_distance("triton", "with h0", l, device="cuda", b=1, d=5) <= 1e-12
    assert row_distance("triton", "with h0", l, dtype=torch.float32, device="cuda", b=1, d=5) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_keep_an_fp32_state(dtype):
    a = torch.full((1, 1000, 4), 1.0, dtype=dtype, device="cuda")
    h = linear_scan(a, torch.full_like(a, 0.01), backend="triton")
    assert h.dtype == torch.float32
    assert abs(h[0, -1, 0].item() / (1000 * torch.tensor(0.01, dtype=dtype).item()) - 1) < 1e-4


def test_the_same_bits_every_time():  # traps: S19, T3
    a = torch.rand(2, 3000, 70, device="cuda")
    b = torch.randn(2, 3000, 70, device="cuda")
    first = results("triton", a, b, None)
    for _ in range(3):
        assert all(torch.equal(x, y) for x, y in zip(first, results("triton", a, b, None), strict=True))


@pytest.mark.parametrize(("b", "d"), [(1, 65_537), (1, 100_003), (70_000, 2)])
def test_wide_and_many(b, d):  # traps: S14
    assert row_distance("triton", "plain", 3, dtype=torch.float32, device="cuda", b=b, d=d, n=1) <= 1e-5


@pytest.mark.usefixtures("whole_card")
def test_more_elements_than_an_int32_can_count():  # traps: S13
    b, l, d = 3, 32_768, 24_576  # 2.4e9 elements
    a = torch.full((1, 1, 1), 0.5, device="cuda").expand(b, l, d)
    x = torch.ones((1, 1, 1), device="cuda").expand(b, l, d)
    h = linear_scan(a.contiguous(), x.contiguous(), backend="triton")
    assert h.numel() > 2**31
    assert torch.equal(h[-1, -1], torch.full((d,), 2.0, device="cuda"))
    assert torch.equal(h[-1, 0], torch.ones(d, device="cuda"))


def test_explain_names_triton():
    assert backends.explain(torch.zeros(1, device="cuda")).startswith("triton: chosen")


def test_a_cpu_tensor_is_refused_with_the_reason():
    a = torch.zeros(1, 2, 3)
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET=1"):
        linear_scan(a, a, backend="triton")
