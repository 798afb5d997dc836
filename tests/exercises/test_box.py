"""The box holds what a graded file needs, and nothing that would answer for it."""

import pytest

from exercises._grader import box, manifest
from exercises._grader.folder import Folder

ALL = list(manifest.load().values())


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_the_box_has_no_answers(exercise: manifest.Exercise) -> None:
    folder = Folder(exercise)
    cases = folder.cases(1)
    with box.new(
        folder, {exercise.file: b"# mine\n"}, dict(enumerate(cases)), [(exercise.file, 0)], locked=True
    ) as place:
        assert {path.name for path in place.iterdir()} == {"call.py", "setup.json", "in", "out", exercise.file}
        assert len(list((place / "in").iterdir())) == len(cases)
        call = (place / "call.py").read_text(encoding="utf-8")
    assert not place.exists()
    assert "def call(" in call
    for name in ("def reference", "def cases", "def explain"):
        assert name not in call


def test_call_keeps_what_it_uses_and_its_imports_come_first() -> None:
    source = """
import numpy as np
FEW = 3
MANY = 9
def used(x):
    return x + FEW
def reference(inputs):
    return MANY
def call(answer, inputs):
    from mambaedu.lab.traffic import count
    return count(used(answer))
"""
    text = box.call_source(source)
    assert text.index("from mambaedu.lab.traffic import count") < text.index("def used")
    assert "FEW" in text
    assert "MANY" not in text
    assert "reference" not in text
