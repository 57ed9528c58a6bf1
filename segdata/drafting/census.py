"""What a sample of the pairs holds: ids or colours with their shares, sizes, and how frames are stored."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from segdata.drafting.finding.looks import Look, look_at
from segdata.drafting.finding.roles import spread
from segdata.labels.colors import Color
from segdata.raw.member import Member

LABELS, FRAMES = 40, 8  # files that are opened
LARGE = 256  # no id of 8 bits
ALIKE = {kind: {"ids", "palette"} for kind in ("ids", "palette")}  # one reader takes both
EDGE = 0.3  # share of the frame's border that void covers where it is that of a camera or a rectification


@dataclass
class Census:
    """files: how many label files were opened. pixels, files_of, border: of each value. colors: of a palette, by index.

    sizes: (H, W) of frames. channels: of frames. most: the largest sample of 16-bit frames. damaged: paths. unlike:
    frames whose labels have another size. clashing: indices of palettes that have several colours. seen: the values of
    each label file. kinds: how many label files are of each kind. foreign: those of another kind than the rest.
    divisor: of 16-bit labels, by which their values are divided.
    """

    files: int = 0
    pixels: Counter[Any] = field(default_factory=Counter)
    files_of: Counter[Any] = field(default_factory=Counter)
    border: Counter[Any] = field(default_factory=Counter)
    colors: dict[int, Color] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    most: int = 0
    damaged: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)
    clashing: set[int] = field(default_factory=set)
    seen: dict[str, frozenset[Any]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)
    divisor: int = 256

    @property
    def values(self) -> list[Any]:
        """Ids, colours as 0xRRGGBB, or names of objects that occur."""
        return sorted(self.pixels)

    def share(self, value: object) -> float:
        """Of the pixels, or of the objects of polygons."""
        return self.pixels[value] / max(1, self.pixels.total())

    def edge(self, value: object) -> float:
        """Of the pixels on the border of the frames."""
        return self.border[value] / max(1, self.border.total())

    def looks_void(self, value: object) -> bool:
        """Whether the value covers much of the frames' borders, and more of them than of the rest."""
        return self.edge(value) >= EDGE and self.edge(value) > 1.5 * self.share(value)


def take_census(kind: str, pairs: Iterable[tuple[Member, Member]]) -> Census:
    """Of (image, label) pairs, whose labels are of this kind: the same ones every time, from all folders."""
    images = {label.path: image for image, label in pairs}
    labels = {label.path: label for _, label in pairs}
    census = Census()
    sizes: dict[str, tuple[int, int]] = {}
    for label in spread(labels.values(), LABELS):
        look = look_at(label)
        if look is None:
            census.damaged.append(label.path)
            continue
        if look.kind not in ALIKE.get(kind, {kind}):
            census.foreign.append(label.path)
            continue
        sizes[label.path] = look.size
        census.seen[label.path] = frozenset(value for value, _, _ in look.values)
        _add(census, look)
    _divide(census)
    for path in list(sizes)[:FRAMES]:
        look = look_at(images[path])
        if look is None:
            census.damaged.append(images[path].path)
            continue
        census.sizes[look.size] += 1
        census.channels[look.channels] += 1
        census.most = max(census.most, look.most)
        if look.size != sizes[path]:
            census.unlike.append(images[path].path)
    return census


def _divide(census: Census) -> None:
    """Ids for the values of 16-bit labels: the lower byte counts the objects of an id, where values are no ids."""
    if (
        max((value for value in census.values if isinstance(value, int)), default=0) < LARGE
        or not census.kinds["ids16"]
    ):
        census.divisor = 1
        return
    for counter in (census.pixels, census.border):
        divided = Counter[Any]()
        for value, count in counter.items():
            divided[value // census.divisor] += count
        counter.clear()
        counter.update(divided)
    census.seen = {path: frozenset(value // census.divisor for value in each) for path, each in census.seen.items()}
    census.files_of = Counter(value for each in census.seen.values() for value in each)


def _add(census: Census, look: Look) -> None:
    census.files += 1
    census.kinds[look.kind] += 1
    for value, pixels, border in look.values:
        census.pixels[value] += pixels
        census.border[value] += border
        census.files_of[value] += 1
    for index, color in look.colors:
        if census.colors.setdefault(index, color) != color:
            census.clashing.add(index)
