"""What differs between two shard folders, by content: how samples are spread over shards is told, not compared.

Every byte that is compared is read under its digest, and folders that say the same of themselves are verified: what
they say is no evidence. Then the cheapest comes first: equal bytes, then equal pixel digests; what is left is decoded.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8
from segdata.checking.verify import verify
from segdata.errors import ShardError
from segdata.format.manifest import read_manifest
from segdata.labels.changes import SHOWN, balance, count_changes, described, id_changes
from segdata.labels.taxonomy import Taxonomy
from segdata.pictures.codecs import JPEG_QUALITY
from segdata.reading.shardset import ShardSet
from segdata.stores.url import Place


@dataclass(frozen=True)
class _Side:
    """One of the two folders: its splits, opened."""

    path: Place
    splits: dict[str, ShardSet]

    @classmethod
    def of(cls, path: Place) -> "_Side":
        manifest = read_manifest(path)
        return cls(path, {split: ShardSet(path, split, version=manifest.fingerprint) for split in manifest.splits})

    @property
    def document(self) -> Any:
        return self._any.manifest.document

    @property
    def taxonomy(self) -> Taxonomy:
        return self._any.taxonomy

    def check(self) -> None:
        """Raise ShardError where a file is not what the folder says."""
        if found := verify(self.path):
            raise ShardError(
                f"{self.path}: {found[0].where}: {found[0].found}, so it cannot be compared ({len(found)} findings in "
                "all). Run `segdata verify`."
            )

    @property
    def _any(self) -> ShardSet:
        if not self.splits:
            raise ShardError(f"{self.path}: no splits, so there is nothing to compare. Run prepare again.")
        return next(iter(self.splits.values()))


def diff(a: Place, b: Place) -> list[str]:
    """Lines for people, "a's -> b's"; empty when the folders hold the same. Raises ShardError for a damaged one."""
    left, right = _Side.of(a), _Side.of(b)
    if left.document["fingerprint"] == right.document["fingerprint"]:
        for side in (left, right):
            side.check()
        return []
    lines = [*_options(left, right), *_taxonomies(left.taxonomy, right.taxonomy)]
    lines += _only("splits", list(left.splits), list(right.splits))
    for split, shards in left.splits.items():
        if split in right.splits:
            lines += _splits(shards, right.splits[split])
    return lines


# ---- what the folders say of themselves ---------------------------------------------------------------------


def _options(a: _Side, b: _Side) -> Iterator[str]:
    for title in ("source", "options"):
        one, other = (_stated(side.document[title]) for side in (a, b))
        yield from _fields(title.removesuffix("s"), one, other)
    yield from _fields("set", {"name": a.document["name"]}, {"name": b.document["name"]})


def _stated(values: dict[str, Any]) -> dict[str, Any]:
    """Without the taxonomy, which is told class by class; with the JPEG quality that a set leaves unsaid."""
    unsaid = {"jpeg_quality": JPEG_QUALITY} if values.get("codec") == "jpeg" else {}
    return {name: value for name, value in {**unsaid, **values}.items() if name != "taxonomy"}


def _taxonomies(a: Taxonomy, b: Taxonomy) -> Iterator[str]:
    one, other = a.document(), b.document()
    rows, others = one.pop("classes"), other.pop("classes")
    yield from _fields("taxonomy", one, other)
    for i in range(max(len(rows), len(others))):
        if i >= len(rows) or i >= len(others):
            name, side = (others[i]["name"], "b") if i >= len(rows) else (rows[i]["name"], "a")
            yield f"taxonomy: class {i} {name!r} only in {side}"
        else:
            yield from _fields(f"taxonomy: class {i}", rows[i], others[i])


def _fields(title: str, a: dict[str, Any], b: dict[str, Any]) -> Iterator[str]:
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            yield f"{title} {name}: {json.dumps(a.get(name))} -> {json.dumps(b.get(name))}"


def _only(what: str, a: Sequence[str], b: Sequence[str]) -> Iterator[str]:
    for side, mine, others in (("a", a, frozenset(b)), ("b", b, frozenset(a))):
        if missing := sorted(name for name in mine if name not in others):
            rest = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            yield f"{what} only in {side}: {', '.join(missing[:SHOWN])}{rest}"


# ---- samples ------------------------------------------------------------------------------------------------


@dataclass
class _Part:
    """One part of one split, which may have another name in b, and all its differences."""

    a: str
    b: str
    pixels_a: NDArray[np.uint8] | None
    pixels_b: NDArray[np.uint8] | None
    lines: list[str] = field(default_factory=list)
    recoded: int = 0  # other bytes, same pixels
    changes: Counter[tuple[int, int]] = field(default_factory=Counter)


def _splits(a: ShardSet, b: ShardSet) -> Iterator[str]:
    where_b = {key: i for i, key in enumerate(b.keys)}
    pairs = [(i, where_b[key]) for i, key in enumerate(a.keys) if key in where_b]
    yield from _only(f"{a.split}: keys", a.keys, b.keys)
    one, other = _roles(a), _roles(b)
    yield from _only(f"{a.split}: parts", list(one), list(other))
    parts = [
        _Part(one[role], other[role], _pixel_digests(a, one[role]), _pixel_digests(b, other[role]))
        for role in sorted(one.keys() & other.keys())
    ]
    for i, j in sorted(pairs, key=lambda pair: a.key(pair[0])):  # a sample is read once, for all its parts
        for part in parts:
            _compare(a, b, i, j, part)
    for part in parts:
        yield from _told(a, b, part)


def _roles(shards: ShardSet) -> dict[str, str]:
    """Role -> part: an image is one in whatever format."""
    return {"image" if part.startswith("image.") else part: part for part in shards.parts}


def _pixel_digests(shards: ShardSet, part: str) -> NDArray[np.uint8] | None:
    return None if part == "json" else shards.pixel_digests(part)


def _compare(a: ShardSet, b: ShardSet, i: int, j: int, part: _Part) -> None:
    """Sample i of a with sample j of b, which have one key."""
    if a.bytes(i, part.a) == b.bytes(j, part.b):
        return
    if part.a == "json":
        told = "; ".join(_fields("", a.meta(i), b.meta(j))).strip()
    elif a.size_of(i) == b.size_of(j) and _equal(part.pixels_a, part.pixels_b, i, j):
        told = ""
    else:
        told = _pictures(a, b, part.a, (a.picture(i, part.a), b.picture(j, part.b)), part)
    if told:
        part.lines.append(f"{a.split} {a.key(i)} {part.a}: {told}")
    else:
        part.recoded += 1


def _told(a: ShardSet, b: ShardSet, found: _Part) -> Iterator[str]:
    """The first lines in full, then how many more there are, and the classes of all."""
    title = found.a if found.a == found.b else f"{found.a} -> {found.b}"
    yield from found.lines[:SHOWN]
    if len(found.lines) > SHOWN:
        total = f"; over all {described(found.changes, a.taxonomy, b.taxonomy)}" if found.changes else ""
        yield f"{a.split} {title}: {len(found.lines) - SHOWN} more samples differ{total}"
    if found.recoded:
        yield f"{a.split} {title}: {found.recoded} samples with other bytes, but the same pixels"


def _equal(a: NDArray[np.uint8] | None, b: NDArray[np.uint8] | None, i: int, j: int) -> bool:
    return a is not None and b is not None and i < len(a) and j < len(b) and bool(np.array_equal(a[i], b[j]))


def _pictures(a: ShardSet, b: ShardSet, part: str, pictures: tuple[U8, U8], found: _Part) -> str:
    """What differs, "" when nothing does."""
    one, other = pictures
    if one.shape != other.shape:
        return f"shape {one.shape} -> {other.shape}"
    if np.array_equal(one, other):
        return ""
    if part.startswith("image."):
        gap = np.abs(one.astype(np.int16) - other).max(axis=2)
        return f"{np.count_nonzero(gap)} pixels differ, by up to {gap.max()}"
    if part.startswith("coverage"):
        cells = np.count_nonzero((one != other).any(axis=0))
        return f"{cells} cells differ: {balance(count_changes(one, other), a.taxonomy)}"
    changes = id_changes(one, other)
    found.changes.update(changes)
    return described(changes, a.taxonomy, b.taxonomy)
