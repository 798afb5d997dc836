"""Recorded results: a number in the book is computed in the page, or it lies in book/_data/<name>.json with its provenance.

A record says which command wrote it, when, at which commit, on which machine, with which versions, and the hash of every kernel
it timed. When a kernel's code changes, the hash no longer matches, and the book refuses the old number.
"""

import ast
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels" / "mambaedu_kernels"
DATA = ROOT / "book" / "_data"

_TYPES: dict[str, type] = {
    "name": str,
    "command": str,
    "date": str,
    "commit": str,
    "machine": dict,
    "versions": dict,
    "kernels": dict,
    "seeds": list,
    "repeats": int,
    "data": dict,
}


def kernel_hash(path: Path | str) -> str:
    """The sha256 of a file's code without docstrings and comments, so that words may change.

    Args:
        path: a Python file.

    Returns:
        64 hexadecimal digits.
    """
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    # Written out again and not dumped: the dump of one tree differs between Python versions.
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def machine() -> dict[str, Any]:
    """What this machine is: processor, cores that this process may use, and the GPU with its driver if there is one."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    about: dict[str, Any] = {"system": platform.system(), "cpu": _cpu_name(), "cores": cores}
    if torch.cuda.is_available():
        about["gpu"] = torch.cuda.get_device_name(0)
        about["driver"] = _run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").splitlines()[:1]
    return about


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str:
    """The commit this ran at, with "+changes" when the tree differed from it; "unknown" outside a clone.

    Whoever copies a tree to another machine names its commit in MAMBAEDU_COMMIT.
    """
    if named := os.environ.get("MAMBAEDU_COMMIT"):
        return named
    revision = _run("git", "rev-parse", "--short=12", "HEAD")
    if not revision:
        return "unknown"
    changed = _run("git", "status", "--porcelain", "--untracked-files=no", "--", "mambaedu", "kernels")
    return revision + ("+changes" if changed else "")


def write(
    name: str,
    data: dict[str, Any],
    *,
    kernels: Sequence[str] = (),
    seeds: Sequence[int] = (),
    repeats: int = 1,
    command: str | None = None,
    out: Path | str | None = None,
) -> Path:
    """Write one record, whole or not at all.

    Args:
        name: the record's name; the file is <name>.json.
        data: what was measured: numbers, strings, lists and dicts.
        kernels: names of files in kernels/mambaedu_kernels/ that were run.
        seeds: the seeds that were used.
        repeats: how often each timing was repeated.
        command: what a reader types to write it again; by default what was typed now.
        out: the folder; by default book/_data of the clone.

    Returns:
        The path of the file.

    Raises:
        ValueError: there is no clone to write into and `out` was not given, or the record is not valid.
    """
    if out is None:
        if not DATA.is_dir():
            raise ValueError(f"out must name a folder: {DATA} does not exist, so this is not a clone of the book")
        out = DATA
    typed = "python " + shlex.join(["-m", _module_name(), *_without_out(sys.argv[1:])])
    record = {
        "name": name,
        "command": command or typed,
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "versions": {"python": platform.python_version()}
        | {p: v for p in ("torch", "triton", "numba", "numpy", "scipy") if (v := _version(p))},
        "kernels": {file: kernel_hash(KERNELS / file) for file in kernels},
        "seeds": list(seeds),
        "repeats": repeats,
        "data": data,
    }
    validate(record)
    path = Path(out) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".json.part")
    half.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    half.replace(path)
    return path


def _without_out(arguments: list[str]) -> list[str]:
    """Where the record was put is nobody's business: leave out `--out FOLDER`."""
    kept = [argument for argument in arguments if not argument.startswith("--out=")]
    if "--out" in kept:
        i = kept.index("--out")
        del kept[i : i + 2]
    return kept


def _module_name() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name.removesuffix(".__main__") if spec else "mambaedu"


def validate(record: dict[str, Any]) -> None:
    """Raise ValueError, naming the key, when a record has not the form that the book reads."""
    for key, kind in _TYPES.items():
        if key not in record:
            raise ValueError(f"record {record.get('name', '?')!r}: {key} is missing")
        if not isinstance(record[key], kind):
            raise ValueError(
                f"record {record['name']!r}: {key} must be {kind.__name__}, got {type(record[key]).__name__}"
            )
    unknown = set(record) - set(_TYPES) - {"stale"}
    if unknown:
        raise ValueError(f"record {record['name']!r}: unknown keys {sorted(unknown)}")


def keep_quick(name: str, data: dict[str, Any], seconds: float) -> None:
    """While the book is built, put the result of a quick run beside the build, where a test reads it instead of running it again."""
    if os.environ.get("MAMBAEDU_BOOK") and DATA.is_dir():
        folder = ROOT / "_build" / "quick"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps({"seconds": seconds, "data": data}), encoding="utf-8")


def read(name: str, folder: Path | str | None = None) -> dict[str, Any]:
    """Read one record and hold it against the kernels as they are now.

    Args:
        name: the record's name.
        folder: where it lies; by default book/_data of the clone.

    Returns:
        The record. Its key "stale" is True when it says so itself: measured on an older version of a kernel.

    Raises:
        FileNotFoundError: there is no such record.
        ValueError: the record is not valid, or a kernel changed since and the record does not say that it is stale.
    """
    path = Path(folder or DATA) / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no record {name!r} in {path.parent}")
    record = json.loads(path.read_text(encoding="utf-8"))
    validate(record)
    record.setdefault("stale", False)
    old = changed_kernels(record)
    if old and not record["stale"]:
        raise ValueError(
            f"record {name!r} is old: {', '.join(old)} changed since it was written. "
            f'Run `{record["command"]}` again, or put "stale": true into {path.name}'
        )
    return record


def changed_kernels(record: dict[str, Any]) -> list[str]:
    """The kernel files whose code is no longer the one that the record timed."""
    if not KERNELS.is_dir():
        return []
    return [
        file
        for file, digest in record["kernels"].items()
        if not (KERNELS / file).is_file() or kernel_hash(KERNELS / file) != digest
    ]


def provenance(record: dict[str, Any]) -> str:
    """The line that stands under a recorded figure: machine, versions, date, commit, command."""
    about = record["machine"]
    where = about.get("gpu") or f"{about['cpu']}, {about['cores']} cores"
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    old = "Measured on an older version of the kernels. " if record.get("stale") else ""
    return f"{old}{where}; {versions}; {record['date']}, commit {record['commit']}; `{record['command']}`"
