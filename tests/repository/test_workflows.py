"""The workflows are valid YAML, test every Python that we promise, and deploy the book that we build."""

import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))


def load(name: str) -> dict:
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


def commands(workflow: dict) -> str:
    return "\n".join(step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"])


def test_there_are_three():
    assert [path.name for path in FILES] == ["pages.yml", "test.yml", "weekly.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_says_when_and_what(path):
    workflow = load(path.name)
    assert workflow["name"]
    assert workflow[True]  # YAML reads the key `on` as true
    assert workflow["permissions"], "a workflow names the rights it needs, and has no others"
    for job in workflow["jobs"].values():
        assert job["runs-on"].startswith("ubuntu-")
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step


def test_every_promised_python_is_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    promised = {
        text.rsplit(" ", 1)[1]
        for text in project["classifiers"]
        if text.startswith("Programming Language :: Python :: 3.")
    }
    assert set(load("test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]) == promised


def test_the_book_is_deployed_from_a_clean_build():
    workflow = load("pages.yml")
    assert "make book" in commands(workflow)
    uploads = [step for step in workflow["jobs"]["build"]["steps"] if "upload-pages-artifact" in step.get("uses", "")]
    assert [step["with"]["path"] for step in uploads] == ["_build/html"]


def test_the_weekly_job_runs_what_the_others_leave_out():
    text = commands(load("weekly.yml"))
    for needed in ("-m weekly", ".ci/resolve", "sphinx -b html -W -n --keep-going -c book/_ext", "--upgrade"):
        assert needed in text
