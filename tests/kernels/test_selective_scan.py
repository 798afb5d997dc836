"""Numba and Triton against naive, on every row of the input table with every set of options; and wrong kernels, each of which must be caught."""

import os

import numpy as np
import pytest
import torch
from agreement import TOLERANCE, distance, selective_distances, selective_results, selective_row_distance
from harness import Guards, finish, in_a_forked_child, poison_new_memory, run_python, use_wrong_kernel

from mambaedu import backends, selective_scan, selective_scan_step
from mambaedu.lab.testing import LENGTHS, OPTIONS, ROWS, selective_inputs

# The interpreter computes with numpy, which warns where inf meets 0; the GPU does not.
pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow|divide by zero) encountered:RuntimeWarning")


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    poison_new_memory(monkeypatch)


@pytest.fixture
def short_segments(monkeypatch):
    """Time is cut every 32 steps, which an ordinary call does only where channels are few and time is long."""
    monkeypatch.setattr(backends.kernel_module("selective_scan", "triton"), "SHORTEST", 32)


# ---- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_numba_on_every_row_at_every_length(row, dtype):
    for l in LENGTHS:
        assert selective_row_distance("numba", row, "full, h0", l, dtype=dtype) <= TOLERANCE[dtype], l


@pytest.mark.parametrize("options", OPTIONS)
def test_numba_with_every_option(options):
    for l in (1, 2, 31, 32, 33, 65):
        assert selective_row_distance("numba", "plain", options, l, d=4) <= 1e-12, l


@pytest.mark.parametrize("row", ROWS)
def test_triton_on_every_row(row):
    for l in (1, 2, 17):
        assert selective_row_distance("triton", row, "full, h0", l, b=1, d=4) <= 1e-12, l


@pytest.mark.parametrize("options", OPTIONS)
def test_triton_with_every_option(options):
    assert selective_row_distance("triton", "plain", options, 9, d=4) <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "options"), [(torch.float64, "packed, full, h0"), (torch.float32, "full")])
def test_triton_at_every_length(dtype, options):
    for l in LENGTHS:
        assert selective_row_distance("triton", "plain", options, l, b=1, dtype=dtype) <= TOLERANCE[dtype], l


@pytest.mark.weekly
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_every_row_with_every_option(backend, row, options):
    for l in (1, 16, 33, 65) if backend == "triton" else LENGTHS:
        assert selective_row_distance(backend, row, options, l, b=1, d=4) <= 1e-12, l


@pytest.mark.parametrize("options", ["groups", "fixed B and C", "packed, full, h0"])
def test_triton_with_time_cut_into_segments(options, short_segments):
    assert selective_row_distance("triton", "plain", options, 65, b=1, d=2, n=3) <= 1e-12


@pytest.mark.parametrize("row", ["zero delta", "huge delta", "A = 0"])
def test_triton_segments_on_rows_that_forget_all_or_nothing(row, short_segments):
    assert selective_row_distance("triton", row, "full, h0", 70, b=1, d=2, n=1) <= 1e-12


@pytest.mark.parametrize("options", ["packed", "packed, full, h0"])
def test_a_nan_does_not_pass_a_cut_into_the_next_sequence(options, short_segments):  # traps: S21, N4
    """A NaN in delta makes the decay of its whole segment NaN, and 0 times NaN is NaN."""
    assert selective_row_distance("triton", "NaN in delta", options, 97, b=1, d=3, n=2) <= 1e-12


@pytest.mark.parametrize("row", ["NaN in u", "NaN in delta"])
def test_a_bad_number_does_not_cross_a_sequence_that_starts_in_its_segment(row, short_segments):  # traps: S21, N4
    assert selective_row_distance("triton", row, "packed", 40, b=1, d=2, n=1) <= 1e-12
    x = selective_inputs(row, "packed", b=1, l=40, d=2, n=1)
    assert x["seq_idx"][0, 20] != x["seq_idx"][0, 31]  # step 20 has the bad number, step 32 starts a segment
    assert selective_scan(**x, backend="triton")[0][0, 32:].isfinite().all()


@pytest.mark.parametrize("options", ["full, h0", "packed, groups"])
def test_triton_without_a_cut_over_several_chunks(options, monkeypatch):
    monkeypatch.setattr(backends.kernel_module("selective_scan", "triton"), "ENOUGH", 1)
    assert selective_row_distance("triton", "plain", options, 70, b=1, d=2) <= 1e-12


@pytest.mark.parametrize("d", [1, 31, 32, 33, 65])
def test_triton_with_a_last_block_that_is_not_full(d):
    assert selective_row_distance("triton", "plain", "full, h0", 5, b=1, d=d, n=1) <= 1e-12


@pytest.mark.parametrize("n", [17, 33, 64])
def test_triton_with_more_states_and_fewer_channels(n):
    assert selective_row_distance("triton", "plain", "packed, full, h0", 5, b=1, d=5, n=n) <= 1e-12


@pytest.mark.parametrize("count", [1, 2])
def test_triton_backward_in_several_launches(count, monkeypatch):
    """The partial sums of grad_B and grad_C over channels use their memory again in each launch."""
    monkeypatch.setattr(backends.kernel_module("selective_scan", "triton"), "AT_ONCE", count)
    for options in ("full", "groups"):
        assert selective_row_distance("triton", "plain", options, 5, b=1, d=66, n=2) <= 1e-12


@pytest.mark.parametrize("d", [1, 15, 16, 17, 21, 33, 130])
@pytest.mark.parametrize("options", ["full, h0", "groups", "fixed B and C"])
def test_numba_with_a_last_strip_that_is_not_full(d, options):
    for l in (5, 33):
        assert selective_row_distance("numba", "plain", options, l, d=d, n=3) <= 1e-12


@pytest.mark.parametrize("l", [2, 17, 65, 130])
@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_nothing_decays_past_the_end(backend, l):  # traps: S1
    """A tail padded before softplus would decay by softplus(0 + bias), here 4."""
    d = 1 if backend == "triton" and l > 17 else 3
    x = selective_inputs("plain", "full, h0", b=1, l=l, d=d)
    x["delta"] = x["delta"] + x["delta_bias"] - 4.0
    x["delta_bias"] = torch.full_like(x["delta_bias"], 4.0)
    got, expected = (selective_results(which, x) for which in (backend, "naive"))
    assert max(selective_distances(got, expected).values()) <= 1e-12


# ---- numbers that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("name", ["u", "delta"])
@pytest.mark.parametrize("backend", ["naive", "numba", "triton"])
def test_a_bad_number_stays_in_its_channel_and_after_its_step(backend, name, softplus, bad):  # traps: N4
    x = selective_inputs("plain", "full" if softplus else "D", l=9, d=4)
    x[name][0, 5, 2] = bad
    got = selective_results(backend, x, through=("y",))
    good = torch.ones(2, 9, 4, dtype=torch.bool)
    good[0, 5:, 2] = False
    assert torch.equal(got["y"].isfinite(), good)
    if torch.isnan(torch.tensor(bad)):
        assert torch.equal(got["h_last"].isnan().any(-1), ~good[:, -1])
    # Backward, it reaches what meets this channel, and nothing of another channel or sequence.
    good[0, :, 2] = False
    for grad in ("grad_u", "grad_delta", *(["grad_z"] if softplus else [])):
        assert got[grad][good].isfinite().all(), grad
    for grad in ("grad_A", "grad_D"):
        assert got[grad][[0, 1, 3]].isfinite().all(), grad
    assert got["grad_B"][1].isfinite().all()
    assert got["grad_C"][0, :5].isfinite().all()


@pytest.mark.parametrize("backend", ["naive", "numba", "triton"])
def test_exp_over_its_whole_range(backend):
    """h = exp(A) after one step of size 1 from h0 = 1: fp32's own limits, and a NaN of any payload."""
    payloads = torch.tensor([0x7FC00001, 0x7F800001, 0xFFC12345], dtype=torch.int64).to(torch.int32).view(torch.float32)
    log2 = torch.tensor([-1e30, -1e30, -200.0, -127.5, -126.6, -10.3, -0.5, 0.0, 0.5, 127.9, 1e30, 1e30])
    A = torch.cat([log2 * np.log(2.0), payloads])[:, None]  # (d 1)
    d = len(A)
    delta, zero = torch.ones(1, 1, d), torch.zeros(1, 1, 1)
    delta[..., [0, 11]] = 1e30  # and delta A is -inf or inf
    _, h_last = selective_scan(0 * delta, delta, A, zero, zero, h0=torch.ones(1, d, 1), backend=backend)
    got, expected = h_last.flatten().double(), torch.exp(A.flatten().double())
    assert got[-3:].isnan().all()
    assert not got[:-3].isnan().any()
    assert (got[:2] == 0).all()
    assert (got[2:5] - expected[2:5]).abs().max() <= 2.0**-126  # below the smallest normal number, 0 is near enough
    assert ((got[5:10] - expected[5:10]) / expected[5:10]).abs().max() < 1e-5
    assert torch.isposinf(got[10:12]).all()


# ---- bits and bytes -------------------------------------------------------------------------------------------------


def large(b=2, l=300, d=200, n=9, options="packed, full, h0"):
    """Arguments of the Numba kernels, with more work than one thread is started for."""
    x = selective_inputs("plain", options, b=b, l=l, d=d, n=n, dtype=torch.float32)
    reset = torch.zeros(b, l, dtype=torch.bool)
    reset[:, 1:] = x["seq_idx"][:, 1:] != x["seq_idx"][:, :-1]
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    inputs = [x[name].numpy() for name in names]
    inputs[3:5] = (m[:, :, None] for m in inputs[3:5])
    return inputs, x["h0"].numpy(), reset.numpy()


def test_the_same_bits_for_any_number_of_threads_and_every_time():  # traps: S19, N1
    module = backends.kernel_module("selective_scan", "numba")
    inputs, h0, reset = large()
    random = np.random.default_rng(0)
    grad_y, grad_h = random.random(inputs[0].shape, np.float32), random.random(h0.shape, np.float32)

    def everything(threads):
        y, h_last, kept = module.selective_scan_fwd(*inputs, h0, reset, True, save=True, threads=threads)
        return y, h_last, *module.selective_scan_bwd(kept, grad_y, grad_h, *inputs, reset, True, threads=threads)

    one = everything(1)
    assert all(np.isfinite(x).all() for x in one)
    for threads in (2, 5, None, None, None):
        assert all(np.array_equal(x, y) for x, y in zip(everything(threads), one, strict=True)), threads


def test_triton_gives_the_same_bits_every_time(short_segments):  # traps: S19
    x = selective_inputs("plain", "packed, full, h0", b=1, l=35, d=3)
    first = selective_results("triton", x)
    for _ in range(2):
        again = selective_results("triton", x)
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("options", ["packed, full, h0", "groups", "fixed B and C"])
@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_nothing_is_written_beside_the_outputs(backend, options, monkeypatch):
    x = selective_inputs("plain", options, b=1, l=17, d=6, n=3)
    expected = selective_results("naive", x)
    guards = Guards(backend, monkeypatch)
    got = selective_results(backend, x)
    guards.check(at_least=8)
    assert max(selective_distances(got, expected).values()) <= 1e-12


@pytest.mark.parametrize("backend", ["numba", "triton"])
def test_a_step_writes_nothing_beside_its_outputs(backend, monkeypatch):
    guards = Guards(backend, monkeypatch)
    one_step(backend)
    guards.check(at_least=2)


# ---- processes ------------------------------------------------------------------------------------------------------

CALL = """
import torch
from mambaedu import selective_scan
from mambaedu.lab.testing import selective_inputs
for options in ("packed, full, h0", "groups"):
    x = selective_inputs("plain", options, b=2, l=70, d=37, n=5, dtype=torch.float32)
    leaves = [v.requires_grad_() for v in x.values() if isinstance(v, torch.Tensor) and v.is_floating_point()]
    y, h_last = selective_scan(**x, backend="numba")
    grads = torch.autograd.grad(y.sum() + h_last.sum(), leaves)
    assert all(g.isfinite().all() for g in grads)
print("done")
"""


def a_large_scan():
    x = selective_inputs("plain", "full", b=2, l=300, d=200, n=9, dtype=torch.float32)
    x["u"].requires_grad_()
    y, _ = selective_scan(**x, backend="numba")
    (grad,) = torch.autograd.grad(y.sum(), x["u"])
    return float(y.detach().sum()), float(grad.sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_scan_after_its_parent_did():  # traps: N3
    assert a_large_scan() == in_a_forked_child(a_large_scan)


class Scans(torch.utils.data.Dataset):
    """Each item is a scan."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.tensor(a_large_scan())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_of_a_data_loader_can_scan():  # traps: N3
    torch.set_num_threads(1)
    expected = torch.tensor(a_large_scan())
    for item in torch.utils.data.DataLoader(Scans(), batch_size=None, num_workers=2):
        assert torch.equal(item, expected)


@pytest.mark.slow
def test_processes_that_start_cold_together(tmp_path):  # traps: N2
    finish(*(run_python(CALL, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)))
    finish(run_python(CALL, NUMBA_CACHE_DIR=str(tmp_path)))  # what they left can be read


@pytest.mark.slow
def test_no_index_leaves_its_array(tmp_path):  # traps: N6
    finish(run_python(CALL, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path)))


# ---- wrong kernels: one change each, and the check that must see it --------------------------------------------------


def on(row, options, l, **sizes):
    """A check: the distance from naive on one row with one set of options."""
    return lambda backend: selective_row_distance(backend, row, options, l, **({"b": 1, "d": 4} | sizes))


def with_constant(name, value, check):
    """A check, with a constant of the kernel file changed."""

    def changed(backend):
        module = backends.kernel_module("selective_scan", backend)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, value)
            return check(backend)

    return changed


def in_segments(options):
    return with_constant("SHORTEST", 32, on("plain", options, 40, d=2))


in_launches = with_constant("AT_ONCE", 1, on("plain", "full", 3, d=66))


def bias_of_four(backend):
    x = selective_inputs("plain", "full, h0", b=1, l=5, d=2)
    x["delta_bias"] = torch.full_like(x["delta_bias"], 4.0)
    return max(selective_distances(selective_results(backend, x), selective_results("naive", x)).values())


def nan_in_one_sequence(backend):
    x = selective_inputs("plain", "D", b=1, l=5, d=2)
    x["seq_idx"] = torch.tensor([[0, 0, 1, 1, 1]])
    x["u"][0, 1] = float("nan")
    return max(selective_distances(selective_results(backend, x), selective_results("naive", x)).values())


def one_step(backend):
    x = selective_inputs("plain", "groups", b=2, l=1, d=4)
    h = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u_t, delta_t, B_t, C_t, z_t = (x[name][:, 0] for name in ("u", "delta", "B", "C", "z"))
    rest = {"z_t": z_t, "delta_bias": x["delta_bias"], "delta_softplus": True}
    got, expected = (
        selective_scan_step(h, u_t, delta_t, x["A"], B_t, C_t, x["D"], **rest, backend=which)
        for which in (backend, "naive")
    )
    return distance(got, expected)


full, packed = on("plain", "full, h0", 17), on("plain", "packed, full, h0", 17)
two_sequences, grouped = on("plain", "full", 5, b=2), on("plain", "groups", 5)
fixed = on("plain", "fixed B and C", 5)

WRONG = {
    # The states, walked back by division: exp(-1000) is 0.  traps: S22
    "triton: h is walked back by division": (
        "h_before = states[i]\n",
        "h_before = (states[i + 1] - _column(delta_u, i, T)[:, None] * B) / tl.exp2(A2 * delta_i)\n",
        on("huge delta", "bare", 5),
    ),
    # traps: S1
    "triton: the tail is padded before softplus": (
        "delta = _softplus(raw) if SOFTPLUS else raw\n    return delta if EVEN else tl.where(mask, delta, 0.0)",
        "raw = raw if EVEN else tl.where(mask, raw, 0.0)\n    return _softplus(raw) if SOFTPLUS else raw",
        bias_of_four,
    ),
    # traps: S20
    "triton: channels take turns in the groups": ("group * in_group + offs, offs", "offs * groups + group, offs", grouped),
    # traps: S21
    "triton: a state is multiplied by zero, not replaced": (
        "h = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, h)\n            # [eq-selective-scan]",
        "h = h * tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, 1.0)\n            # [eq-selective-scan]",
        nan_in_one_sequence,
    ),
    "triton: backwards, sequences are not told apart": (
        "later = tl.where(_starts_anew(reset_ptr, row + i, t + i, t1), 0.0, later)",
        "later = later",
        packed,
    ),
    "triton: grad_A meets h_t in place of h_{t-1}": ("h_before = states[i]\n", "h_before = states[i + 1]\n", full),
    "triton: the last tile is dropped": ("for t in range(t0, t1, T):", "for t in range(t0, t1 - T + 1, T):", full),
    "triton: the decay meets the input": (
        "h = A_bar * h + _column(delta_u, i, T)[:, None] * B",
        "h = A_bar * (h + _column(delta_u, i, T)[:, None] * B)",
        full,
    ),
    "triton: a segment's end decays once more": (
        "h += _column(end, i, AHEAD)",
        "h += _column(decay, i, AHEAD) * _column(end, i, AHEAD)",
        in_segments("full, h0"),
    ),
    "triton: a sequence that starts in a segment is not seen by the next": (
        "self.segment).amax(2)",
        "self.segment).amin(2)",
        in_segments("packed, full, h0"),
    ),
    "triton: segments are joined forwards in the backward": ("k = n_segments - 1 - k", "k = k", in_segments("full, h0")),
    # 1 - exp(-delta) is the sigmoid of the raw step, and cancels: 1e-9 is left with seven digits.
    "triton: the sigmoid is 1 - exp(-delta)": (
        "grad_delta = grad_delta * _sigmoid(raw)",
        "grad_delta = grad_delta * (1.0 - tl.exp2(-delta * LOG2E))",
        on("tiny delta", "softplus", 5),
    ),
    "triton: grad_D forgets a sequence": ("grad_D.sum((0, 1))", "grad_D[0].sum(0)", two_sequences),
    "triton: the gradient of h_last is left out": ("HAS_GRAD_H=grad_h_last is not None", "HAS_GRAD_H=False", full),
    "triton: D skips the gate in grad_u": ("grad_u += D[:, None] * grad_y", "grad_u += D[:, None] * grad_out", full),
    "triton: a fixed B gets one step's gradient": ("grad_B_fixed += grad_B", "grad_B_fixed = grad_B", fixed),
    "triton: a launch forgets the sums of the one before": ("grad.add_(new)", "new", in_launches),
    "triton: a step takes turns in the groups": ("offs_d // (d // groups)", "offs_d % groups", one_step),
    # traps: S22
    "numba: h is walked back by division": (
        "grad_decay = grad_h_before * states[r, j, k]",
        "grad_decay = grad_h_before * ((states[r + 1, j, k] - drive[k] * B_k) / A_bar[r, j, k])",
        on("huge delta", "bare", 5),
    ),
    # traps: S20
    "numba: a strip meets the maps of another group": (
        "return group, group * in_group",
        "return groups - 1 - group, group * in_group",
        grouped,
    ),
    # traps: S21
    "numba: a state is multiplied by zero, not replaced": (" h[j, k] = zero", " h[j, k] *= zero", nan_in_one_sequence),
    "numba: backwards, sequences are not told apart": (" later[j, k] = zero", " later[j, k] += zero", packed),
    "numba: grad_A meets h_t in place of h_{t-1}": (
        "grad_decay = grad_h_before * states[r, j, k]",
        "grad_decay = grad_h_before * states[r + 1, j, k]",
        full,
    ),
    "numba: the last tile is dropped": (
        "for c in range(-1, (l + CHUNK - 1) // CHUNK):",
        "for c in range(-1, l // CHUNK):",
        on("plain", "full, h0", 33),
    ),
    # traps: T8
    "numba: the sigmoid is 1 - exp(-delta)": (
        "out[i] *= _sigmoid(x[i])",
        "out[i] *= 1 - math.exp(-_softplus(x[i]))",
        on("tiny delta", "softplus", 5),
    ),
    "numba: grad_D forgets a sequence": ("grad_D.sum(0)", "grad_D[0]", two_sequences),
    "numba: a strip forgets the sums of the one before": ("grad_B_t if first", "grad_B_t if True", on("plain", "full", 3, d=33)),
    "numba: the gradient of h_last is left out": (
        "_rows(grad_h_last[ib], d0, w, later[:n])",
        "_rows(0 * grad_h_last[ib], d0, w, later[:n])",
        full,
    ),
    # traps: T8
    "numba: softplus is log(1 + exp(x))": (
        "x[i] = _softplus(x[i])",
        "x[i] = math.log(1 + math.exp(x[i]))",
        on("tiny delta", "softplus", 5),
    ),
    "numba: a step decays what it writes": ("drive * B[ib, group, j]", "_exp2(step * A[d0 + k, j]) * drive * B[ib, group, j]", one_step),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_caught(name, tmp_path, monkeypatch):
    right, wrong, check = WRONG[name]
    backend = name.split(":")[0]
    assert check(backend) <= 1e-12  # the right one passes
    use_wrong_kernel("selective_scan", backend, right, wrong, tmp_path, monkeypatch, interpret=True)
    assert not check(backend) <= 1e-12


def test_a_numba_kernel_read_as_plain_python_is_right(tmp_path, monkeypatch):
    """Else the wrong ones could fail for another reason."""
    use_wrong_kernel("selective_scan", "numba", "\nLANES = 16", "\nLANES = 16", tmp_path, monkeypatch, interpret=True)
    for check in (on("huge delta", "bare", 5), on("tiny delta", "softplus", 5), full, packed, grouped, fixed, two_sequences,
                  nan_in_one_sequence, one_step, on("plain", "full, h0", 33), on("plain", "full", 3, d=33)):  # fmt: skip
        assert check("numba") <= 1e-12
