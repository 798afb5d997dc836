"""A record is whole, valid, says how to write it again, and knows when its kernels changed."""

import json
import os
import re
import sys

import pytest

from mambaedu.lab import records

CODE = '''"""Words."""
def f(u):
    """More words."""
    return 2 * u  # a comment
'''


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A folder of kernels with one in it."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "k.py").write_text(CODE)
    monkeypatch.setattr(records, "KERNELS", folder)
    return folder


def write(tmp_path, data=None, **how):
    return records.write("r", data or {"ratio": 2.0}, out=tmp_path, **{"command": "python -m m r", **how})


def valid():
    return {
        "name": "r",
        "command": "python -m m r",
        "date": "2026-01-01",
        "commit": "abc",
        "machine": {"cpu": "a processor", "cores": 2},
        "versions": {"python": "3.11"},
        "kernels": {},
        "seeds": [0],
        "repeats": 1,
        "data": {},
    }


# ---- the hash -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        CODE.replace("# a comment", "# another"),
        CODE.replace("Words", "Other words"),
        CODE.replace("More words", "Others"),
        CODE.replace('    """More words."""\n', ""),
        CODE.replace('"""Words."""\n', ""),
        CODE.replace("2 * u", "(2*u)"),
        CODE.replace("\n    return", "\n\n\n    return"),
    ],
)
def test_words_and_layout_do_not_change_the_hash(tmp_path, same):
    assert same != CODE
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text(same)
    assert records.kernel_hash(tmp_path / "a.py") == records.kernel_hash(tmp_path / "b.py")


@pytest.mark.parametrize(
    "other",
    [CODE.replace("2", "3"), CODE.replace("f(", "g("), CODE.replace("return 2 * u", "x = 2 * u"), CODE + "N = 1\n"],
)
def test_code_changes_the_hash(tmp_path, other):
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text(other)
    assert records.kernel_hash(tmp_path / "a.py") != records.kernel_hash(tmp_path / "b.py")
    assert re.fullmatch("[0-9a-f]{64}", records.kernel_hash(str(tmp_path / "b.py")))


def test_a_string_that_is_not_a_docstring_is_code(tmp_path):
    (tmp_path / "a.py").write_text('NAME = "one"\n')
    (tmp_path / "b.py").write_text('NAME = "two"\n')
    assert records.kernel_hash(tmp_path / "a.py") != records.kernel_hash(tmp_path / "b.py")


def test_a_body_that_is_only_a_docstring(tmp_path):
    (tmp_path / "a.py").write_text('class K:\n    """Words."""\n')
    (tmp_path / "b.py").write_text("class K:\n    pass\n")
    assert records.kernel_hash(tmp_path / "a.py") == records.kernel_hash(tmp_path / "b.py")


# ---- writing --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path, kernels):
    path = write(tmp_path, {"rows": [1, None, "a"]}, kernels=["k.py"], seeds=[0, 1], repeats=5)
    assert path == tmp_path / "r.json"
    record = records.read("r", tmp_path)
    assert record["data"] == {"rows": [1, None, "a"]}
    assert record["kernels"] == {"k.py": records.kernel_hash(kernels / "k.py")}
    assert (record["seeds"], record["repeats"], record["stale"]) == ([0, 1], 5, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
    assert record["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "numpy", "numba"} <= set(record["versions"])
    assert {"system", "cpu", "cores"} <= set(record["machine"])
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["r.json"]


def test_numbers_that_are_not_json_leave_the_old_record(tmp_path):
    path = write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path, {"error": float("nan")})
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_old_record(tmp_path, monkeypatch):
    path = write(tmp_path)
    before = path.read_bytes()

    def half(self, text, encoding):
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("no space left")

    monkeypatch.setattr(type(path), "write_text", half)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path, {"ratio": 3.0})
    assert path.read_bytes() == before


def test_data_of_the_wrong_form_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="record 'r': data must be dict, got list"):
        write(tmp_path, [1, 2])
    assert list(tmp_path.iterdir()) == []


def test_outside_a_clone_a_folder_must_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "DATA", tmp_path / "no")
    with pytest.raises(ValueError, match=r"out must name a folder: .* does not exist, so this is not a clone"):
        records.write("r", {})
    monkeypatch.setattr(records, "DATA", tmp_path)
    assert records.write("r", {}) == tmp_path / "r.json"


@pytest.mark.parametrize("out", [["--out", "/some/where"], ["--out=/some/where"], []])
def test_the_command_is_what_was_typed_without_the_folder(tmp_path, monkeypatch, out):
    monkeypatch.setattr(records, "_module_name", lambda: "mambaedu.lab.bench")
    monkeypatch.setattr(sys, "argv", ["bench.py", "linear_scan", *out, "--device", "cpu"])
    write(tmp_path, command=None)
    assert records.read("r", tmp_path)["command"] == "python -m mambaedu.lab.bench linear_scan --device cpu"


def test_the_commit_says_when_the_tree_differed(monkeypatch):
    answers = {"rev-parse": "0123456789ab", "status": ""}
    monkeypatch.setattr(records, "_run", lambda *command: answers[command[1]])
    assert records.commit() == "0123456789ab"
    answers["status"] = " M mambaedu/discretize.py"
    assert records.commit() == "0123456789ab+changes"
    answers["rev-parse"] = ""
    monkeypatch.setenv("MAMBAEDU_COMMIT", "from outside")
    assert records.commit() == "from outside"
    monkeypatch.delenv("MAMBAEDU_COMMIT")
    assert records.commit() == "unknown"


# ---- validation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(set(valid())))
def test_a_missing_key_is_named(key):
    record = valid()
    del record[key]
    with pytest.raises(ValueError, match=f"{key} is missing"):
        records.validate(record)


@pytest.mark.parametrize("key", sorted(set(valid())))
def test_a_key_of_the_wrong_type_is_named(key):
    with pytest.raises(ValueError, match=f"{key} must be [a-z]+, got tuple"):
        records.validate({**valid(), key: ()})


def test_an_unknown_key_is_named():
    records.validate(valid())
    records.validate({**valid(), "stale": True})
    with pytest.raises(ValueError, match=r"record 'r': unknown keys \['mood'\]"):
        records.validate({**valid(), "mood": "good"})


# ---- reading --------------------------------------------------------------------------------------------------------


def test_a_record_of_an_older_kernel_is_refused_with_the_command(tmp_path, kernels):
    path = write(tmp_path, kernels=["k.py"])
    (kernels / "k.py").write_text(CODE.replace("# a comment", ""))
    records.read("r", tmp_path)
    (kernels / "k.py").write_text(CODE.replace("2", "3"))
    with pytest.raises(
        ValueError, match=r"record 'r' is old: k.py changed since it was written. Run `python -m m r` again"
    ):
        records.read("r", tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "stale": True}))
    record = records.read("r", tmp_path)
    assert record["stale"] is True
    assert records.provenance(record).startswith("Measured on an older version of the kernels. ")


def test_a_record_of_a_kernel_that_is_gone_is_refused(tmp_path, kernels):
    write(tmp_path, kernels=["k.py"])
    (kernels / "k.py").unlink()
    with pytest.raises(ValueError, match=r"record 'r' is old: k.py changed"):
        records.read("r", tmp_path)


def test_without_kernels_at_hand_a_record_is_believed(tmp_path, kernels, monkeypatch):
    write(tmp_path, kernels=["k.py"])
    monkeypatch.setattr(records, "KERNELS", tmp_path / "no")
    assert records.read("r", tmp_path)["data"] == {"ratio": 2.0}


def test_there_is_no_such_record(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no record 'r' in .*" + re.escape(os.path.basename(tmp_path))):
        records.read("r", tmp_path)


def test_provenance_is_one_line():
    line = records.provenance(valid())
    assert line == "a processor, 2 cores; python 3.11; 2026-01-01, commit abc; `python -m m r`"
    with_gpu = records.provenance({**valid(), "machine": {"gpu": "a GPU", "cpu": "a processor", "cores": 2}})
    assert with_gpu.startswith("a GPU; ")


RECORDED = sorted(path.stem for path in records.DATA.glob("*.json"))


def test_there_are_records():
    assert {"e01", "e02", "bench_linear_scan_cpu", "bench_linear_scan_gpu"} <= set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_every_record_of_the_book_is_valid_and_timed_these_kernels(name):
    record = records.read(name)
    assert record["name"] == name
    if name == "gpu_tests":
        assert record["command"] == "make gpu-test"
    else:
        assert record["command"].startswith("python -m mambaedu.lab.")
    assert "--out" not in record["command"]
    assert all((records.KERNELS / file).is_file() for file in record["kernels"])
