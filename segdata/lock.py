"""One writer a folder: an advisory lock that the system drops when its holder dies."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segdata.errors import LockedError


@contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file at `path` while `work` (for people) is done; raises LockedError that names the holder."""
    descriptor = _acquire(path)
    try:
        os.ftruncate(descriptor, 0)
        note = {"pid": os.getpid(), "host": socket.gethostname(), "work": work}
        os.pwrite(descriptor, json.dumps(note).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    """A locked descriptor of the file that has this name now: its last holder may just have removed it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise LockedError(f"{path}: {_holder(path)} is writing here. Wait for it, or stop it.") from None
        if _names(path, descriptor):
            return descriptor
        os.close(descriptor)


def _names(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text())
        return f"process {note['pid']} on {note['host']} ({note['work']})"
    except (OSError, ValueError, KeyError):
        return "another process"
