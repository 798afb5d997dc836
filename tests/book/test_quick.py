"""The live experiments of the pages: they ended in time, and say what the records say. Read from what the build wrote, not run again."""

import json
from pathlib import Path

import pytest

from mambaedu.lab import records

QUICK = Path(__file__).parents[2] / "_build" / "quick"
BUDGET = 90  # seconds on two cores; a busy machine may take twice as long

pytestmark = pytest.mark.book


def quick(name):
    path = QUICK / f"{name}.json"
    assert path.is_file(), f"the book build left no result of {name}: make clean, then make book"
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("name", ["e01", "e02"])
def test_it_ended_in_its_budget(name):
    assert 0 < quick(name)["seconds"] < 2 * BUDGET


def test_e01_lies_where_the_record_lies():
    live, recorded = quick("e01")["data"], records.read("e01")["data"]
    for rule, by_way in recorded["slopes"].items():
        for way, slope in by_way.items():
            assert abs(live["slopes"][rule][way] - slope) < 0.15, (rule, way)
    # Where both ran as many steps, both found the same error.
    for l in live["lengths"]:
        for rule, by_way in recorded["errors"].items():
            for way, errors in by_way.items():
                other = live["errors"][rule][way][live["lengths"].index(l)]
                assert abs(other / errors[recorded["lengths"].index(l)] - 1) < 1e-6


def test_e02_computes_what_the_record_computes():
    live, recorded = quick("e02")["data"], records.read("e02")["data"]
    for data in (live, recorded):
        assert all(e < 1e-5 for errors in data["errors"].values() for e in errors if e is not None)
    assert set(live["seconds"]) == set(recorded["seconds"])
