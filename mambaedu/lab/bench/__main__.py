"""Time one operation and record it: python -m mambaedu.lab.bench selective_scan [--device cpu|cuda] [--quick] [--out FOLDER]."""

import argparse
import importlib
from pathlib import Path
from typing import Any

import torch

from .. import records

OPERATIONS = ("linear_scan", "causal_conv1d", "selective_scan")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mambaedu.lab.bench",
        description="Time an operation in one run against the naive loop, other people's versions and the hardware.",
    )
    parser.add_argument("op", choices=OPERATIONS)
    parser.add_argument("--device", choices=["cpu", "cuda"], help="by default the GPU if there is one")
    parser.add_argument("--quick", action="store_true", help="few sizes and repeats; nothing is recorded")
    parser.add_argument("--out", help="the folder for the record; by default book/_data of the clone")
    arguments = parser.parse_args()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    operation = importlib.import_module(f"{__package__}.{arguments.op}")
    kernel = f"{arguments.op}_{'numba' if device == 'cpu' else 'triton'}.py"
    name = f"bench_{arguments.op}_{'cpu' if device == 'cpu' else 'gpu'}"
    written: list[Path] = []

    def keep(data: dict[str, Any]) -> None:
        """Write the record as far as it has come: a run that is cut off leaves what it measured."""
        if not arguments.quick:
            seeds, repeats = operation.SEEDS, operation.REPEATS
            written[:] = [records.write(name, data, kernels=[kernel], seeds=seeds, repeats=repeats, out=arguments.out)]

    operation.bench(device, arguments.quick, keep)
    for path in written:
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
