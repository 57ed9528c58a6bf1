"""The raw labels of a dataset, and other codings that go under the names of its label files."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Label:
    """A raw label as its dataset publishes it; `category` is the dataset's own grouping.

    `id` is its value in label files; a negative one has none: the dataset defines it, and its files never hold it.
    """

    id: int
    name: str
    color: tuple[int, int, int]
    category: str


CODINGS = ("ids", "palette", "colors", "polygons", "labelme", "ids16")
DRAWN = frozenset({"polygons", "labelme"})  # codings of outlines: objects by the names of their labels


@dataclass(frozen=True)
class Coding:
    """How label files say the ids of their pixels.

    `ids`      8-bit grey, whose values are the ids
    `palette`  the same, or an indexed picture, whose colours say the ids
    `colors`   RGB, in the colours of the label table
    `polygons` JSON of Cityscapes: corners of objects by the names of their labels
    `labelme`  the same, of LabelMe
    `ids16`    16-bit grey: the id is the value divided by `divisor`, as in Mapillary's instance files

    background: of `polygons` and `labelme`, the label of pixels that no object covers.
    """

    kind: str = "ids"
    divisor: int = 256
    background: str = ""


IDS, COLORS = Coding("ids"), Coding("colors")


@dataclass(frozen=True)
class Lookalike:
    """Another coding that goes under the names of a dataset's label files: all ids it has, those that the dataset's
    landmarks have in it, and what to do instead."""

    name: str
    ids: frozenset[int]
    advice: str
    landmarks: frozenset[int]


class LabelTable(Protocol):
    """What a dataset says about its raw labels, as far as this room asks."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> tuple[Label, ...]: ...
    @property
    def landmarks(self) -> frozenset[int]: ...
    @property
    def lookalikes(self) -> tuple[Lookalike, ...]: ...
