"""The PNG files of a dataset: read, checked, decoded, and of label files the raw ids that they hold.

What is wrong with a file is a finding that names it. A label file has its ids as values of grey, as colours of the
dataset's table, or as a palette that says either: an index of a palette says nothing by itself, for tools renumber
their palettes at will, but its colours say what is meant.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segdata.base.arrays import U8
from segdata.base.canonical import digest_source
from segdata.errors import CodecError, LinkError, SizeError, SourceError, TooLargeError
from segdata.findings import Finding, SampleError
from segdata.labels.label import Label
from segdata.pictures import png
from segdata.pictures.ancillary import disagreement
from segdata.pictures.chunks import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, Chunk
from segdata.raw.member import Member

SHOWN = 5
Color = tuple[int, int, int]
KINDS = {GREY: "grey", RGB: "RGB", PALETTE: "palette", GREY_ALPHA: "grey with alpha", RGBA: "RGBA"}


@dataclass(frozen=True)
class PngFile:
    """A file whose container is whole, and that is the same picture to every reader; its pixels are not decoded yet."""

    member: Member
    data: bytes
    header: png.Header
    chunks: tuple[Chunk, ...]  # beside the picture

    @property
    def size(self) -> tuple[int, int]:
        return self.header.height, self.header.width

    @property
    def kind(self) -> str:
        """In words, as "a 16-bit grey PNG"."""
        depth = self.header.bit_depth
        return f"{'an' if depth == 8 else 'a'} {depth}-bit {KINDS[self.header.color_type]} PNG"

    @property
    def digest(self) -> str:
        return digest_source(self.data)

    def decoded(self) -> U8:
        """(H, W) or (H, W, C) samples of at most 8 bits as they are stored."""
        try:
            return np.asarray(png.decode(self.data), np.uint8)
        except CodecError as error:
            raise self.problem("bad-image", str(error)) from error

    def chunk(self, kind: bytes) -> bytes | None:
        """The body of the first chunk of that type; None of none."""
        return next((body for each, body in self.chunks if each == kind), None)

    def problem(self, code: str, found: str) -> SampleError:
        return problem(code, self.member, found)


def open_member(member: Member) -> PngFile:
    """Raises SampleError with the finding that keeps the file from being used."""
    try:
        data = member.read()
    except SourceError as error:
        code = {TooLargeError: "too-large", LinkError: "bad-link"}.get(type(error), "unreadable")
        raise problem(code, member, str(error).removeprefix(f"{member.where}: ")) from error
    if not data:
        raise problem("empty-file", member, "0 bytes")
    try:
        header, chunks = png.inspect(data)
    except CodecError as error:
        raise problem("too-large" if isinstance(error, SizeError) else "bad-image", member, str(error)) from error
    if chunks and (why := disagreement(chunks)):
        raise problem("reader-dependent", member, why)
    return PngFile(member, data, header, chunks)


def problem(code: str, member: Member, found: str) -> SampleError:
    return SampleError(Finding(code, member.path, found))


# ---- label files --------------------------------------------------------------------------------------------


class LabelReader:
    """Label files to raw ids (H, W), by a dataset's table; `palette`: whether its id maps may be palette PNGs."""

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
    palette = file.chunk(b"PLTE") or b""
    if len(palette) % 3 or used[-1] >= len(palette) // 3:
        raise file.problem("label-palette", f"index {used[-1]} where the palette has {len(palette) / 3:g} colours")
    opacity = file.chunk(b"tRNS") or b""
    if clear := [i for i in used if i < len(opacity) and opacity[i] < 255]:
        raise file.problem("label-format", f"index {_some(list(map(str, clear)))} is transparent (tRNS)")
    return indices, used, [(palette[3 * i], palette[3 * i + 1], palette[3 * i + 2]) for i in used]


def _check_opaque(file: PngFile, pixels: U8) -> None:
    """Whoever makes pixels transparent says that they are no labels, which their values do not say."""
    value = file.chunk(b"tRNS")
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
