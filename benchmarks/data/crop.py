"""What one random crop of a shard costs, by what the time goes to: CPU milliseconds of one thread, for loader.py."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from segdata import ShardSet
from segdata.base.memory import keep_freed_memory
from segdata.pictures import bands as pngseek
from segdata.pictures import png
from segdata.pictures.bits import BAND
from segdata.pictures.chunks import SIGNATURE, checked, chunks_of, open_png
from segdata.pictures.codecs import decode_image, decode_map
from segdata.pictures.filters import unfilter
from segmodels.data.augment import Augmentation, draw
from segmodels.data.batches import Batches
from segmodels.spec import Geometry

SAMPLES, BATCH = 48, 4
Window = tuple[int, int, int, int]  # top, left, height, width


class Clock:
    """Adds up CPU milliseconds under names."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.spent[step] = self.spent.get(step, 0.0) + (time.thread_time() - start) * 1e3


def costs(shards: ShardSet, crop: tuple[int, int]) -> dict[str, float]:
    """Means over the same crops: `all` as the loader makes them, then step by step; `other` is what is left.

    Other is to draw the crop, to read the metadata, and Python in between.
    """
    keep_freed_memory()
    batches = Batches(shards, Geometry(), Augmentation(crop), BATCH, 0)
    part = next(name for name in shards.parts if name.startswith("image."))
    row, clock = np.empty((*crop, 3), np.uint8), Clock()
    for name in ("warm", "all"):  # the first time compiles, and fetches the pages of the shards
        with clock(name):
            for step in range(SAMPLES // BATCH):
                batches[step]
    del clock.spent["warm"]
    for place in range(SAMPLES):
        epoch, position = divmod(place, len(shards))
        i = shards.order(0, epoch)[position]
        window = draw(batches.how, 0, epoch, shards.key(i), shards.size_of(i)).window
        with clock("fetching"):
            data = shards.bytes(i, part)
        image = read(data, window, clock)
        with clock("labels"):
            decode_map(shards.bytes(i, "target1.png"), window)
        with clock("collating"):
            row[:] = image
    spent = clock.spent
    spent["other"] = 2 * spent["all"] - sum(spent.values())
    return {step: round(value / SAMPLES, 2) for step, value in spent.items()}


def checking(shards: ShardSet) -> float:
    """CPU milliseconds that a process's first read of a sample takes beyond the next one, which checks no digest."""
    image = next(name for name in shards.parts if name.startswith("image."))
    shards, count = ShardSet(shards.path, shards.split), min(SAMPLES, len(shards))
    first, again, clock = "first", "again", Clock()
    for i in range(count):
        shards.bytes(i, image)  # memory and the page cache are warm
    shards = ShardSet(shards.path, shards.split)
    for name in (first, again):
        for i in range(count):
            with clock(name):
                shards.bytes(i, image)
                shards.bytes(i, "target1.png")
    return round((clock.spent[first] - clock.spent[again]) / count, 2)


def read(data: bytes, window: Window, clock: Clock) -> np.ndarray:
    """The window of an image, by the steps of its codec."""
    if not data.startswith(SIGNATURE):
        with clock("decoding"):
            return decode_image(data, window)
    return banded(data, window, clock) if data[37:41] == pngseek.KIND else plain(data, window, clock)


def plain(data: bytes, window: Window, clock: Clock) -> np.ndarray:
    """Any PNG: all from its beginning to the last row of the window."""
    top, left, height, width = window
    header, bodies = open_png(data)
    stream, pitch = png.INFLATE_IMAGE.decompressobj(), 1 + header.row_bytes(header.width)
    filtered, size, enough = b"", (top + height) * pitch, len(data) * (top + height) // header.height
    while len(filtered) < size:
        with clock("checksums"):
            taken = [next(bodies)]
            while (enough := enough - len(taken[-1])) > 0 and (body := next(bodies, None)) is not None:
                taken.append(body)
        with clock("inflating"):
            filtered += stream.decompress(b"".join(taken), size - len(filtered))
        enough = png.AT_ONCE
    rows = np.empty((top + height, 3 * (left + width)), np.uint8)
    with clock("unfiltering"):
        unfilter(np.frombuffer(filtered, np.uint8).reshape(-1, pitch), rows, 3)
    with clock("copying"):
        return rows[top:, 3 * left :].copy().reshape(height, width, 3)


def banded(data: bytes, window: Window, clock: Clock) -> np.ndarray:
    """A PNG of codec `png`: the checksums by themselves, codes and filters together, as one kernel undoes both."""
    view, (top, _, height, _) = memoryview(data), window
    bands = range(3 + top // BAND, 4 + (top + height - 1) // BAND)  # IHDR, seEK and the stream's beginning come before
    before = clock.spent.get("checksums", 0.0)
    with clock("checksums"):
        for number, (kind, at, length) in enumerate(chunks_of(view)):
            if number == 1 or number in bands:
                checked(view, kind, at, length)
    with clock("codes and filters"):
        image = png.decode(data, window=window)
    clock.spent["codes and filters"] -= clock.spent["checksums"] - before
    return image
