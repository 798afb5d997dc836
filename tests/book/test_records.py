"""A record whose kernel changed says so, or the build refuses it."""

import json

import make_book
import pytest
import recorded

from mambaedu.lab import records


def test_no_record_tells_of_old_code():
    wrong, _ = recorded.look()
    assert wrong == []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A record of one kernel, which has not changed yet."""
    monkeypatch.setattr(records, "KERNELS", tmp_path)
    (tmp_path / "k.py").write_text('"""Words."""\nRATE = 1\n')
    records.write(
        "bench_k", {"ratio": 2.0}, kernels=["k.py"], command="python -m mambaedu.lab.bench k", out=tmp_path / "data"
    )
    return tmp_path


def test_words_may_change_and_code_may_not(folder):
    (folder / "k.py").write_text('"""Other words."""\nRATE = 1  # and a comment\n')
    assert recorded.look(folder / "data") == ([], [])
    (folder / "k.py").write_text('"""Words."""\nRATE = 2\n')
    ((sentence,), stale) = recorded.look(folder / "data")
    assert stale == []
    assert "record 'bench_k' is old: k.py changed since it was written" in sentence
    assert "python -m mambaedu.lab.bench k" in sentence


def test_a_stale_record_is_listed_and_passes(folder):
    (folder / "k.py").write_text("RATE = 2\n")
    path = folder / "data" / "bench_k.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "stale": True}))
    wrong, (sentence,) = recorded.look(folder / "data")
    assert wrong == []
    assert sentence == "book/_data/bench_k.json is stale. To measure again: python -m mambaedu.lab.bench k"


def test_a_record_under_another_name_is_refused(folder):
    (folder / "data" / "bench_k.json").rename(folder / "data" / "other.json")
    wrong, _ = recorded.look(folder / "data")
    assert wrong == ["book/_data/other.json: its name is 'bench_k', it must be 'other'"]


def test_the_build_refuses_an_old_record(monkeypatch, capsys):
    monkeypatch.setattr(recorded, "look", lambda: (["bench_k is old"], []))
    monkeypatch.setattr(make_book, "jupyter_book", lambda root: pytest.fail("built all the same"))
    assert make_book.main() == 1
    assert "bench_k is old" in capsys.readouterr().out
