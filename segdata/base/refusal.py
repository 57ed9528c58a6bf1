"""What the system refuses, in one line: where, why, and what to do. The last word of both programs."""

import errno
import os
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segdata.errors import PlaceWarning

ELSEWHERE = "name a place on another disk (--out, --work-dir, TMPDIR), then run the same command again"
RIGHTS = "Give this user the right to it (chmod, chown), or name another place"
ADVICE = {
    errno.ENOSPC: f"Free some space on its disk, or {ELSEWHERE}",
    errno.EDQUOT: f"Your quota there is used up: remove files, or {ELSEWHERE}",
    errno.EFBIG: f"The file is larger than its disk or `ulimit -f` allows: raise the limit, or {ELSEWHERE}",
    errno.EACCES: RIGHTS,
    errno.EPERM: RIGHTS,
    errno.EROFS: f"Nothing can be written on this disk: {ELSEWHERE}",
    errno.EMFILE: "This process may open no more files: raise the limit (`ulimit -n 4096`), or give fewer --workers",
    errno.ENFILE: "This machine may open no more files: end other programs, or give fewer --workers",
    errno.ENAMETOOLONG: "Name a place with a shorter path",
    errno.ENOMEM: "Memory is short: end other programs, or give fewer --workers",
    errno.EAGAIN: "This user may start no more processes (`ulimit -u`): end other programs, or give fewer --workers",
    errno.EIO: "The disk is at fault, or a network disk is gone: look at `dmesg`, and save what can be read",
    errno.ESTALE: "A network disk has lost this file: mount the disk again, then run the same command again",
    errno.ENOENT: "Look at how the path is spelled, and whether its disk is mounted",
    errno.ENOTDIR: "A part of this path is a file: name another place",
    errno.EISDIR: "This is a folder: give the name of a file",
    errno.ELOOP: "Its links lead in a circle: remove one of them",
}
OF_DISKS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
WARNED = set[tuple[str, int]]()  # (what is lacking, device)
SOCKET = "AF_UNIX path too long"  # Python's own words, which have no number
SOCKET_BYTES = 107  # of the whole path on Linux; the helpers of multiprocessing need about 40 of them


def refusal(error: OSError, where: object = "") -> str:
    """The error in one line that ends with a full stop: "PATH: No space left on device. Free some space …".

    `where` is the place that the caller knows; without it the error's own path is told.
    """
    if SOCKET in str(error):
        folder = tempfile.gettempdir()
        return (
            f"TMPDIR: {folder} has {len(os.fsencode(folder))} characters, too many for the sockets of worker "
            "processes. Set TMPDIR to a folder with a short path, such as /tmp."
        )
    advice = advice_on(error)
    return f"{where or place_of(error)}: {why(error)}." + f" {advice}." * bool(advice)


def unread(error: OSError) -> str:
    """Of a file that the sentence has named, without a full stop: "cannot be read (Permission denied). Give this …"."""
    advice = advice_on(error)
    return f"cannot be read ({why(error)})" + f". {advice}" * bool(advice)


def why(error: OSError) -> str:
    """The system's own words, without a full stop."""
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")


def advice_on(error: OSError) -> str:
    """What to do, without a full stop; nothing where the number alone does not say it."""
    return ADVICE.get(error.errno or 0, "")


@contextmanager
def placed(where: object, only: Collection[int] = ADVICE) -> Iterator[None]:
    """An OSError of an open file, which has no path of its own, gets this one where its number is one of `only`."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in only:
            error.filename = str(where)
        raise


def warn_once(what: str, path: Path) -> None:
    """That the file system of the path lacks something, and the work goes on: one PlaceWarning for each disk."""
    with suppress(OSError):
        key = (what, path.stat().st_dev)
        if key not in WARNED:
            WARNED.add(key)
            warnings.warn(f"{path}: the file system {what}", PlaceWarning, stacklevel=2)


def place_of(error: OSError) -> str:
    """The path of the error; of two, as a copy has, the one that was written."""
    path = error.filename2 or error.filename
    return os.fsdecode(path) if isinstance(path, bytes) else str(path or "the system")
