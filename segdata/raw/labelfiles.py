"""A label file to raw codes (H, W): values of grey, colours of the table, or a palette that says either.

An index of a palette says nothing by itself: tools renumber their palettes at will. Its colours say what is meant.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from segdata.base.arrays import U8
from segdata.labels.label import Label
from segdata.pictures.ancillary import body_of
from segdata.pictures.chunks import GREY, PALETTE, RGB, RGBA
from segdata.raw.pngfiles import PngFile

SHOWN = 5
Color = tuple[int, int, int]


class LabelTable:
    """The ids and colours of a dataset's labels; `palette`: whether its id maps may be palette PNGs."""

    def __init__(self, labels: Sequence[Label], palette: bool) -> None:
        self.palette = palette
        held = [label for label in labels if label.id >= 0]
        shared = Counter(label.color for label in held)
        self.color_of = {label.id: label.color for label in held}
        self.colors = {label.color: label.id for label in held if shared[label.color] == 1}
        self._codes = np.array(sorted(map(_code, self.colors)), np.uint32)
        self._ids_of_codes = np.array([self.colors[_color(int(code))] for code in self._codes], np.uint8)

    def ids_of(self, file: PngFile) -> U8:
        """Raw codes of an id map. Raises SampleError where it is none, or says two things."""
        header = file.header
        if header.color_type == PALETTE and self.palette:
            indices, used, colors = _indexed(file)
            return np.asarray(self._table(file, used, colors)[indices], np.uint8)
        if header.bit_depth != 8 or header.color_type != GREY:
            raise file.problem("label-format", file.kind)
        codes = file.decoded()
        _check_opaque(file, codes)
        return codes

    def ids_of_colors(self, file: PngFile) -> U8:
        """Raw codes of a colour-coded map. Raises SampleError for a colour that is not in the table."""
        header = file.header
        if header.color_type == PALETTE:
            indices, used, colors = _indexed(file)
            palette = np.zeros((256, 3), np.uint8)
            palette[used] = colors
            return self._looked_up(file, palette[indices])
        if header.bit_depth != 8 or header.color_type not in {RGB, RGBA}:
            raise file.problem("label-format", f"{file.kind} where 8-bit colours are due")
        pixels = file.decoded()
        _check_opaque(file, pixels)
        return self._looked_up(file, pixels[..., :3])

    def _table(self, file: PngFile, used: list[int], colors: list[Color]) -> U8:
        """Index -> id (256,), where the colours of the used indices leave one reading only."""
        own = {i: i for i, color in zip(used, colors, strict=True) if color in ((i, i, i), self.color_of.get(i))}
        named = {i: self.colors[color] for i, color in zip(used, colors, strict=True) if color in self.colors}
        grey = {i: c[0] for i, c in zip(used, colors, strict=True) if c == (c[0],) * 3 and c[0] in self.color_of}
        readings = [each for each in (own, named, grey) if len(each) == len(used)]
        if not readings:
            best = max((own, named, grey), key=len)
            foreign = [f"{i} {color}" for i, color in zip(used, colors, strict=True) if i not in best]
            found = f"index and colour {_some(foreign)}: neither the grey of an id nor the colour of a label"
            raise file.problem("label-palette", found)
        if any(each != readings[0] for each in readings):
            i = next(i for i in used if len({each[i] for each in readings}) > 1)
            ids = " or ".join(map(str, sorted({each[i] for each in readings})))
            raise file.problem("label-palette", f"index {i} of colour {colors[used.index(i)]} may be id {ids}")
        table = np.arange(256, dtype=np.uint8)
        table[used] = [readings[0][i] for i in used]
        return table

    def _looked_up(self, file: PngFile, colors: U8) -> U8:
        wide = colors.astype(np.uint32)
        codes = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
        at = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        if (foreign := self._codes[at] != codes).any():
            values, pixels = np.unique(codes[foreign], return_counts=True)
            shown = [f"{_color(int(v))} ({n} pixels)" for v, n in zip(values, pixels, strict=True)]
            raise file.problem("unknown-color", f"colour {_some(shown)}")
        return np.asarray(self._ids_of_codes[at], np.uint8)


def _indexed(file: PngFile) -> tuple[U8, list[int], list[Color]]:
    """Indices (H, W), those that occur, and their colours."""
    indices = file.decoded()
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256)).tolist()
    palette = body_of(b"PLTE", file.chunks) or b""
    if len(palette) % 3 or used[-1] >= len(palette) // 3:
        raise file.problem("label-palette", f"index {used[-1]} where the palette has {len(palette) / 3:g} colours")
    opacity = body_of(b"tRNS", file.chunks) or b""
    if clear := [i for i in used if i < len(opacity) and opacity[i] < 255]:
        raise file.problem("label-format", f"index {_some(list(map(str, clear)))} is transparent (tRNS)")
    return indices, used, [(palette[3 * i], palette[3 * i + 1], palette[3 * i + 2]) for i in used]


def _check_opaque(file: PngFile, pixels: U8) -> None:
    """Whoever makes pixels transparent says that they are no labels, which their values do not say."""
    value = body_of(b"tRNS", file.chunks)
    if file.header.color_type == RGBA:
        clear = pixels[..., 3] < 255
    elif value is None:
        return
    elif len(value) == 2 * file.header.channels:  # a grey level or a colour, of 16 bits a sample
        samples = pixels.reshape(*pixels.shape[:2], -1)
        clear = (samples == np.frombuffer(value, ">u2")).all(axis=-1)
    else:
        raise file.problem("label-format", f"a chunk tRNS of {len(value)} bytes")
    if clear.any():
        raise file.problem("label-format", f"{clear.sum()} transparent pixels")


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def _code(color: Sequence[int]) -> int:
    return (color[0] << 16) | (color[1] << 8) | color[2]


def _color(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255
