"""One frame to paint, and the files that come of it."""

import zlib
from dataclasses import dataclass

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
class Member:
    """One file of a dataset: in which of the official archives, under which path, with which bytes."""

    archive: str
    path: str
    data: bytes
