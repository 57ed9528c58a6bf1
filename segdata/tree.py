"""A dataset's files, read alike from folders and from the zips people download.

A root may be an unpacked tree, a folder that holds the zips, a folder with one level more
(`gtFine_trainvaltest/gtFine/...`), or one zip. Nothing is unpacked.
"""

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from segdata.errors import LinkError, SourceError, TooLargeError
from segdata.findings import Finding
from segdata.zlibs import first_of

INFLATE = first_of("isal.isal_zlib")
ENCRYPTED = 1  # bit of a member's flags
MAX_MEMBER_BYTES = 1 << 28  # 256 MiB: no picture of these datasets comes near; a bomb does
MAX_RATIO = 1100  # deflate cannot exceed 1032:1; a directory that claims more lies
_ZIP_SYMLINK = stat.S_IFLNK


@dataclass(frozen=True, order=True)
class Member:
    """One file of a tree: `path` names it in messages and metadata, the rest says where its bytes are."""

    path: str  # "leftImg8bit/train/aachen/….png": from the dataset's own top folder on, POSIX
    container: Path  # the folder, or the zip
    inner: str  # path inside the container
    zipped: bool = False
    fault: str = ""  # why it must not be read: a link that leads nowhere or out of the root

    def read(self) -> bytes:
        """The file's bytes. Raises SourceError when it cannot be read or is far too large."""
        if self.fault:
            raise LinkError(f"{self.where}: {self.fault}")
        try:
            return _read_zipped(self) if self.zipped else _read_file(self)
        except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
            # RuntimeError: encrypted; ValueError: the directory says that it begins before the file
            raise SourceError(f"{self.where}: cannot be read ({error}).") from error
        except (zlib.error, INFLATE.error) as error:
            raise SourceError(f"{self.where}: its compressed bytes are damaged ({error}).") from error

    @property
    def where(self) -> str:
        """For people: the path on disk, or the zip and the member in it."""
        return f"{self.container}:{self.inner}" if self.zipped else str(self.container / self.inner)


def _read_file(member: Member) -> bytes:
    path = member.container / member.inner
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
        raise SourceError(f"{path}: not a regular file.")
    if status.st_size > MAX_MEMBER_BYTES:
        raise TooLargeError(f"{path}: {status.st_size} bytes where a picture of at most {MAX_MEMBER_BYTES} is due.")
    return path.read_bytes()


def _read_zipped(member: Member) -> bytes:
    archive = _archive(member.container, os.getpid())
    info = archive.getinfo(member.inner)
    if info.file_size > MAX_MEMBER_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise TooLargeError(
            f"{member.where}: declares {info.file_size} bytes packed in {info.compress_size}, "
            "more than deflate or a picture can hold: a decompression bomb or a damaged zip."
        )
    if info.compress_type != zipfile.ZIP_DEFLATED or info.flag_bits & ENCRYPTED:
        return archive.read(info)
    return _inflated(member.container, info)


def _inflated(path: Path, info: zipfile.ZipInfo) -> bytes:
    """zipfile's `read` with a faster inflate and CRC: these two are nearly all of reading a picture from a zip."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        fixed = file.read(30)  # the member's own header: its name and extra field may differ from the directory's
        if fixed[:4] != b"PK\3\4" or len(fixed) < 30:
            raise zipfile.BadZipFile(f"no member at byte {info.header_offset}")
        file.seek(sum(struct.unpack("<HH", fixed[26:])), os.SEEK_CUR)
        packed = file.read(info.compress_size)
    stream = INFLATE.decompressobj(-15)
    data: bytes = stream.decompress(packed, info.file_size + 1)
    if len(data) != info.file_size or INFLATE.crc32(data) != info.CRC:
        raise zipfile.BadZipFile("its length or CRC-32 is not what the zip's directory says")
    return data


@lru_cache(maxsize=16)
def _archive(path: Path, pid: int) -> zipfile.ZipFile:
    """The open zip of this process (`pid` keeps a forked worker from sharing its parent's file offset)."""
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise SourceError(f"{path}: not a complete zip ({error}). Download it again.") from error


@dataclass(frozen=True)
class Tree:
    """The files under one root, found by the path that the dataset gives them.

    `faults` gathers, while folders are listed, the links to folders that were not followed.
    """

    root: Path
    faults: list[Finding] = field(default_factory=list, compare=False)

    def files(self, folder: str) -> list[Member]:
        """All files under `folder` ("leftImg8bit/train"), sorted by path; empty when there is none.

        An unpacked folder wins over a zip that holds the same one. Several zips may each hold a part.
        """
        for base in self._bases():
            if (base / folder).is_dir():
                return sorted(_walk(base, folder, self.root.resolve(), self.faults))
        return sorted(member for zip_path in self._zips() for member in _zip_members(zip_path, folder))

    def has(self, folder: str) -> bool:
        """Whether the folder is there, in the tree or in a zip."""
        return any((base / folder).is_dir() for base in self._bases()) or any(
            any(True for _ in _zip_members(zip_path, folder)) for zip_path in self._zips()
        )

    def found(self) -> str:
        """What lies at the root, for error messages."""
        if not self.root.exists():
            return "no such folder"
        if self.root.is_file():
            return f"a file: {self.root.name}"
        names = sorted(entry.name for entry in self.root.iterdir())
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        return shown or "an empty folder"

    def _bases(self) -> list[Path]:
        """The root, and each folder in it: the extra `*_trainvaltest/` or `tas500v1.1/` level."""
        if not self.root.is_dir():
            return []
        return [self.root, *sorted(entry for entry in self.root.iterdir() if entry.is_dir())]

    def _zips(self) -> list[Path]:
        if self.root.is_dir():
            return sorted(path for path in self.root.glob("*.zip") if path.is_file())
        return [self.root] if self.root.suffix == ".zip" and self.root.is_file() else []


def _walk(base: Path, folder: str, home: Path, faults: list[Finding]) -> Iterator[Member]:
    """Every file under base/folder. A symlink may point anywhere inside the root, but neither out nor back."""
    entered = [(base / folder).resolve()]  # and the targets of links to folders
    pending = [base / folder]
    if fault := _outside(entered[0], home):
        faults.append(Finding("bad-link", folder, fault))
        return
    while pending:
        for entry in sorted(os.scandir(pending.pop()), key=lambda entry: entry.name):
            path = Path(entry.path)
            inner = path.relative_to(base).as_posix()
            fault = _link_fault(path, home, entered) if entry.is_symlink() else ""
            if fault and not path.suffix:  # a folder's name: files that it may hold go missing with it
                faults.append(Finding("bad-link", inner, fault))
            elif fault or not entry.is_dir():
                yield Member(inner, base, inner, fault=fault)
            else:
                pending.append(path)


def _link_fault(path: Path, home: Path, entered: list[Path]) -> str:
    """Why a symlink is not followed, or ""; a link to a folder that is followed joins `entered`."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "a symlink that leads nowhere or in a circle. Remove it."
    if (fault := _outside(real, home)) or not real.is_dir():
        return fault
    if any(real.is_relative_to(other) or other.is_relative_to(real) for other in entered):
        return f"a symlink back to {real.relative_to(home)}, which is read anyway: a loop. Remove it."
    entered.append(real)
    return ""


def _outside(real: Path, home: Path) -> str:
    if real.is_relative_to(home):
        return ""
    return f"a symlink out of the dataset's root, to {real}. Point --root at the folder that really holds the files."


def _zip_members(path: Path, folder: str) -> Iterator[Member]:
    """The members under `folder`, which stands at the zip's top or one level below it."""
    wanted = PurePosixPath(folder).parts
    for name in _safe_names(path, path.stat().st_mtime_ns):
        parts = PurePosixPath(name).parts
        for skip in (0, 1):
            if parts[skip : skip + len(wanted)] == wanted and len(parts) > skip + len(wanted):
                yield Member("/".join(parts[skip:]), path, name, zipped=True)
                break


@lru_cache(maxsize=16)
def _safe_names(path: Path, mtime_ns: int) -> tuple[str, ...]:
    """The zip's file names, all of them refused if one tries to leave the archive or is a link."""
    names = []
    for info in _archive(path, os.getpid()).infolist():
        pure = PurePosixPath(info.filename)
        if pure.is_absolute() or ".." in pure.parts or "\\" in info.filename or "\0" in info.filename:
            raise SourceError(f"{path}: member {info.filename!r} points outside the zip. Refused.")
        if stat.S_IFMT(info.external_attr >> 16) == _ZIP_SYMLINK:
            raise SourceError(f"{path}: member {info.filename!r} is a symlink. Refused.")
        if not info.is_dir():
            names.append(info.filename)
    return tuple(names)
