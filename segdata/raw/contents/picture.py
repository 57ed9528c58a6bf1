"""A picture file of a dataset: read whole and checked as its name says, its pixels not decoded yet."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from segdata.base.canonical import digest_source
from segdata.errors import CodecError, LinkError, SizeError, SourceError, TooLargeError, UnsupportedError
from segdata.findings import Finding, SampleError
from segdata.pictures.containers.container import Container
from segdata.pictures.containers.kinds import FORMATS, decode, format_of, inspect
from segdata.raw.member import Member


@dataclass(frozen=True)
class PictureFile:
    """A file whose container is whole, and that is the same picture to every reader."""

    member: Member
    data: bytes
    container: Container

    @property
    def size(self) -> tuple[int, int]:
        return self.container.size

    @property
    def kind(self) -> str:
        """In words, as "a 16-bit grey PNG"."""
        return self.container.kind

    @property
    def pixel(self) -> tuple[str, int]:
        """What a pixel is: its colour in words, and bits of a sample."""
        return self.container.color, self.container.depth

    @property
    def digest(self) -> str:
        return digest_source(self.data)

    def decoded(self) -> NDArray[Any]:
        """(H, W) or (H, W, C) samples as they are stored, uint8 or uint16."""
        try:
            return decode(self.data, self.container)
        except CodecError as error:
            raise self.problem("bad-image", str(error)) from error

    def chunk(self, kind: bytes) -> bytes | None:
        """The body of the first chunk of that type, of a PNG; None of none."""
        return next((body for each, body in self.container.chunks if each == kind), None)

    def problem(self, code: str, found: str) -> SampleError:
        return problem(code, self.member, found)


def open_picture(member: Member, unsupported: str) -> PictureFile:
    """Raises SampleError with the finding that keeps the file from being used; `unsupported` is the code of what no
    reader has to open."""
    data = read_whole(member)
    kind = format_of(member.path)
    if kind is None:
        suffixes = ", ".join(f".{suffix}" for suffix in FORMATS)
        raise problem("bad-image", member, f"the name of no picture that is read here: one ends in {suffixes}")
    try:
        container = inspect(data, kind)
    except UnsupportedError as error:
        raise problem(unsupported, member, str(error)) from error
    except CodecError as error:
        raise problem("too-large" if isinstance(error, SizeError) else "bad-image", member, str(error)) from error
    if container.dispute:
        raise problem("reader-dependent", member, container.dispute)
    return PictureFile(member, data, container)


def read_whole(member: Member) -> bytes:
    """The bytes of a file that has some. Raises SampleError."""
    try:
        data = member.read()
    except SourceError as error:
        code = {TooLargeError: "too-large", LinkError: "bad-link"}.get(type(error), "unreadable")
        raise problem(code, member, str(error).removeprefix(f"{member.where}: ")) from error
    if not data:
        raise problem("empty-file", member, "0 bytes")
    return data


def problem(code: str, member: Member, found: str) -> SampleError:
    return SampleError(Finding(code, member.path, found))
