"""What a reference can point at: pages, headings, equations, figures, sources. label -> (address on the site, words)."""

import re
from dataclasses import dataclass

import equations
import project
from docutils.nodes import make_id
from pybtex.database import parse_file
from pybtex.richtext import Text


@dataclass
class Target:
    url: str
    words: str  # what a link shows when the author gave no words
    tag: str = ""  # "equation", "figure", "page", "heading"


def page_url(page: str, anchor: str = "") -> str:
    return f"{project.site_url()}/{page}.html" + (f"#{anchor}" if anchor else "")


HEADING = re.compile(r"^#{1,6}\s+(.*)$")
LABEL = re.compile(r"^\(([\w.:-]+)\)=\s*$")
NAME = re.compile(r"^(?::name:|\s+name:)\s*([\w.:-]+)\s*$")


def title(page: str) -> str:
    for line in (project.BOOK / f"{page}.md").read_text("utf-8").splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    raise ValueError(f"book/{page}.md has no title: its first heading must be one line `# Title`")


def short(label: str) -> str:
    """eq-recurrence -> recurrence, fig-decay -> decay: what a twin shows where the page shows a number."""
    return re.sub(r"^(eq|fig|tab)-", "", label)


def collect() -> dict[str, Target]:
    """Every label of every page of the table of contents."""
    found: dict[str, Target] = {}
    for page in project.pages():
        path = project.BOOK / f"{page}.md"
        if not path.exists():
            continue
        lines = path.read_text("utf-8").splitlines()
        for i, line in enumerate(lines):
            if label := LABEL.match(line):
                below = next((text for text in lines[i + 1 :] if text.strip() and not LABEL.match(text)), "")
                heading = HEADING.match(below)
                words = heading[1].strip() if heading else short(label[1])
                found[label[1]] = Target(page_url(page, make_id(label[1])), words, "heading")
            elif name := NAME.match(line):
                found[name[1]] = Target(page_url(page, make_id(name[1])), f"Figure {short(name[1])}", "figure")
    for label, place in equations.in_book().items():
        found[label] = Target(page_url(place.path, f"equation-{label}"), f"({short(label)})", "equation")
    return found


def sources() -> dict[str, tuple[str, str]]:
    """key -> (authors, year) of references.bib: gu2023mamba -> ("Gu and Dao", "2023")."""
    found = {}
    for key, entry in parse_file(str(project.BOOK / "references.bib")).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [str(Text.from_latex(" ".join(person.prelast_names + person.last_names))) for person in people]
        if len(names) > 2:
            names = [f"{names[0]} et al."]
        found[key] = (" and ".join(names) or key, entry.fields.get("year", "n.d."))
    return found
