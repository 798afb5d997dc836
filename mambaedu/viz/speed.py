"""How fast a scan is, drawn from a record of the bench: time against length, ratios to others, and the roof that the hardware is."""

from typing import TYPE_CHECKING, Any

from .figure import StaticFigure, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .palette import Palette

Data = dict[str, Any]

TITLES = {"forward, plain": "forward", "forward": "forward, with z and softplus", "both": "forward and backward", "step": "one step"}  # fmt: skip


def time_against_length(data: Data) -> StaticFigure:
    """How the time of a scan grows with its length: ours, the naive loop, and the least that the hardware needs.

    Args:
        data: of a record of the GPU, with the table `lengths`.

    Returns:
        A figure with a curve a backend, both axes logarithmic.

    Raises:
        ValueError: no length was measured.
    """
    rows = [row for row in data["lengths"] if "failed" not in row]
    if not rows:
        raise ValueError("the record has no lengths to draw")
    b, d, n = (rows[0][size] for size in "bdn")
    curves = {
        "naive loop": ("naive forward", "other", "-"),
        f"{data['backend']},\nwith backward": ("both", "input", "-"),
        data["backend"]: ("forward", "state", "-"),
        "floor": ("floor forward", "truth", "--"),
    }

    def draw(fig: "Figure", colors: "Palette") -> None:
        ax = fig.subplots()
        ends = []
        for label, (key, role, style) in curves.items():
            lengths, times = zip(*((row["l"], row[key] * 1e3) for row in rows if key in row), strict=True)
            marker = None if label == "floor" else "o"
            ax.loglog(lengths, times, color=getattr(colors, role), linestyle=style, marker=marker, markersize=4)
            ends.append((lengths[-1], times[-1], label, getattr(colors, role)))
        ax.set(xlabel="sequence length $l$", ylabel="time, ms", title=f"$b$ = {b}, $d$ = {d:,}, $n$ = {n}")
        _label_ends(ax, ends)

    first, last = rows[0], rows[-1]
    meet = [row for row in rows if "naive forward" in row]
    alt = (
        f"Time against sequence length, logarithmic axes. From l = {first['l']:,} to {last['l']:,} the {data['backend']} forward grows "
        f"from {_ms(first['forward'])} to {_ms(last['forward'])}, where its floor is {_ms(last['floor forward'])}."
    )
    if meet:
        alt += f" The naive loop takes {_ms(meet[-1]['naive forward'])} at l = {meet[-1]['l']:,}, {meet[-1]['ratio forward']:.0f} times as long as {data['backend']} there."
    return figure(draw, alt=alt, size=(7.0, 3.6), narrow=(3.7, 3.6))


def ratio_bars(data: Data, whats: tuple[str, ...] = ("forward, plain", "both")) -> StaticFigure:
    """How many times longer each other scan takes.

    Args:
        data: of a record of the CPU: its `rows` are named by `what`.
        whats: which rows to draw, a panel each.

    Returns:
        A figure of bars on a logarithmic axis that begins at 1, where both are equally fast.

    Raises:
        ValueError: a row is missing, or failed.
    """
    panels = []
    for what in whats:
        row = next((row for row in data["rows"] if row["what"] == what and "failed" not in row), None)
        if row is None:
            raise ValueError(f"the record has no row {what!r} to draw")
        others = {name.removeprefix("ratio "): value for name, value in row.items() if name.startswith("ratio ")}
        panels.append((what, row, sorted(others.items(), key=lambda item: item[1])))

    def draw(fig: "Figure", colors: "Palette") -> None:
        heights = [len(ratios) for _, _, ratios in panels]
        axes = fig.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        most = max(ratios[-1][1] for _, _, ratios in panels)
        for ax, (what, _, ratios) in zip(axes, panels, strict=True):
            names, values = zip(*ratios, strict=True)
            ax.barh(names, [value - 1 for value in values], left=1, color=colors.state, height=0.6)
            for name, value in ratios:
                ax.annotate(f"{value:.1f}", (max(value, 1), name), (4, 0), textcoords="offset points", va="center")
            ax.axvline(1, color=colors.truth, linewidth=1)
            ax.set_xscale("log")
            ax.set_xlim(min(0.9, 0.8 * ratios[0][1]), 2 * most)
            ax.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
            ax.grid(axis="y", visible=False)
            ax.set_title(TITLES.get(what, what))
        fig.supxlabel(f"times as long as {data['backend']}, in CPU time", fontsize=10)
        fig.supylabel("compared with", fontsize=10)

    told = []
    for what, row, ratios in panels:
        sizes = f"b = {row['b']}, l = {row['l']:,}, d = {row['d']:,}, n = {row['n']}"
        listed = ", ".join(f"{name} {value:.1f}" for name, value in ratios)
        told.append(f"{TITLES.get(what, what)} at {sizes}: {listed}")
    alt = f"Bars on a logarithmic axis: how many times as long as {data['backend']} each takes. {'. '.join(told)}."
    bars = sum(len(ratios) for _, _, ratios in panels)
    size = 0.9 + 0.5 * len(panels) + 0.28 * bars
    return figure(draw, alt=alt, size=(7.0, size), narrow=(3.7, size))


def roofline(data: Data) -> StaticFigure:
    """How much of the GPU a forward uses: under the roof that its memory and its exponentials are.

    Args:
        data: of a record of the GPU, with both rates.

    Returns:
        A figure: exponentials for each byte that must move, against exponentials per second, a point a row.

    Raises:
        ValueError: no row was measured, or the rate of exponentials was not.
    """
    rows = [row for row in data["rows"] if "failed" not in row]
    copy, rate = data["copy_bytes_per_second"], data.get("exponentials_per_second")
    if not rows or rate is None:
        raise ValueError("the record has no rows, or no rate of exponentials, to draw")
    points = [(intensity(row), states(row) / row["forward"] / 1e12, row) for row in rows]
    groups = sorted({(row["n"], row["dtype"]) for row in rows})
    low, high = min(x for x, _, _ in points) / 4, max(x for x, _, _ in points) * 2

    def draw(fig: "Figure", colors: "Palette") -> None:
        ax = fig.subplots()
        corner = rate / copy
        ax.loglog(
            [low, corner, high], [low * copy / 1e12, rate / 1e12, rate / 1e12], color=colors.truth, linestyle="--"
        )
        narrow = fig.get_figwidth() < 5
        for dtype, color, marker in (("bf16", colors.state, "o"), ("fp32", colors.input, "s")):
            chosen = [(x, y) for x, y, row in points if row["dtype"] == dtype]
            if chosen:
                xs, ys = zip(*chosen, strict=True)
                ax.plot(xs, ys, marker, color=color, markersize=6, label=dtype)
        for n, dtype in groups:
            chosen = [(x, y) for x, y, row in points if (row["n"], row["dtype"]) == (n, dtype)]
            place = sum(x for x, _ in chosen) / len(chosen), min(y for _, y in chosen)
            name = f"$n$ =\n{n}" if narrow else f"$n$ = {n}"
            ax.annotate(name, place, (0, -6), textcoords="offset points", ha="center", va="top")
        slope = low**0.2 * corner**0.8
        ax.annotate("memory", (slope, slope * copy / 1e12), (-6, 2), textcoords="offset points", ha="right", va="bottom")  # fmt: skip
        ax.annotate("exponentials", (high, rate / 1e12), (-2, 4), textcoords="offset points", ha="right", va="bottom")
        ax.set(xlabel="exponentials for each byte", ylabel="$10^{12}$ exponentials / s")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=2)
        ax.set_xlim(low, high)
        ax.set_ylim(min(y for _, y, _ in points) / 3, 2 * rate / 1e12)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda value, position: f"{value:g}")
        ax.legend(loc="lower right", ncols=2)

    shares = [row["share forward"] for row in rows]
    alt = (
        f"Two roofs, both axes logarithmic: memory rises until {rate / copy:.1f} exponentials for each byte, then {rate / 1e12:.1f}e12 exponentials a second "
        f"are the most. {len(rows)} points lie below, at {min(shares):.0%} to {max(shares):.0%} of the roof."
    )
    return figure(draw, alt=alt, size=(7.0, 3.8), narrow=(3.7, 3.8))


def states(row: Data) -> int:
    """The updates of a state that a scan makes, an exponential each: b l d n."""
    return row["b"] * row["l"] * row["d"] * row["n"]


def intensity(row: Data) -> float:
    """Exponentials for each byte of u, delta, z, y, B and C that must pass through memory."""
    size = {"bf16": 2, "fp32": 4}[row["dtype"]]
    return row["d"] * row["n"] / (size * (4 * row["d"] + 2 * row["n"]))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def _label_ends(ax: "Axes", ends: list[tuple[float, float, str, str]]) -> None:
    """The name of each curve to the right of its end; names that would meet move apart."""
    gap = 1.6  # of two heights on a logarithmic axis
    last = max(x for x, _, _, _ in ends)
    below = 0.0
    for x, y, label, color in sorted(ends, key=lambda end: end[1]):
        if x == last:
            y = below = max(y, below * gap)
        ax.annotate(label, (x, y), (6, 0), textcoords="offset points", va="center", color=color, annotation_clip=False)
