"""The system says no, or the process ends, at one chosen call: open, write, fsync, rename, unlink, link, mkdir, rmdir.

Python's own C code for files makes its calls unseen. Inside `injected` files are therefore those of `_pyio`, the same
in Python, which makes every call through `os`.
"""

from __future__ import annotations

import _pyio
import builtins
import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segdata.base import files

CALLS = ("open", "write", "pwrite", "fsync", "rename", "replace", "unlink", "link", "mkdir", "rmdir", "ftruncate")
ERRORS = (errno.EIO, errno.ENOSPC)
KILL = 0


@dataclass
class Injected:
    """Calls below a folder, counted; the `at`-th fails with `error`, or ends the process where that is KILL.

    `dirty` are the files and folders that were changed, and not made durable since.
    """

    folder: str
    at: int
    error: int
    count: int = 0
    dirty: set[str] = field(default_factory=set)
    undurable: set[str] = field(default_factory=set)  # what was dirty below a name as that was given to the set

    def call(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        paths = [found for each in args[:2] if (found := _path(each)).startswith(self.folder)]
        if not paths:
            return real(*args, **kwargs)
        if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return real(*args, **kwargs)
        self.count += 1
        if self.count == self.at:
            if self.error == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(self.error, os.strerror(self.error), paths[0])
        if name == "exchange" or (name == "rename" and Path(paths[0]).is_dir()):
            self.undurable |= {each for each in self.dirty if each.startswith(paths[0])}
        result = real(*args, **kwargs)
        self._note(name, paths)
        return result

    def _note(self, name: str, paths: list[str]) -> None:
        if name == "fsync":
            self.dirty.discard(paths[0])
        elif name in {"write", "pwrite", "ftruncate"}:
            self.dirty.add(paths[0])
        else:
            changed = paths[1:] if name == "link" else paths
            self.dirty |= {str(Path(path).parent) for path in changed}
        if name in {"unlink", "rmdir"}:
            self.dirty.discard(paths[0])
        if name in {"rename", "replace"} and paths[0] in self.dirty and len(paths) > 1:
            self.dirty = self.dirty - {paths[0]} | {paths[1]}


def _path(each: Any) -> str:
    if isinstance(each, int):
        try:
            return str(Path(f"/proc/self/fd/{each}").readlink())
        except OSError:
            return ""
    return str(Path(os.fsdecode(each)).absolute()) if isinstance(each, str | bytes | os.PathLike) else ""


@contextmanager
def injected(folder: Path, at: int, error: int) -> Iterator[Injected]:
    """Inside, calls below the folder are counted, and the `at`-th is hit; 0 hits none. For a child process alone."""
    state = Injected(str(folder.resolve()), at, error)

    def through(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: state.call(name, real, *args, **kwargs)

    for name in CALLS:
        setattr(os, name, through(name, getattr(os, name)))
    files.exchange = through("exchange", files.exchange)
    import segdata.making.assemble

    segdata.making.assemble.exchange = files.exchange
    builtins.open = io.open = _pyio.open  # type: ignore[assignment]
    yield state


@dataclass(frozen=True)
class Ended:
    """How the child ended: killed, with an error (`said`), or well; the calls that it made; what was undurable."""

    killed: bool
    said: str
    calls: int
    undurable: str


def run(work: Callable[[], object], folder: Path, at: int, error: int) -> Ended:
    """Do the work in a child with the fault injected."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        said = ""
        with injected(folder, at, error) as state:
            try:
                work()
            except BaseException as raised:
                where = traceback.extract_tb(raised.__traceback__)[-1]
                said = f"{type(raised).__name__}: {raised} ({Path(where.filename).name}:{where.lineno})"
        text = f"{state.count}\n{' '.join(sorted(state.undurable))}\n{said}"
        sys.stdout.flush()
        _send(writer, text.encode())
        os._exit(0)
    os.close(writer)
    data = b"".join(iter(lambda: os.read(reader, 1 << 16), b""))
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Ended(True, "", at, "")
    calls, undurable, said = data.decode().split("\n", 2)
    return Ended(False, said, int(calls), undurable)


def _send(writer: int, data: bytes) -> None:
    while data:
        data = data[os.write(writer, data) :]
