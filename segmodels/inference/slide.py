"""A window slid over an image: the logits of each part of it, as soon as no later window sees that part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F

from segmodels.compute.deterministic import resize
from segmodels.data.images import windows

if TYPE_CHECKING:
    from torch import Tensor

    from segmodels.spec import Size

TILE = 64  # cells a side that are interpolated at a time


class Block(NamedTuple):
    """Logits (1, K, h, w) of every output for the cells from `top` and `left` on."""

    top: int
    left: int
    outputs: list[Tensor]

    def put(self, part: Any, whole: Any) -> None:
        """Copy what was made of this block, (…, h, w), into its place in `whole`."""
        h, w = part.shape[-2:]
        whole[..., self.top : self.top + h, self.left : self.left + w] = part


Show = Callable[[int, int, int, int], "Sequence[Tensor]"]  # pixels (top, left, height, width) -> outputs


def slide(show: Show, size: Size, window: Size, stride: int) -> Iterator[Block]:
    """The means of the logits of all windows that see a cell, for an image of `size`, which the windows fit.

    The blocks cover the image from top to bottom and from left to right. Held are the window under way, and the rows
    that the windows above and the windows below both see: not the whole image.
    """
    (H, W), (h, w) = (size[0] // stride, size[1] // stride), (window[0] // stride, window[1] // stride)
    places = windows(size, window, stride)
    tops, lefts = (sorted({place[side] // stride for place in places}) for side in (0, 1))
    times = _times_seen(tops, h, H), _times_seen(lefts, w, W)
    most = max((top + h - below for top, below in pairwise(tops)), default=0)
    held: list[Tensor] = []  # of every output: sums of `above` rows, in all columns
    above = 0
    for top, below in pairwise((*tops, H)):
        sums: list[Tensor] = []  # of every output: (1, K, h, …), the columns from `left` on
        end, done = 0, below - top
        for left, right in pairwise((*lefts, W)):
            found = show(top * stride, left * stride, *window)
            held = held or [each.new_zeros(*each.shape[:2], most, W, dtype=torch.float32) for each in found]
            fresh = [F.pad(rows[..., :above, end : left + w], (0, 0, 0, h - above)) for rows in held]
            sums = [torch.cat(pair, dim=3) for pair in zip(sums, fresh, strict=True)] if sums else fresh
            end, width = left + w, right - left
            for total, logits in zip(sums, found, strict=True):
                total.add_(logits)
            seen = (times[0][top:below, None] * times[1][left:right]).to(sums[0].device)
            yield Block(top, left, [total[..., :done, :width] / seen for total in sums])
            for rows, total in zip(held, sums, strict=True):
                rows[..., : h - done, left:right] = total[..., done:, :width]
            sums = [total[..., width:] for total in sums]
        above = h - done


def enlarged(blocks: Iterable[Block], stride: int, size: Size) -> Iterator[Block]:
    """The last output of the blocks, interpolated to pixels of an image (H, W): a cell covers stride x stride."""
    h, w = -(-size[0] // stride), -(-size[1] // stride)
    known: Tensor | None = None  # rows of cells from `first` on
    first = done = 0
    for top, row in groupby(blocks, key=lambda block: block.top):
        band = torch.cat([block.outputs[-1] for block in row], dim=3)[..., : h - top, :w]
        known = band if known is None else torch.cat([known, band], dim=2)
        bottom = top + band.shape[2]
        until = h if bottom >= h else bottom - 1  # the last row is interpolated with the next one
        for rows, columns in product(_tiles(done, until), _tiles(0, w)):
            yield _enlarge(known, first, rows, columns, stride, size)
        done = max(done, until)
        known, first = known[..., max(done - 1, 0) - first :, :], max(done - 1, 0)


def _enlarge(known: Tensor, first: int, rows: range, columns: range, stride: int, size: Size) -> Block:
    """The cells of a tile, with a cell more on every side that has one."""
    up, left = min(1, rows.start - first), min(1, columns.start)
    part = known[..., rows.start - up - first : rows.stop + 1 - first, columns.start - left : columns.stop + 1]
    full = resize(part, (part.shape[2] * stride, part.shape[3] * stride), align_corners=False)
    y, x = rows.start * stride, columns.start * stride
    height, width = min(len(rows) * stride, size[0] - y), min(len(columns) * stride, size[1] - x)
    up, left = up * stride, left * stride
    return Block(y, x, [full[..., up : up + height, left : left + width]])


def _tiles(start: int, stop: int) -> list[range]:
    return [range(each, min(each + TILE, stop)) for each in range(start, stop, TILE)]


def _times_seen(starts: list[int], part: int, side: int) -> Tensor:
    """How many windows lie over each of `side` cells: (side,)."""
    counts = torch.zeros(side)
    for start in starts:
        counts[start : start + part] += 1
    return counts
