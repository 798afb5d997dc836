"""The Triton selective scan compiled, on a GPU: the full product of rows, options and lengths. `make gpu-test` runs it."""

import pytest
import torch
from agreement import TOLERANCE, distance, selective_distances, selective_results, selective_row_distance

from mambaedu import backends, selective_scan, selective_scan_step
from mambaedu.lab.testing import LENGTHS, OPTIONS, ROWS, selective_inputs

pytestmark = pytest.mark.gpu


def on_gpu(arguments):
    return {name: value.cuda() if isinstance(value, torch.Tensor) else value for name, value in arguments.items()}


def from_naive(arguments):
    """The largest distance of triton from naive."""
    got, expected = (selective_results(which, arguments) for which in ("triton", "naive"))
    return max(selective_distances(got, expected).values())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("row", ROWS)
def test_every_row_with_every_option_at_every_length(row, options, dtype):
    for l in LENGTHS:
        assert (
            selective_row_distance("triton", row, options, l, dtype=dtype, device="cuda", d=37) <= TOLERANCE[dtype]
        ), l


@pytest.mark.parametrize("through", [("y",), ("h_last",)])
def test_a_loss_may_use_one_output_only(through):  # traps: S3
    for options in ("full, h0", "packed, full, h0"):
        assert selective_row_distance("triton", "plain", options, 70, device="cuda", d=37, through=through) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", ["bare", "full, h0", "groups", "fixed B and C", "packed, full, h0"])
def test_half_inputs_are_as_good_as_the_naive_version_makes_them(options, dtype):  # traps: S12, T4
    for l in (1, 17, 129):
        x = on_gpu(selective_inputs("plain", options, l=l, d=37, n=16, dtype=dtype))
        wide = {name: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for name, v in x.items()}  # fmt: skip
        truth = selective_results("naive", wide)
        got, naive = selective_results("triton", x), selective_results("naive", x)
        for name, expected in truth.items():
            assert got[name].dtype == naive[name].dtype, name
            error, allowed = ((r[name].double() - expected).abs().max() for r in (got, naive))
            assert error <= 2 * allowed + 1e-6 * expected.abs().max(), (name, l)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_state_would_stop(dtype):  # traps: S10
    one = torch.ones(1, 1000, 1, dtype=dtype, device="cuda")
    u = torch.full_like(one, 0.01)
    y, h_last = selective_scan(u, one, torch.zeros(1, 1, device="cuda"), one, one, backend="triton")
    assert h_last.dtype == torch.float32
    assert abs(h_last.item() / (1000 * u[0, 0, 0].item()) - 1) < 1e-5
    assert y[0, -1, 0] == h_last.to(dtype).item()


def test_activations_in_bf16_and_parameters_in_fp32_under_autocast():
    x = selective_inputs("plain", "full, h0", l=70, d=37, n=16, dtype=torch.float32)
    x = on_gpu(x | {name: x[name].bfloat16() for name in ("u", "delta", "z", "B", "C")})
    expected = selective_results("triton", x)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        got = selective_results("triton", x)
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert got["y"].dtype == got["grad_B"].dtype == torch.bfloat16
    assert got["h_last"].dtype == got["grad_A"].dtype == torch.float32


@pytest.mark.parametrize("n", [1, 3, 16, 17, 64, 128, 256])
def test_any_number_of_states(n):  # traps: S15
    dtype = torch.float64 if n <= 17 else torch.float32  # fp64 with many states takes minutes to compile
    for options in ("full, h0", "groups", "fixed B and C"):
        for l in (3, 65):
            error = selective_row_distance("triton", "plain", options, l, dtype=dtype, device="cuda", d=34, n=n)
            assert error <= TOLERANCE[dtype], (options, l)
    x = on_gpu(selective_inputs("plain", "packed, full, h0", l=33, d=70, n=n, dtype=torch.float32))
    assert from_naive(x) <= 1e-5


@pytest.mark.parametrize("options", ["full, h0", "groups", "fixed B and C", "packed, full, h0", "packed, groups"])
@pytest.mark.parametrize("l", [513, 1024, 1531])
def test_time_cut_into_segments(l, options):  # traps: S21, where packed: sequences lie across the cuts
    assert selective_row_distance("triton", "plain", options, l, device="cuda", b=1, d=6, n=4) <= 1e-12
    for dtype in (torch.float32, torch.float64):
        x = on_gpu(selective_inputs("plain", options, b=1, l=l, d=6, n=4, dtype=dtype))
        if "seq_idx" in x:  # a sequence that is longer than several segments
            x["seq_idx"] = (torch.arange(l, device="cuda") > 400).long()[None] * 3
        assert from_naive(x) <= TOLERANCE[dtype]


def test_with_so_many_programs_that_time_is_not_cut():
    for dtype in (torch.float64, torch.float32):
        x = on_gpu(selective_inputs("plain", "packed, full, h0", b=16, l=130, d=4100, n=2, dtype=dtype))
        assert from_naive(x) <= TOLERANCE[dtype]


@pytest.mark.parametrize("raw", [(-20, -14), (-14, -2), (-2, 2), (2, 20), (20, 40)])
def test_softplus_is_accurate_in_each_element(raw):  # traps: T8
    d = 4096
    delta = torch.linspace(*raw, d, device="cuda").reshape(1, 1, d)  # (b l d)
    one, A, B = torch.ones_like(delta), torch.zeros(d, 1, device="cuda"), torch.ones(1, 1, 1, device="cuda")
    x = {"u": one, "delta": delta, "A": A, "B": B, "C": B, "delta_softplus": True}
    got = selective_results("triton", x, through=("y",), weights={"y": one})
    for name, expected in (
        ("h_last", torch.nn.functional.softplus(delta.double(), threshold=50).reshape(1, d, 1)),
        ("grad_delta", torch.sigmoid(delta.double())),
    ):
        assert ((got[name].double() - expected) / expected).abs().max() < 2e-6, name


@pytest.mark.parametrize(("l", "d", "n"), [(3000, 70, 16), (300, 5000, 16), (257, 129, 64)])
def test_the_same_bits_every_time(l, d, n):  # traps: S19, T3
    x = on_gpu(selective_inputs("plain", "packed, full, h0", l=l, d=d, n=n, dtype=torch.float32))
    first = selective_results("triton", x)
    for _ in range(3):
        again = selective_results("triton", x)
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(("b", "d"), [(1, 65_537), (1, 100_003), (70_000, 2)])
def test_wide_and_many(b, d):  # traps: S14
    x = on_gpu(selective_inputs("plain", "full, h0", b=b, l=3, d=d, n=2, dtype=torch.float32))
    assert from_naive(x) <= 1e-5
    h = x["h0"]
    u_t, delta_t, B_t, C_t, z_t = (x[name][:, 0] for name in ("u", "delta", "B", "C", "z"))
    rest = {"z_t": z_t, "delta_bias": x["delta_bias"], "delta_softplus": True}
    got, expected = (
        selective_scan_step(h, u_t, delta_t, x["A"], B_t, C_t, x["D"], **rest, backend=which)
        for which in ("triton", "naive")
    )
    assert distance(got, expected) <= 1e-5


@pytest.mark.usefixtures("whole_card")
def test_more_elements_than_an_int32_can_count():  # traps: S13
    """2.2e9 elements in bf16, forward and backward: u, delta, grad_y, y, grad_u and grad_delta are 4.4 GB each."""
    b, l, d, n = 1, 2100, 2**20 + 5, 1
    part = slice(d - 100, d)  # the last channels lie past 2^31
    random = torch.Generator("cuda").manual_seed(0)
    u = torch.empty(b, l, d, dtype=torch.bfloat16, device="cuda").normal_(generator=random)
    delta = torch.empty_like(u).uniform_(0.01, 0.1, generator=random)
    assert u.numel() > 2**31
    A = -torch.ones(d, n, device="cuda")
    B, C = (torch.randn(b, l, n, device="cuda", generator=random) for _ in range(2))
    small = {"u": u[:, :, part].clone(), "delta": delta[:, :, part].clone(), "A": A[part], "B": B, "C": C}
    expected = selective_results("naive", {name: value.float() for name, value in small.items()}, through=("y",), weights={"y": torch.ones(b, l, 100, device="cuda")})  # fmt: skip
    u.requires_grad_()
    y, h_last = selective_scan(u, delta, A, B, C, backend="triton")
    got_y, got_h = y.detach()[:, :, part].float(), h_last.detach()[:, part]
    (grad_u,) = torch.autograd.grad(y, u, torch.ones_like(y))
    # y and grad_u are rounded to the eight bits of bf16.
    assert distance([got_y], [expected["y"]]) <= 2.0**-7
    assert distance([got_h], [expected["h_last"]]) <= 1e-5
    assert distance([grad_u[:, :, part].float()], [expected["grad_u"]]) <= 2.0**-7


@pytest.mark.parametrize("options", ["full, h0", "groups"])
def test_steps_are_the_forward(options):  # traps: C4
    x = on_gpu(selective_inputs("plain", options, l=9, d=74, n=16, dtype=torch.float32))
    y, h_last = selective_scan(**x, backend="triton")
    h = x.get("h0", torch.zeros(2, 74, 16, device="cuda"))
    outputs = []
    for t in range(9):
        u_t, delta_t, B_t, C_t, z_t = (x[name][:, t] for name in ("u", "delta", "B", "C", "z"))
        rest = {"z_t": z_t, "delta_bias": x["delta_bias"], "delta_softplus": True}
        h, y_t = selective_scan_step(h, u_t, delta_t, x["A"], B_t, C_t, x["D"], **rest, backend="triton")
        outputs.append(y_t)
    assert distance([torch.stack(outputs, 1), h], [y, h_last]) <= 1e-5


@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
@pytest.mark.filterwarnings("ignore")  # the compiler has much to say, of itself and of the card
def test_compiled_by_torch_it_gives_the_same(compiler):  # traps: M13
    x = on_gpu(selective_inputs("plain", "packed, full, h0", l=70, d=37, dtype=torch.float32))

    def model(u):
        return selective_scan(**(x | {"u": torch.tanh(u)}), backend="triton")[0] * 2

    u = x["u"].clone().requires_grad_()
    got, expected = torch.compile(model, backend=compiler)(u), model(u)
    assert distance([got.detach()], [expected.detach()]) <= 1e-5
    grads = [torch.autograd.grad(out.square().sum(), u) for out in (got, expected)]
    assert distance(*grads) <= 1e-5


def test_odd_layouts():  # traps: S16
    x = on_gpu(selective_inputs("plain", "full, h0", l=70, d=37, n=5))
    odd = {name: v.transpose(0, -1).contiguous().transpose(0, -1) if isinstance(v, torch.Tensor) else v for name, v in x.items()}  # fmt: skip
    assert not odd["u"].is_contiguous()
    got, expected = selective_results("triton", odd), selective_results("triton", x)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_auto_takes_triton():
    x = on_gpu(selective_inputs("plain", "full, h0", l=5))
    assert backends.choose("auto", x["u"]) == "triton"
    got, expected = selective_results("auto", x), selective_results("triton", x)
    assert all(torch.equal(got[name], expected[name]) for name in expected)
