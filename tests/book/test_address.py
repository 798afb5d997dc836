"""The public address of the repository stands in _config.yml and everything else derives from it."""

import re
import subprocess

import project
import pytest

# GitHub addresses of others that our files may name.
OTHERS = {"state-spaces", "triton-lang", "numba", "mathjax", "jupyter-book", "executablebooks", "actions"}
TEXT = {".md", ".py", ".yml", ".yaml", ".toml", ".cff", ".ipynb", ".txt", ".css", ".js", ""}


def test_the_addresses(monkeypatch):
    monkeypatch.setattr(project, "_repository", lambda: {"url": "https://github.com/owner/name/", "branch": "main"})
    assert project.repository_url() == "https://github.com/owner/name"
    assert project.site_url() == "https://owner.github.io/name"
    assert project.file_url("mambaedu/m.py", 3) == "https://github.com/owner/name/blob/main/mambaedu/m.py#L3"
    assert project.colab_url("a/b") == "https://colab.research.google.com/github/owner/name/blob/main/book/a/b.ipynb"


def tracked() -> list:
    run = subprocess.run(["git", "ls-files"], cwd=project.ROOT, capture_output=True, text=True, check=True)
    paths = [project.ROOT / line for line in run.stdout.splitlines()]
    return [
        path
        for path in paths
        if path.is_file() and path.suffix in TEXT and "_vendor" not in path.parts and path.name != "test_address.py"
    ]


@pytest.mark.parametrize("path", tracked(), ids=lambda path: path.relative_to(project.ROOT).as_posix())
def test_no_other_address_of_ours_is_typed_anywhere(path):
    url = project.repository_url()
    owner = url.split("/")[-2]
    for found in re.findall(r"https://github\.com/([\w.-]+)/[\w.-]+", path.read_text("utf-8")):
        assert found in OTHERS | {owner}, f"{path.name} names github.com/{found}"
    for found in re.findall(r"https://([\w-]+)\.github\.io", path.read_text("utf-8")):
        assert found == owner, f"{path.name} names {found}.github.io"
