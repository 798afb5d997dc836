"""What comes out of the box was written by a stranger: it is read with care or not at all."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from exercises._grader import arrays


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def test_there_and_back(tmp_path: Path) -> None:
    given = {"h": np.arange(6.0).reshape(2, 3), "n": np.asarray(3), "z": np.array([1 + 2j])}
    arrays.save(tmp_path / "0.npz", given)
    found = arrays.load(tmp_path / "0.npz")
    assert set(found) == set(given)
    for name, value in given.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype
    assert os.listdir(tmp_path) == ["0.npz"]


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "opened"),))

    stream = io.BytesIO()
    np.save(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a readable answer"):
        arrays.load(npz(tmp_path / "a.npz", h=stream.getvalue()))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a readable answer"):
        arrays.load(tmp_path / "b.npz")
    assert not (tmp_path / "opened").exists()


def test_a_header_that_asks_for_all_memory_is_not_believed(tmp_path: Path) -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
    with pytest.raises(ValueError, match="not a readable answer"):
        arrays.load(npz(tmp_path / "a.npz", h=npy(header)))


def test_a_negative_size_is_not_believed(tmp_path: Path) -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }"
    with pytest.raises(ValueError, match="not a readable answer"):
        arrays.load(npz(tmp_path / "a.npz", h=npy(header, b"12345678")))


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too much in it"):
        arrays.load(npz(tmp_path / "a.npz", h=bytes(arrays.LIMIT + 1)))


def test_a_long_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "a.npz", "wb") as file:
        file.truncate(2**31)
    with pytest.raises(ValueError, match="at most"):
        arrays.load(tmp_path / "a.npz")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    arrays.save(tmp_path / "0.npz", {"h": np.ones(2)})
    (tmp_path / "1.npz").symlink_to(tmp_path / "0.npz")
    with pytest.raises(ValueError, match="cannot be opened"):
        arrays.load(tmp_path / "1.npz")


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="must be a plain file"):
        arrays.load(tmp_path / "a.npz")
