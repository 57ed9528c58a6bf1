"""What is counted while shards are written, and what follows from the counts: shares, deviation, class weights.

Everything is an integer until the last step, so that results do not depend on the order of addition.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8
from segdata.base.kernels import kernel

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ClassCounts:
    """pixels: (K+1,) per class and, last, ignored; images: (K+1,) images in which they occur; samples: labelled."""

    pixels: Counts
    images: Counts
    samples: int

    @classmethod
    def of(cls, per_code: Counts, classes: int) -> "ClassCounts":
        """From one image's pixels per target code (256,)."""
        pixels = np.append(per_code[:classes], per_code[255])
        return cls(pixels, (pixels > 0).astype(np.int64), 1)

    @classmethod
    def parse(cls, document: Any) -> "ClassCounts":
        """From what `document` gave. Raises for anything else."""
        counts = cls(_array(document["pixels"]), _array(document["images"]), _whole(document["samples"]))
        if len(counts.pixels) != len(counts.images) or any(counts.images > counts.samples):
            raise ValueError("counts of classes that are not of each other")
        return counts

    def document(self) -> dict[str, Any]:
        """As manifests and receipts have it."""
        return {"pixels": self.pixels.tolist(), "images": self.images.tolist(), "samples": self.samples}

    @classmethod
    def total(cls, parts: Iterable["ClassCounts"], classes: int) -> "ClassCounts":
        pixels, images, samples = np.zeros(classes + 1, np.int64), np.zeros(classes + 1, np.int64), 0
        for part in parts:
            pixels, images, samples = pixels + part.pixels, images + part.images, samples + part.samples
        return cls(pixels, images, samples)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K+1,) share of all pixels per class and, last, ignored; 0 where there are none."""
        return self.pixels / max(int(self.pixels.sum()), 1)

    def inverse_frequency(self) -> NDArray[np.float64]:
        """(K,) 1 / (share * K): 1 for a class of average size; 0 for an absent one."""
        labelled = self.pixels[:-1]
        return _inverse(labelled * len(labelled) / max(int(labelled.sum()), 1))

    def median_frequency(self, pixels_per_image: float) -> NDArray[np.float64]:
        """(K,) median(f) / f, f = pixels of the class / pixels of the images that hold it (Eigen, Fergus 2015)."""
        frequency = self.pixels[:-1] / np.maximum(self.images[:-1] * pixels_per_image, 1)
        present = frequency[frequency > 0]
        return (np.median(present) if len(present) else 0.0) * _inverse(frequency)

    def effective_number(self, beta: float = 0.9999) -> NDArray[np.float64]:
        """(K,) (1 - beta) / (1 - beta**n), n = images that hold the class, scaled to mean 1 (Cui et al. 2019)."""
        n = self.images[:-1]
        weight = np.where(n > 0, (1 - beta) / np.maximum(1 - beta**n, 1e-300), 0.0)
        return np.asarray(weight * (n > 0).sum() / max(weight.sum(), 1e-300), np.float64)


def _array(values: Any) -> Counts:
    """A list of counts, whose sum no int64 overflows either."""
    _whole(sum(map(_whole, values)))
    return np.array(values, np.int64)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= np.iinfo(np.int64).max:
        raise ValueError(f"a count of type {type(value).__name__}, expected an integer of 0 to 2**63 - 1")
    return value


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


@dataclass(frozen=True)
class ImageSums:
    """Sums over all pixels: how many, per channel the values (3,) and their squares (3,)."""

    pixels: int
    values: Counts
    squares: Counts

    @classmethod
    def of(cls, image: U8) -> "ImageSums":
        values, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
        _sum_channels(np.ascontiguousarray(image), values, squares)
        return cls(image.shape[0] * image.shape[1], values, squares)

    @classmethod
    def parse(cls, document: Any) -> "ImageSums":
        """From what `document` gave. Raises for anything else."""
        sums = cls(_whole(document["pixels"]), _array(document["values"]), _array(document["squares"]))
        if len(sums.values) != 3 or len(sums.squares) != 3:
            raise ValueError("sums of an image that are not of three channels")
        return sums

    def document(self) -> dict[str, Any]:
        """As manifests and receipts have it."""
        return {"pixels": self.pixels, "values": self.values.tolist(), "squares": self.squares.tolist()}

    @classmethod
    def total(cls, parts: Iterable["ImageSums"]) -> "ImageSums":
        pixels, values, squares = 0, np.zeros(3, np.int64), np.zeros(3, np.int64)
        for part in parts:
            pixels, values, squares = pixels + part.pixels, values + part.values, squares + part.squares
        return cls(pixels, values, squares)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(3,) mean of red, green and blue, in 0 … 1."""
        return self.values / max(self.pixels, 1) / 255

    @property
    def deviation(self) -> NDArray[np.float64]:
        """(3,) standard deviation over all pixels, in 0 … 1."""
        square = self.squares / max(self.pixels, 1) / 255**2
        return np.asarray(np.sqrt(np.maximum(square - self.mean**2, 0)), np.float64)


@kernel("void(Array(uint8, 3, 'C', True), int64[::1], int64[::1])")
def _sum_channels(image: U8, values: Counts, squares: Counts) -> None:
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for channel in range(3):
                value = np.int64(image[y, x, channel])
                values[channel] += value
                squares[channel] += value * value
