"""Where things are: the folders, the pages of the table of contents, the public address."""

from pathlib import Path
from urllib.parse import urlparse

import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"


def _repository() -> dict[str, str]:
    return yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]


def repository_url() -> str:
    """The address of the repository, from _config.yml, its only home."""
    return _repository()["url"].rstrip("/")


def file_url(path: str, line: int | None = None) -> str:
    """The page that shows one file of the repository: file_url("mambaedu/discretize.py", 12)."""
    anchor = f"#L{line}" if line else ""
    return f"{repository_url()}/blob/{_repository()['branch']}/{path}{anchor}"


def site_url() -> str:
    """The address of the rendered book. GitHub serves github.com/OWNER/NAME at OWNER.github.io/NAME."""
    owner, name = urlparse(repository_url()).path.strip("/").split("/")
    return f"https://{owner}.github.io/{name}"


def colab_url(page: str) -> str:
    """The address that opens the notebook twin of a page in Colab."""
    path = urlparse(repository_url()).path.strip("/")
    return f"https://colab.research.google.com/github/{path}/blob/{_repository()['branch']}/book/{page}.ipynb"


def pages() -> list[str]:
    """Every page of the table of contents, in reading order, without its suffix: "intro", "notation", ..."""
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text("utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc.get("parts", []) for chapter in part["chapters"])]
