"""One frame to paint, the files that come of it, and what a dataset's module says about them."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Frame:
    """All that a frame's pixels depend on; how many others there are is not among it."""

    source: str
    split: str
    number: int
    size: tuple[int, int]  # height, width
    seed: int
    coarse: bool = False

    def rng(self, purpose: str = "") -> np.random.Generator:
        """Random numbers of this frame alone; the size does not change them."""
        name = f"{self.source}/{self.split}/{purpose}".encode()
        return np.random.default_rng([self.seed, zlib.crc32(name), self.number])


@dataclass(frozen=True)
class PaintedFile:
    """One file of a dataset: in which of the official archives, under which path, with which bytes."""

    archive: str
    path: str
    data: bytes


class Layout(Protocol):
    """What the module of a painted dataset holds."""

    SIZE: tuple[int, int]  # height, width of the real frames
    # Splits that come with coarse labels, and the split that each is as large as. Empty: no coarse labels.
    COARSE_SPLITS: dict[str, str]

    def names(self, split: str, number: int, coarse: bool) -> Iterator[tuple[str, str]]:
        """Archive and path of every file of a frame."""

    def contents(self, frame: Frame) -> Iterator[bytes]:
        """The bytes of these files, in the order of `names`."""
