"""Boxes and tables are made of records: escaped, complete, the same in HTML and in plain text."""

import re

import pytest

from mambaedu.lab import records
from mambaedu.viz import paper_box, provenance, table

BOX = {
    "paper": "A paper",
    "says": "a < b & c",
    "ran": "a system",
    "measured": "error 1e-3",
    "verdict": "held in part",
}
LABELS = ["paper", "it says", "we ran", "we measured", "verdict"]


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """One record with two boxes."""
    monkeypatch.setattr(records, "DATA", tmp_path)
    other = {**BOX, "paper": "Another paper"}
    records.write("e99", {"paper_boxes": [BOX, other]}, command="python -m <e99>")


def test_a_paper_box_has_five_rows_and_its_provenance(recorded):
    box = paper_box("e99")
    html = box._repr_mimebundle_()["text/html"]
    assert re.findall(r"<th scope='row'>(.*?)</th>", html) == LABELS
    assert re.findall(r"<td>(.*?)</td>", html) == [
        "A paper",
        "a &lt; b &amp; c",
        "a system",
        "error 1e-3",
        "held in part",
    ]
    assert html.count("mx-provenance") == 1
    assert "<code>python -m &lt;e99&gt;</code>" in html


def test_a_paper_box_in_plain_text(recorded):
    box = paper_box("e99")
    lines = [f"{label}: {text}" for label, text in zip(LABELS, BOX.values(), strict=True)]
    assert repr(box) == box._repr_mimebundle_()["text/plain"] == "\n".join(lines)


def test_the_second_box(recorded):
    assert "Another paper" in repr(paper_box("e99", 1))


def test_a_box_of_a_record_that_is_not_there(recorded):
    with pytest.raises(FileNotFoundError, match="no record 'e98'"):
        paper_box("e98")
    with pytest.raises(FileNotFoundError, match="no record 'e98'"):
        provenance("e98")


def test_the_line_under_a_recorded_figure(recorded):
    line = provenance("e99")
    assert repr(line) == records.provenance(records.read("e99"))
    assert line.html.startswith("<p class='mx-provenance'>")
    assert "<e99>" not in line.html


def test_a_table_shows_three_digits_and_escapes():
    small = table(["l", "a<b"], [[64, 1.23456e-7], [10000, 0.5], ["left out", None]])
    assert repr(small) == "l | a<b\n64 | 1.23e-07\n10000 | 0.5\nleft out | None"
    html = small._repr_mimebundle_()["text/html"]
    assert re.findall(r"<th scope='col'>(.*?)</th>", html) == ["l", "a&lt;b"]
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)[1:]]
    assert cells == [["64", "1.23e-07"], ["10000", "0.5"], ["left out", "None"]]


@pytest.mark.parametrize("name", ["e01", "e02"])
def test_every_box_of_the_book_is_complete(name):
    for i in range(len(records.read(name)["data"]["paper_boxes"])):
        html = paper_box(name, i).html
        assert all(re.findall(r"<td>(.*?)</td>", html))
        assert html.count("<tr>") == 5
