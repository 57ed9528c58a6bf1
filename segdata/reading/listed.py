"""Frames of a prepared split that a list names: what `segmodels evaluate --frames` scores."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from segdata.errors import SourceError
from segdata.raw.scene import Folder
from segdata.reading.shardset import ShardSet
from segdata.sources import SOURCES
from segdata.sources.file import read_source
from segdata.sources.source import Source
from segdata.splits.splitlist import parse_list, read_list
from segdata.splits.unknown import no_frame


@dataclass(frozen=True)
class Listed:
    """`places` are the positions of the frames in the split, in its order; `digest` is that of the sorted keys."""

    places: tuple[int, ...]
    digest: str


def listed(shards: ShardSet, path: str, option: str = "--frames") -> Listed:
    """The frames of the split that the file lists, by the rules of `segdata prepare --split-list`.

    Raises SourceError for a file that is no list, and for a frame that the split lacks.
    """
    given = parse_list(shards.split, path, read_list(path, option), _folders(shards))
    keys = shards.keys
    if missing := sorted(given.lines.keys() - set(keys), key=lambda key: given.lines[key]):
        where, lists = f"the split {shards.split} of {shards.path}", dict.fromkeys(missing, given)
        raise SourceError(no_frame(missing, lists, where, keys, "the split"))
    return Listed(tuple(i for i, key in enumerate(keys) if key in given.lines), given.digest)


def _folders(shards: ShardSet) -> Sequence[Folder]:
    """Where the set's source has its files, so that a line may name one; none where it is not known any more."""
    source = source_of(shards)
    return source.folders if source else ()


def source_of(shards: ShardSet) -> Source | None:
    """The source of the set: one that ships, or the file that the set holds; None where neither is there."""
    name = shards.manifest.document["source"]["name"]
    if name in SOURCES:
        return SOURCES[name]
    with suppress(SourceError):  # a file of another version of segdata
        return read_source(shards.source_file, name, None) if shards.source_file else None
    return None
