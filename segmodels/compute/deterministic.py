"""Replacements for operations whose CUDA versions are not deterministic.

Under `torch.use_deterministic_algorithms(True)` the backward passes of bilinear interpolation and adaptive
pooling raise on CUDA or fall back to something slow. Both are linear and separable: here they are two matrix
products, rows · x · columnsᵀ. (Of the losses, see `losses`.)
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from threading import Lock

import torch
from torch import Tensor

from segmodels.errors import SegmodelsError

Matrix = Callable[[int, int], Tensor]  # (old size, new size) -> (new, old) in float64


_MODE = Lock()


def resize(x: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Bilinear resize of (B, C, H, W) to `size`: `F.interpolate` without antialiasing, up to rounding."""
    matrix = _aligned_matrix if align_corners else _centred_matrix
    return _apply(matrix, x, size)


def adaptive_avg_pool(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean of (B, C, H, W) over `size` cells, which may overlap: `F.adaptive_avg_pool2d`, up to rounding."""
    return _apply(_pooling_matrix, x, size)


@contextmanager
def each_written_once() -> Iterator[None]:
    """A region of `index_copy_` and the like in which no place is written twice, so that no order matters.

    Among deterministic algorithms these sort their indices first, for places that are: on CUDA many times slower. The
    mode is one for all threads of a process, so that they take turns here.
    """
    with _MODE:
        mode = torch.get_deterministic_debug_mode()
        torch.set_deterministic_debug_mode("default")
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)


@contextmanager
def refused(network: str = "the network") -> Iterator[None]:
    """Raise SegmodelsError in one line where torch refuses an operation for want of a deterministic version."""
    try:
        yield
    except RuntimeError as error:
        found = re.match(r"(.+?) does not have a deterministic implementation", str(error))
        if found is None:
            raise
        raise SegmodelsError(
            f"{network} calls {found[1]}, of which torch has no deterministic version for this device. Give "
            "--device cpu, or train with --fast, which does not promise the same bits again"
        ) from error


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A region in which autocast does not lower the precision (nothing to enter where it is off anyway)."""
    if device.type != "meta" and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _apply(matrix: Matrix, x: Tensor, size: tuple[int, int]) -> Tensor:
    """rows · x · columnsᵀ in at least float32, given back in the type of `x`."""
    return through(x, {-1: (matrix, size[1]), -2: (matrix, size[0])})


def through(x: Tensor, maps: Mapping[int, tuple[Matrix, int]]) -> Tensor:
    """`x` with some of its last three dimensions, which are counted from the end, each mapped to a new size.

    In at least float32, given back in the type of `x`.
    """
    dtype = _at_least_float32(x)
    # Sizes may be symbols while a graph is captured, and what is made then must not outlive the capture.
    make = _make if torch.compiler.is_compiling() else _make_once
    with without_autocast(x.device):
        y = x.to(dtype)
        for dim, (matrix, new) in maps.items():
            table = make(matrix, y.shape[dim], new, x.device, dtype)  # (new, old)
            if dim == -1:
                y = y @ table.T
            elif dim == -2:
                y = table @ y
            else:
                y = (table @ y.flatten(-2)).reshape(*y.shape[:-3], new, *y.shape[-2:])
        return y.to(x.dtype)


def _make(matrix: Matrix, old: int, new: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    # Not an inference tensor, even when first wanted in inference: training may be the next to use it.
    with torch.inference_mode(False), torch.device("cpu"):
        return matrix(old, new).to(device, dtype)


_make_once = lru_cache(maxsize=128)(_make)


def _aligned_matrix(old: int, new: int) -> Tensor:
    """Interpolation (new, old) in which the centres of the corner pixels stay where they are."""
    at = torch.arange(new, dtype=torch.float64)
    return _hats(at * ((old - 1) / max(new - 1, 1)), old)


def _centred_matrix(old: int, new: int) -> Tensor:
    """Interpolation (new, old) in which the outer edges of the image stay where they are."""
    at = torch.arange(new, dtype=torch.float64) + 0.5
    return _hats((at * (old / new) - 0.5).clamp(0, old - 1), old)


def _hats(at: Tensor, old: int) -> Tensor:
    """A row for each position: linear weights of its two neighbours among 0 … old-1."""
    pixels = torch.arange(old, dtype=torch.float64)
    return (1 - (at[:, None] - pixels).abs()).clamp_min(0)


def _pooling_matrix(old: int, new: int) -> Tensor:
    """Means (new, old): cell i covers the pixels from floor(i·old/new) to ceil((i+1)·old/new)."""
    cell, pixels = torch.arange(new)[:, None], torch.arange(old)
    first, end = cell * old // new, ((cell + 1) * old + new - 1) // new
    inside = ((first <= pixels) & (pixels < end)).to(torch.float64)
    return inside / inside.sum(dim=1, keepdim=True)


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
