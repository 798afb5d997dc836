"""The manifest says what is worth how much, and a mistake in it is the set-up's fault, said by name."""

import shutil
from pathlib import Path

import pytest

from exercises._grader import manifest, wrong
from exercises._grader.folder import Folder

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = manifest.load()
ALL = list(EXERCISES.values())
POINTS = {1: 10, 2: 10, 3: 20, 4: 30, 5: 30}  # by difficulty


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_points_follow_from_the_difficulty(exercise: manifest.Exercise) -> None:
    assert exercise.points == POINTS[exercise.difficulty]


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_traffic_is_a_third_of_the_points(exercise: manifest.Exercise) -> None:
    counted = sum(test.points for test in exercise.tests if test.name == "traffic")
    assert counted in (0, round(exercise.points / 3))


def test_some_exercise_counts_traffic() -> None:
    assert any(test.name == "traffic" for exercise in ALL for test in exercise.tests)


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_the_first_hint_asks_and_the_last_points_into_the_chapter(exercise: manifest.Exercise) -> None:
    assert exercise.hints[0].rstrip().endswith("?")
    assert bool(exercise.link()) == (exercise.anchor != manifest.PLANNED)


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_every_anchor_is_in_the_book(exercise: manifest.Exercise) -> None:
    if exercise.anchor == manifest.PLANNED:
        assert not exercise.link()
        return
    links = {exercise.link()} | {one.link for one in wrong.load(Folder(exercise))}
    for link in links:
        page, anchor = link.split(", at ")
        text = (ROOT / page).read_text(encoding="utf-8")
        assert anchor in text.splitlines(), f"{exercise.id}: {page} has no line {anchor}"


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_an_exercise_has_all_its_files(exercise: manifest.Exercise) -> None:
    folder = ROOT / "exercises" / exercise.folder
    for name in ("README.md", exercise.file, "cases.py", "_solution.py", "_wrong.toml", f"test_{exercise.folder}.py"):
        assert (folder / name).is_file(), f"{exercise.folder}/{name} is missing"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{exercise.minutes} minutes" in readme
    assert f"difficulty {exercise.difficulty} of 5" in readme
    assert "## If you see this error" in readme
    assert f"pytest exercises/{exercise.folder}" in readme
    assert f'check("{exercise.id}"' in readme


def test_every_folder_is_in_the_manifest() -> None:
    folders = {path.name for path in (ROOT / "exercises").glob("ex[0-9]*") if path.is_dir()}
    assert folders == {exercise.folder for exercise in ALL}


def test_the_test_file_is_the_same_everywhere() -> None:
    texts = {(ROOT / "exercises" / e.folder / f"test_{e.folder}.py").read_text(encoding="utf-8") for e in ALL}
    assert len(texts) == 1


@pytest.mark.parametrize(
    "name", ["ex03", "ex3", "3", "03", "ex03_zoh", "exercises/ex03_zoh", "exercises/ex03_zoh/ex03_zoh.py"]
)
def test_an_exercise_goes_by_several_names(name: str) -> None:
    assert manifest.find(name, EXERCISES).id == "ex03"


@pytest.mark.parametrize("name", ["ex99", "zoh", "ex03_other", ""])
def test_an_unknown_exercise_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(KeyError, match=r"there is no exercise .*there are ex03, ex04"):
        manifest.find(name, EXERCISES)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("points = 4", "points = 0", "`points` of test values of ex03 must be at least 1, got 0"),
        ("points = 4", "points = true", "`points` of test values of ex03 must be int, got True"),
        ("points = 4", "", "test values of ex03 has no `points`"),
        ("points = 4", "points = 4\nbonus = 1", "test values of ex03 has unknown keys .'bonus'."),
        (
            'prerequisites = ["ex04"]',
            'prerequisites = ["ex16"]',
            "ex17 has prerequisites .'ex16'., which do not come before it",
        ),
        ('uses = ["combine", "IDENTITY"]', 'uses = ["merge"]', "names .'merge'., which `answers` does not have"),
        ('name = "near_zero"', 'name = "values"', "ex03 must have tests with different names"),
        ('id = "ex04"', 'id = "ex03"', "ex03 must be a new id"),
        ("minutes = 20", "minutes = ", "cannot be read"),
    ],
)
def test_a_broken_manifest_is_the_set_ups_fault(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = (ROOT / "exercises" / "manifest.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "manifest.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(manifest.SetupError, match=says):
        manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('find = "1 + x / 2"', 'find = "nowhere"', "must occur once in _solution.py, occurs 0 times"),
        ('find = "1 + x / 2"', 'find = "x"', "must occur once in _solution.py, occurs .* times"),
        ('test = "near_zero"', 'test = "other"', "names test 'other', which the manifest lacks"),
        ('test = "near_zero"', "", "lacks .'test'."),
    ],
)
def test_a_broken_mistake_is_the_set_ups_fault(tmp_path: Path, old: str, new: str, says: str) -> None:
    shutil.copytree(ROOT / "exercises" / "ex03_zoh", tmp_path / "ex03_zoh")
    file = tmp_path / "ex03_zoh" / "_wrong.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(manifest.SetupError, match=says):
        wrong.load(Folder(EXERCISES["ex03"], tmp_path))
