"""Every command of the README runs. The two that build everything are what .ci/run is; here they only have to exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import project
import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", TEXT, re.M | re.S)
LINES = [line.strip().removeprefix("$ ").split("  #")[0].rstrip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = list(dict.fromkeys(line for line in LINES if line and not line.startswith("#")))

# Not run here: they build or test everything, never end, or need a GPU. `make -n` says whether they exist.
TOO_LONG = {"make book", "make test", "make test-fast", "make serve", "make gpu-test", "make bench"}
# A stub that nobody has solved yet fails, as it should.
MAY_FAIL = re.compile(r"exercises")


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": "",
        "COLUMNS": "120",
    }


def run(command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, env=environment(), timeout=300)


def test_the_two_commands_are_there():
    assert {"make book", "make test"} <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command(command):
    words = shlex.split(command)
    if words[0] == "git" or words[0] == "cd":
        name = project.repository_url().rsplit("/", 1)[1]
        assert command in {
            f"git clone {project.repository_url()}",
            f"git clone {project.repository_url()}.git",
            f"cd {name}",
        }
    elif command in TOO_LONG or words[:2] == ["make", "bench"] or "--gpu" in words:
        assert run(shlex.join([words[0], "-n", *words[1:]])).returncode == 0
    elif words[0] == "pip" or words[:3] == ["python", "-m", "pip"]:
        # What pip would do, without doing it: the names and the addresses are real.
        done = run(f"{command} --dry-run --quiet")
        assert done.returncode == 0, done.stderr
    else:
        done = run(command)
        assert "Traceback" not in done.stderr, done.stderr
        if not MAY_FAIL.search(command) and words[:2] != ["make", "grade"]:
            assert done.returncode == 0, done.stdout + done.stderr


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\(([^)#\s]+)", TEXT):
        if not re.match(r"[a-z]+:", target):
            assert (ROOT / target).exists(), f"README.md links to {target}"


def test_pictures_have_alt_text():
    assert re.findall(r"!\[\s*\]\(", TEXT) == []
    for image in re.findall(r"<img\b[^>]*>", TEXT):
        assert re.search(r'alt="[^"\s][^"]*"', image), image


def test_it_says_what_the_lock_does_not_support():
    assert "Intel" in TEXT, "the README says that the exact set does not install on Intel Macs"


def test_no_text_names_a_private_path():
    """A path or a word of whoever wrote it helps nobody else."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        assert not re.search(r"(?<![\w.])/(?:home|Users|root|tmp|work)/", (ROOT / name).read_text("utf-8")), name
