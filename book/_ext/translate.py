"""MyST Markdown -> the plain Markdown that Jupyter and Colab show. What it does not know it refuses by name."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import project
import targets
import yaml
from docutils.parsers.rst import directives as options_of
from sphinx.directives.code import LiteralIncludeReader

FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,}|:{3,})\s*(?:\{(?P<name>[^}]+)\})?(?P<rest>.*)$")
OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")
TITLES = {"seealso": "See also"}  # the others show their own name
ADMONITIONS = {
    "admonition",
    "attention",
    "caution",
    "danger",
    "error",
    "hint",
    "important",
    "note",
    "seealso",
    "tip",
    "warning",
}
BOXES = {"card", "grid", "grid-item", "grid-item-card", "tab-set", "tab-item", "margin", "sidebar", "topic", "div"}
DROPPED = {"bibliography", "toctree", "tableofcontents", "index"}  # the site has these; a notebook has no use for them


class Translator:
    """Translates one page. `known` are the labels of the whole book, `cited` its sources."""

    def __init__(self, page: str, known: dict[str, targets.Target], cited: dict[str, tuple[str, str]]):
        self.page, self.known, self.cited = page, known, cited

    def error(self, text: str) -> ValueError:
        return ValueError(f"book/{self.page}.md: {text}")

    # ---- blocks --------------------------------------------------------------------------------------------------

    def blocks(self, text: str) -> str:
        """Translate a piece of a page: directives, equations, labels, and the roles in the text between them."""
        out: list[str] = []
        plain: list[str] = []
        lines = text.split("\n")
        i = 0

        def flush() -> None:
            if plain:
                out.append(self.inline("\n".join(plain)))
                plain.clear()

        while i < len(lines):
            line = lines[i]
            fence = FENCE.match(line)
            if fence and not (fence["fence"][0] == ":" and not fence["name"]):
                flush()
                end = self.closing(lines, i, fence["fence"])
                body = lines[i + 1 : end]
                if fence["name"]:
                    out.append(self.directive(fence["name"], fence["rest"].strip(), body))
                else:
                    out += lines[i : end + 1]  # a listing stays as it is
                i = end + 1
            elif line.startswith("$$"):
                flush()
                end = (
                    i if line.count("$$") > 1 else next((j for j in range(i + 1, len(lines)) if "$$" in lines[j]), None)
                )
                if end is None:
                    raise self.error(f"$$ is never closed: {line}")
                out.append(self.equation("\n".join(lines[i : end + 1])))
                i = end + 1
            elif targets.LABEL.match(line) or line.startswith("%"):
                i += 1  # a label, or a comment of the author's
            else:
                plain.append(line)
                i += 1
        flush()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip("\n")

    def closing(self, lines: list[str], start: int, fence: str) -> int:
        for j in range(start + 1, len(lines)):
            text = lines[j].strip()
            if text and set(text) == {fence[0]} and len(text) >= len(fence):
                return j
        raise self.error(f"the block is never closed: {lines[start]}")

    def equation(self, text: str) -> str:
        match = re.fullmatch(r"\$\$(.*?)\$\$\s*(?:\(([\w-]+)\))?\s*", text, re.S)
        if not match:
            raise self.error(f"cannot read the equation {text!r}: write $$ ... $$ (eq-label) with nothing behind it")
        return self.display(match[1], match[2])

    def display(self, tex: str, label: str | None) -> str:
        tag = f" \\tag{{{targets.short(label)}}}" if label else ""
        return f"$${tex.rstrip()}{tag} $$" if "\n" not in tex else f"$$\n{tex.strip()}{tag}\n$$"

    # ---- directives ----------------------------------------------------------------------------------------------

    def directive(self, name: str, argument: str, lines: list[str]) -> str:
        options, body = self.options(lines)
        if name in ADMONITIONS or name == "dropdown":
            return self.admonition(name, argument, options, body)
        if name in BOXES:
            heading = f"**{self.inline(argument)}**\n\n" if argument and name not in {"grid", "div"} else ""
            return f"\n{heading}{self.blocks(body)}\n"
        if name in DROPPED:
            return ""
        known: dict[str, Callable[[str, dict[str, str], str], str]] = {
            "literalinclude": self.literalinclude,
            "math": lambda argument, options, body: self.display(body or argument, options.get("label")),
            "figure": self.figure,
            "image": lambda argument, options, body: f"![{options.get('alt', '')}]({argument})",
            "code-block": lambda argument, options, body: f"```{argument}\n{body}\n```",
            "code": lambda argument, options, body: f"```{argument}\n{body}\n```",
            "table": lambda argument, options, body: f"*{self.inline(argument)}*\n\n{self.blocks(body)}",
            "list-table": self.list_table,
        }
        if name.startswith("glue"):
            # What is glued is not shown where it is made, and myst_nb is not on Colab: its notebook would show nothing.
            raise self.error(
                f"{{{name}}} leaves the notebook without its figure: give the cell a figure block under mystnb"
            )
        if name not in known:
            raise self.error(f"the directive {{{name}}} has no plain form yet: teach it to book/_ext/translate.py")
        return known[name](argument, options, body)

    def options(self, lines: list[str]) -> tuple[dict[str, str], str]:
        """The options of a directive, `:key: value` lines or a block between two `---`, and what follows them."""
        if lines and lines[0].strip() == "---":
            end = next(j for j in range(1, len(lines)) if lines[j].strip() == "---")
            found = yaml.safe_load("\n".join(lines[1:end])) or {}
            return {key: "" if value is None else str(value) for key, value in found.items()}, "\n".join(
                lines[end + 1 :]
            )
        options: dict[str, str] = {}
        i = 0
        while i < len(lines) and (match := OPTION.match(lines[i].strip())):
            options[match[1]] = match[2]
            i += 1
        return options, "\n".join(lines[i:]).strip("\n")

    def admonition(self, name: str, argument: str, options: dict[str, str], body: str) -> str:
        # An admonition that takes no title of its own has its first words on the line of its name.
        if name not in {"admonition", "dropdown"} and argument:
            body, argument = f"{argument}\n{body}", ""
        heading = self.inline(argument) or TITLES.get(name, name.capitalize())
        inner = self.blocks(body)
        if name == "dropdown" or "dropdown" in options.get("class", "").split():
            return f"\n<details>\n<summary><b>{heading}</b></summary>\n\n{inner}\n\n</details>\n"
        return "\n" + "\n".join(f"> {line}".rstrip() for line in [f"**{heading}**", "", *inner.split("\n")]) + "\n"

    def literalinclude(self, argument: str, options: dict[str, str], body: str) -> str:
        path = ((project.BOOK / self.page).parent / argument).resolve()
        name = path.relative_to(project.ROOT).as_posix()
        parsed = {"lineno-match": None}
        for key, value in options.items():
            parsed[key] = options_of.nonnegative_int(value) if key == "dedent" and value else self.unquote(value)
        reader = LiteralIncludeReader(str(path), parsed, SimpleNamespace(source_encoding="utf-8"))
        text, _ = reader.read()
        first = reader.lineno_start
        link = f"[`{name}`, from line {first}]({project.file_url(name, first)})"
        return f"\n```{options.get('language', 'python')}\n{text.rstrip()}\n```\n\n{link}\n"

    @staticmethod
    def unquote(value: str) -> str:
        return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value

    def figure(self, argument: str, options: dict[str, str], body: str) -> str:
        return f"![{options.get('alt', '')}]({argument})\n\n{self.caption(options.get('name'), body)}"

    def caption(self, name: str | None, body: str) -> str:
        head = f"**Figure {targets.short(name)}.** " if name else ""
        return f"{head}{self.blocks(body)}"

    def list_table(self, argument: str, options: dict[str, str], body: str) -> str:
        rows: list[list[str]] = []
        for line in body.split("\n"):
            if line.startswith("* - "):
                rows.append([line[4:]])
            elif line.startswith("  - "):
                rows[-1].append(line[4:])
            elif line.strip() and rows:
                rows[-1][-1] += " " + line.strip()
        written = ["| " + " | ".join(self.inline(cell) for cell in row) + " |" for row in rows]
        written.insert(1, "|" + "---|" * len(rows[0]))
        head = f"*{self.inline(argument)}*\n\n" if argument else ""
        return head + "\n".join(written)

    # ---- roles and links -----------------------------------------------------------------------------------------

    SPAN = re.compile(
        r"(?:\{(?P<role>[\w:.-]+)\})?(?P<ticks>`+)(?P<body>.+?)(?<!`)(?P=ticks)(?!`)"  # code, or a role
        r"|(?<!!)\[(?P<words>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<link>[^()\s]*)\)"  # a link
        r"|(?P<image>!\[[^\]]*\]\([^)]*\))(?:\{[^}]*\})?"  # an image, with the attributes of MyST
        r"|\[(?P<span>[^\[\]]+)\]\{[^}`]*\}",  # [words]{.class}
        re.S,
    )

    def inline(self, text: str) -> str:
        return self.SPAN.sub(self.span, text)

    def span(self, match: re.Match[str]) -> str:
        if match["role"]:
            return self.role(match["role"], match["body"])
        if match["ticks"]:
            return match[0]
        if match["link"] is not None:
            return self.link(match["words"], match["link"])
        return match["image"] or match["span"]

    def role(self, name: str, body: str) -> str:
        explicit = re.fullmatch(r"(.*?)\s*<([^<>]+)>", body, re.S)
        words, label = (explicit[1], explicit[2]) if explicit else ("", body)
        if name in {"eq", "ref", "numref"}:
            target = self.target(label)
            words = re.sub(r"\{(name|number)\}|%s", targets.short(label), words)
            return f"[{words or target.words}]({target.url})"
        if name == "doc":
            page = self.resolve(label)
            return f"[{words or targets.title(page)}]({targets.page_url(page)})"
        if name.startswith("cite"):
            return self.cite(name, label)
        if name == "math":
            return f"${body}$"
        if name in {"code", "kbd", "download", "py:func", "py:mod", "py:class", "func", "mod", "class"}:
            return f"`{words or label.lstrip('~')}`"
        if name in {"sub", "sup"}:
            return f"<{name}>{body}</{name}>"
        if name in {"term", "abbr"}:
            return words or label
        raise self.error(f"the role {{{name}}} has no plain form yet: teach it to book/_ext/translate.py")

    def target(self, label: str) -> targets.Target:
        if label not in self.known:
            raise self.error(f"no page of the table of contents defines the label {label}")
        return self.known[label]

    def resolve(self, path: str) -> str:
        """A path as MyST writes it, from the root of the book or beside this page -> the name of a page."""
        path = path.removesuffix(".md")
        base = project.BOOK if path.startswith("/") else (project.BOOK / self.page).parent
        page = Path(base, path.lstrip("/")).resolve().relative_to(project.BOOK).as_posix()
        if page not in project.pages():
            raise self.error(f"{path} is no page of the table of contents")
        return page

    def cite(self, name: str, keys: str) -> str:
        shown = []
        for key in (key.strip() for key in keys.split(",")):
            if key not in self.cited:
                raise self.error(f"references.bib has no entry {key}")
            authors, year = self.cited[key]
            url = targets.page_url("reference/bibliography")
            shown.append(f"[{authors} ({year})]({url})" if name.endswith(":t") else f"[{authors}, {year}]({url})")
        return " and ".join(shown) if name.endswith(":t") else f"({'; '.join(shown)})"

    def link(self, words: str, link: str) -> str:
        words = self.inline(words)
        if re.match(r"[a-z]+:", link):
            return f"[{words}]({link})"
        path, _, anchor = link.partition("#")
        if (not path and anchor) or path in self.known:
            target = self.target(anchor or path)
            return f"[{words or target.words}]({target.url})"
        if path.endswith(".md") or not Path(path).suffix:
            page = self.resolve(path)
            return f"[{words or targets.title(page)}]({targets.page_url(page, anchor)})"
        name = ((project.BOOK / self.page).parent / path).resolve().relative_to(project.ROOT).as_posix()
        return f"[{words or path}]({project.file_url(name)})"
