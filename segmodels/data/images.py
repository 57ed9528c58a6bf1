"""Images on their way to a network: read ahead in order, normalised; whole ones, padded or cut into windows."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from segdata import Record, ShardSet
from segdata.base.arrays import Window
from segdata.base.memory import keep_freed_memory
from segmodels.errors import SegmodelsError
from segmodels.spec import Geometry, Size

Item = TypeVar("Item")
Done = TypeVar("Done")

AHEAD = 16  # samples that evaluation announces to a remote set at a time


def in_order(work: Callable[[Item], Done], items: Iterable[Item], workers: int, ahead: int) -> Iterator[Done]:
    """`work(item)` for every item, in their order: here, or by so many threads with `ahead` results under way."""
    if not workers:
        yield from map(work, items)
        return
    cv2.setNumThreads(1)  # the threads share the processors already
    keep_freed_memory()
    waiting: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever stops in between waits for no more


def samples(
    shards: ShardSet,
    scales: Sequence[int],
    *,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
    most: int = 0,
    only: Sequence[int] | None = None,
) -> Iterator[Record]:
    """Every sample whole and as it is, in stored order, with its targets at `scales`: for rank r each R-th.

    With `only`, those at these places of the split alone. With `most`, that many of them where there are more, spread
    evenly.
    """
    if missing := [scale for scale in scales if scale not in shards.scales]:
        have = ", ".join(f"x{scale}" for scale in shards.scales) or "no labels"
        options = " ".join(f"--scale {scale}" for scale in sorted({*shards.scales, *missing}))
        raise SegmodelsError(
            f"{shards.path}: evaluation at x{missing[0]}, but {shards.split} has {have}. Prepare again with {options}."
        )
    check_not_empty(shards)
    places = range(len(shards)) if only is None else only
    count = min(most, len(places)) if most else len(places)
    chosen = [places[i * len(places) // count] for i in range(count)]
    wanted = _announced(shards, chosen[rank::ranks])
    return in_order(lambda i: shards.read(i, None, scales), wanted, workers, ahead=2 * workers)


def check_not_empty(shards: ShardSet) -> None:
    if not len(shards):
        raise SegmodelsError(f"{shards.path}: {shards.split} is empty, expected at least one sample. Prepare it again.")


def _announced(shards: ShardSet, wanted: Sequence[int]) -> Iterator[int]:
    """`wanted`, with a hint to a remote set of what comes next."""
    for start in range(0, len(wanted), AHEAD):
        shards.prefetch(wanted[start : start + AHEAD])
        yield from wanted[start : start + AHEAD]


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(B, H, W, 3) uint8 to (image / 255 - mean) / std as (B, 3, H, W) float32, channels last in memory."""
    B, H, W, C = images.shape
    std_255 = 255 * torch.tensor(std, dtype=torch.float64)
    factor = (1 / std_255).to(images.device, torch.float32).repeat(W)
    shift = (255 * torch.tensor(mean, dtype=torch.float64) / std_255).to(images.device, torch.float32).repeat(W)
    rows = images.reshape(B, H, W * C).float().mul_(factor).sub_(shift)  # whole rows: three times faster than pixels
    return rows.view(B, H, W, C).permute(0, 3, 1, 2)


def pad(images: Tensor, geometry: Geometry) -> Tensor:
    """Normalised images (B, 3, H, W), with zeros (the mean colour) at the bottom and right up to a size that fits.

    Logits at stride s belong to the image in their first H/s rows and W/s columns.
    """
    height, width = images.shape[-2:]
    return F.pad(images, (0, geometry.neighbours(width)[1] - width, 0, geometry.neighbours(height)[1] - height))


def windows(size: Size, window: Size, stride: int = 1) -> list[Window]:
    """Windows (top, left, height, width) that cover an image of `size`, evenly spread: neighbours share about 1/3.

    They lie on the grid of `stride`. Raises SegmodelsError where the image has to be padded before: it is smaller
    than the window, or `stride` does not divide the difference.
    """
    tops, lefts = (_starts(side - part, part, stride) for side, part in zip(size, window, strict=True))
    return [(top, left, *window) for top in tops for left in lefts]


def _starts(room: int, part: int, stride: int) -> list[int]:
    if room < 0 or room % stride:
        raise SegmodelsError(f"windows of {part} on a grid of {stride} do not cover {part + room}: pad the image.")
    more = -(-3 * room // (2 * part))  # windows after the first, rounded up
    return [room * k // (more * stride) * stride if more else 0 for k in range(more + 1)]


def swapped(size: Size, image: Size) -> str:
    """A question, where a size that is too large for an image would fit the other way round."""
    fits = size[1] <= image[0] and size[0] <= image[1]
    return f"Sizes are HxW: did you mean {size[1]}x{size[0]}? " if fits else ""
