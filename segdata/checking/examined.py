"""The set under check: its files, its manifest, and what is known to be wrong so far."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from segdata.checking.shard import check_file
from segdata.errors import StoreError
from segdata.findings import Finding
from segdata.format.manifest import Manifest, ShardEntry, side_limit
from segdata.raw.leftovers import Leftovers
from segdata.stores.store import Files


@dataclass
class Examined:
    """The set under check, and what is known of it so far."""

    files: Files  # of this version, beside its SHA256SUMS
    manifest: Manifest
    findings: list[Finding] = field(default_factory=list)
    listed: dict[str, str] = field(default_factory=dict)  # path -> sha256, of what SHA256SUMS lists beside the shards
    leftovers: Leftovers = field(default_factory=Leftovers)  # of systems and of downloads: no fault of the set's
    wrong: set[str] = field(default_factory=set)  # of these, those that are missing, unreadable or have other bytes

    def found(self, code: str, where: str, found: str) -> None:
        self.findings.append(Finding(code, where, found))

    def shards(self) -> Iterator[tuple[str, ShardEntry]]:
        return ((split, row) for split in self.manifest.splits for row in self.manifest.shards(split))

    def check(self, path: str, sha256: str) -> None:
        if found := check_file(self.files, path, sha256, side_limit(self.manifest)):
            self.findings.append(found)
            self.wrong.add(path)

    def digest(self, path: str) -> str:
        """Of a file that is not among the wrong ones, "" where there is none."""
        try:
            return self.listed.get(path) or self.files.digest(path, side_limit(self.manifest))
        except StoreError:
            return ""
