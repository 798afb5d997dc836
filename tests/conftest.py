"""Before anything imports triton: interpret its kernels on the CPU, unless the GPU tests were asked for."""

import os
import sys
from pathlib import Path

# Helpers that tests share lie beside them; importlib mode adds no folder to the path.
sys.path.append(str(Path(__file__).parent / "kernels"))


def pytest_configure(config):
    if config.getoption("markexpr") != "gpu":
        os.environ["TRITON_INTERPRET"] = "1"
