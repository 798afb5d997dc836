"""Are the recorded results still about the kernels of today? `python book/_ext/recorded.py` says which are not.

A record keeps the hash of every kernel file it used. When the kernel changes, the record is measured again, or it says
`"stale": true` and its page says "measured on an older version".
"""

import sys
from pathlib import Path

import project

from mambaedu.lab import records

DATA = project.BOOK / "_data"


def look(data: Path = DATA) -> tuple[list[str], list[str]]:
    """Two lists of sentences: what is wrong with a record, and which records say that they are stale."""
    wrong, stale = [], []
    for path in sorted(data.glob("*.json")):
        try:
            record = records.read(path.stem, data)
        except ValueError as error:
            wrong.append(f"book/_data/{path.name}: {error}")
            continue
        if record["name"] != path.stem:
            wrong.append(f"book/_data/{path.name}: its name is {record['name']!r}, it must be {path.stem!r}")
        if record["stale"]:
            stale.append(f"book/_data/{path.name} is stale. To measure again: {record['command']}")
    return wrong, stale


def main() -> int:
    wrong, stale = look()
    print(*wrong, *stale, sep="\n", end="\n" if wrong or stale else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
