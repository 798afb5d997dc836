"""Build the book into _build/html, unless nothing changed since the last time. Any warning fails the build.

python book/_ext/make_book.py
"""

import hashlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import project
from bookext import library_hash

PAGES = {".md", ".ipynb", ".yml", ".bib", ".css", ".js", ".py", ".svg", ".png", ".woff", ".json"}


def inputs_hash(root: Path) -> str:
    """A hash of all that a build reads: the pages, what their cells see, the tests (for the table of equations), the lock."""
    digest = hashlib.sha256(library_hash(root).encode())
    files = [root / "_config.yml", root / "requirements.txt", *root.glob("tests/**/*.py"), *root.glob("book/**/*")]
    for path in sorted(files):
        if path.is_file() and path.suffix in PAGES | {".txt"} and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def out_of_date() -> list[str]:
    """What would make the book say something that is no longer so. Each sentence ends with the command that mends it."""
    import notebooks
    import recorded

    wrong, _ = recorded.look()
    return [f"{sentence}. Run: make notebooks" for sentence in notebooks.out_of_date()] + wrong


def jupyter_book(root: Path) -> int:
    """Run the builder on the book of `root`; warnings are errors, and all of them are shown before it fails."""
    shutil.rmtree(root / "_build" / "html", ignore_errors=True)  # a deleted page must not live on
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book", "--path-output", "."]
    status = subprocess.run([*command, "--config", "_config.yml", "-W", "-n", "--keep-going"], cwd=root).returncode
    if status:
        for report in sorted((root / "_build" / "html" / "reports").rglob("*.err.log")):
            traceback = re.sub(r"\x1b\[[0-9;]*m", "", report.read_text("utf-8"))  # without its colours
            print(f"\n---- {report.name.removesuffix('.err.log')}: the cell that failed ----\n{traceback}")
    return status


def main() -> int:
    root, stamp = project.ROOT, project.ROOT / "_build" / "inputs.sha256"
    sentences = out_of_date()
    if sentences:
        print("The book was not built:", *sentences, sep="\n  ")
        return 1
    inputs = inputs_hash(root)
    if stamp.exists() and stamp.read_text() == inputs and (root / "_build" / "html" / "index.html").exists():
        print("The book is up to date: _build/html/index.html")
        return 0
    stamp.unlink(missing_ok=True)
    print("Building the book: every cell of every page that changed is run, a minute or two a chapter.", flush=True)
    start = time.monotonic()
    if jupyter_book(root):
        print(
            "\nThe book did not build. The lines with WARNING or Traceback above name the page and the cell."
            "\nMend them, then run: make book"
        )
        return 1
    stamp.write_text(inputs)
    print(f"Built in {time.monotonic() - start:.0f} s. Open _build/html/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
