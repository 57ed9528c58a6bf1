"""One writer a folder: an advisory lock that the system drops when its holder dies.

Where the file system has no such locks (Lustre without -o flock, NFS without lockd) the file itself is the lock: who
makes it holds it, until it is gone or the process that it names is.
"""

import errno
import fcntl
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segdata.base.files import discard, flock, read_file
from segdata.base.refusal import placed, warn_once
from segdata.documents.json import load_json
from segdata.errors import LockedError, SegdataError

NOTE_BYTES = 1 << 14


@contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file at `path` while `work` (for people) is done; raises LockedError that names the holder.

    Raises SegdataError where a file of another kind has that name: it is left as it is.
    """
    descriptor = _acquire(path)
    try:
        note = {"pid": os.getpid(), "host": socket.gethostname(), "work": work}
        with placed(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
        yield
    finally:
        discard(path)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    """A locked descriptor of the file that has this name now: its last holder may just have removed it."""
    while True:
        descriptor, made = _open(path)
        try:
            with placed(path):
                has_locks = flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not has_locks:
                warn_once("has no locks (flock): after a power cut, remove the lock's file by hand", path.parent)
            note = _note(path, descriptor, made)
            if not has_locks and not made:
                _take_away(path, note)
            elif _names(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise LockedError(
                f"{path}: {_holder(path)} is writing here. Wait for it, or stop it; if it is gone, remove this file."
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _take_away(path: Path, note: dict[str, object]) -> None:
    """Remove the file of a dead process. Raises BlockingIOError where it lives, or another is at the same."""
    if not _is_dead(note):
        raise BlockingIOError
    guard = path.with_name(f"{path.name}.stale")
    try:
        os.close(os.open(guard, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        raise BlockingIOError from None
    try:
        descriptor, made = _open(path)
        try:
            if made or _note(path, descriptor, made) == note:
                discard(path)
        finally:
            os.close(descriptor)
    finally:
        discard(guard)


def _open(path: Path) -> tuple[int, bool]:
    """The file's descriptor, and whether this call has made it."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644), True
        except FileExistsError:
            pass
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        except FileNotFoundError:  # its holder removed it in between
            continue
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise _foreign(path) from None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor, False
        os.close(descriptor)
        raise _foreign(path)


def _note(path: Path, descriptor: int, made: bool) -> dict[str, object]:
    """What the last holder wrote, {} for nothing. Raises SegdataError for a file that is no lock of ours."""
    with placed(path):
        data = b"" if made else os.pread(descriptor, NOTE_BYTES, 0)
    if not data:
        return {}
    try:
        note = dict(load_json(data))
    except Exception:  # whatever it is, it is not ours
        raise _foreign(path) from None
    if note.keys() != {"pid", "host", "work"}:
        raise _foreign(path)
    return note


def _foreign(path: Path) -> SegdataError:
    return SegdataError(f"{path}: something that segdata did not write has the name of its lock. Move it away.")


def _is_dead(note: dict[str, object]) -> bool:
    """Whether the note's process was one of this machine and is gone."""
    if note.get("host") != socket.gethostname() or not isinstance(note.get("pid"), int):
        return False
    try:
        os.kill(int(str(note["pid"])), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def _names(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        note = load_json(read_file(path, NOTE_BYTES))
        return f"process {note['pid']} on {note['host']} ({note['work']})"
    except Exception:  # whatever stands there, or does not any more: it is only for people
        return "another process"
