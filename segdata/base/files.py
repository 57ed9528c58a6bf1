"""Files and folders as everybody here reads and writes them: bounded on the way in, whole and durable on the way out.

What cleans up after a failure never hides the failure: a leftover that cannot be removed is left.
"""

import ctypes
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from segdata.base.refusal import placed, refusal, unread, warn_once
from segdata.errors import SegdataError

LIMIT = 1 << 26  # 64 MiB: documents, tables and the like
NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF})  # CIFS and some FUSE: no fsync of folders
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})  # some Lustre and NFS
NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EXDEV})
OPEN = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/(self|\d+)/fd/\d+")  # what is open is written to, not replaced
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # fcntl.h, linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h of macOS


# ---- in -----------------------------------------------------------------------------------------------------


def read_file(path: Path, limit: int = LIMIT, error: type[SegdataError] = SegdataError) -> bytes:
    """All bytes of a regular file of at most `limit` bytes.

    Raises `error` for a pipe or a device, which could go on for ever, for a larger file, and where the system
    cannot read it; FileNotFoundError where there is none.
    """
    with FileIO(open_regular(path, limit, error)) as file:
        try:
            return file.readall()
        except OSError as refused:
            raise error(f"{path}: {unread(refused)}.") from None


def open_regular(
    path: Path, limit: int = LIMIT, error: type[SegdataError] = SegdataError, folder: int | None = None
) -> int:
    """A descriptor of the file, which the caller closes. Raises as `read_file` does.

    `folder` is the descriptor of a folder, in which a relative path is then found.
    """
    try:  # to open a pipe would wait for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as refused:
        raise error(f"{path}: {unread(refused)}.") from None
    try:
        _expect_regular(path, os.fstat(descriptor), limit, error)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def regular(path: Path, limit: int = LIMIT, error: type[SegdataError] = SegdataError) -> Path:
    """The path, for a parser that opens the file itself. Raises as `read_file` does, before anything is opened."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise
    except OSError as refused:
        raise error(f"{path}: {unread(refused)}.") from None
    _expect_regular(path, status, limit, error)
    return path


@contextmanager
def parsing(what: object, error: type[SegdataError], hint: str = "") -> Iterator[None]:
    """Whatever a foreign parser raises inside becomes `error`: "<what>: <the cause>. <hint>"; ours pass through.

    Parsers raise more than they document when their input was damaged or made to harm, so nothing is listed here.
    """
    try:
        yield
    except SegdataError:
        raise
    except Exception as cause:
        raise error(f"{what}: {described(cause)}." + f" {hint}" * bool(hint)) from cause


def described(cause: BaseException) -> str:
    """An exception of a foreign parser in one short line."""
    if isinstance(cause, OSError) and cause.strerror:
        return unread(cause)
    if isinstance(cause, RecursionError | MemoryError):
        return "nested too deeply" if isinstance(cause, RecursionError) else "more than the memory holds"
    text = " ".join(str(cause).split()).rstrip(".")[:200]
    return f"damaged, or not what it claims to be ({type(cause).__name__}{': ' * bool(text)}{text})"


def _expect_regular(path: Path, status: os.stat_result, limit: int, error: type[SegdataError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{path}: {_kind(status.st_mode)}, expected a regular file.")
    if status.st_size > limit:
        raise error(f"{path}: {status.st_size} bytes, expected at most {limit}.")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder"}
    return kinds.get(stat.S_IFMT(mode), "a socket")


# ---- out ----------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends well, and is gone when not.

    A link is followed: what it leads to is replaced. A device or pipe, such as /dev/stdout, is written to. Whether
    the file may be replaced is asked before, by `ownership`. Raises SegdataError when it cannot be written (disk
    full, no permission); `path` is then as it was.
    """
    try:
        if is_stream(path):
            with path.open("wb") as file:
                yield file
            return
        path = resolved(path)
        temporary = temporary_of(path)
        with open(_only_writer(temporary), "wb") as file:
            try:
                file.truncate(0)
                yield file
                file.flush()
                sync(file.fileno())
                temporary.replace(path)
            except BaseException:
                discard(temporary)
                raise
        sync_folder(path.parent)
    except OSError as error:
        kept = " What it held before is intact." if path.is_file() else ""
        raise SegdataError(f"cannot write {refusal(error, path)}{kept}") from None


def temporary_of(path: Path) -> Path:
    """What a file is called until it is whole. A kill leaves it, and whoever writes the file next takes it over."""
    return path.with_name(f".{path.name}.segdata-tmp")


def write_file(path: Path, data: bytes) -> None:
    """With the folders above it; whole or not at all. Raises SegdataError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SegdataError(f"cannot write {refusal(error, path)}") from None
    with replacing(path) as file:
        file.write(data)


def unlink(path: Path) -> None:
    """Remove a result, where there is one; a link to it stays, and the next result is written where it leads."""
    resolved(path).unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a leftover, a file or a folder, as far as it can be removed."""
    with suppress(OSError):
        path.unlink()
        return
    if path.is_dir():
        shutil.rmtree(path, onerror=partial(_made_writable, path))


def resolved(path: Path) -> Path:
    """Where the path leads. Raises SegdataError for links that lead in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        raise SegdataError(f"{path}: a link that leads in a circle. Remove it, or name another place.") from None


def sync(descriptor: int) -> None:
    """fsync, on macOS with the drive's own memory, which plain fsync leaves out there."""
    import fcntl

    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS
        with suppress(OSError):  # a file system that has none, as network disks
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Make names in the folder last through a power cut, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with placed(path):
            sync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
        warn_once("cannot make names last through a power cut (no fsync of folders)", path)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make everything below the folder, and the folder, last through a power cut."""
    for home, _, names in os.walk(folder, topdown=False, onerror=_raised):
        for name in names:
            descriptor = os.open(Path(home, name), os.O_RDONLY)
            try:
                with placed(Path(home, name)):
                    sync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(home))


def flock(descriptor: int, operation: int) -> bool:
    """fcntl.flock; False where the file system has no locks. Raises BlockingIOError as it does."""
    import fcntl  # not on Windows, which every command refuses in one line: to read its code must not fail before

    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def exchange(a: Path, b: Path) -> bool:
    """Let two names of one file system change places in one step; False where the system has no such step."""
    call = _exchange_call()
    if call is None:
        return False
    if call(os.fsencode(a), os.fsencode(b)) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(b))


@cache
def _exchange_call() -> Any:
    system: Any = ctypes.CDLL(None, use_errno=True)
    if hasattr(system, "renameat2"):  # Linux with glibc 2.28 or later
        return lambda a, b: system.renameat2(_AT_FDCWD, a, _AT_FDCWD, b, _RENAME_EXCHANGE)
    if hasattr(system, "renamex_np"):  # macOS
        return lambda a, b: system.renamex_np(a, b, _RENAME_SWAP)
    return None


def _only_writer(temporary: Path) -> int:
    """The file of this name, open and locked. Raises SegdataError where another process writes it, or it is no file
    of ours alone."""
    import fcntl

    while True:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o666)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(descriptor)
            raise SegdataError(f"{temporary}: not a file that segdata began to write. Move it away.")
        try:  # without locks two writers of one file are not told apart
            flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise SegdataError(f"{temporary}: another process is writing this file. Wait for it.") from None
        try:
            if os.path.samestat(temporary.stat(), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:  # its last writer gave it its name in between
            pass
        os.close(descriptor)


def is_stream(path: Path) -> bool:
    """Whether it is written to as it stands: a device, a pipe, or a name that stands for an open file."""
    if OPEN.fullmatch(str(path)):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _made_writable(top: Path, function: Callable[..., Any], path: str, error: object) -> None:
    """Once more, for the owner of a folder below `top` in which nobody may write: a set can be protected so."""
    with suppress(OSError):
        for folder in (Path(path).parent, Path(path)):
            if folder.is_relative_to(top) and folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o700)
        function(path)


def _raised(error: OSError) -> None:
    raise error
