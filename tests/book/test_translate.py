"""MyST becomes Markdown that Jupyter shows: one test for each thing a page may hold."""

import project
import pytest
from targets import Target
from translate import Translator

KNOWN = {
    "eq-scan": Target("https://site/p.html#equation-eq-scan", "(scan)", "equation"),
    "fig-decay": Target("https://site/p.html#fig-decay", "Figure decay", "figure"),
    "sec-zoh": Target("https://site/p.html#sec-zoh", "Holding the input", "heading"),
}
CITED = {"gu2023mamba": ("Gu and Dao", "2023"), "gu2022s4": ("Gu et al.", "2022")}
BIBLIOGRAPHY = f"{project.site_url()}/reference/bibliography.html"


@pytest.fixture
def translate():
    return Translator("reference/results", KNOWN, CITED).blocks


@pytest.mark.parametrize(
    ("myst", "plain"),
    [
        ("see {eq}`eq-scan`", "see [(scan)](https://site/p.html#equation-eq-scan)"),
        ("{numref}`fig-decay`", "[Figure decay](https://site/p.html#fig-decay)"),
        ("{numref}`picture {name} <fig-decay>`", "[picture decay](https://site/p.html#fig-decay)"),
        ("{ref}`sec-zoh`", "[Holding the input](https://site/p.html#sec-zoh)"),
        ("{ref}`hold it\n<sec-zoh>`", "[hold it](https://site/p.html#sec-zoh)"),
        ("[](#sec-zoh)", "[Holding the input](https://site/p.html#sec-zoh)"),
        ("[how `A` holds](#sec-zoh)", "[how `A` holds](https://site/p.html#sec-zoh)"),
        ("{cite}`gu2023mamba`", f"([Gu and Dao, 2023]({BIBLIOGRAPHY}))"),
        ("{cite:p}`gu2023mamba,gu2022s4`", f"([Gu and Dao, 2023]({BIBLIOGRAPHY}); [Gu et al., 2022]({BIBLIOGRAPHY}))"),
        ("{cite:t}`gu2022s4`", f"[Gu et al. (2022)]({BIBLIOGRAPHY})"),
        ("{doc}`the table </notation>`", f"[the table]({project.site_url()}/notation.html)"),
        ("[the table](../notation.md#symbols)", f"[the table]({project.site_url()}/notation.html#symbols)"),
        ("[the code](../../mambaedu/discretize.py)", f"[the code]({project.file_url('mambaedu/discretize.py')})"),
        ("[out](https://example.org/x)", "[out](https://example.org/x)"),
        ("{math}`A B`", "$A B$"),
        ("the code `{eq}` stays", "the code `{eq}` stays"),
        ("![a curve](a.png){width=50%}", "![a curve](a.png)"),
        ("[careful]{.track-m}", "careful"),
        ("(sec-zoh)=\n## Holding the input", "## Holding the input"),
        ("% a note to myself\ntext", "text"),
        ("$$ h_t = a h $$ (eq-scan)", r"$$ h_t = a h \tag{scan} $$"),
        ("$$\nh_t = a h\n$$ (eq-scan)", "$$\nh_t = a h \\tag{scan}\n$$"),
        ("$$ h_t = a h $$", "$$ h_t = a h $$"),
        ("```{math}\n:label: eq-scan\nh_t\n```", r"$$h_t \tag{scan} $$"),
        ("```python\nx = {1}\n```", "```python\nx = {1}\n```"),
        ("```{code-block} sh\nmake book\n```", "```sh\nmake book\n```"),
        ("```{bibliography}\n```", ""),
        (
            "```{figure} a.png\n:name: fig-decay\n:alt: a curve\nIt falls.\n```",
            "![a curve](a.png)\n\n**Figure decay.** It falls.",
        ),
        (
            ":::{list-table} Sizes\n:header-rows: 1\n* - name\n  - size\n* - `u`\n  - $b$\n:::",
            "*Sizes*\n\n| name | size |\n|---|---|\n| `u` | $b$ |",
        ),
        ("::::{grid} 2\n:::{grid-item-card} Read\nhere\n:::\n::::", "**Read**\n\nhere"),
        (":::{dropdown} Answer\nyes\n:::", "<details>\n<summary><b>Answer</b></summary>\n\nyes\n\n</details>"),
    ],
)
def test_one_piece(translate, myst, plain):
    assert translate(myst).strip("\n") == plain


def test_an_admonition_becomes_a_block_quote(translate):
    myst = ":::{admonition} Paper box\n:class: tip\nWe measured {eq}`eq-scan`.\n\n- one\n- two\n:::"
    quote = "> **Paper box**\n>\n> We measured [(scan)](https://site/p.html#equation-eq-scan).\n>\n> - one\n> - two"
    assert translate(myst).strip("\n") == quote


@pytest.mark.parametrize(("name", "title"), [("note", "Note"), ("seealso", "See also"), ("warning", "Warning")])
def test_an_admonition_without_a_title_shows_its_name(translate, name, title):
    assert translate(f"```{{{name}}}\ntext\n```").strip("\n") == f"> **{title}**\n>\n> text"
    assert translate(f"```{{{name}}} first\nsecond\n```").strip("\n") == f"> **{title}**\n>\n> first\n> second"


def test_directives_nest(translate):
    myst = "::::{admonition} Outer\n:::{note}\ninner\n:::\n```python\nx = 1\n```\n::::"
    assert translate(myst).strip("\n") == "> **Outer**\n>\n> > **Note**\n> >\n> > inner\n>\n> ```python\n> x = 1\n> ```"


def test_literalinclude_shows_the_lines_and_where_they_are(translate):
    myst = "```{literalinclude} ../_ext/project.py\n:language: python\n:pyobject: site_url\n:lineno-match:\n```"
    source = (project.BOOK / "_ext" / "project.py").read_text().splitlines()
    first = next(i for i, line in enumerate(source, 1) if line.startswith("def site_url"))
    shown = translate(myst)
    assert shown.strip("\n").startswith("```python\ndef site_url() -> str:")
    assert f"[`book/_ext/project.py`, from line {first}]({project.file_url('book/_ext/project.py', first)})" in shown


def test_literalinclude_between_two_tags(translate):
    myst = '```{literalinclude} ../_ext/notebooks.py\n:start-after: "def cell("\n:end-before: "def cells("\n:dedent: 4\n```'
    shown = translate(myst)
    assert "new = {" in shown
    assert "def cells" not in shown
    assert "\n    new = {" not in shown


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("```{quiz} x\n```", r"reference/results\.md: the directive \{quiz\} has no plain form yet"),
        ("```{glue:figure} shown\n:name: fig-decay\nIt falls.\n```", "leaves the notebook without its figure"),
        ("{quiz}`x`", r"the role \{quiz\} has no plain form yet"),
        ("{eq}`eq-none`", "no page of the table of contents defines the label eq-none"),
        ("{doc}`/nowhere`", "/nowhere is no page of the table of contents"),
        ("{cite}`nobody1900`", "references.bib has no entry nobody1900"),
        ("```{note}\nopen", "the block is never closed"),
        ("$$\nopen", "is never closed"),
        ("$$ a $$ (eq-scan) and more", "cannot read the equation"),
    ],
)
def test_what_it_does_not_know_it_refuses_by_name(translate, myst, message):
    with pytest.raises(ValueError, match=message):
        translate(myst)
