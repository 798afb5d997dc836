"""Every example in a docstring of the library runs and gives what it says."""

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import mambaedu

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(mambaedu.__path__, "mambaedu.")
    if not module.name.endswith("__main__")
)


def examples(name):
    return [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    # An ellipsis stands for what does not matter. Examples may use what their module can see.
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said = []
    for test in examples(name):
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_the_modules_were_found():
    assert {"mambaedu.discretize", "mambaedu.convolution", "mambaedu.linear_scan", "mambaedu.lab.testing"} <= set(
        MODULES
    )


@pytest.mark.parametrize("name", ["mambaedu.discretize", "mambaedu.convolution", "mambaedu.linear_scan"])
def test_every_public_function_of_the_mathematics_has_an_example(name):
    tree = ast.parse(Path(importlib.import_module(name).__file__).read_text())
    # The naive scan stands behind linear_scan, and is read, not called.
    public = {f.name for f in tree.body if isinstance(f, ast.FunctionDef)} - {"linear_scan_naive"}
    public = {function for function in public if not function.startswith("_")}
    shown = {test.name.removeprefix(name + ".") for test in examples(name)}
    assert public <= shown


def test_a_wrong_example_is_seen():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    runner = doctest.DocTestRunner()
    runner.run(test, out=lambda text: None)
    assert runner.failures == 1
