"""An equation, its code and its test carry one label, or the build says which of the three is missing."""

import equations
import pytest
from equations import Place, in_book, in_code, in_tests, problems

HERE = {"eq-a": [Place("x", 1)]}


def test_every_equation_has_its_code_and_its_test():
    assert problems(in_book(), in_code(), in_tests()) == []


def test_the_page_has_an_entry_for_each_equation():
    lines = equations.entries()
    assert [line for line in lines if line.startswith("Equation ")] == [
        f"Equation {{eq}}`{label}`" for label in in_book()
    ]
    assert sum(line.startswith("Code: ") for line in lines) == len(set(in_book()) & set(in_code()))
    assert sum(line.startswith("Tests: ") for line in lines) == len(set(in_book()) & set(in_tests()))


@pytest.mark.parametrize(
    ("book", "code", "tests", "expected"),
    [
        ({}, HERE, HERE, "eq-a is missing in the book"),
        (HERE, {}, HERE, "eq-a is missing in mambaedu/ or kernels/"),
        (HERE, HERE, {}, "eq-a is missing in a test"),
        (HERE, {}, {}, "eq-a is missing in mambaedu/ or kernels/ and in a test"),
    ],
)
def test_a_missing_label_is_named(book, code, tests, expected):
    assert problems(book, code, tests, theory={}) == [expected]


def test_the_list_of_theory_excuses_only_what_the_book_has():
    assert problems(HERE, {}, {}, theory={"eq-a": "a theorem"}) == []
    assert problems(HERE, HERE, HERE, theory={"eq-a": "a theorem"}) == [
        "eq-a has its code and its test: take it off the list THEORY"
    ]
    assert problems({}, {}, {}, theory={"eq-b": "gone"}) == ["eq-b is on the list THEORY and nowhere in the book"]
    assert problems({}, HERE, {}, theory={"eq-a": "no page"})[0] == "eq-a is missing in the book and in a test"


def test_equations_are_found_in_pages(tmp_path):
    text = "$$ a = b $$ (eq-one)\n\n$$\nc = d\n$$ (eq-two)\n\n$$ e $$\n\n```{math}\n:label: eq-three\nf\n```\n"
    (tmp_path / "p.md").write_text(text)
    found = in_book(["p"], tmp_path)
    assert {label: (place.line, place.text) for label, place in found.items()} == {
        "eq-one": (1, "a = b"),
        "eq-two": (3, "c = d"),
        "eq-three": (9, "f"),
    }


def test_one_label_on_two_pages_is_an_error(tmp_path):
    (tmp_path / "p.md").write_text("$$ a $$ (eq-one)\n")
    (tmp_path / "q.md").write_text("$$ b $$ (eq-one)\n")
    with pytest.raises(ValueError, match="eq-one is defined twice: in p and in q"):
        in_book(["p", "q"], tmp_path)


def library(tmp_path, text):
    (tmp_path / "mambaedu").mkdir()
    (tmp_path / "mambaedu" / "m.py").write_text(text)
    return tmp_path


def test_tags_are_found_in_code(tmp_path):
    root = library(tmp_path, "y = a * h  # (b l d)  # [eq-one]\n# [eq-two]\nz = 1\nw = 2\n# [/eq-two]\n")
    assert in_code(root) == {"eq-one": [Place("mambaedu/m.py", 1, 1)], "eq-two": [Place("mambaedu/m.py", 3, 4)]}


def test_a_tag_that_is_never_closed_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"m\.py:1: \[eq-two\] stands alone on its line and is never closed"):
        in_code(library(tmp_path, "# [eq-two]\nz = 1\n"))


def test_a_tag_that_was_never_opened_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"m\.py:2: \[/eq-two\] closes what was not opened"):
        in_code(library(tmp_path, "z = 1\n# [/eq-two]\n"))


def test_marks_are_found_in_tests(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_m.py").write_text('@pytest.mark.equation("eq-one", "eq-two")\ndef test_it(): ...\n')
    assert in_tests(tmp_path) == {
        label: [Place("tests/test_m.py", 2, text="test_it")] for label in ("eq-one", "eq-two")
    }
