"""A table goes on after a row that fails, and a wrong result is not timed."""

import math

import pytest
import torch

from mambaedu.lab.bench import rows


def test_a_row_that_fails_says_so_keeps_what_it_had_and_the_others_go_on(capsys):
    table, kept = [], []

    def measure(row):
        row["forward"] = 1.0
        if row["l"] == 2:
            raise RuntimeError("out of memory")
        row["backward"] = 2.0

    for l in (1, 2, 3):
        rows.measured(table, {"l": l}, measure, lambda: kept.append(len(table)))
    assert table == [
        {"l": 1, "forward": 1.0, "backward": 2.0},
        {"l": 2, "forward": 1.0, "failed": "RuntimeError: out of memory"},
        {"l": 3, "forward": 1.0, "backward": 2.0},
    ]
    assert kept == [1, 2, 3]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "l=2  forward 1000.0000 ms, failed RuntimeError: out of memory"


def test_a_keyboard_interrupt_is_no_failed_row():
    def measure(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows.measured([], {}, measure, lambda: None)


@pytest.mark.parametrize(("dtype", "error"), [("fp32", 2e-4), ("bf16", 2e-2), ("fp32", math.nan), ("bf16", math.inf)])
def test_a_wrong_result_is_refused_by_name(dtype, error):
    row = {"dtype": dtype}
    with pytest.raises(rows.Wrong, match="backward: grad_A is off by"):
        rows.refuse_if_wrong(row, "backward", {"grad_u": 1e-9, "grad_A": error, "grad_B": 1e-8})
    assert row == {"dtype": dtype}


def test_the_largest_error_of_a_right_result_is_written_down():
    row = {"dtype": "bf16"}
    rows.refuse_if_wrong(row, "forward", {"y": 2e-3, "h": 1e-3})
    assert row["error forward"] == 2e-3


def test_an_error_is_relative_to_the_largest_true_value():
    truth = torch.tensor([1.0, -4.0], dtype=torch.float64)
    assert rows.relative_error(torch.tensor([1.5, -4.0]), truth) == 0.125
    assert math.isnan(rows.relative_error(torch.tensor([math.nan, -4.0]), truth))
