"""The child process: runs one graded file on given inputs, inside a box. Usage: python child.py BOX

It gets inputs and gives back arrays. It knows neither what is expected nor how many points there are.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    sys.path[0] = str(root)  # it was the folder of this file, whose modules would hide others of the same name
    sys.path.insert(1, str(root / "kernels"))

    from exercises._grader import lockdown

    lockdown.cut_network()

import json
import os
from types import ModuleType
from typing import Any

from exercises._grader import arrays, trace
from exercises._grader.answers import WrongAnswer, to_array
from exercises._grader.folder import import_file
from exercises._grader.lockdown import NotAllowed


class Refused(Exception):
    """The file or one of its functions gave no answer; what to tell the learner."""

    def __init__(self, status: str, text: str) -> None:
        self.status, self.text = status, text


def refusal(error: BaseException, file: Path, memory_mb: int) -> Refused:
    """What an exception of the learner's code says to the learner."""
    if isinstance(error, WrongAnswer):
        return Refused("wrong", str(error))
    if sentence := trace.unfinished(error):
        return Refused("not done", sentence)
    text = trace.trimmed(error, {str(file)}, file.name)
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "std::bad_alloc" in text:
        text += f"\nThe grader gives each exercise {memory_mb} MB."
    if isinstance(error, SystemExit):
        text += "\nYour code ended the program."
    return Refused("not allowed" if isinstance(error, NotAllowed) else "error", text)


def write_text(path: Path, status: str, text: str) -> None:
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({"status": status, "text": text[:20_000]}), encoding="utf-8")
    os.replace(unfinished, path)


def load(file: Path, answers: list[str], memory_mb: int) -> ModuleType:
    """The learner's file as a module with the names that the exercise asks for."""
    try:
        module = import_file(file, file.stem)
        missing = [name for name in answers if not hasattr(module, name)]
    except BaseException as error:
        raise refusal(error, file, memory_mb) from None
    if missing:
        raise Refused("error", f"{file.name} has no {', '.join(missing)}: keep the names of the stub")
    return module


def answer(module: ModuleType, call: Any, inputs: dict[str, Any], file: Path, memory_mb: int) -> dict[str, Any]:
    """The outputs as arrays, and under "after." the inputs as they are now."""
    try:
        outputs = {name: to_array(name, value) for name, value in call(module, inputs).items()}
    except BaseException as error:
        raise refusal(error, file, memory_mb) from None
    return outputs | {f"after.{name}": value for name, value in inputs.items()}


def main(box: Path) -> None:
    setup = json.loads((box / "setup.json").read_text(encoding="utf-8"))
    out, memory_mb, runs = box / "out", setup["memory_mb"], setup["runs"]

    import torch

    torch.set_num_threads(1)
    call = import_file(box / "call.py", "call_of_the_exercise").call
    inputs = {number: arrays.load(box / "in" / f"{number}.npz") for _, number in runs}
    trusted = [sys.modules[name] for name in ("mambaedu.lab.traffic",) if name in sys.modules]
    if setup["triton"]:
        try:
            import triton.runtime.interpreter as interpreter
        except ImportError:  # then no case that needs it was sent
            pass
        else:
            trusted.append(interpreter)
    if setup["locked"]:
        hidden = [root / "exercises", root / "mambaedu", root / "kernels"]
        sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() not in (root, root / "kernels")]
        lockdown.forbid([*setup["not_allowed"], "exercises"], setup["number"])
        lockdown.limit(memory_mb, setup["cpu_seconds"])
        lockdown.watch(box, hidden)
    seal = lockdown.fingerprint(trusted)
    (out / "ready").touch()
    # The parent has seen that all of ours is in place; from here on a fault is the learner's.
    sys.stdin.readline()

    modules: dict[str, ModuleType] = {}
    for name, number in runs:
        file = box / name
        try:
            if name not in modules:
                modules[name] = load(file, setup["answers"], memory_mb)
                (out / f"{name}.loaded").touch()
        except Refused as refused:
            write_text(out / f"{name}.refused", refused.status, refused.text)
            if setup["locked"]:
                return  # the one file of the learner
            continue
        try:
            found = answer(modules[name], call, inputs[number], file, memory_mb)
            if lockdown.fingerprint(trusted) != seal:
                raise Refused("not allowed", f"{file.name} changes the code that counts loads and stores")
            arrays.save(out / f"{name}.{number}.npz", found)
        except Refused as refused:
            write_text(out / f"{name}.{number}.refused", refused.status, refused.text)
        inputs[number] = arrays.load(box / "in" / f"{number}.npz")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # no exit handler of the learner's
