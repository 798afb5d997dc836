"""Are the recorded results still about the kernels of today? `python book/_ext/recorded.py` lists what is stale.

A record keeps the hash of every kernel file it used. When the kernel changes, the record is measured again, or it says
`"stale": true` and its page says "measured on an older version".
"""

import sys
from pathlib import Path

import project

from mambaedu.lab import records

DATA = project.BOOK / "_data"


def names(data: Path = DATA) -> list[str]:
    return [path.stem for path in sorted(data.glob("*.json"))]


def changed_kernels(record: dict, root: Path = project.ROOT) -> list[str]:
    """The kernel files whose code is no longer what the record measured."""
    return [
        path
        for path, recorded in sorted(record["kernels"].items())
        if not (root / path).exists() or records.kernel_hash(root / path) != recorded
    ]


def problems() -> list[str]:
    """One sentence for each record that tells of old code and does not say so."""
    sentences = []
    for name in names():
        record = records.read(name)
        for path in changed_kernels(record):
            if not record.get("stale"):
                sentences.append(
                    f"book/_data/{name}.json was measured with another {path}. "
                    f'Run: {record["command"]}, or put "stale": true into it'
                )
    return sentences


def main() -> int:
    for name in names():
        record = records.read(name)
        if record.get("stale"):
            print(f"book/_data/{name}.json is stale. To measure again: {record['command']}")
    for sentence in problems():
        print(sentence)
    return 1 if problems() else 0


if __name__ == "__main__":
    sys.exit(main())
