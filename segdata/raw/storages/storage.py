"""What a place is where a dataset's files lie: what there is, and its bytes. `disk.py` and `bucket.py` are the two."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

from segdata.findings import Finding
from segdata.raw.leftovers import Leftovers, is_leftover
from segdata.stores.url import Place

LEVELS = 1  # folders that may stand above those of a dataset: leftImg8bit_trainvaltest/leftImg8bit/train

Paths = Iterable[tuple[str, str]]  # path from a folder on, why the file must not be read or ""


class Storage(Protocol):
    """One place: a folder, or a single file. Paths below it are relative and POSIX; hidden ones are left out.

    While folders are listed, `faults` gathers the links to folders that were not followed, each with the path that the
    dataset gives to what is missed; `outside` the links that were followed out of the root, each with where it leads;
    `leftovers` what systems and programs left there.
    """

    @property
    def place(self) -> Place: ...
    @property
    def faults(self) -> list[tuple[str, Finding]]: ...
    @property
    def outside(self) -> dict[str, str]: ...
    @property
    def leftovers(self) -> Leftovers: ...
    def archives(self) -> Sequence[Place]:
        """Those that lie directly here; the place itself where it is one."""
        ...

    def files(self, folders: Collection[str]) -> Iterator[tuple[str, str, Paths]]:
        """(what stands above, folder, files) for each of the folders that is here, or in a folder here."""
        ...

    def others(self, skipped: Callable[[str], bool]) -> Iterator[str]:
        """Every other file, after `files`. No folder is listed whose path ("disparity/") is skipped."""
        ...

    def deeper(self, folders: Collection[str]) -> str:
        """Where the folders, or an archive, lie further down than they are looked for; "" where they do not."""
        ...

    def description(self) -> str:
        """What lies here, for error messages."""
        ...

    def read(self, path: str, limit: int) -> bytes:
        """All bytes of a file of at most `limit`. Raises SourceError, TooLargeError."""
        ...

    def read_range(self, start: int, stop: int) -> bytes:
        """Of the file that is the place itself: the bytes from `start` to before `stop`."""
        ...

    def size(self) -> int:
        """Bytes of that file. Raises SourceError where a server does not say."""
        ...

    def version(self) -> int:
        """Changes when that file does; 0 where this is not looked up."""
        ...


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no part of any dataset."""
    return name.startswith(".") or is_leftover(name)


def split_path(path: str, folders: Collection[str], levels: int = LEVELS) -> list[tuple[str, str, str]]:
    """(what stands above, folder, path from what stands above on) for each of the folders in which a file is.

    The folders stand at the top, or at most `levels` down. The folder "" is the dataset's own: what is in none of the
    others is in it.
    """
    parts = path.split("/")
    root = [("", "", path)] if "" in folders else []
    for skip in range(min(levels + 1, len(parts))):
        above, rest = "/".join(parts[:skip]), "/".join(parts[skip:])
        inner = ("/".join(parts[skip:end]) for end in range(skip + 1, len(parts)))
        if found := [(above, folder, rest) for folder in inner if folder in folders]:
            return found
    return root


def abridged(names: Iterable[str]) -> str:
    """The first few of a folder's names."""
    listed = sorted(names)
    return ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "") or "an empty folder"
