"""Whose a file is: a command writes over an earlier result of its own kind, and over nothing else.

A place is free where there is no file, an empty one, or a device or pipe such as /dev/stdout.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdata.base.files import is_stream, read_file, resolved, write_file
from segdata.documents.json import load_json
from segdata.errors import SegdataError

HEAD = 4096  # bytes in which a marked file has its mark
SOFTWARE = b"Software\0segdata"  # the tEXt chunk of every PNG that a command writes


@dataclass(frozen=True)
class Kind:
    """A kind of result, in words ("numbers of `stats`"), and how one that we wrote is known again."""

    name: str
    is_ours: Callable[[Path], bool]


def check_file(option: str, path: Path | None, kind: Kind) -> None:
    """Raise SegdataError, before the work and not after it, where the result would take the place of another file."""
    if path is None or is_stream(path):
        return
    if path.is_dir():
        raise SegdataError(f"{option} {path} is a folder, expected the name of a file.")
    if path.exists() and path.stat().st_size and not is_ours(path, kind):
        raise SegdataError(
            f"{option} {path}: there is a file of this name, not {kind.name} that this command wrote. It is left as it "
            "is: name another file, or remove it."
        )
    check_home(option, path)


def check_home(option: str, path: Path, *, is_folder: bool = False) -> None:
    """Raise SegdataError where nothing can be written at `path` (in it, where it `is_folder`), or it lies in a set."""
    place = resolved(path)
    parents = [place, *place.parents] if is_folder else [*place.parents]
    if found := [
        folder for folder in parents if (folder / "dataset.json").is_file() and (folder / ".segdata").is_dir()
    ]:
        raise SegdataError(f"{option} {path} lies in the shard set {found[0]}, in which only `prepare` writes.")
    home = next(folder for folder in parents if folder.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        raise SegdataError(f"{option} {path}: {home} cannot be written to. Name another place.")


def write_result(option: str, path: Path, kind: Kind, data: bytes) -> None:
    """Write the result, whole, if nothing else has come to its place meanwhile. Raises SegdataError."""
    check_file(option, path, kind)
    write_file(path, data)


def is_ours(path: Path, kind: Kind) -> bool:
    """Whether the file is one of the kind that we wrote."""
    try:
        return kind.is_ours(path)
    except Exception:  # whatever a parser says of a file that is not ours
        return False


def json_kind(name: str, *keys: str, where: Callable[[Any], bool] = lambda document: True) -> Kind:
    """A JSON object that has at least these keys, and of which `where` is true."""

    def is_ours(path: Path) -> bool:
        document = load_json(read_file(path))
        return set(keys) <= document.keys() and where(document)

    return Kind(name, is_ours)


def headed(name: str, *heads: bytes) -> Kind:
    """A file that begins with one of these bytes."""
    return Kind(name, lambda path: _head(path).startswith(heads))


def marked(name: str, mark: bytes) -> Kind:
    """A file with this mark among its first bytes."""
    return Kind(name, lambda path: mark in _head(path))


PICTURE = marked("a picture", SOFTWARE)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)
