"""The work unit of `verify`: one shard, wherever it lies. Its bytes come once, and are gone afterwards."""

import hashlib
import os
from dataclasses import dataclass, replace

from segdata.checking.content import Content, Expected, check_content
from segdata.errors import AbsentError, LongError, SegdataError, StoreError
from segdata.findings import Finding
from segdata.format.manifest import ShardEntry, shard_limit
from segdata.stores.opening import open_files
from segdata.stores.store import Files
from segdata.stores.url import Place


@dataclass(frozen=True)
class ShardCheck:
    """`due` is None where it is not known what the shard should hold: then its bytes alone are checked."""

    home: Place
    row: ShardEntry
    due: Expected | None
    pixels: bool  # whether the content is checked although the bytes are those listed


@dataclass(frozen=True)
class Checked:
    """What is wrong with the shard; `content` of one that was decoded."""

    row: ShardEntry
    findings: tuple[Finding, ...]
    content: Content | None = None


def check_shard(unit: ShardCheck) -> Checked:
    """Its bytes against their digest and, where they are others or `pixels` says so, what it holds."""
    files, row, due = open_files(unit.home), unit.row, unit.due
    if due is None or not unit.pixels:
        wrong = check_file(files, row.name, row.sha256, shard_limit(row))
        if due is None or wrong is None or wrong.code != "changed-bytes":
            return Checked(row, (wrong,) if wrong else ())
    try:
        with files.opened(row.name, shard_limit(row)) as file:
            wrong = _compared(row.name, hashlib.file_digest(file, "sha256").hexdigest(), row.sha256)
            if os.fstat(file.fileno()).st_size == 0:
                return Checked(row, (wrong,) if wrong else ())
            content = check_content(file, replace(due, changed=wrong is not None))
    except StoreError as error:
        return Checked(row, (_unread(files, row.name, error),))
    if wrong is None:
        return Checked(row, content.findings, content)
    told = replace(wrong, found=f"{wrong.found}; {content.verdict}")
    return Checked(row, (told, *content.findings), content)


def check_file(files: Files, path: str, sha256: str, limit: int) -> Finding | None:
    """What is wrong with the bytes of a file, None where nothing is."""
    try:
        return _compared(path, files.digest(path, limit), sha256)
    except StoreError as error:
        return _unread(files, path, error)


def _compared(path: str, found: str, sha256: str) -> Finding | None:
    if found == sha256:
        return None
    return Finding("changed-bytes", path, f"sha256 {found[:12]}…, listed is {sha256[:12]}…")


def _unread(files: Files, path: str, error: StoreError) -> Finding:
    """What it comes to that a file could not be read, or was not for its length."""
    if isinstance(error, AbsentError):
        return Finding("missing-file", path, "no such file")
    return Finding(
        "changed-bytes" if isinstance(error, LongError) else "unreadable", path, unplaced(error, files, path)
    )


def unplaced(error: SegdataError, files: Files, path: str) -> str:
    """What an error says of a file, whose path stands beside it already."""
    return str(error).removeprefix(f"{files.place / path}: ")
