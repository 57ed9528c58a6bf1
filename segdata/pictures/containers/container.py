"""What a picture file says of its picture, whatever its format is."""

from dataclasses import dataclass

from segdata.pictures.chunks import Chunk

MAX_PIXELS = 1 << 27  # of a JPEG, WebP or TIFF: beside the picture (3 bytes a pixel) decoders hold up to 6 and 4 more

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Container:
    """A file whose parts are whole and in order: `depth` bits of each sample, `color` in words ("grey", "RGB", …).

    dispute: why readers would make different pictures of it; "" where they do not. chunks: those of a PNG that stand
    beside the picture.
    """

    format: str  # "PNG", "JPEG", "WebP" or "TIFF"
    size: Size
    depth: int
    color: str
    dispute: str = ""
    chunks: tuple[Chunk, ...] = ()

    @property
    def kind(self) -> str:
        """In words, as "a 16-bit grey PNG"."""
        return f"{'an' if self.depth == 8 else 'a'} {self.depth}-bit {self.color} {self.format}"
