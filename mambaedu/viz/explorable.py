"""An explorable: a drawing with sliders. The same drawing works in the static page, in Jupyter and in Colab.

In the page JavaScript computes the model; Python computes the same with the library's own functions, and a test says that
they agree. `.live(compute=f)` lets the sliders call your own Python.
"""

import hashlib
import html
import inspect
import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import palette
from .figure import checked_alt, data_uri, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HERE = Path(__file__).parent
_numbers = itertools.count(1)

Params = dict[str, Any]
Data = dict[str, Any]


def slider(
    name: str,
    label: str,
    lo: float | None = None,
    hi: float | None = None,
    step: float | None = None,
    *,
    log: bool = False,
    values: Iterable[float] | Mapping[Any, str] | None = None,
    index: str | None = None,
) -> dict[str, Any]:
    """One control of an explorable.

    Args:
        name: the parameter that it moves.
        label: what stands beside it.
        lo, hi, step: its range. With `log=True` no step: 200 positions, equal ratios apart.
        log: equal ratios instead of equal steps; `lo` must be positive.
        values: instead of a range, a list of numbers; or a dict of value: text, shown as a list to choose from.
        index: the parameter is a list, and the slider moves the entry at the position that the parameter `index` holds.

    Returns:
        The control, as `explorable` takes it.

    Raises:
        ValueError: no range and no values, an empty range, or a log range that is not positive.

    >>> slider("pulse", "pulse at", 0, 99, 1)["max"]
    99
    """
    if values is not None:
        if isinstance(values, Mapping):
            return {"name": name, "label": label, "values": list(values), "labels": list(values.values())}
        return {"name": name, "label": label, "values": list(values)}
    if lo is None or hi is None or not lo < hi:
        raise ValueError(f"slider {name!r} must have lo < hi or values, got lo={lo}, hi={hi}")
    if log:
        if lo <= 0:
            raise ValueError(f"slider {name!r} is logarithmic, so lo must be positive, got {lo}")
        return {"name": name, "label": label, "min": lo, "max": hi, "log": True}
    if step is None or step <= 0:
        raise ValueError(f"slider {name!r} must have a positive step, got {step}")
    control = {"name": name, "label": label, "min": lo, "max": hi, "step": step}
    return control | {"index": index} if index else control


def explorable(
    name: str,
    *,
    title: str,
    params: Params,
    controls: list[dict[str, Any]],
    compute: Callable[..., Data],
    picture: Callable[[Data, Params], "Figure"],
    alt: str,
    play: str | None = None,
) -> "Explorable":
    """A drawing with sliders, made of `<name>.js` beside this file and the Python functions given here.

    Args:
        name: which `.js` file draws it; also its name in the address, as in `page.html#forgetting.delta=0.3`.
        title: the line above it.
        params: where everything stands at first, by name.
        controls: made by `slider`; each moves one parameter.
        compute: called with those of the parameters that its signature names; returns a dict of numbers and lists.
        picture: called as `picture(data, params)`; returns a matplotlib `Figure` for paper and for pages without JavaScript.
        alt: what the picture shows, in words.
        play: the control that Play walks.

    Returns:
        An `Explorable`, which shows itself; `.live(compute=f)` for one that calls Python.

    Raises:
        ValueError: `alt` is empty, or a control or `play` names no parameter.

    >>> from mambaedu.viz import forgetting
    >>> forgetting(delta=0.1).params["delta"]
    0.1
    """
    return Explorable(
        name, title=title, params=params, controls=controls, compute=compute, picture=picture, alt=alt, play=play
    )


class Explorable:
    """What `explorable` returns."""

    def __init__(
        self,
        name: str,
        *,
        title: str,
        params: Params,
        controls: list[dict[str, Any]],
        compute: Callable[..., Data],
        picture: Callable[[Data, Params], "Figure"] | None,
        alt: str,
        play: str | None = None,
        table_limit: int = 200_000,
    ) -> None:
        self.name = name
        self.title = title
        self.params = dict(params)
        self.controls = controls
        self.compute = compute
        self.picture = picture
        self.alt = checked_alt(alt)
        self.play = play
        self.table_limit = table_limit
        for control in controls:
            if control["name"] not in params:
                raise ValueError(f"control {control['name']!r} must be one of the parameters {sorted(params)}")
        if play is not None and play not in {control["name"] for control in controls}:
            raise ValueError(f"play must be one of the controls, got {play!r}")

    # ---- the page ----

    def to_html(self) -> str:
        """The explorable as HTML that needs nothing else: style, the picture as a stand-in, one classic script.

        Raises:
            ValueError: there is no JavaScript model, and the table of all slider positions would be too large.
        """
        state: dict[str, Any] = {"spec": self._spec("js" if _has_model(self.name) else "table"), "params": self.params}
        if state["spec"]["engine"] == "table":
            state["table"] = self._table()
        # `<` is escaped so that no text in the data can close the script.
        data = json.dumps(state, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
        ident = f"mx-{self.name}-{next(_numbers)}"
        # The kit runs once in a page, however many explorables there are. Its name carries a hash: pages of two ages can meet.
        kit = f"mxKit{hashlib.sha256(_file('_kit.js').encode()).hexdigest()[:8]}"
        script = (
            f"(() => {{\nconst kit = window.{kit} ??= (() => {{\n{_file('_kit.js')}return kit;\n}})();\n"
            f"{_file(f'{self.name}.js').replace('export function', 'function')}"
            f'kit.mount(document.getElementById("{ident}"), kit.page({data}), {_view(self.name)});\n}})();'
        )
        if "</script" in script or "\nimport " in script:
            raise ValueError(f"{self.name}.js must be a plain script: no import, no closing script tag")
        return f'<style>{style()}</style><div class="mx mx-fallback" id="{ident}">{self._fallback()}</div><script>{script}</script>'

    def _spec(self, engine: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "controls": self.controls,
            "play": self.play,
            "engine": engine,
        }

    def _arguments(self, params: Params) -> Params:
        """The parameters that `compute` takes. The others, such as the point that a slider edits, are the drawing's own."""
        return {name: params[name] for name in inspect.signature(self.compute).parameters if name in params}

    def _data(self, params: Params) -> Data:
        return self.compute(**self._arguments(params))

    def _fallback(self) -> str:
        """The Python picture. It stands there until the script runs; without JavaScript it stays."""
        if self.picture is None:
            return f"<p>{html.escape(self.alt)}</p>"
        with house_style(palette.LIGHT):
            uri = data_uri(self.picture(self._data(self.params), self.params))
        return f'<img class="dark-light" alt="{html.escape(self.alt)}" src="{uri}">'

    def _table(self) -> dict[str, Data]:
        """The data at every position of the sliders, for a model that only Python can compute."""
        for control in self.controls:
            if "values" not in control:
                raise ValueError(
                    f"{self.name}.js has no compute, so each slider must have values=[...]; {control['name']!r} has a range"
                )
        places = list(itertools.product(*(range(len(control["values"])) for control in self.controls)))
        if len(places) > 200:
            raise ValueError(f"{self.name}: the sliders must have at most 200 positions together, got {len(places)}")
        table = {}
        for place in places:
            chosen = {c["name"]: c["values"][i] for c, i in zip(self.controls, place, strict=True)}
            table[",".join(map(str, place))] = plain(self._data({**self.params, **chosen}))
        size = len(json.dumps(table))
        if size > self.table_limit:
            raise ValueError(
                f"{self.name}: the table must have at most {self.table_limit // 1000} KB, got {size // 1000} KB"
            )
        return table

    # ---- live ----

    def live(self, compute: Callable[..., Data] | None = None) -> Any:
        """The same drawing, with the sliders calling Python. Give your own function and see what it does.

        Args:
            compute: called with the same arguments, by name, as the explorable's own; returns what the explorable's own returns: the same names.
                Tensors and arrays are fine. The library's function when absent.

        Returns:
            A widget (needs the package anywidget). In the book's build, where no Python waits behind the page, the page version.

        >>> from mambaedu.viz import forgetting
        >>> widget = forgetting().live()  # doctest: +SKIP
        """
        if os.environ.get("MAMBAEDU_BOOK"):
            return self
        try:
            import anywidget
            import traitlets
        except ImportError as error:
            raise ImportError("live() needs the package anywidget: pip install anywidget") from error

        class Live(anywidget.AnyWidget):
            _esm = (
                f"const kit = (() => {{\n{_file('_kit.js')}return kit;\n}})();\n{_file(f'{self.name}.js')}"
                "export default { render({ model, el }) {\n"
                f"  return kit.mount(el.appendChild(document.createElement('div')), model, {_view(self.name)});\n}} }};\n"
            )
            _css = style()
            spec = traitlets.Dict().tag(sync=True)
            params = traitlets.Dict().tag(sync=True)
            ask = traitlets.Dict().tag(sync=True)
            answer = traitlets.Dict().tag(sync=True)

        function, names = compute or self.compute, set(self._data(self.params))

        def answer(ask: dict[str, Any]) -> dict[str, Any]:
            # The answer carries the parameters it belongs to: by the time it arrives the sliders may have moved on.
            try:
                return {**ask, "data": _checked(function(**self._arguments(ask["params"])), names)}
            except Exception as error:  # the learner's own function: whatever it raises is shown under the picture
                return {**ask, "error": f"{type(error).__name__}: {error}"}

        ask = {"turn": 0, "params": self.params}
        widget = Live(spec=self._spec("python"), params=self.params, ask=ask, answer=answer(ask))
        widget.observe(lambda change: setattr(widget, "answer", answer(change["new"])), "ask")
        return widget

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": f"{self.title}: {self.alt}"}

    def __repr__(self) -> str:
        return f"Explorable({self.name!r}, {self.params})"


# ---- parts ----


@cache
def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def style() -> str:
    """The style that every explorable carries."""
    return palette.css() + _file("_kit.css")


def _has_model(name: str) -> bool:
    return "export function compute(" in _file(f"{name}.js")


def _view(name: str) -> str:
    functions = ["height", "draw", "describe"] + (["compute"] if _has_model(name) else [])
    return "{ " + ", ".join(functions) + " }"


def plain(value: Any) -> Any:
    """Numbers, strings and lists in place of tensors and arrays, so that they can leave Python."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value


def _checked(data: Any, names: set[str]) -> Data:
    """The learner's data, or an error that says what is wrong with it."""
    if not isinstance(data, Mapping):
        raise TypeError(f"compute must return a dict with {sorted(names)}, got {type(data).__name__}")
    if missing := names - set(data):
        raise ValueError(f"compute must return {sorted(names)}; {sorted(missing)} is missing")
    result = plain(data)
    for name in sorted(names):
        if not _finite(result[name]):
            raise ValueError(f"{name} must hold real, finite numbers")
    return result


def _finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(_finite(entry) for entry in value)
    return not isinstance(value, complex) and (not isinstance(value, float) or math.isfinite(value))
