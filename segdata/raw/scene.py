"""The nouns that sources and `prepare` share: labels, scenes, samples."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from segdata.base.arrays import U8
from segdata.findings import Finding
from segdata.labels.label import Label, Lookalike
from segdata.raw.member import Member


@dataclass(frozen=True, slots=True)
class Scene:
    """One image and its annotation where they lie; `labels` is None in a split without ground truth.

    `colors` is the colour-coded annotation that serves where there is no id-coded one.
    """

    key: str
    split: str
    image: Member
    labels: Member | None = None
    colors: Member | None = None


@dataclass(frozen=True)
class Sample:
    """A scene, decoded: image (H, W, 3) and raw labels (H, W), both uint8."""

    key: str
    image: U8
    labels: U8 | None


CHANNELS = ("rgb", "grey", "rgba")


@dataclass(frozen=True)
class FrameRule:
    """What frames are, where they are not 8-bit RGB: `channels` one of CHANNELS; range: (low, high), the values that
    become 0 and 255, None where they are 8-bit and stay."""

    channels: str = "rgb"
    range: tuple[int, int] | None = None


AS_THEY_ARE = FrameRule()


@dataclass(frozen=True)
class Folder:
    """A folder of the release, and which of its files are used: those whose whole name `name` matches.

    Group 1 of `name` is the key; `rule` says the same for people. `beside` matches what the release has there as
    well. `instead`: kind ("color.png") -> what to do where all files there are of this other kind.
    """

    path: str  # "gtFine/train": from the dataset's own top folder on
    split: str
    role: str  # "image", "labels", or "colors" where these serve in the labels' place
    name: re.Pattern[str]
    rule: str
    package: str  # what people download to have it
    beside: re.Pattern[str] = re.compile(r"(?!)")
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """What was found of one split: scenes sorted by key, what could not be paired, and where all this lies.

    `absent` is the finding, if any, that all images or all labels are missing; then there are no scenes.
    """

    scenes: tuple[Scene, ...]
    findings: tuple[Finding, ...] = ()
    origin: str = ""
    absent: Finding | None = None


class SceneSource(Protocol):
    """A dataset: facts (labels, splits, licence) and where its files lie.

    Raw ids are what a label file holds, 0 to 255. `labels` names every id that the dataset defines; any other id in a
    file is an error. `palette_labels`: whether id maps may be palette PNGs, whose colours then say the ids.

    `landmarks` are ids that cover much of any set of frames, but next to nothing where the files hold another coding:
    the other codings in use give these values to rare labels. `lookalikes` are such codings, by their ids.
    """

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> tuple[Label, ...]: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    @property
    def default_splits(self) -> tuple[str, ...]: ...
    @property
    def unlabelled_splits(self) -> frozenset[str]: ...
    @property
    def default_taxonomy(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def palette_labels(self) -> bool: ...
    @property
    def landmarks(self) -> frozenset[int]: ...
    @property
    def lookalikes(self) -> tuple[Lookalike, ...]: ...
    @property
    def official(self) -> Mapping[str, "Official"]: ...
    @property
    def folders(self) -> tuple[Folder, ...]:
        """Of all splits; an unlabelled one has images alone."""
        ...

    @property
    def others(self) -> re.Pattern[str]:
        """What begins the paths of everything else that its publishers and their tools put there."""
        ...


@runtime_checkable
class Grouped(Protocol):
    """A source whose frames are not independent of each other. It adds one method to those of SceneSource."""

    def group(self, key: str) -> str:
        """The clip that the frame with this key is from: frames of one group resemble each other, as neighbours do.

        Intervals of scores resample groups. The key alone decides. A key that is not named as the source's frames are
        is a group of its own.
        """
        ...


@dataclass(frozen=True)
class Official:
    """What the publisher says a split holds: a count, and the keys where they are known.

    `caution` says, where frames of the split are not independent of another split's, in what: half a sentence.
    """

    count: int
    keys: frozenset[str] | None = None
    caution: str = ""


def uncommon(found: Sequence[str], official: Official) -> tuple[list[str], list[str]]:
    """Keys that the official list has and `found` lacks, and the reverse (both sorted)."""
    if official.keys is None:
        return [], []
    have = frozenset(found)
    return sorted(official.keys - have), sorted(have - official.keys)


def cautions(source: SceneSource, splits: Iterable[str]) -> dict[str, str]:
    """The cautions of these official splits, of those that have one."""
    found = {split: source.official[split].caution for split in splits if split in source.official}
    return {split: caution for split, caution in found.items() if caution}
