"""Run one experiment in full and record it: python -m mambaedu.lab.experiments e01 [--out FOLDER]."""

import argparse
import importlib

from .. import records


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mambaedu.lab.experiments", description="Run an experiment in full and record its result."
    )
    parser.add_argument("name", choices=["e01", "e02"], help="the experiment, numbered like its chapter")
    parser.add_argument("--out", help="the folder for the record; by default book/_data of the clone")
    arguments = parser.parse_args()
    experiment = importlib.import_module(f"{__package__}.{arguments.name}")
    data = experiment.run(quick=False)
    data["paper_boxes"] = experiment.paper_boxes(data)
    path = records.write(
        arguments.name, data, kernels=experiment.KERNELS, seeds=[0], repeats=data.get("repeats", 1), out=arguments.out
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
