"""A list of the frames of one split: a text file with one frame a line, by its key or by the name of its file."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from segdata.base.canonical import digest_bytes
from segdata.base.files import read_file, write_file
from segdata.base.ownership import check_home
from segdata.errors import SegdataError, SourceError
from segdata.raw.scene import Folder, Scene

COMMENT = re.compile(r"(^|\s)#.*")
LONGEST = 80  # characters of a line that a message shows


@dataclass(frozen=True)
class SplitList:
    """The frames of one split: key -> the number of its line in the file `name`."""

    split: str
    name: str
    lines: Mapping[str, int]

    @cached_property
    def digest(self) -> str:
        return digest_of(self.lines)

    def line(self, key: str) -> str:
        """Where the key stands, for a message."""
        return f"{self.name} line {self.lines[key]}"


def digest_of(keys: Iterable[str]) -> str:
    """SHA-256 of the sorted keys, a line each: what `LC_ALL=C sort FILE | sha256sum` prints of a list of keys."""
    return digest_bytes(list_of(keys))


def list_of(keys: Iterable[str]) -> bytes:
    """A list of these frames: their keys in order, one a line."""
    return "".join(f"{key}\n" for key in sorted(keys)).encode()


def read_list(path: str, option: str = "--split-list") -> str:
    """The text of a list, which the option names. Raises SourceError."""
    try:
        return read_file(Path(path), error=SourceError).decode("utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{option}: no file {path}. Name a text file with one frame a line.") from None
    except UnicodeDecodeError:
        raise SourceError(f"{option}: {path} is no text file. Name one with one frame a line.") from None


def parse_list(split: str, name: str, text: str, folders: Sequence[Folder]) -> SplitList:
    """The list of this text, whose lines name frames of the source that has these folders.

    Raises SourceError for a list of no frames, and for a frame that stands twice. Whether a frame is there, only the
    dataset says.
    """
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not (words := COMMENT.sub("", line).split()):
            continue
        keys = {key_of(word, folders) for word in words}  # of an image and its label, as in SegNet's lists
        key = keys.pop() if len(keys) == 1 else _key_with_spaces(words, line, folders)
        if (first := lines.setdefault(key, number)) != number:
            raise SourceError(f"{name} line {number}: {shortened(key)} stands in line {first} too. Remove one of both.")
    if not lines:
        raise SourceError(f"{name}: no frame in it, expected one a line. Name its frames, or leave the list out.")
    return SplitList(split, name, lines)


def _key_with_spaces(words: Sequence[str], line: str, folders: Sequence[Folder]) -> str:
    """The key of the file that the whole line names; where each word names a file, the words, which are no key."""
    path = COMMENT.sub("", line).strip()
    are_files = all(key_of(word, folders) != word for word in words)
    return " ".join(words) if are_files else key_of(path, folders)


def key_of(word: str, folders: Sequence[Folder]) -> str:
    """The key of the frame whose image or label file has this name or path; the word itself where it is no file's."""
    parts = word.split("/")
    tails = ["/".join(parts[start:]) for start in range(len(parts))]  # the whole path first, the name alone last
    found = (folder.key(path) for tail in tails for folder in folders for path in (tail, f"{folder.path}/{tail}"))
    return next((key for key in found if key is not None), word)


def write_lists(folder: Path, scenes: Mapping[str, Iterable[Scene]], option: str = "--lists") -> list[Path]:
    """The scenes of each split as a list `<split>.txt`, which `--split-list SPLIT=FILE` takes; the files in order.

    Raises SegdataError, before anything is written, where a file of such a name has other lines: it is somebody's.
    """
    lists = {folder / f"{split}.txt": list_of(each.key for each in of_split) for split, of_split in scenes.items()}
    check_home(option, folder, is_folder=True)
    for path, data in lists.items():
        if path.exists() and (path.is_dir() or read_file(path) != data):
            raise SegdataError(f"{option} {path} is there already, and is another list. Name another folder.")
    for path, data in lists.items():
        write_file(path, data)
    return list(lists)


def shortened(text: str) -> str:
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
