"""Explorables: JavaScript agrees with Python, the page needs nothing else, and live calls the reader's function."""

import functools
import json
import math
import re

import numpy as np
import pytest
import torch

from mambaedu.viz import echo, explorable, forgetting, poles, sampling, slider
from mambaedu.viz.explorable import _HERE, Explorable

ALL = [forgetting, sampling, poles, echo]
each = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)


@functools.cache
def engine(name):
    """The kit and one explorable's JavaScript, ready to be called."""
    from py_mini_racer import MiniRacer

    context = MiniRacer()
    for file in ("_kit.js", f"{name}.js"):
        context.eval((_HERE / file).read_text("utf-8").replace("export function", "function"))
    return context


def in_javascript(name, params, call="compute(p)"):
    return json.loads(
        engine(name).eval(f"(() => {{ const p = {json.dumps(params)}; return JSON.stringify({call}); }})()")
    )


def random_params(figure, seed):
    """Every control at a random place, on its steps or between the ends of its logarithmic range."""
    rng = np.random.default_rng(seed)
    params = dict(figure.params)

    def one(control):
        if "values" in control:
            return control["values"][rng.integers(len(control["values"]))]
        if control.get("log"):
            return float(np.exp(rng.uniform(np.log(control["min"]), np.log(control["max"]))))
        steps = round((control["max"] - control["min"]) / control["step"])
        value = control["min"] + int(rng.integers(steps + 1)) * control["step"]
        return value if isinstance(value, int) else round(value, 12)

    for control in figure.controls:
        name = control["name"]
        params[name] = [one(control) for _ in params[name]] if "index" in control else one(control)
    return params


def difference(ours, theirs):
    """The largest difference, relative to the largest entry; the names must be the same."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        return max(difference(ours[key], theirs[key]) for key in ours)
    ours, theirs = np.array(ours, dtype=float), np.array(theirs, dtype=float)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max(initial=0) / (np.abs(ours).max(initial=0) or 1)


@each
def test_javascript_agrees_with_python(make):
    figure = make()
    worst = 0
    for seed in range(200):
        params = random_params(figure, seed)
        worst = max(worst, difference(figure._data(params), in_javascript(figure.name, params)))
    assert worst < 1e-9


def test_the_comparison_sees_a_small_mistake():
    figure = forgetting()
    theirs = in_javascript("forgetting", {**figure.params, "delta": 0.05 * (1 + 1e-8)})
    assert difference(figure._data(figure.params), theirs) > 1e-9


@each
def test_the_sentence_is_never_broken(make):
    figure = make()
    sentences = set()
    for seed in range(200):
        sentences.add(in_javascript(figure.name, random_params(figure, seed), "describe(p, compute(p), kit)"))
    assert len(sentences) > 50
    for sentence in sentences:
        assert 40 < len(sentence) < 400, sentence
        assert not re.search(r"NaN|undefined|Infinity|∞|null|\[object|--|−−", sentence), sentence


@each
def test_one_explorable_is_at_most_60_kb(make):
    assert len(make().to_html().encode()) <= 60_000


@each
def test_the_page_needs_nothing_else(make):
    page = make().to_html()
    assert page.count("<script>") == page.count("</script>") == 1
    assert "<script src" not in page
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|eval|Math\.random|import)\s*\(", page)
    addresses = set(re.findall(r"https?://[^\s\"')]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, not an address: nothing is loaded from it


@each
def test_the_python_picture_stands_in_with_its_words(make):
    page = make().to_html()
    (image,) = re.findall(r"<img [^>]*>", page)
    assert f'alt="{make().alt}"' in image
    assert 'src="data:image/' in image
    assert page.index("<img") < page.index("<script>")


@each
def test_it_shows_itself(make):
    figure = make()
    shown = figure._repr_mimebundle_()
    assert shown["text/html"].startswith("<style>")
    assert shown["text/plain"] == f"{figure.title}: {figure.alt}"


def test_two_of_a_kind_on_one_page_have_their_own_names():
    idents = [re.search(r'id="(mx-forgetting-\d+)"', forgetting().to_html())[1] for _ in range(2)]
    assert idents[0] != idents[1]


# ---- what chapters 01 and 02 say beside them ----


def test_sampling_shows_that_the_zero_order_hold_is_exact_for_a_held_input():
    figure = sampling()
    data = figure._data(figure.params)
    assert difference(data["dots"], data["true"][:: data["parts"]]) < 1e-12


@pytest.mark.parametrize("rule", ["bilinear", "forward_euler", "backward_euler", "mamba_rule"])
def test_sampling_shows_that_the_other_rules_miss(rule):
    figure = sampling(rule=rule)
    data = figure._data(figure.params)
    assert difference(data["dots"], data["true"][:: data["parts"]]) > 1e-2


def test_sampling_paths_are_the_solution_of_the_spring():
    """Against an adaptive integrator of q'' = -4.25 q - q' + 4.25 u, which knows nothing of our rules."""
    from scipy.integrate import solve_ivp

    figure = sampling()
    data, u = figure._data(figure.params), figure.params["u"]
    t = np.arange(161) * 0.05

    def spring(time, q):
        return [q[1], -4.25 * q[0] - q[1] + 4.25 * np.interp(time, range(9), u)]

    exact = solve_ivp(spring, (0, 8), [0, 0], t_eval=t, rtol=1e-10, atol=1e-12, max_step=0.05).y[0]
    assert np.abs(exact - data["smooth"]).max() < 1e-6


def test_poles_shows_forward_euler_outside_and_the_others_inside():
    figure = poles()
    size = {rule: math.hypot(way["re"][-1], way["im"][-1]) for rule, way in figure._data(figure.params).items()}
    assert size["forward_euler"] > 1 > max(size["zoh"], size["bilinear"], size["backward_euler"])


def test_echo_shows_the_same_curve_twice():
    figure = echo()
    data = figure._data(figure.params)
    assert difference(data["loop"], data["convolution"]) < 1e-12


# ---- live ----


def test_live_calls_the_readers_function_and_the_answer_carries_its_parameters():
    calls = []

    def mine(*, delta, A, l, pulse):
        calls.append(delta)
        return {"h": torch.full((l,), delta), "A_bar": np.float64(0.5), "B_bar": 1, "half_life": 2.0}

    widget = forgetting(delta=0.25).live(compute=mine)
    assert widget.answer["turn"] == 0
    assert widget.answer["data"]["h"] == [0.25] * 100
    widget.ask = {"turn": 7, "params": {**widget.params, "delta": 0.5}}
    assert widget.answer["turn"] == 7
    assert widget.answer["params"]["delta"] == 0.5
    assert widget.answer["data"]["h"] == [0.5] * 100
    assert calls == [0.25, 0.5]
    json.dumps(widget.answer, allow_nan=False)


@each
def test_live_without_a_function_calls_the_library(make):
    figure = make()
    assert figure.live().answer["data"] == figure._data(figure.params)


@each
def test_live_draws_with_the_same_source(make):
    source = make().live()._esm
    assert (_HERE / f"{make.__name__}.js").read_text("utf-8") in str(source)


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (lambda **p: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda **p: None, "TypeError: compute must return a dict with ['A_bar', 'B_bar', 'h', 'half_life'], got NoneType"),
        (lambda **p: {"h": [1.0], "A_bar": 1, "B_bar": 1}, "ValueError: compute must return ['A_bar', 'B_bar', 'h', 'half_life']; ['half_life'] is missing"),
        (lambda **p: {"h": [math.nan], "A_bar": 1, "B_bar": 1, "half_life": 1}, "ValueError: h must hold real, finite numbers"),
        (lambda **p: {"h": torch.ones(2, dtype=torch.complex64), "A_bar": 1, "B_bar": 1, "half_life": 1}, "ValueError: h must hold real, finite numbers"),
    ],
)  # fmt: skip
def test_live_shows_what_the_readers_function_got_wrong(mine, message):
    assert forgetting().live(compute=mine).answer["error"] == message


@each
def test_the_books_build_gets_the_page_version(make, monkeypatch):
    monkeypatch.setenv("MAMBAEDU_BOOK", "1")
    figure = make()
    assert figure.live(compute=lambda **p: 1 / 0) is figure


# ---- a model that only Python can compute ----


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A factory of explorables whose JavaScript has no compute."""
    (tmp_path / "rows.js").write_text(
        "export function height() { return 80; }\n"
        "export function draw(svg, data, p, kit) { kit.text(svg, 10, 20, data.words); }\n"
        "export function describe(p, data) { return 'The row says ' + data.words; }\n"
    )
    from mambaedu.viz import explorable as function

    module = __import__("sys").modules["mambaedu.viz.explorable"]
    assert function is module.explorable
    real = module._file
    monkeypatch.setattr(
        module, "_file", lambda name: (tmp_path / name).read_text() if name == "rows.js" else real(name)
    )

    def make(values, compute=lambda *, k: {"words": f"row {k}"}, **control):
        control = slider("k", "row", values=values) if values else slider("k", "row", 0, 1, 0.5)
        return Explorable(
            "rows", title="Rows", params={"k": 0}, controls=[control], compute=compute, picture=None, alt="Rows."
        )

    return make


def test_the_page_carries_a_table_of_every_position(table):
    page = table([0, 1, 2]).to_html()
    assert '"engine": "table"' in page
    assert '"table": {"0": {"words": "row 0"}, "1": {"words": "row 1"}, "2": {"words": "row 2"}}' in page


def test_a_table_needs_positions(table):
    with pytest.raises(ValueError, match="each slider must have values"):
        table(None).to_html()


def test_a_table_has_at_most_200_positions(table):
    table(range(200)).to_html()
    with pytest.raises(ValueError, match="at most 200 positions together, got 201"):
        table(range(201)).to_html()


def test_a_table_has_at_most_200_kb(table):
    with pytest.raises(ValueError, match="at most 200 KB, got"):
        table(range(100), compute=lambda *, k: {"words": "w" * 2100}).to_html()


def test_text_in_the_data_cannot_close_the_script(table):
    page = table([0], compute=lambda *, k: {"words": "</script><b>"}).to_html()
    assert page.count("</script>") == 1


# ---- bad input ----


def test_an_explorable_without_words_is_refused():
    with pytest.raises(ValueError, match="alt must say in words"):
        explorable("forgetting", title="t", params={}, controls=[], compute=dict, picture=lambda d, p: None, alt=" ")


def test_a_control_of_no_parameter_is_refused():
    with pytest.raises(ValueError, match="control 'k' must be one of the parameters"):
        explorable("forgetting", title="t", params={}, controls=[slider("k", "k", 0, 1, 1)], compute=dict, picture=lambda d, p: None, alt="a")  # fmt: skip


def test_play_of_no_control_is_refused():
    with pytest.raises(ValueError, match="play must be one of the controls, got 'k'"):
        explorable("forgetting", title="t", params={"k": 0}, controls=[], compute=dict, picture=lambda d, p: None, alt="a", play="k")  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lo": 1, "hi": 1, "step": 1}, "must have lo < hi or values"),
        ({}, "must have lo < hi or values"),
        ({"lo": 0, "hi": 1, "log": True}, "lo must be positive, got 0"),
        ({"lo": 0, "hi": 1}, "must have a positive step, got None"),
    ],
)
def test_a_slider_without_a_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        slider("delta", "step size", **arguments)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (sampling, {"rule": "euler"}, "rule must be one of .*, got 'euler'"),
        (sampling, {"system": "pendulum"}, "system must be one of .*, got 'pendulum'"),
        (sampling, {"u": (0.0,)}, "u must have 9 points.*got 1"),
        (echo, {"at": (0, 1)}, "at and size must have 3 entries.*got 2 and 3"),
        (echo, {"at": (0, 1, 48)}, "at must lie between 0 and l - 1 = 47"),
    ],
)
def test_bad_starting_positions_are_refused_by_name(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
