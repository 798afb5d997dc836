"""The reference page of a module, from its docstrings: signatures and text are never copied by hand."""

import importlib
import inspect
import re

SECTIONS = ("Args", "Returns", "Raises")
CODE_SPAN = re.compile(r"(`+[^`]+`+)")


def public(module) -> list[tuple[str, object]]:
    """The functions and classes that a module offers: those of its `__all__`, else what it defines without an underscore."""
    listed = getattr(module, "__all__", None)
    members = [(name, getattr(module, name)) for name in listed or vars(module) if not name.startswith("_")]
    return [
        (name, member)
        for name, member in members
        if (inspect.isfunction(member) or inspect.isclass(member)) and (listed or member.__module__ == module.__name__)
    ]


def escape(text: str) -> str:
    """Plain text as Markdown that shows exactly this text; `code` stays code."""
    parts = CODE_SPAN.split(text)
    return "".join(part if i % 2 else re.sub(r"([\\*_{}\[\]<>#$|~])", r"\\\1", part) for i, part in enumerate(parts))


def signature(name: str, member: object) -> str:
    """name(A, B, delta): the arguments and their defaults; the shapes stand in the text."""
    try:
        found = inspect.signature(member)
    except (TypeError, ValueError):
        return name
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    return name + str(inspect.Signature(bare))


def blocks(doc: str) -> list[list[str]]:
    """The docstring cut at its empty lines; the body of a section stays with its heading."""
    found: list[list[str]] = []
    after_gap = True
    for line in doc.splitlines():
        if not line.strip():
            after_gap = True
            continue
        inside = found and found[-1][0].rstrip(":") in SECTIONS and line.startswith(" ")
        if after_gap and not inside:
            found.append([])
        found[-1].append(line)
        after_gap = False
    return found


def items(lines: list[str]) -> list[str]:
    """`name: text`, with its continuation lines, as one list item each."""
    depth = min(len(line) - len(line.lstrip()) for line in lines)
    out: list[str] = []
    for line in lines:
        text = line[depth:]
        name, colon, rest = text.partition(":")
        if colon and not text.startswith(" ") and re.fullmatch(r"[\w, *`.]+", name):
            out.append(f"- `{name.strip('`')}`:{escape(rest)}")
        elif out:
            out[-1] += " " + escape(text.strip())
        else:
            out.append("- " + escape(text))
    return out


def docstring(doc: str) -> list[str]:
    """A docstring as lines of Markdown."""
    out: list[str] = []
    for block in blocks(doc):
        heading = block[0].rstrip(":")
        if heading in SECTIONS:
            body = [line.strip() for line in block[1:]]
            out += [f"**{heading}**", "", *(items(block[1:]) if heading != "Returns" else [escape(" ".join(body))])]
        elif block[0].startswith((">>>", " ")):
            out += [
                "```python" if ">>>" in block[0] else "```text",
                *inspect.cleandoc("\n".join(block)).splitlines(),
                "```",
            ]
        else:
            out.append(escape(" ".join(line.strip() for line in block)))
        out.append("")
    return out


def entry(kind: str, name: str, member: object, inner: list[str]) -> list[str]:
    doc = inspect.getdoc(member)
    if not doc:
        raise ValueError(f"{name} is public and has no docstring")
    fence = "::::" if kind == "class" else ":::"
    return [f"{fence}{{py:{kind}}} {signature(name, member)}", "", *docstring(doc), *inner, fence, ""]


def module(name: str) -> list[str]:
    """The text of the module and an entry for each of its public names, as lines of Markdown."""
    loaded = importlib.import_module(name)
    # Below {py:module} a name belongs to its module and is shown without it.
    lines = [
        f":::{{py:module}} {name}",
        ":::",
        "",
        f"`from {name} import ...`",
        "",
        *docstring(inspect.getdoc(loaded) or ""),
    ]
    for short, member in public(loaded):
        if inspect.isclass(member):
            methods = [
                (key, value)
                for key, value in vars(member).items()
                if inspect.isfunction(value) and key[0] != "_" and value.__doc__
            ]
            inner = [line for key, value in methods for line in entry("method", key, value, [])]
            lines += entry("class", short, member, inner)
        else:
            lines += entry("function", short, member, [])
    return lines
