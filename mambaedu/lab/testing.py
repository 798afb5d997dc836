"""One table of inputs for every scan, and a check that makes shape comments true.

The rows are the inputs on which scans go wrong: nothing to do, too much decay, none, odd layouts, NaN. Every backend gets every row.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..discretize import mamba_rule_diagonal

LENGTHS = (0, 1, 2, 3, 5, 7, 15, 16, 17, 63, 64, 65, 127, 129, 200)

ROWS = (
    "plain",
    "with h0",
    "zero delta",
    "tiny delta",
    "huge delta",
    "A = 0",
    "A = -1e4",
    "left padding",
    "transposed",
    "expanded",
    "sliced",
    "NaN in u",
    "inf in u",
    "NaN in delta",
)

# What a selective scan may be asked for beside u, delta, A, B and C. Every backend gets every set of these on some row, and every row on some set.
_FULL = ("D", "z", "delta_bias", "delta_softplus")
OPTIONS: dict[str, tuple[str, ...]] = {
    "bare": (),
    "D": ("D",),
    "z": ("z",),
    "delta_bias": ("delta_bias",),
    "softplus": ("delta_softplus",),
    "h0": ("h0",),
    "full": _FULL,
    "full, h0": (*_FULL, "h0"),
    "groups": (*_FULL, "groups"),
    "fixed B": (*_FULL, "fixed B"),
    "fixed C": (*_FULL, "fixed C"),
    "fixed B and C": (*_FULL, "fixed B", "fixed C"),
    "packed": ("seq_idx",),
    "packed, full, h0": (*_FULL, "seq_idx", "h0"),
    "packed, groups": ("seq_idx", "groups"),
}


def inputs(
    row: str, *, b: int = 2, l: int = 7, d: int = 3, n: int = 2, dtype: torch.dtype = torch.float64, seed: int = 0
) -> dict[str, Tensor]:
    """The tensors of one row of the table, by symbol.

    Args:
        row: a name in ROWS.
        b, l, d, n: sizes.
        dtype: of every tensor.
        seed: of the random numbers.

    Returns:
        u (b l d), delta (b l d) > 0, A (d n) < 0, B and C (b l n), and h0 (b d n) in the row that has one.

    Raises:
        ValueError: a row that is not in ROWS.

    >>> sorted(inputs("plain"))
    ['A', 'B', 'C', 'delta', 'u']
    """
    if row not in ROWS:
        raise ValueError(f"row must be one of {ROWS}, got {row!r}")
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)

    u, B, C = normal(b, l, d), normal(b, l, n), normal(b, l, n)
    # Step sizes over two decades, as Mamba starts with.
    delta = (10 ** (-3 + 2 * torch.rand(b, l, d, generator=random, dtype=torch.float64))).to(dtype)
    A = -torch.arange(1, n + 1, dtype=dtype).repeat(d, 1)  # (d n)
    out = {"u": u, "delta": delta, "A": A, "B": B, "C": C}
    if row == "with h0":
        out["h0"] = normal(b, d, n)
    elif row == "zero delta":
        out["delta"] = torch.where(torch.rand(b, l, d, generator=random) < 0.5, 0.0, delta).to(dtype)
    elif row == "tiny delta":
        out["delta"] = delta * 1e-6
    elif row == "huge delta":
        out["delta"] = delta * 1e4
    elif row == "A = 0":
        out["A"] = torch.zeros_like(A)
    elif row == "A = -1e4":
        out["A"] = torch.full_like(A, -1e4)
    elif row == "left padding":
        out["u"] = torch.cat([torch.zeros_like(u[:, : l // 2]), u[:, l // 2 :]], dim=1)
    elif row == "transposed":
        out["u"] = normal(b, d, l).transpose(1, 2)
        out["delta"] = delta.transpose(1, 2).contiguous().transpose(1, 2)
    elif row == "expanded":
        out["u"] = normal(b, l, 1).expand(b, l, d)
        out["B"] = normal(1, l, n).expand(b, l, n)
    elif row == "sliced":
        out["u"] = normal(b, 2 * l + 1, d + 3)[:, 1::2, 2 : 2 + d]
    elif row in ("NaN in u", "inf in u", "NaN in delta") and l > 0:
        bad, name = row.split(" in ")
        out[name] = out[name].clone()
        out[name][0, l // 2, d // 2] = float(bad)
    return out


def selective_inputs(row: str, options: str = "bare", *, seed: int = 0, **sizes: Any) -> dict[str, Any]:
    """The arguments of `selective_scan`, by name: one row of the table with one set of options.

    Under softplus, delta is the number whose softplus (of delta + delta_bias) is the delta of the row, so that each row stays what
    its name says: "tiny delta" is then about -20 before softplus, "huge delta" up to 1000.

    Args:
        row: a name in ROWS.
        options: a name in OPTIONS.
        seed: of the random numbers.
        sizes: b, l, d, n and dtype, as in `inputs`.

    Returns:
        What `inputs` has, and what the options name: D (d), z (b l d), delta_bias (d), delta_softplus, h0 (b d n); "groups" makes B and C
        (b l g n), where g is the smallest number above 1 that divides d; "fixed" ones are (d n); seq_idx (b l) packs sequences of
        one and more steps into each row, others in each row of the batch.

    Raises:
        ValueError: options that are not in OPTIONS, or a row that is not in ROWS.

    >>> sorted(selective_inputs("plain", "h0"))
    ['A', 'B', 'C', 'delta', 'h0', 'u']
    """
    if options not in OPTIONS:
        raise ValueError(f"options must be one of {tuple(OPTIONS)}, got {options!r}")
    names = OPTIONS[options]
    out: dict[str, Any] = inputs(row, seed=seed, **sizes)
    (b, l, d), n, dtype = out["u"].shape, out["A"].shape[1], out["u"].dtype
    random = torch.Generator().manual_seed(seed + 1000)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)

    for name, shape in (("D", (d,)), ("z", (b, l, d)), ("delta_bias", (d,)), ("h0", (b, d, n))):
        if name in names:
            out[name] = normal(*shape)
    if "groups" in names:
        g = next((g for g in range(2, d + 1) if d % g == 0), 1)
        out["B"], out["C"] = (
            torch.stack([x, *(normal(b, l, n) for _ in range(g - 1))], dim=2) for x in (out["B"], out["C"])
        )
    for name in ("B", "C"):
        if f"fixed {name}" in names:
            out[name] = normal(d, n)
    if "seq_idx" in names:
        out["seq_idx"] = (torch.rand(b, l, generator=random) < 0.3).cumsum(1)  # (b l)
    if "delta_softplus" in names:
        out["delta_softplus"] = True
        wide = out["delta"].double()
        out["delta"] = (wide + torch.log(-torch.expm1(-wide))).clamp(min=-40).to(dtype)  # (b l d), softplus backwards
    if "delta_bias" in names:
        out["delta"] = out["delta"] - out["delta_bias"]
    return out


def linear_inputs(row: str, **sizes: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same row for the linear scan: a = A_bar and b = B_bar u, both (b l d n), and h0. Odd layouts stay odd."""
    x = inputs(row, **sizes)
    A_bar, B_bar = mamba_rule_diagonal(x["A"], x["B"], x["delta"])  # (b l d n)
    a, b = A_bar, B_bar * x["u"][..., None]  # (b l d n)
    if row == "transposed":
        a, b = (t.transpose(1, 3).contiguous().transpose(1, 3) for t in (a, b))
    elif row == "expanded":
        a = a[..., :1].expand_as(b)
    elif row == "sliced":
        a, b = (torch.cat([t, t + 1], dim=1)[:, : t.shape[1]] for t in (a, b))
    return a, b, x.get("h0")


_SHAPE = re.compile(r"#\s*\(([a-z0-9 ]+)\)")


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, with every shape comment turned into a check.

    A line `h = a_t * h + b_t  # (b d n)` raises if h then has another shape. The letters b, l, d, n and others get their sizes where
    they are first met; a digit is itself.

    Args:
        function: a function whose assignments end in comments like `# (b l d n)`.

    Returns:
        A function that raises AssertionError: "line 8: h is commented (b n d) but its shape is (2, 3, 4)".

    >>> def double(u):
    ...     y = 2 * u  # (b l d)
    ...     return y
    """
    source = textwrap.dedent(inspect.getsource(function))
    first = function.__code__.co_firstlineno
    comments = {i: m.group(1).split() for i, line in enumerate(source.splitlines(), 1) if (m := _SHAPE.search(line))}
    tree = ast.parse(source)

    class Rewrite(ast.NodeTransformer):
        def visit_Assign(self, node: ast.Assign) -> Any:
            target = node.targets[0]
            letters = comments.get(node.end_lineno or 0)
            if letters is None or not isinstance(target, ast.Name):
                return node
            check = f"_check_shape({target.id!r}, {target.id}, {letters!r}, {node.lineno + first - 1}, _sizes)"
            return [node, *ast.parse(check).body]

    checked = ast.fix_missing_locations(Rewrite().visit(tree))
    definition = checked.body[0]
    definition.decorator_list = []
    definition.body.insert(0, ast.parse("_sizes = {}").body[0])
    names = dict(function.__globals__, _check_shape=_check_shape)
    exec(compile(ast.fix_missing_locations(checked), "<shapes>", "exec"), names)
    return names[function.__name__]


def _check_shape(name: str, value: Tensor, letters: list[str], line: int, sizes: dict[str, int]) -> None:
    shape = tuple(value.shape)
    fits = len(shape) == len(letters)
    for letter, size in zip(letters, shape, strict=False):
        fits = fits and size == (int(letter) if letter.isdigit() else sizes.setdefault(letter, size))
    if not fits:
        raise AssertionError(f"line {line}: {name} is commented ({' '.join(letters)}) but its shape is {shape}")
