"""E01: the solver is right, the orders are 1 and 2, ZOH is exact for held inputs, and the words follow the numbers."""

import copy

import numpy as np
import pytest
import scipy.linalg

from mambaedu.lab import records
from mambaedu.lab.experiments import e01


@pytest.fixture(scope="module")
def result():
    return e01.run(seed=0, quick=True)


@pytest.mark.equation("eq-ode")
@pytest.mark.parametrize(("u", "h0"), [(0.0, [1.0, -2.0]), (1.5, [0.0, 0.0]), (-0.7, [0.3, 0.4])])
def test_the_solver_has_the_closed_form(u, h0):
    """For a constant input the state is exp(A t) h0 + A^-1 (exp(A t) - I) B u."""
    A, B, h0 = e01.A.numpy(), e01.B.numpy(), np.array(h0)
    E = scipy.linalg.expm(A * 2.5)
    expected = E @ h0 + np.linalg.solve(A, (E - np.eye(2)) @ B) * u
    assert np.abs(e01.exact(lambda t: u, h0, 1.0, 3.5) - expected).max() < 1e-12


@pytest.mark.equation("eq-ode")
def test_the_solver_sees_an_input_that_changes():
    """u = e^t drives h = (I - A)^-1 B e^t, if it starts there."""
    start = np.linalg.solve(np.eye(2) - e01.A.numpy(), e01.B.numpy())
    assert np.abs(e01.exact(np.exp, start, 0.0, 2.0) - start * np.exp(2.0)).max() < 1e-11


def test_samples_lie_where_they_say():
    for sampling, t in (("left", 0.0), ("right", 0.5), ("middle", 0.25)):
        u = e01.sample(sampling, 8)  # delta = 0.5
        assert u.shape == (8,)
        expected = np.sin(3 * (np.arange(8) / 2 + t)) + 0.5 * np.cos(1.3 * (np.arange(8) / 2 + t))
        assert np.abs(u.numpy() - expected).max() < 1e-14
    mean = (e01.sample("left", 8) + e01.sample("right", 8)) / 2
    assert np.abs((e01.sample("average", 8) - mean).numpy()).max() < 1e-15


def test_slope_of_a_power():
    assert abs(e01.slope([10, 20, 40], [1 / 100, 1 / 400, 1 / 1600]) + 2) < 1e-12


def test_second_order_needs_the_right_rule_and_the_right_samples(result):
    for rule in e01.RULES:
        for sampling in e01.SAMPLINGS:
            second = rule in ("bilinear", "ZOH") and sampling in ("average", "middle")
            slope = result["slopes"][rule][sampling]
            # 50 to 200 steps: the first-order rules are not yet quite on their line.
            assert abs(slope + 2) < 0.02 if second else abs(slope + 1) < 0.2, (rule, sampling, slope)


def test_only_zoh_is_exact_for_a_held_input(result):
    for pieces, errors in result["held"].items():
        assert errors["ZOH"] < 1e-12, pieces
        for rule in e01.RULES:
            assert rule == "ZOH" or errors[rule] > 1e-5, (pieces, rule)


def test_who_explodes_and_who_rings(result):
    at = result["steps"].index
    A_bar = result["stability"]
    assert abs(A_bar["forward Euler"][at(1.9)]) < 1 < abs(A_bar["forward Euler"][at(2.1)])
    assert all(abs(a) < 1 for rule in ("backward Euler", "bilinear", "ZOH") for a in A_bar[rule])
    assert all(a > 0 for rule in ("backward Euler", "ZOH") for a in A_bar[rule])
    assert A_bar["bilinear"][at(1.9)] > 0 > A_bar["bilinear"][at(2.1)]


def test_the_record_and_the_page_tell_one_story(result):
    recorded = records.read("e01")["data"]
    at = [recorded["lengths"].index(l) for l in result["lengths"]]
    for rule in e01.RULES:
        for sampling in e01.SAMPLINGS:
            live, old = result["errors"][rule][sampling], recorded["errors"][rule][sampling]
            assert np.allclose(live, [old[i] for i in at], rtol=1e-6, atol=1e-12), (rule, sampling)
            assert abs(result["slopes"][rule][sampling] - recorded["slopes"][rule][sampling]) < 0.12
        for pieces, errors in result["held"].items():
            assert np.isclose(errors[rule], recorded["held"][pieces][rule], rtol=1e-6, atol=1e-12)
    for rule, A_bar in recorded["stability"].items():
        assert np.allclose(A_bar, result["stability"][rule], rtol=1e-12, atol=0)


def test_another_seed_is_another_input():
    assert e01.held(10, seed=0) != e01.held(10, seed=1)
    assert e01.held(10, seed=1)["ZOH"] < 1e-12


KEYS = {"paper", "says", "ran", "measured", "verdict"}


def test_the_boxes_of_the_record_are_made_of_its_numbers(result):
    recorded = records.read("e01")["data"]
    assert e01.paper_boxes(recorded) == recorded["paper_boxes"]
    for box in e01.paper_boxes(result):
        assert set(box) == KEYS
        assert all(isinstance(text, str) and text for text in box.values())


def test_the_verdict_follows_the_numbers(result):
    zoh, bilinear = e01.paper_boxes(result)
    assert zoh["verdict"].startswith("held: exact to rounding")
    assert bilinear["verdict"].startswith("held in part")

    bad = copy.deepcopy(result)
    bad["held"]["100"]["ZOH"] = 1.0
    zoh, _ = e01.paper_boxes(bad)
    assert "1.0e+00 for ZOH" in zoh["measured"]
    assert not zoh["verdict"].startswith("held")

    bad = copy.deepcopy(result)
    bad["held"]["100"]["bilinear"] = 1e-15  # another rule is exact, too
    assert not e01.paper_boxes(bad)[0]["verdict"].startswith("held")

    for rule, sampling, slope in (("bilinear", "middle", -1.0), ("bilinear", "left", -2.0), ("ZOH", "left", -2.0)):
        bad = copy.deepcopy(result)
        bad["slopes"][rule][sampling] = slope
        assert not e01.paper_boxes(bad)[1]["verdict"].startswith("held"), (rule, sampling)
