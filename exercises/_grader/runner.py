"""Start the child, watch it, end it. A crash or a time-out costs the test that it happened in, and no other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from . import arrays, box
from .case import Case, Outcome
from .folder import Folder
from .manifest import Exercise, SetupError

START_SECONDS = 120  # for imports of our own, before any code of the learner runs
SUBMISSION_LIMIT = 2**20  # bytes
REASONS = ("wrong", "error", "not done", "not allowed")


def read_submission(path: Path) -> bytes | Outcome:
    """The learner's file as bytes, never run here; or why there is none."""
    if not path.exists() and not path.is_symlink():
        return Outcome("missing", f"{path.name} is missing", whole_file=True)
    try:
        return arrays.read_bytes(path, SUBMISSION_LIMIT)
    except ValueError as error:
        return Outcome("error", str(error), whole_file=True)


def _environment(folder: Path) -> dict[str, str]:
    # What starts with PYTHON could load code into the child; threads would only fight for two cores.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {
        "TRITON_INTERPRET": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder),
        "TRITON_CACHE_DIR": str(folder),
        "NUMBA_CACHE_DIR": str(folder),
    }


@contextmanager
def _child(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a process group of its own; at the end all of the group is killed."""
    command = [sys.executable, str(Path(__file__).with_name("child.py")), str(folder)]
    with open(folder / "stderr.txt", "wb") as stderr:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            yield process
        finally:
            if os.name == "posix":
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()


def _await(process: subprocess.Popen[bytes], paths: list[Path], deadline: float) -> Path | str:
    """The first of `paths` that appears, or "ended", or "late"."""
    while True:
        ended = process.poll() is not None  # before the look at the files: the last one may come just before the end
        for path in paths:
            if os.path.lexists(path):
                return path
        if ended:
            return "ended"
        if time.monotonic() > deadline:
            return "late"
        time.sleep(0.01)


def _refused(path: Path) -> Outcome:
    """Why there is no answer, in the child's words. Whatever they are, they earn nothing."""
    try:
        found = json.loads(arrays.read_bytes(path, 2**16))
        status, text = found["status"], found["text"]
        if status not in REASONS or not isinstance(text, str):
            raise ValueError("not a reason")
    except Exception:
        return Outcome("error", "your code wrote into the grader's files")
    printable = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return Outcome(status, printable)


def _answered(path: Path) -> Outcome:
    try:
        found = arrays.load(path)
    except ValueError as error:
        return Outcome("error", str(error))
    outputs = {name: value for name, value in found.items() if not name.startswith("after.")}
    after = {name.removeprefix("after."): value for name, value in found.items() if name.startswith("after.")}
    return Outcome("answered", outputs=outputs, inputs_after=after)


def _gone(process: subprocess.Popen[bytes], why: str, exercise: Exercise) -> Outcome:
    """The outcome of the case during which the child ended or was late."""
    if why == "late":
        return Outcome("timed out", f"no answer after {exercise.seconds} s: is there a loop that never ends?")
    if process.returncode >= 0:
        return Outcome(
            "crashed", f"your code ended the process (exit status {process.returncode}) before it gave an answer"
        )
    name = signal.Signals(-process.returncode).name
    hints = {
        "SIGXCPU": "it used too much CPU time",
        "SIGKILL": f"it was killed, perhaps because it used more than {exercise.memory_mb} MB",
        "SIGSEGV": "it touched memory that is not its own",
    }
    return Outcome("crashed", f"your code ended the process: {name}" + (f", {hints[name]}" if name in hints else ""))


def run(folder: Folder, content: bytes, cases: list[Case]) -> Iterator[Outcome]:
    """Run a learner's file on the cases, locked in; the outcomes in the order of the cases, each as soon as it is known.

    Args:
        folder: the exercise.
        content: the learner's file.
        cases: the cases of one test stand together.

    Raises:
        SetupError: the child cannot even start; its own words are in the message.
    """
    exercise, file = folder.exercise, folder.exercise.file
    start = 0
    while start < len(cases):
        left = dict(enumerate(cases))
        left = {number: case for number, case in left.items() if number >= start}
        with (
            box.new(folder, {file: content}, left, [(file, number) for number in left], locked=True) as place,
            _child(place) as process,
        ):
            _go(process, place)
            refused = place / "out" / f"{file}.refused"
            loaded = _await(process, [place / "out" / f"{file}.loaded", refused], time.monotonic() + exercise.seconds)
            if isinstance(loaded, str) or loaded == refused:
                # Nothing of this file will ever run: no need to try again for the other tests.
                outcome = _gone(process, loaded, exercise) if isinstance(loaded, str) else _refused(refused)
                text = f"{file} does not load.\n{outcome.text}"
                yield from [replace(outcome, text=text, whole_file=True)] * len(left)
                return
            for outcome in _watch(process, place / "out", exercise, left):
                yield outcome
                start += 1


def _watch(
    process: subprocess.Popen[bytes], out: Path, exercise: Exercise, cases: dict[int, Case]
) -> Iterator[Outcome]:
    """The outcomes of a child as they come, up to the last one, or to the end of the test in which it ended or was late."""
    test, deadline = "", 0.0
    lost: Outcome | None = None
    for number, case in cases.items():
        if case.test != test:
            if lost is not None:
                return
            test, deadline = case.test, time.monotonic() + exercise.seconds
        if lost is None:
            answered, refused = (out / f"{exercise.file}.{number}.{end}" for end in ("npz", "refused"))
            found = _await(process, [answered, refused], deadline)
            if isinstance(found, Path):
                yield _answered(found) if found == answered else _refused(found)
                continue
            lost = _gone(process, found, exercise)
        yield lost


def run_sources(folder: Folder, sources: list[str], cases: list[Case]) -> list[list[Outcome]]:
    """Run variants of our own solution on the cases, in one child that is not locked: outcomes[variant][case].

    Raises:
        SetupError: the child cannot start.
    """
    nothing = Outcome("error", "no answer")
    outcomes = [[nothing] * len(cases) for _ in sources]
    files = {f"variant{i}.py": source.encode() for i, source in enumerate(sources)}
    runs = [(name, number) for name in files for number in range(len(cases))]
    with box.new(folder, files, dict(enumerate(cases)), runs, locked=False) as place, _child(place) as process:
        _go(process, place)
        _await(process, [], time.monotonic() + 10 * folder.exercise.seconds)
        for i, name in enumerate(files):
            for number in range(len(cases)):
                if (answered := place / "out" / f"{name}.{number}.npz").exists():
                    outcomes[i][number] = _answered(answered)
    return outcomes


def _go(process: subprocess.Popen[bytes], place: Path) -> None:
    """Wait until the child has all that is ours, then let it load the file.

    Raises:
        SetupError: it does not get there; its own words are in the message.
    """
    if isinstance(_await(process, [place / "out" / "ready"], time.monotonic() + START_SECONDS), str):
        words = (place / "stderr.txt").read_text(encoding="utf-8", errors="replace").strip()
        raise SetupError(f"the grader's child process does not start: {words[-2000:] or 'it says nothing'}")
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(b"go\n")
        process.stdin.close()  # for a file that asks for input there is none
