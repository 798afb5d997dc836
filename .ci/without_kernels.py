"""Run the tests of the naive backend where no kernels are: delete kernels/ and every answer stays the same, only slower."""

import importlib.util
import sys

import pytest

# The environment knows this project as an editable install; here only the copy in the current folder counts.
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
if importlib.util.find_spec("mambaedu_kernels"):
    sys.exit("mambaedu_kernels can still be imported: delete the folder kernels/ first")
sys.exit(
    pytest.main(["-q", "-k", "naive and not numba and not triton", "-m", "not gpu and not weekly", "tests/mambaedu"])
)
