"""The nouns that sources and `prepare` share: scenes, and the folders in which their files lie."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segdata.findings import Finding
from segdata.raw.member import Member
from segdata.raw.template import Naming, Template


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


NEVER = re.compile(r"(?!)")
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
    """A folder of the release, and which of its files are used: those that `template` matches, below `path`.

    `pool`: the split whose files these are, or "train and val" where several splits have theirs in the same place.
    `naming` makes their keys of the template's fields. `beside` matches the names of what the release has there as
    well; its group `its_ending` is their kind. `instead`: kind ("color.png") -> what to do where all are of this kind.
    """

    path: str  # "gtFine/train": from the dataset's own top folder on; "" is that folder itself
    pool: str
    role: str  # "image", "labels", or "colors" where these serve in the labels' place
    template: Template
    naming: Naming
    package: str = ""  # what people download to have it
    beside: re.Pattern[str] = NEVER
    instead: Mapping[str, str] = field(default_factory=dict)
    is_partial: bool = False  # of labels: an image that has none is left out, and is no fault
    is_mixed: bool = False  # of images: some of the pool's splits have labels, others have none

    @property
    def rule(self) -> str:
        """How its files are named, for people."""
        return self.template.rule

    def fields(self, path: str) -> Mapping[str, str] | None:
        """Those of a file at this path, from the dataset's top folder on; None of one that is not used."""
        if self.path:
            if not path.startswith(f"{self.path}/"):
                return None
            path = path[len(self.path) + 1 :]
        return self.template.match(path)

    def key(self, path: str) -> str | None:
        """The key of a file at this path; None of one that is not used."""
        fields = self.fields(path)
        return None if fields is None else self.naming.of(fields)

    def shared(self, other: "Folder") -> tuple[str, ...]:
        """The fields that the files of both have; none where the key is one field, and so says all that they share."""
        both = tuple(name for name in self.template.fields if name in other.template.fields)
        return () if [f"{{{name}}}" for name in both] == [self.naming.text] else both

    def values(self, path: str, names: Sequence[str]) -> Sequence[str | Any]:
        """Those of these fields, as they are, of a file that is used: quickly."""
        found = self.template.pattern.fullmatch(path, len(self.path) + 1 if self.path else 0)
        return found.group(*names) if found else ()


@dataclass(frozen=True)
class Listing:
    """What was found of one split: scenes sorted by key, what could not be paired, and where all this lies.

    `absent` is the finding, if any, that all images or all labels are missing; then there are no scenes.
    """

    scenes: tuple[Scene, ...]
    findings: tuple[Finding, ...] = ()
    origin: str = ""
    absent: Finding | None = None


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
