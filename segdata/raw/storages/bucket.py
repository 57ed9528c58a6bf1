"""A dataset behind a URL: a store or a web server is listed once, whole, and has no links.

Each file is fetched when it is read.
"""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from segdata.errors import AbsentError, RangeError, SourceError, TooLargeError
from segdata.findings import Finding
from segdata.raw.archives.kinds import is_archive
from segdata.raw.leftovers import Leftovers
from segdata.raw.storages.storage import Paths, abridged, is_hidden, split_path
from segdata.stores.opening import local_store, open_store
from segdata.stores.url import Url


@dataclass(frozen=True)
class Bucket:
    """A Storage behind a URL. A web server must list its folders."""

    place: Url
    faults: list[tuple[str, Finding]] = field(default_factory=list, compare=False)  # stores have no links
    outside: dict[str, str] = field(default_factory=dict, compare=False)
    leftovers: Leftovers = field(default_factory=Leftovers, compare=False)

    def archives(self) -> list[Url]:
        if is_archive(self.place.name):
            return [self.place]
        return [self.place / path for path in self._paths if is_archive(path) and "/" not in path]

    def files(self, folders: Collection[str]) -> Iterator[tuple[str, str, Paths]]:
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for path in self._paths:
            for above, folder, inner in split_path(path, folders):
                found.setdefault((above, folder), []).append((inner, ""))
        for (above, folder), files in sorted(found.items()):
            yield above, folder, files

    def others(self, skipped: Callable[[str], bool]) -> Iterator[str]:
        return (path for path in self._paths if not skipped(path))

    def deeper(self, folders: Collection[str]) -> str:
        found = (split_path(path, folders, levels=path.count("/")) for path in self._paths)
        return next((str(self.place / where[0][0]) for where in found if where), "")

    def description(self) -> str:
        return abridged({path.split("/")[0] for path in self._paths}) if self._paths else "nothing that can be listed"

    def read(self, path: str, limit: int) -> bytes:
        try:
            return local_store(self.place, os.getpid()).read(path, limit=limit)
        except AbsentError as error:
            raise SourceError(str(error)) from None
        except RangeError as error:
            raise TooLargeError(str(error)) from None

    def read_range(self, start: int, stop: int) -> bytes:
        return local_store(self.place, os.getpid()).read("", start, stop)

    def size(self) -> int:
        size = local_store(self.place, os.getpid()).size("")
        if size is None:
            raise SourceError(f"{self.place}: the server does not say how long it is. Download it, and give its path.")
        return size

    def version(self) -> int:
        return 0

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        if is_archive(self.place.name):
            return ()
        try:
            listed = open_store(self.place).files()
        except AbsentError:
            return ()
        return tuple(path for path in listed if not self.leftovers.take(path) and not _is_below_hidden(path))


def _is_below_hidden(path: str) -> bool:
    return any(map(is_hidden, PurePosixPath(path).parts))  # ".." is hidden
