"""Check what one shard holds against its receipt: members, pixels, and that all targets follow from x1."""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase
from mmap import ACCESS_READ, mmap

import numpy as np

from segdata.base.arrays import U8
from segdata.base.canonical import digest_pixels, digest_sample, digest_source
from segdata.base.files import described as cause
from segdata.errors import CodecError, SizeError
from segdata.findings import Finding
from segdata.format.counts import ClassCounts, ImageSums
from segdata.format.receipt import Receipt, SampleReceipt
from segdata.format.shard import BLOCK
from segdata.labels.changes import balance, count_changes, described, id_changes
from segdata.labels.targets import IDENTITY, downscale, remap
from segdata.labels.taxonomy import IGNORE, Taxonomy
from segdata.pictures.codecs import decode_image, decode_map, decode_meta, decode_planes

Places = dict[str, tuple[int, int]]  # member -> (offset, bytes)


@dataclass(frozen=True)
class Expected:
    """What a shard should hold. `changed`: its bytes are not those listed."""

    name: str
    receipt: Receipt
    taxonomy: Taxonomy
    rule: str
    changed: bool = False


@dataclass(frozen=True)
class Content:
    """What was found in it; sizes, counts (None without x1) and sums are of what was really decoded."""

    findings: tuple[Finding, ...]
    sizes: frozenset[tuple[int, int]]
    counts: ClassCounts | None
    sums: ImageSums

    @property
    def verdict(self) -> str:
        """What a change of the shard's bytes comes to."""
        if self.findings:
            return f"{len(self.findings)} findings in it"
        return "every picture in it decodes to the pixels that were written: re-encoded, or changed beside them"


@dataclass
class _Shard:
    """What is known so far of the shard under check."""

    due: Expected
    findings: list[Finding] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    counts: list[ClassCounts] = field(default_factory=list)
    sums: list[ImageSums] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)  # members x1 whose pixels changed

    def found(self, code: str, member: str, found: str) -> None:
        self.findings.append(Finding(code, f"{self.due.name}:{member}" if member else self.due.name, found))

    @property
    def classes(self) -> int:
        return len(self.due.taxonomy.classes)


def check_content(file: BufferedIOBase, due: Expected) -> Content:
    """Read the members of a shard, a file of at least a byte, by its headers, not by the index, and check each."""
    shard = _Shard(due)
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        places, damage = list_members(data)
        _check_members(shard, places, damage)
        for row in due.receipt.samples:
            at = {part: places[name] for part in row.places if (name := f"{row.key}.{part}") in places}
            _check_sample(shard, row, {part: data[offset : offset + size] for part, (offset, size) in at.items()})
    counts = ClassCounts.total(shard.counts, shard.classes) if shard.counts else None
    _tell_moves(shard, counts)
    return Content(tuple(sorted(shard.findings)), frozenset(shard.sizes), counts, ImageSums.total(shard.sums))


# ---- 1. members ---------------------------------------------------------------------------------------------


def list_members(data: bytes | mmap) -> tuple[Places, str]:
    """The files of a plain tar as far as its headers can be read, and what is wrong with it ("" when nothing)."""
    places: Places = {}
    at = 0
    while at + BLOCK <= len(data):
        block = data[at : at + BLOCK]
        if block.count(0) == BLOCK:
            return places, _closing_damage(data, at)
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "backslashreplace")
        except Exception as error:
            return places, f"no member header at byte {at}: {cause(error)}"
        start = at + BLOCK
        if not 0 <= info.size <= len(data) - start:
            return places, f"{info.name} of {info.size} bytes at byte {start}, {len(data) - start} follow"
        if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:  # a link, or a name for the next member: see shards
            return places, f"{info.name} at byte {at} is of type {info.type!r}, expected plain files alone"
        if info.name in places:
            return places, f"{info.name} stands twice"
        places[info.name] = (start, info.size)
        at = start - (-info.size // BLOCK) * BLOCK
    return places, f"it ends at byte {len(data)} without the closing blocks"


def _closing_damage(data: bytes | mmap, at: int) -> str:
    """What is wrong with the end of the archive: two blocks of zeros or more, and nothing else. "" when nothing."""
    if (rest := len(data) - at) < 2 * BLOCK:
        return f"it ends at byte {len(data)} within the closing blocks"
    if zeros := rest - data[at:].count(0):
        return f"{zeros} bytes behind its closing blocks at byte {at} are not zero"
    return ""


def _check_members(shard: _Shard, places: Places, damage: str) -> None:
    """All expected members, no others, in their order; in an unchanged shard also where the receipt says."""
    noted = {f"{row.key}.{part}": row.places[part] for row in shard.due.receipt.samples for part in sorted(row.places)}
    missing = [name for name in noted if name not in places]
    foreign = [name for name in places if name not in noted]
    if missing:
        shard.found("bad-member", missing[0], f"not there{_more(missing)}" + (f": {damage}" if damage else ""))
    elif damage:
        shard.found("bad-member", "", damage)
    if foreign:
        shard.found("bad-member", foreign[0], f"nothing that prepare wrote{_more(foreign)}")
    if missing or foreign or damage:
        return
    if list(places) != list(noted):
        shard.found("bad-member", "", "its members stand in another order than they were written")
    elif not shard.due.changed and (moved := [name for name in noted if places[name] != noted[name]]):
        (at, size), (noted_at, noted_size) = places[moved[0]], noted[moved[0]]
        found = f"{size} bytes at {at}, the index says {noted_size} at {noted_at}{_more(moved)}"
        shard.found("bad-member", moved[0], found)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} others)" if len(names) > 1 else ""


# ---- 2. one sample ------------------------------------------------------------------------------------------


def _check_sample(shard: _Shard, row: SampleReceipt, parts: Mapping[str, bytes]) -> None:
    whole = not shard.due.changed and parts.keys() == row.places.keys()
    if whole and digest_sample(digest_source(parts[part]) for part in sorted(parts)) != row.digest:
        shard.found("bad-member", row.key, "its bytes do not have the digest that is noted for the sample")
    x1: U8 | None = None
    for part, data in sorted(parts.items()):  # target1 comes before target2, coverage and the others
        if part == "json":
            _check_meta(shard, row, data)
        elif part.startswith("image."):
            _check_image(shard, row, part, data)
    for scale, part in sorted((int(part[-5]), part) for part in parts if part.startswith(("target", "coverage"))):
        target = _decoded(shard, row, part, parts[part], scale)
        if target is None:
            continue
        whole = _check_target(shard, row, part, target, x1)
        if scale == 1:
            x1 = target if whole else None
            shard.counts.append(ClassCounts.of(remap(target, IDENTITY)[1], shard.classes))


def _check_meta(shard: _Shard, row: SampleReceipt, data: bytes) -> None:
    expected = {"key": row.key, "split": shard.due.receipt.split, "height": row.size[0], "width": row.size[1]}
    try:
        meta = decode_meta(data)
    except CodecError as error:
        shard.found("bad-member", f"{row.key}.json", f"not a sample's metadata: {error}")
        return
    if (found := {name: meta.get(name) for name in expected}) != expected:
        shard.found("bad-member", f"{row.key}.json", f"says {found}, expected {expected}")


def _check_image(shard: _Shard, row: SampleReceipt, part: str, data: bytes) -> None:
    member, noted = f"{row.key}.{part}", row.pixels.get(part)
    try:
        image = decode_image(data, size=row.size)
    except CodecError as error:
        _tell_damage(shard, member, error)
        return
    if noted is not None and digest_pixels(image) != noted:
        shard.found("changed-pixels", member, "other pixels than were written")
    elif noted is None and digest_source(data) != row.sources.get("image"):
        found = "not the source's bytes; whether the pixels are the same was not noted (prepare --full-check does)"
        shard.found("changed-bytes", member, found)
    shard.sizes.add((image.shape[0], image.shape[1]))
    shard.sums.append(ImageSums.of(image))


def _decoded(shard: _Shard, row: SampleReceipt, part: str, data: bytes, scale: int) -> U8 | None:
    """The target (h, w), or coverage counts (K+1, h, w), if it is a picture of the size that is due."""
    member, (height, width) = f"{row.key}.{part}", row.size
    if height % scale or width % scale:
        shard.found("changed-pixels", member, f"there is no x{scale} of {width}x{height} pixels")
        return None
    size = height // scale, width // scale
    try:
        if part.startswith("coverage"):
            return decode_planes(data, shard.classes + 1, size=size)
        return decode_map(data, size=size)
    except CodecError as error:
        _tell_damage(shard, member, error)
        return None


def _tell_damage(shard: _Shard, member: str, error: CodecError) -> None:
    shard.found("changed-pixels" if isinstance(error, SizeError) else "bad-image", member, str(error))


def _check_target(shard: _Shard, row: SampleReceipt, part: str, target: U8, x1: U8 | None) -> bool:
    """Against the noted pixels and, where x1 is at hand, against what follows from it. Whether all is well."""
    member = f"{row.key}.{part}"
    due = None if x1 is None else downscale(x1, int(part[-5]), shard.due.rule, shard.classes)
    if digest_pixels(target) != row.pixels.get(part):
        if part == "target1.png":
            shard.moved.append(member)
        else:
            how = f": {_change(shard, due, target)}" if due is not None else ""
            shard.found("changed-pixels", member, f"other pixels than were written{how}")
        return False
    if due is not None and not np.array_equal(due, target):
        shard.found("wrong-target", member, f"by {shard.due.rule} of x1 it differs: {_change(shard, due, target)}")
        return False
    if target.ndim == 2:
        pixels = remap(target, IDENTITY)[1]
        foreign = [f"{code} ({pixels[code]} pixels)" for code in range(shard.classes, IGNORE) if pixels[code]]
        if foreign:
            shard.found("unknown-id", member, f"id {', '.join(foreign)}; the taxonomy ends at {shard.classes - 1}")
            return False
    return True


def _change(shard: _Shard, due: U8, target: U8) -> str:
    taxonomy = shard.due.taxonomy
    if due.ndim == 3:
        return balance(count_changes(due, target), taxonomy)
    return described(id_changes(due, target), taxonomy, taxonomy)


def _tell_moves(shard: _Shard, counts: ClassCounts | None) -> None:
    """Changed x1 maps are not there to compare with, but the shard's noted class counts are."""
    noted, how = shard.due.receipt.counts, ""
    if noted and counts and counts.samples == noted.samples and len(noted.pixels) == shard.classes + 1:
        moved = dict(enumerate((counts.pixels - noted.pixels).tolist()))
        how = f": over the shard {balance(moved, shard.due.taxonomy)}"
    for member in shard.moved:
        shard.found("changed-pixels", member, f"other pixels than were written{how}")
