"""The Triton convolution compiled, on a GPU: the full product of options and lengths. `make gpu-test` runs it."""

import pytest
import torch
from agreement import TOLERANCE
from conv_agreement import OPTIONS, conv_distance, conv_inputs, conv_results

from mambaedu import causal_conv1d, causal_conv1d_step
from mambaedu.lab.testing import LENGTHS

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_at_every_length(options, dtype):
    for l in (*LENGTHS, 513, 1531):
        assert conv_distance("triton", options, l=l, d=37, dtype=dtype, device="cuda") <= TOLERANCE[dtype], l


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 11, 16])
def test_every_k(k):
    dtype = torch.float64 if k <= 7 else torch.float32  # fp64 with many weights takes minutes to compile
    for l in (1, 9, 150):
        assert conv_distance("triton", "all", l=l, k=k, d=37, dtype=dtype, device="cuda") <= TOLERANCE[dtype], l


@pytest.mark.parametrize("d", [1, 31, 32, 33, 64, 127, 128, 129, 256, 300])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_last_block_that_is_not_full(d, dtype):
    assert conv_distance("triton", "all", l=70, d=d, dtype=dtype, device="cuda") <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", OPTIONS)
def test_half_inputs_are_computed_in_fp32(options, dtype):  # traps: S10, S12
    """No farther from fp64 than twice as far as the naive version, which rounds as often."""
    x = conv_inputs(options, l=200, d=70, dtype=dtype, device="cuda")
    exact = {name: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for name, v in x.items()}
    got, naive, expected = (conv_results(*call) for call in (("triton", x), ("naive", x), ("naive", exact)))
    for g, n, e in zip(got, naive, expected, strict=True):
        assert g.dtype == dtype
        assert (g.double() - e).abs().max() <= 2 * (n.double() - e).abs().max() + 1e-6 * e.abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_steps_are_the_convolution(dtype):  # traps: C4
    x = conv_inputs("state", b=3, l=20, d=300, dtype=dtype, device="cuda")
    whole, last = causal_conv1d(**x, activation="silu", backend="triton")

    def loop():
        conv_state, outputs = x["conv_state"], []
        for t in range(20):
            conv_state, y_t = causal_conv1d_step(
                conv_state, x["u"][:, t], x["weight"], x["bias"], activation="silu", backend="triton"
            )
            outputs.append(y_t)
        return torch.stack(outputs, dim=1), conv_state

    (y, conv_state), (again, _) = loop(), loop()
    assert torch.equal(conv_state, last)
    assert torch.equal(y, again)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2**-8}[dtype]
    assert (y - whole).abs().max() <= tolerance * whole.abs().max()


def test_the_same_bits_every_time():  # traps: S19, T3
    x = conv_inputs("all", l=3000, d=70, dtype=torch.float32, device="cuda")
    first = conv_results("triton", x)
    for _ in range(3):
        assert all(torch.equal(got, e) for got, e in zip(conv_results("triton", x), first, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_number_stays_in_its_channel_and_its_k_steps(bad):
    x = conv_inputs("plain", l=300, d=40, device="cuda")
    x["u"][0, 130, 1] = bad
    expected = torch.ones(2, 300, 40, dtype=torch.bool, device="cuda")
    expected[0, 130:134, 1] = False
    y, _ = causal_conv1d(**x, backend="triton")
    assert torch.equal(y.isfinite(), expected)


@pytest.mark.parametrize(("b", "d"), [(1, 65_537), (1, 3_000_001), (70_000, 2)])
def test_wide_and_many(b, d):  # traps: S14
    assert conv_distance("triton", "all", b=b, l=5, d=d, dtype=torch.float32, device="cuda") <= 1e-4


@pytest.mark.usefixtures("whole_card")
def test_more_elements_than_an_int32_can_count():  # traps: S13
    b, l, d = 3, 32_768, 24_576  # 2.4e9 elements
    u = torch.ones(b, l, d, dtype=torch.bfloat16, device="cuda").requires_grad_()
    weight = torch.tensor([[1.0, 2.0, 4.0, 8.0]], device="cuda").expand(d, 4)
    y, _ = causal_conv1d(u, weight, backend="triton")
    assert y.numel() > 2**31
    for t, sum_of_weights in ((0, 8), (1, 12), (l - 1, 15)):
        assert (y[-1, t] == sum_of_weights).all()
    (grad_u,) = torch.autograd.grad(y, u, torch.ones_like(y))
    for t, sum_of_weights in ((0, 15), (l - 2, 12), (l - 1, 8)):
        assert (grad_u[-1, t] == sum_of_weights).all()
