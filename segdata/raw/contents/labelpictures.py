"""Label files that are pictures, PNG or lossless TIFF, and the raw ids that they hold.

Ids are values of grey, 16-bit values that also number the objects, colours of the dataset's table, or a palette that
says either: an index of a palette says nothing by itself, for tools renumber their palettes at will, but its colours
say what is meant.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8
from segdata.findings import SampleError, first_few
from segdata.labels.colors import Color, code_of, codes_of, color_of
from segdata.labels.label import Coding, Label
from segdata.pictures.containers.kinds import format_of
from segdata.raw.contents.picture import PictureFile, open_picture, problem
from segdata.raw.member import Member

SHOWN = 5
NO_COLOR = 1 << 24  # above all colours as numbers
BLURRED = {"JPEG": "a JPEG", "WebP": "a WebP"}
INSTEAD = {  # by what a pixel is: the coding that reads such files
    ("palette", 8): "`coding: palette` reads it, by the colours of the labels",
    ("RGB", 8): "`coding: colors` reads it, by the colours of the labels",
    ("grey", 16): "`coding: ids16` reads it, with a divisor",
    ("grey", 8): "`coding: ids` reads it",
}


@dataclass(frozen=True)
class LabelPicture:
    """A label file whose container is whole, and the reader that knows its coding."""

    file: PictureFile
    reader: "LabelReader"

    @property
    def size(self) -> tuple[int, int]:
        return self.file.size

    @property
    def digest(self) -> str:
        return self.file.digest

    def ids(self) -> U8:
        """Raw ids (H, W). Raises SampleError where the file is none of its coding, or says two things."""
        return self.reader.ids_of(self.file)

    def problem(self, code: str, found: str) -> SampleError:
        return self.file.problem(code, found)


class LabelReader:
    """Opens label pictures, and makes raw ids (H, W) of them by a dataset's table."""

    def __init__(self, coding: Coding, labels: Sequence[Label]) -> None:
        self.coding = coding
        self.ids_of = {
            "ids": self._ids,
            "palette": self._ids_of_palette,
            "colors": self._ids_of_colors,
            "ids16": self._ids_of_16,
        }[coding.kind]
        held = [label for label in labels if label.id >= 0]
        shared = Counter(label.color for label in held)
        self.color_of = {label.id: label.color for label in held}
        self.colors = {label.color: label.id for label in held if shared[label.color] == 1}
        self._shared = {color for color, count in shared.items() if count > 1}
        codes = sorted(map(code_of, self.colors))
        self._codes = np.array([*codes, NO_COLOR], np.uint32)
        self._ids_of_codes = np.array([*(self.colors[color_of(code)] for code in codes), 0], np.uint8)

    def open(self, member: Member) -> LabelPicture:
        """Raises SampleError with the finding that keeps the file from being used."""
        if blurred := BLURRED.get(format_of(member.path) or ""):
            found = f"{blurred}, which may store other values than were painted. Export the labels as PNG"
            raise problem("label-format", member, found)
        return LabelPicture(open_picture(member, "label-format"), self)

    def _ids(self, file: PictureFile) -> U8:
        if file.pixel != ("grey", 8):
            raise _other(file, "8-bit grey")
        codes = file.decoded()
        _check_opaque(file, codes)
        return np.asarray(codes, np.uint8)

    def _ids_of_palette(self, file: PictureFile) -> U8:
        if file.container.color != "palette":
            return self._ids(file)
        indices, used, colors = _indexed(file)
        return np.asarray(self._table(file, used, colors)[indices], np.uint8)

    def _ids_of_colors(self, file: PictureFile) -> U8:
        if file.container.color == "palette":
            indices, used, colors = _indexed(file)
            palette = np.zeros((256, 3), np.uint8)
            palette[used] = colors
            return self._looked_up(file, palette[indices])
        if file.pixel not in {("RGB", 8), ("RGBA", 8)}:
            raise _other(file, "8-bit colours")
        pixels = file.decoded()
        _check_opaque(file, pixels)
        return self._looked_up(file, np.asarray(pixels[..., :3], np.uint8))

    def _ids_of_16(self, file: PictureFile) -> U8:
        if file.pixel != ("grey", 16):
            raise _other(file, "16-bit grey")
        values = file.decoded()
        _check_opaque(file, values)
        ids = values // self.coding.divisor
        if (beyond := ids > 255).any():
            found, pixels = np.unique(ids[beyond], return_counts=True)
            shown = [f"{i} ({n} pixels)" for i, n in zip(found.tolist(), pixels.tolist(), strict=True)]
            by = f"values divided by {self.coding.divisor}"
            raise file.problem(
                "unknown-id", f"id {first_few(shown, SHOWN)}, by {by}: no id is above 255. Is the divisor right?"
            )
        return np.asarray(ids, np.uint8)

    def _table(self, file: PictureFile, used: list[int], colors: list[Color]) -> U8:
        """Index -> id (256,), where the colours of the used indices leave one reading only."""
        own = {i: i for i, color in zip(used, colors, strict=True) if color in ((i, i, i), self.color_of.get(i))}
        named = {i: self.colors[color] for i, color in zip(used, colors, strict=True) if color in self.colors}
        grey = {i: c[0] for i, c in zip(used, colors, strict=True) if c == (c[0],) * 3 and c[0] in self.color_of}
        readings = [each for each in (own, named, grey) if len(each) == len(used)]
        if not readings:
            best = max((own, named, grey), key=len)
            foreign = [f"{i} {color}" for i, color in zip(used, colors, strict=True) if i not in best]
            found = f"index and colour {first_few(foreign, SHOWN)}: neither the grey of an id nor the colour of a label"
            raise file.problem("label-palette", found)
        if any(each != readings[0] for each in readings):
            i = next(i for i in used if len({each[i] for each in readings}) > 1)
            ids = " or ".join(map(str, sorted({each[i] for each in readings})))
            raise file.problem("label-palette", f"index {i} of colour {colors[used.index(i)]} may be id {ids}")
        table = np.arange(256, dtype=np.uint8)
        table[used] = [readings[0][i] for i in used]
        return table

    def _looked_up(self, file: PictureFile, colors: U8) -> U8:
        codes = codes_of(colors)
        at = np.searchsorted(self._codes, codes)
        if (foreign := self._codes[at] != codes).any():
            values, pixels = np.unique(codes[foreign], return_counts=True)
            several = [", of several labels" * (color_of(int(value)) in self._shared) for value in values]
            counted = zip(values, pixels, several, strict=True)
            shown = [f"{color_of(int(value))} ({count} pixels{of})" for value, count, of in counted]
            raise file.problem("unknown-color", f"colour {first_few(shown, SHOWN)}")
        return np.asarray(self._ids_of_codes[at], np.uint8)


def _other(file: PictureFile, due: str) -> SampleError:
    """That a file is none of its coding, and of which one it may be."""
    instead = INSTEAD.get(file.pixel, "Save it as one")
    return file.problem("label-format", f"{file.kind} where {due} is due. {instead[0].upper()}{instead[1:]}")


def _indexed(file: PictureFile) -> tuple[U8, list[int], list[Color]]:
    """Indices (H, W), those that occur, and their colours."""
    indices = np.asarray(file.decoded(), np.uint8)
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256)).tolist()
    palette = file.chunk(b"PLTE") or b""
    if len(palette) % 3 or used[-1] >= len(palette) // 3:
        raise file.problem("label-palette", f"index {used[-1]} where the palette has {len(palette) / 3:g} colours")
    opacity = file.chunk(b"tRNS") or b""
    if clear := [i for i in used if i < len(opacity) and opacity[i] < 255]:
        raise file.problem("label-format", f"index {first_few(list(map(str, clear)), SHOWN)} is transparent (tRNS)")
    return indices, used, [(palette[3 * i], palette[3 * i + 1], palette[3 * i + 2]) for i in used]


def _check_opaque(file: PictureFile, pixels: NDArray[Any]) -> None:
    """Whoever makes pixels transparent says that they are no labels, which their values do not say."""
    value = file.chunk(b"tRNS")
    if file.container.color == "RGBA":
        clear = pixels[..., 3] < 255
    elif value is None:
        return
    elif len(value) == 2 * (samples := pixels.reshape(*pixels.shape[:2], -1)).shape[2]:  # a colour of 16-bit samples
        clear = (samples == np.frombuffer(value, ">u2")).all(axis=-1)
    else:
        raise file.problem("label-format", f"a chunk tRNS of {len(value)} bytes")
    if clear.any():
        raise file.problem("label-format", f"{clear.sum()} transparent pixels")
