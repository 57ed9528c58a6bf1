"""The PNG files of a dataset: read, checked, decoded. What is wrong with one is a finding that names it."""

from dataclasses import dataclass

import numpy as np

from segdata.base.arrays import U8
from segdata.base.canonical import digest_source
from segdata.errors import CodecError, LinkError, SizeError, SourceError, TooLargeError
from segdata.findings import Finding, SampleError
from segdata.pictures import png
from segdata.pictures.ancillary import Chunk, beside, disagreement
from segdata.pictures.chunks import GREY, GREY_ALPHA, PALETTE, RGB, RGBA
from segdata.raw.member import Member

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

    def problem(self, code: str, found: str) -> SampleError:
        return problem(code, self.member, found)


def open_member(member: Member) -> PngFile:
    """Raises SampleError with the finding that keeps the file from being used."""
    data = _read(member)
    try:
        header, chunks = png.inspect(data), tuple(beside(data))
    except CodecError as error:
        raise problem("too-large" if isinstance(error, SizeError) else "bad-image", member, str(error)) from error
    if why := disagreement(chunks):
        raise problem("reader-dependent", member, why)
    return PngFile(member, data, header, chunks)


def problem(code: str, member: Member, found: str) -> SampleError:
    return SampleError(Finding(code, member.path, found))


def _read(member: Member) -> bytes:
    try:
        data = member.read()
    except SourceError as error:
        code = {TooLargeError: "too-large", LinkError: "bad-link"}.get(type(error), "unreadable")
        raise problem(code, member, str(error).removeprefix(f"{member.where}: ")) from error
    if not data:
        raise problem("empty-file", member, "0 bytes")
    return data
