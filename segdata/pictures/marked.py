"""PNGs for people: contact sheets and predictions, marked as ours so that a later run knows what it may replace."""

from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segdata.base.arrays import U8
from segdata.base.ownership import SOFTWARE

STRIP = 256  # rows that are painted at a time

Paint = Callable[[slice], U8]  # the rows of a picture: (h, W) grey levels or ids, or (h, W, 3) colours


def png_bytes(picture: U8) -> bytes:
    """(H, W) grey levels or ids, or (H, W, 3) colours, as a PNG file."""
    buffer = BytesIO()
    write_png(buffer, (picture.shape[0], picture.shape[1]), lambda rows: picture[rows])
    return buffer.getvalue()


def write_png(file: BinaryIO, size: tuple[int, int], paint: Paint) -> None:
    """The same for a picture (H, W) of which only some rows exist at a time; Pillow alone holds it whole."""
    about = PngInfo()
    keyword, text = SOFTWARE.decode().split("\0")
    about.add_text(keyword, text)
    first = Image.fromarray(paint(slice(0, STRIP)))
    image = Image.new(first.mode, size[::-1])
    image.paste(first, (0, 0))
    for top in range(STRIP, size[0], STRIP):
        image.paste(Image.fromarray(paint(slice(top, top + STRIP))), (0, top))
    image.save(file, "PNG", pnginfo=about)
