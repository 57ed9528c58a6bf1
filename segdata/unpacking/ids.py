"""Which value of a label file stands for which class: the targets' own ids, or those of the dataset they came from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segdata.base.arrays import U8
from segdata.errors import OptionError, ShardError
from segdata.labels.taxonomy import IGNORE, Taxonomy
from segdata.pictures.png import encode_labels
from segdata.reading.shardset import ShardSet
from segdata.sources import SOURCES

KINDS = ("target", "export")
PART = "target1.png"  # of the samples: the target at full size


@dataclass(frozen=True)
class Ids:
    """classes: the value of each class, in order of the targets' ids; ignored: that of ignored pixels, None where no
    pixel is ignored."""

    classes: tuple[int, ...]
    ignored: int | None

    @property
    def are_stored(self) -> bool:
        """Whether the targets have these values already."""
        return self.classes == tuple(range(len(self.classes))) and self.ignored in {None, IGNORE}

    def label_file(self, shards: ShardSet, i: int) -> bytes:
        """The PNG of sample i: the stored bytes where they have the values, else made anew. Raises ShardError."""
        return shards.bytes(i, PART) if self.are_stored else encode_labels(self._mapped(shards, i))

    def _mapped(self, shards: ShardSet, i: int) -> U8:
        """(H, W)"""
        target = shards.picture(i, PART)
        table, known = np.zeros(256, np.uint8), np.zeros(256, bool)
        table[: len(self.classes)], known[: len(self.classes)] = self.classes, True
        if self.ignored is not None:
            table[IGNORE], known[IGNORE] = self.ignored, True
        if not known[target].all():
            strange = int(target[~known[target]][0])
            raise ShardError(
                f"{shards.path}: {shards.key(i)} in {shards.split} has pixels of id {strange}, which dataset.json does "
                "not count. Run `segdata verify`."
            )
        return np.asarray(table[target], np.uint8)


def ids_of(kind: str, sets: Sequence[ShardSet]) -> Ids:
    """The ids of these splits of one set by a word of KINDS. Raises ShardError where two classes would share one."""
    if kind not in KINDS:
        raise OptionError(f"--ids {kind!r}: expected one of {', '.join(KINDS)}.")
    taxonomy = sets[0].taxonomy
    has_ignored = any(counts.pixels[-1] for shards in sets if (counts := shards.statistics[0]))
    if kind == "target":
        return Ids(tuple(range(len(taxonomy.classes))), IGNORE if has_ignored else None)
    classes = tuple(row.export % 256 for row in taxonomy.classes)  # -1 is 255 in a file
    _check_distinct(classes, taxonomy)
    own = _ignored_codes(taxonomy, str(sets[0].manifest.document["source"]["name"]))
    ignored = next((code for code in (*own, IGNORE) if code not in classes), None)
    if has_ignored and ignored is None:
        raise ShardError(
            f"taxonomy {taxonomy.name!r}: ignored pixels have no id of their own, for a class exports to 255. "
            "Give --ids target."
        )
    return Ids(classes, ignored if has_ignored else None)


def _check_distinct(classes: Sequence[int], taxonomy: Taxonomy) -> None:
    names: dict[int, str] = {}
    for code, row in zip(classes, taxonomy.classes, strict=True):
        if code in names:
            raise ShardError(
                f"taxonomy {taxonomy.name!r}: the classes {names[code]!r} and {row.name!r} both export to id {code}: "
                "label files would not tell them apart. Give --ids target."
            )
        names[code] = row.name


def _ignored_codes(taxonomy: Taxonomy, source: str) -> list[int]:
    """Ids that the dataset itself has for what the taxonomy ignores, the lowest first; of a dataset that does not ship
    none are known."""
    labels = SOURCES[source].labels if source in SOURCES else ()
    return sorted(label.id for label in labels if label.name in taxonomy.ignore and label.id >= 0)
