"""The shard sets that runs were scored on: their folder, and what `segdata stats` counted in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from segdata import ShardSet
from segdata.base.files import parsing
from segdata.format.manifest import FILE, read_manifest
from segdata.labels.taxonomy import Taxonomy
from segmodels.errors import SegmodelsError
from segmodels.report.read.fields import Fields, read_fields


@dataclass(frozen=True)
class ClassCount:
    """How much of a split is of a class."""

    name: str
    pixels: int
    share: float  # of all pixels
    images: int  # in which it occurs


@dataclass(frozen=True)
class SplitCounts:
    """A split in numbers; `classes` holds the ignored pixels last, and nothing where there are no labels."""

    name: str
    samples: int
    mean: tuple[float, ...]  # of red, green, blue in 0 … 1
    deviation: tuple[float, ...]
    classes: tuple[ClassCount, ...]


@dataclass(frozen=True)
class Dataset:
    """One shard set."""

    name: str  # no two sets of a page have the same
    folder: Path
    digest: str
    source: str
    licence: str
    painted: bool
    rule: str
    taxonomy: Taxonomy
    splits: tuple[SplitCounts, ...]

    def open(self, split: str) -> ShardSet:
        """Raises ShardError where there is no such split."""
        return ShardSet(self.folder, split, version=self.digest)


def read_datasets(shards: Path, stats: Path) -> dict[str, Dataset]:
    """The set, or all sets of a folder, by their digests; `stats` is its file, or the folder of their files.

    Raises SegmodelsError or ShardError.
    """
    folders = [shards] if (shards / FILE).is_file() else sorted(path.parent for path in shards.glob(f"*/{FILE}"))
    if not folders:
        raise SegmodelsError(
            f"{shards}: no shard set, nor one in any folder of it. Name the folder that `prepare` made"
        )
    found = []
    for folder in folders:
        counts = stats / f"{folder.absolute().name}.json" if stats.is_dir() else stats
        with parsing(f"{folder} with {counts}", SegmodelsError, f"Run `segdata stats {folder} --json {counts}`."):
            found.append(_read(folder, counts))
    times = Counter(dataset.name for dataset in found)
    return {
        each.digest: each if times[each.name] == 1 else replace(each, name=f"{each.name} ({each.folder.name})")
        for each in found
    }


def _read(folder: Path, counts: Path) -> Dataset:
    manifest = read_manifest(folder)
    any_split = ShardSet(folder, manifest.splits[0], version=manifest.fingerprint)
    about = read_fields(counts, f"Run `segdata stats {folder} --json {counts}`")
    if about.text("digest") != any_split.digest:
        raise SegmodelsError(f"{counts} counts other shards than {folder} holds. {about.advice} again")
    source = Fields(manifest.document["source"], str(folder / FILE), "Run `segdata prepare` again")
    splits = about.inside("splits")
    return Dataset(
        manifest.name,
        folder,
        any_split.digest,
        source.text("name"),
        source.text("licence"),
        source.values.get("painted") is True,
        any_split.rule,
        any_split.taxonomy,
        tuple(_split(name, splits.inside(name)) for name in manifest.splits),
    )


def _split(name: str, row: Fields) -> SplitCounts:
    classes = row.each("classes") if "classes" in row.values else ()
    mean, deviation = row.numbers("image_mean"), row.numbers("image_deviation")
    return SplitCounts(name, row.whole("samples"), mean, deviation, tuple(map(_count, classes)))


def _count(row: Fields) -> ClassCount:
    return ClassCount(row.text("name"), row.whole("pixels"), row.number("share"), row.whole("images"))
