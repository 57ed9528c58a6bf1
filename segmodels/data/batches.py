"""Shards to batches: what a step sees is a pure function of (seed, epoch, step), whoever reads it."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from segdata import ShardSet
from segdata.base.arrays import U8
from segdata.labels.targets import IDENTITY, make_targets
from segmodels.data.augment import Augmentation, Draw, draw
from segmodels.data.images import check_not_empty, in_order, swapped
from segmodels.errors import SegmodelsError
from segmodels.spec import Geometry, Size


class Stored(NamedTuple):
    """A sample as it is stored: its place in the split, and what gives its parts ("target8.png")."""

    i: int
    part: Callable[[str], bytes]


class Batch(NamedTuple):
    """images (B, H, W, 3) uint8; targets (B, H/S, W/S) uint8 ids, under `coverage` (B, K+1, H/S, W/S) counts."""

    keys: tuple[str, ...]
    images: Tensor
    targets: Tensor


def crop_size(shards: ShardSet, geometry: Geometry, crop: Size | None, *, pad: bool = False) -> Size:
    """The size of training images: `crop`, or the whole image filled up to what the network takes.

    `pad` fills images that are smaller as well: the crop may be larger than an image, and without one it is as large
    as the largest image. Raises SegmodelsError where the crop is larger than an image, or no size for this network.
    """
    sizes = [tuple(size) for size in shards.manifest.document["splits"][shards.split]["sizes"]]
    heights, widths = zip(*sizes, strict=True)
    smallest, largest = (min(heights), min(widths)), (max(heights), max(widths))
    fill = "--pad, which fills smaller images with the colour of --mean"
    if crop is None:
        if len(set(sizes)) > 1 and not pad:
            few, many = min(sizes), max(sizes)
            inside = [geometry.neighbours(side)[0] for side in smallest]
            fits = inside[0] <= smallest[0] and inside[1] <= smallest[1]
            raise SegmodelsError(
                f"{shards.path}: images of {shards.split} are {few[0]}x{few[1]} to {many[0]}x{many[1]}, and a batch "
                + f"needs one size. Give {f'--crop {inside[0]}x{inside[1]} or less, or ' * fits}{fill}."
            )
        height, width = (geometry.neighbours(side)[1] for side in largest)
        return height, width
    if not all(geometry.fits(side) for side in crop):
        below, above = zip(*(geometry.neighbours(side) for side in crop), strict=True)
        raise SegmodelsError(
            f"--crop {crop[0]}x{crop[1]} does not fit the network: {geometry.constraint}. "
            f"The next that fit: {below[0]}x{below[1]} and {above[0]}x{above[1]}."
        )
    if not pad and (crop[0] > smallest[0] or crop[1] > smallest[1]):
        whole = ", or no --crop for whole images" if len(set(sizes)) == 1 else ""
        raise SegmodelsError(
            f"--crop {crop[0]}x{crop[1]} is larger than the images of {shards.split}: {smallest[0]}x{smallest[1]}"
            + (". " if whole else " fits into all of them. ")
            + swapped(crop, smallest)
            + f"Give a smaller one{whole}, or {fill}."
        )
    return crop


class Batches:
    """The batches of a training, addressed by step: `batches[step]`, or ahead of time by `between(start, stop)`.

    An epoch is `len(shards) // batch_size` steps over the split in the order of (seed, epoch); what is left over
    changes from epoch to epoch and is dropped. Without `shuffle` every epoch has the order of the keys, and drops the
    same. Rank r of R has the r-th of R equal parts of every batch. Threads read (the decoders release the interpreter
    lock), each into its own row of the batch.
    `stream` instead says which samples the steps start … stop - 1 have (see `stream.py`): of all of one process.

    Raises SegmodelsError where the split cannot serve the network.
    """

    def __init__(
        self,
        shards: ShardSet,
        geometry: Geometry,
        how: Augmentation,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 0,
        pin: bool = False,
        shuffle: bool = True,
        stream: Callable[[int, int], Iterator[list[Stored]]] | None = None,
    ) -> None:
        _check_targets(shards, geometry.stride, how)
        if len(shards) < batch_size:
            raise SegmodelsError(
                f"{shards.path}: {shards.split} has {len(shards)} samples, fewer than a batch of {batch_size}. "
                f"Give --batch-size {len(shards)} or less."
            )
        if batch_size % ranks:
            raise SegmodelsError(f"--batch-size {batch_size} is not a multiple of the {ranks} processes that share it.")
        self.shards, self.how, self.seed = shards, how, seed
        self.steps_per_epoch = len(shards) // batch_size
        self.batch_size, self.rank, self.share = batch_size, rank, batch_size // ranks
        self.scale, self.rule = geometry.stride, shards.rule
        self.workers, self.pin = workers, pin
        self._sorted = [] if shuffle else sorted(range(len(shards)), key=shards.key)
        self._stream, self._streamed = stream, deque[tuple[int, tuple[str, ...]]](maxlen=2)

    def __getitem__(self, step: int) -> Batch:
        """The batch of step 0, 1, …, counted over all epochs."""
        (batch,) = self.between(step, step + 1)
        return batch

    def keys(self, step: int) -> list[str]:
        """The keys of a step's batch, those of all ranks; of a stream, one of the last two."""
        if self._stream is not None:
            return list(dict(self._streamed)[step])
        return [self.shards.key(i) for i in self._order(step)]

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start … stop - 1, two of them read ahead."""
        workers = min(self.workers, max(0, stop - start) * self.share)
        filled = in_order(self._fill, self._slots(start, stop), workers, ahead=2 * self.share + workers)
        for step in range(start, stop):
            slots = list(islice(filled, self.share))
            keys = tuple(slot.key for slot in slots)
            self._streamed.append((step, keys))
            yield Batch(keys, slots[0].images, slots[0].targets)

    def _slots(self, start: int, stop: int) -> Iterator["_Slot"]:
        steps = (self._stream or self._chosen)(start, stop)
        for step, samples in zip(range(start, stop), steps, strict=True):
            images, targets = self._empty()
            for row, sample in enumerate(samples):
                yield _Slot(step // self.steps_per_epoch, sample, self.shards.key(sample.i), row, images, targets)

    def _chosen(self, start: int, stop: int) -> Iterator[list[Stored]]:
        """This rank's samples of every step, announced as soon as they are known."""
        for step in range(start, stop):
            own = self._order(step)[self.rank * self.share : (self.rank + 1) * self.share]
            self.shards.prefetch(own)
            yield [Stored(i, partial(self.shards.bytes, i)) for i in own]

    def _order(self, step: int) -> list[int]:
        epoch, place = divmod(step, self.steps_per_epoch)
        order = self._sorted or self.shards.order(self.seed, epoch)
        return list(order[place * self.batch_size : (place + 1) * self.batch_size])

    def _empty(self) -> tuple[Tensor, Tensor]:
        height, width = self.how.crop
        cells: tuple[int, ...] = (height // self.scale, width // self.scale)
        if self.rule == "coverage" and self.scale > 1:
            cells = (len(self.shards.taxonomy.classes) + 1, *cells)
        return (
            torch.empty((self.share, height, width, 3), dtype=torch.uint8, pin_memory=self.pin),
            torch.empty((self.share, *cells), dtype=torch.uint8, pin_memory=self.pin),
        )

    def _fill(self, slot: "_Slot") -> "_Slot":
        size = self.shards.size_of(slot.sample.i)
        drawn = draw(self.how, self.seed, slot.epoch, slot.key, size, grid=self.scale)
        region = drawn.region(size)
        stored = self.scale if self._is_stored(drawn) else 1
        record = self.shards.decode(*slot.sample, region, (stored,))
        slot.images.numpy()[slot.row] = drawn.image(record.image, region)
        slot.targets.numpy()[slot.row] = self._target(drawn.labels(record.targets[stored], region, stored), stored)
        return slot

    def _is_stored(self, drawn: Draw) -> bool:
        """Whether this crop of the stored target is what the rule makes of this crop of the labels."""
        follows = self.rule == "majority" or (self.rule == "stride" and not (drawn.flip or drawn.vertical_flip))
        on_grid = not drawn.resamples and all(value % self.scale == 0 for value in drawn.window)
        return self.scale in self.shards.scales and follows and on_grid

    def _target(self, ids: U8, scale: int) -> U8:
        if scale == self.scale:
            return ids
        classes = len(self.shards.taxonomy.classes)
        return make_targets(ids, IDENTITY, (self.scale,), self.rule, classes).maps[self.scale]


class _Slot(NamedTuple):
    """One row of a batch that is being filled."""

    epoch: int
    sample: Stored
    key: str
    row: int
    images: Tensor
    targets: Tensor


def _check_targets(shards: ShardSet, scale: int, how: Augmentation) -> None:
    check_not_empty(shards)
    have = ", ".join(f"x{each}" for each in shards.scales)
    if not have:
        raise SegmodelsError(f"{shards.path}: {shards.split} has no labels, so nothing can be learnt from it.")
    flips = how.flip or how.vertical_flip
    needs_labels = how.resamples or shards.rule == "coverage" or (shards.rule == "stride" and flips)
    if 1 in shards.scales or (scale in shards.scales and not needs_labels):
        return
    why = f"the network learns from x{scale}"
    if needs_labels:
        why = "scaling, rotation, and flips unless the rule is majority, start from x1"
    raise SegmodelsError(
        f"{shards.path}: {why}, but {shards.split} has only {have}. Prepare again with --scale 1"
        + (f" --scale {scale}." if scale > 1 else ".")
    )
