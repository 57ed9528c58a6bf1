"""A dataset's files in a store or on a web server: listed once, each fetched when it is read."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from segdata.errors import AbsentError, SourceError
from segdata.findings import Finding
from segdata.raw.member import Member
from segdata.raw.tree import Held, Known, add_held, add_zipped, is_hidden, is_told, some, split_path, zipped_rest
from segdata.stores.opening import open_store
from segdata.stores.url import Url


@dataclass(frozen=True)
class StoreTree:
    """A Tree behind a URL: an unpacked folder, one level more, or zips. A web server must list its folders."""

    root: Url
    faults: list[tuple[str, Finding]] = field(default_factory=list, compare=False)  # stores have no links
    refused: dict[str, SourceError] = field(default_factory=dict, compare=False)

    def held(self, folders: Sequence[str]) -> dict[str, list[Held]]:
        found, members = dict[str, list[Held]](), dict[tuple[str, str], list[Member]]()
        for path in self._paths:
            if where := split_path(path, folders):
                above, folder = where
                inner, container = (path.removeprefix(f"{above}/"), self.root / above) if above else (path, self.root)
                members.setdefault((above, folder), []).append(Member(inner, container, inner))
        for (above, folder), listed in sorted(members.items()):
            place = self.root / (f"{above}/{folder}" if above else folder)
            add_held(found, folder, Held(place, False, sorted(listed)))
        for url in self._zip_urls:
            add_zipped(found, url, folders, self.refused)
        return found

    def rest(self, folders: Collection[str], known: Known) -> Iterator[tuple[str, str]]:
        zips = {url.name for url in self._zip_urls}
        for path in self._paths:
            if path not in zips and not is_told(path, folders, known):
                top, _, below = path.partition("/")
                yield top, below
        for url in self._zip_urls:
            if url.name not in self.refused:
                yield from zipped_rest(url, folders, known)

    def found(self) -> str:
        return some({path.split("/")[0] for path in self._paths}) if self._paths else "nothing that can be listed"

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        if self._is_zip:
            return ()
        try:
            listed = open_store(self.root).files()
        except AbsentError:
            return ()
        return tuple(path for path in listed if not any(map(is_hidden, PurePosixPath(path).parts)))  # ".." is hidden

    @cached_property
    def _zip_urls(self) -> list[Url]:
        if self._is_zip:
            return [self.root]
        return [self.root / path for path in self._paths if path.endswith(".zip") and "/" not in path]

    @property
    def _is_zip(self) -> bool:
        return self.root.name.endswith(".zip")
