"""mambaedu/ says what is computed, kernels/ says how to compute it fast, and the line between them is an import line."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = sorted((ROOT / "kernels").rglob("*.py"))
LIBRARY = sorted((ROOT / "mambaedu").rglob("*.py"))

ANY_KERNEL = {"math", "numpy", "numba", "llvmlite", "concurrent.futures"}
TRITON_KERNEL = {"math", "triton", "torch"}  # torch on the side that launches


def imports(tree: ast.AST) -> set[str]:
    """The modules that a piece of code imports, in full."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def outside_functions(tree: ast.Module) -> ast.Module:
    """The same module without the bodies of its functions: what runs when it is imported."""

    class Emptier(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return None

        visit_AsyncFunctionDef = visit_FunctionDef

    return Emptier().visit(tree)


def within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in allowed)


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_a_kernel_imports_only_what_it_may(path):
    allowed = TRITON_KERNEL if path.stem.endswith("_triton") else ANY_KERNEL
    found = imports(ast.parse(path.read_text("utf-8")))
    assert {module for module in found if not within(module, allowed)} == set()


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_a_kernel_reads_no_environment_variable(path):
    text = path.read_text("utf-8")
    assert "environ" not in text
    assert "getenv" not in text


# What the interpreter gets right and a GPU may not: scans over operators that do not commute, or in reverse; products in tf32; a kernel
# that writes and is run once for each configuration. And what the interpreter cannot run.
RISKY = {
    "associative_scan",
    "cumsum",
    "cumprod",
    "dot",
    "autotune",
    "heuristics",
    "libdevice",
    "inline_asm_elementwise",
}


def risky(tree: ast.AST) -> set[str]:
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in names if name in RISKY or name.startswith("atomic_")}


@pytest.mark.parametrize(
    "path", [path for path in KERNELS if path.stem.endswith("_triton")], ids=lambda path: path.stem
)
def test_a_triton_kernel_uses_nothing_that_a_gpu_does_otherwise(path):  # traps: T1, T2, T6, C10
    assert risky(ast.parse(path.read_text("utf-8"))) == set()


@pytest.mark.parametrize("path", [path for path in KERNELS if path.stem != "__init__"], ids=lambda path: path.stem)
def test_a_kernel_file_exports_its_operation_and_nothing_else(path):
    op = path.stem.rsplit("_", 1)[0]
    tree = ast.parse(path.read_text("utf-8"))
    public = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert {f"{op}_fwd", f"{op}_bwd"} <= public <= {f"{op}_fwd", f"{op}_bwd", f"{op}_step"}


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_library_imports_kernels_only_inside_functions(path):
    found = imports(outside_functions(ast.parse(path.read_text("utf-8"))))
    assert {module for module in found if within(module, {"mambaedu_kernels", "numba", "triton"})} == set()


def test_the_test_sees_what_it_must():
    inside = "def f():\n    import mambaedu_kernels.linear_scan_numba\n"
    outside = "if True:\n    from mambaedu_kernels import linear_scan_numba\n"
    assert imports(outside_functions(ast.parse(inside))) == set()
    assert imports(outside_functions(ast.parse(outside))) == {"mambaedu_kernels"}
    assert risky(ast.parse("x = tl.associative_scan(a, 0, f, reverse=True) + tl.atomic_add(p, 1)")) == {
        "associative_scan",
        "atomic_add",
    }
    assert not within("numpyro", ANY_KERNEL)
    assert within("numpy.linalg", ANY_KERNEL)
