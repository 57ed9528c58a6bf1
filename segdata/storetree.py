"""A dataset's files in a store or on a web server: listed once, each fetched when it is read."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from segdata.errors import AbsentError
from segdata.findings import Finding
from segdata.stores import open_store
from segdata.tree import Member, some, zip_members
from segdata.url import Url


@dataclass(frozen=True)
class StoreTree:
    """A Tree behind a URL: an unpacked folder, one level more, or zips. A web server must list its folders."""

    root: Url
    faults: list[Finding] = field(default_factory=list, compare=False)  # stores have no links

    def files(self, folder: str) -> list[Member]:
        for base in self._levels:
            if found := self._below(base, folder):
                return found
        return sorted(member for url in self._zip_urls for member in zip_members(url, folder))

    def has(self, folder: str) -> bool:
        return bool(self.files(folder))

    def found(self) -> str:
        return some({path.split("/")[0] for path in self._paths}) if self._paths else "nothing that can be listed"

    def _below(self, base: str, folder: str) -> list[Member]:
        """Sorted; `base` is "" or the level more, with its slash."""
        start = f"{base}{folder}/"
        container = self.root / base.rstrip("/") if base else self.root
        inner = (path.removeprefix(base) for path in self._paths if path.startswith(start))
        return sorted(Member(path, container, path) for path in inner)

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        if self._is_zip:
            return ()
        try:
            return tuple(path for path in open_store(self.root).files() if ".." not in PurePosixPath(path).parts)
        except AbsentError:
            return ()

    @cached_property
    def _levels(self) -> list[str]:
        return ["", *sorted({path.split("/")[0] + "/" for path in self._paths if "/" in path})]

    @cached_property
    def _zip_urls(self) -> list[Url]:
        if self._is_zip:
            return [self.root]
        return [self.root / path for path in self._paths if path.endswith(".zip") and "/" not in path]

    @property
    def _is_zip(self) -> bool:
        return self.root.name.endswith(".zip")
