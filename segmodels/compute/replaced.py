"""What a network calls that has no deterministic gradient on CUDA, replaced where it can be, up to rounding.

Resizing, pooling to a given size and reflection padding are linear in each dimension. torch itself, on the CPU in
float64, says what the matrix of such a dimension is. Under `torch.use_deterministic_algorithms` torch raises an error
for all else that has no deterministic gradient, and `refused` makes one line of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import floor
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from segmodels.compute.deterministic import refused, through
from segmodels.errors import SegmodelsError
from segmodels.spec import OURS, ModelSpec

ERROR = 2  # torch's number of the mode in which it raises
MODES = {  # of F.interpolate: as torch calls the same on an image
    "linear": "bilinear",
    "bilinear": "bilinear",
    "trilinear": "bilinear",
    "bicubic": "bicubic",
    "area": "area",
}


class Replaced(TorchFunctionMode):
    """Inside, the functions of REPLACEMENTS are replaced; `names` says which of them were called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        replacement = REPLACEMENTS.get(func)
        if replacement is not None:
            answer = replacement(*args, **options)
            if answer is not None:
                self.names.add(func.__name__)
                return answer
        return func(*args, **options)


@contextmanager
def replaced(declared: ModelSpec, device: torch.device) -> Iterator[None]:
    """Inside is a training step of a network on that device.

    Among deterministic algorithms on CUDA the functions of a network that is none of segmodels' own are replaced.
    Raises SegmodelsError where torch has no deterministic version of what is left.
    """
    foreign = declared.origin != OURS
    replacing = foreign and device.type == "cuda" and torch.get_deterministic_debug_mode() == ERROR
    with refused(declared.name), Replaced() if replacing else nullcontext():
        yield


@dataclass(frozen=True)
class Line:
    """How one dimension is resized: called with its sizes it is a matrix (new, old) in float64."""

    mode: str
    align_corners: bool | None = None
    antialias: bool = False
    scale: float | None = None  # where it was given instead of a size, positions follow it and not the sizes' ratio

    def __call__(self, old: int, new: int) -> Tensor:
        # (1, old, 1, old): a channel for each pixel, along the width. Along the height of an image one pixel wide,
        # antialiasing is wrong in torch 2.13.
        pixels = torch.eye(old, dtype=torch.float64)[None, :, None, :]
        if self.mode == "area":
            return F.adaptive_avg_pool2d(pixels, (1, new))[0, :, 0, :].T
        size: dict[str, Any] = {"size": (1, new)} if self.scale is None else {"scale_factor": (1.0, self.scale)}
        corners, smooth = self.align_corners, self.antialias
        answer = F.interpolate(pixels, mode=self.mode, align_corners=corners, antialias=smooth, **size)
        return answer[0, :, 0, :].T


def _interpolate(
    input: Tensor,  # noqa: A002  # as torch calls it
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor | None:
    """F.interpolate; None: this one can stay."""
    sides = input.shape[2:]
    if mode not in MODES or not input.is_floating_point() or (size is None) == (scale_factor is None):
        return None
    scales = _each(scale_factor, len(sides)) if scale_factor is not None else [None] * len(sides)
    news = (
        _each(size, len(sides))
        if size is not None
        else [floor(float(side) * scale) for side, scale in zip(sides, scales, strict=True)]
    )
    if recompute_scale_factor or mode == "area":
        scales = [None] * len(sides)
    lines = [Line(MODES[mode], align_corners, antialias, scale) for scale in scales]
    return _resized(input, news, lines)


def _adaptive_avg_pool(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor | None:  # noqa: A002
    """F.adaptive_avg_pool1d, 2d and 3d; None: this one, a mean over everything, can stay."""
    return _pooled(input, output_size, 2)


def _adaptive_avg_pool1d(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor | None:  # noqa: A002
    return _pooled(input, output_size, 1)


def _adaptive_avg_pool3d(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor | None:  # noqa: A002
    return _pooled(input, output_size, 3)


def _pooled(x: Tensor, output_size: Any, count: int) -> Tensor | None:
    sides = x.shape[-count:]
    news = [side if new is None else new for side, new in zip(sides, _each(output_size, count), strict=True)]
    if all(new == 1 for new in news):
        return None
    return _resized(x, news, [Line("area")] * count)


def _adaptive_max_pool2d(
    input: Tensor,  # noqa: A002
    output_size: int | Sequence[int | None],
    return_indices: bool = False,
) -> Tensor | None:
    """F.adaptive_max_pool2d where its cells are equal; None: they are not, and nothing replaces it."""
    sides = input.shape[-2:]
    news = [side if new is None else new for side, new in zip(sides, _each(output_size, 2), strict=True)]
    if return_indices or any(side % new for side, new in zip(sides, news, strict=True)):
        return None
    return F.max_pool2d(input, tuple(side // new for side, new in zip(sides, news, strict=True)))


def _pad(
    input: Tensor,  # noqa: A002
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
) -> Tensor | None:
    """F.pad by reflection, as mirrored slices; None: every other can stay."""
    if mode != "reflect":
        return None
    for i in range(len(pad) // 2):
        input = _mirrored(input, -1 - i, pad[2 * i], pad[2 * i + 1])  # noqa: A001
    return input


def _mirrored(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    side = x.shape[dim]
    if before < 0 or after < 0 or max(before, after) >= side:
        raise SegmodelsError(f"reflection padding of {before} and {after} for {side} pixels, expected less than that")
    parts = [x.narrow(dim, 1, before).flip(dim), x, x.narrow(dim, side - 1 - after, after).flip(dim)]
    return torch.cat([each for each in parts if each.shape[dim]], dim)


def _resized(x: Tensor, news: Sequence[int], lines: Sequence[Line]) -> Tensor:
    """The last dimensions, each to its new size along its line; the last one first."""
    dims = range(-len(news), 0)
    maps = {dim: (line, new) for dim, new, line in zip(dims, news, lines, strict=True)}
    return through(x, dict(reversed(maps.items())))


def _each(value: Any, count: int) -> list[Any]:
    """One for each dimension."""
    return list(value) if isinstance(value, Sequence) else [value] * count


REPLACEMENTS: dict[Any, Callable[..., Tensor | None]] = {
    F.interpolate: _interpolate,
    F.adaptive_avg_pool1d: _adaptive_avg_pool1d,
    F.adaptive_avg_pool2d: _adaptive_avg_pool,
    F.adaptive_avg_pool3d: _adaptive_avg_pool3d,
    F.adaptive_max_pool2d: _adaptive_max_pool2d,
    F.pad: _pad,
}
