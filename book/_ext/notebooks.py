"""The notebook twin of every page that has code cells: book/<page>.md -> book/<page>.ipynb.

    python book/_ext/notebooks.py            write the twins
    python book/_ext/notebooks.py --check    write nothing, name what is out of date, exit 1

The page is the source. Its twin has the same code cells, without outputs, and its text in the plain Markdown that Jupyter and
Colab show. In front stands one more cell, which installs the project where it is missing.
"""

import argparse
import hashlib
import json
import re
import sys

import jupytext
import project
import targets
from translate import Translator

INSTALL = """\
# On Colab: fetch the book and install it, nothing else. Where mambaedu is already installed this only prints the versions.
try:
    import mambaedu
except ImportError:
    import os, subprocess, sys

    if not os.path.isdir("{folder}"):
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{url}", "{folder}"], check=True)
    os.chdir("{folder}")  # the exercises and the recorded results lie here
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", "."], check=True)
    sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "kernels")]  # this process started before the install
    import mambaedu
import torch

assert mambaedu.linear_scan(torch.full((1, 3, 1), 0.5), torch.ones(1, 3, 1)).flatten().tolist() == [1.0, 1.5, 1.75]
print("mambaedu", mambaedu.__version__, "| torch", torch.__version__, "| GPU" if torch.cuda.is_available() else "| CPU")
"""


def has_cells(page: str) -> bool:
    path = project.BOOK / f"{page}.md"
    return path.exists() and "```{code-cell}" in path.read_text("utf-8")


def pages() -> list[str]:
    return [page for page in project.pages() if has_cells(page)]


def install_cell() -> str:
    url = project.repository_url()
    return INSTALL.format(url=url, folder=url.rsplit("/", 1)[1]).rstrip("\n")


def canonical(text: str) -> str:
    """The page as jupytext writes it, with the author's own front matter: two people never differ by an empty line."""
    head = re.match(r"---\n.*?\n---\n", text, re.S)
    if not head:
        raise ValueError("a page with code cells begins with a jupytext header between two lines ---")
    written = jupytext.writes(jupytext.reads(text, fmt="md:myst"), fmt="md:myst")
    return head[0] + re.sub(r"\A---\n.*?\n---\n", "", written, flags=re.S)


def cell(kind: str, source: str, tags: list[str] | None = None) -> dict:
    new = {"cell_type": kind, "metadata": {"tags": tags} if tags else {}, "source": source.splitlines(keepends=True)}
    return {**new, "execution_count": None, "outputs": []} if kind == "code" else new


def cells(page: str) -> list[dict]:
    notebook = jupytext.reads((project.BOOK / f"{page}.md").read_text("utf-8"), fmt="md:myst")
    translator = Translator(page, targets.collect(), targets.sources())
    home = f"[{targets.title(page)}]({targets.page_url(page)})"
    out = [
        cell("markdown", f"*The runnable twin of the page {home}, made from `book/{page}.md`.*"),
        cell("code", install_cell(), ["remove-cell"]),
    ]
    for read in notebook.cells:
        if read.cell_type == "code":
            # On the page an exercise is shown and not run; here it is live.
            out.append(
                cell("code", read.source, [tag for tag in read.metadata.get("tags", []) if tag != "skip-execution"])
            )
            figure = read.metadata.get("mystnb", {}).get("figure")
            if figure:
                out.append(cell("markdown", translator.caption(figure.get("name"), figure.get("caption", ""))))
        elif text := translator.blocks(read.source):
            out.append(cell("markdown", text))
    return out


def twin(page: str) -> str:
    """The notebook as text: the same bytes for the same page, always."""
    numbered = cells(page)
    for index, each in enumerate(numbered):
        each["id"] = hashlib.sha1(f"{index}\n{''.join(each['source'])}".encode()).hexdigest()[:8]
    notebook = {
        "cells": numbered,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write() -> None:
    for page in pages():
        path = project.BOOK / f"{page}.md"
        text = path.read_text("utf-8")
        if canonical(text) != text:
            path.write_text(canonical(text), "utf-8")
            print(f"book/{page}.md: brought to its canonical form")
        path.with_suffix(".ipynb").write_text(twin(page), "utf-8")
        print(f"book/{page}.ipynb")
    for path in leftovers():
        path.unlink()
        print(f"{path.relative_to(project.ROOT)}: removed, no page has it as its twin")


def leftovers() -> list:
    return [
        path
        for path in sorted(project.BOOK.rglob("*.ipynb"))
        if path.relative_to(project.BOOK).with_suffix("").as_posix() not in pages()
    ]


def out_of_date() -> list[str]:
    """One sentence for each page or twin that `make notebooks` would change."""
    sentences = []
    for page in pages():
        path = project.BOOK / f"{page}.md"
        text = path.read_text("utf-8")
        if canonical(text) != text:
            sentences.append(f"book/{page}.md is not in its canonical form")
        notebook = path.with_suffix(".ipynb")
        if not notebook.exists():
            sentences.append(f"book/{page}.ipynb is missing")
        elif notebook.read_text("utf-8") != twin(page):
            sentences.append(f"book/{page}.ipynb is out of date")
    return sentences + [f"{path.relative_to(project.ROOT)} is the twin of no page" for path in leftovers()]


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the notebook twins of the pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a twin is out of date")
    if not parser.parse_args().check:
        write()
        return 0
    sentences = out_of_date()
    for sentence in sentences:
        print(sentence)
    if sentences:
        print("Run: make notebooks")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
