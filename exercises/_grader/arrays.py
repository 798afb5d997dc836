"""Arrays on their way into the box and out of it: .npz files without pickle. What comes out was written by a stranger."""

import contextlib
import io
import math
import os
import stat
import zipfile
from pathlib import Path

import numpy as np

from .case import Arrays

LIMIT = 64 * 2**20  # bytes: no exercise has answers of more than a few thousand numbers


def save(path: Path, arrays: Arrays) -> None:
    """Write the arrays; the file is complete as soon as it has its name."""
    unfinished = path.with_suffix(".part")
    with open(unfinished, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(unfinished, path)


def read_bytes(path: Path, limit: int = LIMIT) -> bytes:
    """The bytes of a plain file.

    Raises:
        ValueError: it is a link, a pipe or a device, or longer than `limit`.
    """
    # A pipe would block the reader for ever, a link could lead anywhere.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be opened: {error.strerror}") from None
    with contextlib.closing(os.fdopen(handle, "rb")) as file:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise ValueError(f"{path.name} must be a plain file")
        if info.st_size > limit:
            raise ValueError(f"{path.name} must have at most {limit} bytes, has {info.st_size}")
        return file.read(limit)


def _array(data: bytes) -> np.ndarray:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"version {version} of the .npy format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    # The header is believed only when the bytes are there: else a few bytes could ask for all memory.
    if dtype.kind not in "biufc" or math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"an array of {dtype} {shape} in {len(data)} bytes")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def load(path: Path) -> Arrays:
    """The arrays of a file that may hold anything.

    Raises:
        ValueError: it is not a small, plain .npz of numbers.
    """
    data = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > 100 or sum(member.file_size for member in members) > LIMIT:
                raise ValueError("too much in it")
            return {member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members}
    except Exception as error:
        raise ValueError(f"{path.name} is not a readable answer: {error}") from None
