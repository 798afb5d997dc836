"""What a graded file may not do, set up by the child before it loads that file.

This keeps accidents and easy cheats out. It is not a sandbox: code that is determined to get out of a Python process can. What
earns points is decided elsewhere, by comparing arrays in the parent. README.md says what each system gives and lacks.
"""

import contextlib
import ctypes
import importlib
import importlib.abc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET, PR_SET_PDEATHSIG = 0x10000000, 0x40000000, 1


class NotAllowed(ImportError):
    """A name that the exercise asks to do without."""

    __module__ = "builtins"  # a traceback then calls it NotAllowed, without the path to this file


def cut_network() -> None:
    """Linux: leave the network, and die with the parent. Must come before any thread starts."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if libc.unshare(CLONE_NEWNET) == 0:  # root may do it at once
            return
        user, group = os.getuid(), os.getgid()
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def limit(memory_mb: int, cpu_seconds: int) -> None:
    """Memory beyond what is in use now, CPU time, size of a file. macOS ignores the first; Windows has none of them."""
    try:
        import resource
    except ImportError:
        return
    used = 0
    with contextlib.suppress(OSError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, value in (
        (resource.RLIMIT_AS, used + memory_mb * 2**20),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 64 * 2**20),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (value, value))


class _Refuse(importlib.abc.MetaPathFinder):
    """Stands first in line when something is imported, and says no to some names."""

    def __init__(self, names: set[str], sentence: Callable[[str], str]) -> None:
        self.names, self.sentence = names, sentence

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        parts = fullname.split(".")
        for end in range(1, len(parts) + 1):
            if (name := ".".join(parts[:end])) in self.names:
                raise NotAllowed(self.sentence(name), name=fullname)


def forbid(names: list[str], number: int) -> None:
    """Modules called `names` can no longer be imported; functions called so raise. Both with a sentence."""

    def sentence(name: str) -> str:
        return f"exercise {number} asks you to write this yourself: {name} may not be used in the file that is graded"

    modules = set()
    for name in names:
        owner, _, attribute = name.rpartition(".")
        holder = _import(owner) if owner else None
        if holder is not None and hasattr(holder, attribute) and not isinstance(getattr(holder, attribute), ModuleType):
            setattr(holder, attribute, _refusal(sentence(name)))
        else:
            modules.add(name)
    for loaded in list(sys.modules):
        if any(loaded == name or loaded.startswith(f"{name}.") for name in modules):
            del sys.modules[loaded]
    sys.meta_path.insert(0, _Refuse(modules, sentence))


def _import(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _refusal(sentence: str) -> Callable[..., None]:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise NotAllowed(sentence)

    return refused


def watch(box: Path, hidden: list[Path]) -> None:
    """From now on: no other process, no network, no writing outside the box, no look at the folders `hidden`. For good."""
    # A file is known by its number on the disk, so that no link and no detour gives it another name.
    stat, realpath, inside = os.stat, os.path.realpath, os.path.realpath(box) + os.sep
    secret = set()
    for top in hidden:
        for folder, _, files in os.walk(top):
            secret |= {(info.st_dev, info.st_ino) for file in files if (info := stat(os.path.join(folder, file)))}
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    processes = ("os.fork", "os.forkpty", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen")
    signals = ("os.kill", "os.killpg", "signal.pthread_kill")
    network = (
        "socket.connect",
        "socket.bind",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
    )
    changes = (
        "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.link", "os.symlink",
        "os.utime", "os.chdir", "os.chflags",
    )  # fmt: skip

    def within(path: Any) -> bool:
        return isinstance(path, int) or (realpath(os.fsdecode(path)) + os.sep).startswith(inside)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            if path is None or isinstance(path, int):
                return
            writes = bool(flags & writing) if isinstance(flags, int) else any(c in (mode or "") for c in "wax+")
            if writes and os.fsdecode(path) != os.devnull and not within(path):
                raise PermissionError("a graded file may write in its own folder only")
            try:
                info = stat(path)
            except (OSError, ValueError):
                return
            if (info.st_dev, info.st_ino) in secret:
                raise PermissionError("a graded file may not read the files of the exercises or of mambaedu")
        elif event in processes:
            raise PermissionError("a graded file may not start another process")
        elif event in signals:
            raise PermissionError("a graded file may not send signals")
        elif event in network:
            raise PermissionError("a graded file may not use the network")
        elif event in changes and not all(within(arg) for arg in args if isinstance(arg, str | bytes | os.PathLike)):
            raise PermissionError("a graded file may change files in its own folder only")

    sys.addaudithook(hook)


def fingerprint(modules: list[ModuleType]) -> dict[str, Any]:
    """What a module does, by the identity of its functions' code: it changes when somebody replaces one of them."""
    prints: dict[str, Any] = {}

    def note(prefix: str, table: dict[str, Any], owner: str) -> None:
        for name, value in table.items():
            if name.startswith("__") and not callable(value):
                continue
            prints[f"{prefix}.{name}"] = (
                id(value),
                id(getattr(value, "__code__", None)),
                id(getattr(value, "__defaults__", None)),
            )
            if isinstance(value, type) and value.__module__ == owner:
                note(f"{prefix}.{name}", dict(vars(value)), owner)

    for module in modules:
        note(module.__name__, dict(vars(module)), module.__name__)
    return prints
