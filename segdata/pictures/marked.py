"""PNGs for people: contact sheets and predictions, marked as ours so that a later run knows what it may replace."""

from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segdata.base.arrays import U8
from segdata.base.ownership import SOFTWARE


def png_bytes(picture: U8) -> bytes:
    """(H, W) grey levels or ids, or (H, W, 3) colours, as a PNG file."""
    about = PngInfo()
    keyword, text = SOFTWARE.decode().split("\0")
    about.add_text(keyword, text)
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()
