"""What a picture says beside its pixels, and whether readers act on it. Most of this page is about PNG.

Most of it no reader applies: gAMA, cHRM, sRGB, iCCP, bKGD, pHYs, text. These readers were asked: Pillow, and so
Hugging Face's datasets, and OpenCV. What some of them act on and others do not:
an animation (acTL, fcTL, fdAT)    which picture is meant
transparency (tRNS)                three channels or four
an orientation (Exif, XMP)         turned or as stored
a chunk that one of them refuses   a picture or none
a chunk twice that may stand once  the first of them or the last
"""

import warnings
import zlib
from collections import Counter
from collections.abc import Iterable
from io import BytesIO

import numpy as np

from segdata.base.files import parsing
from segdata.errors import CodecError, SizeError
from segdata.pictures.chunks import RGB, Chunk, assemble, name_of
from segdata.pictures.containers.tags import read_tags

ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
ANIMATED = "an animation: which of its pictures is meant, readers decide differently. Save the one that is meant"
ONCE = frozenset(  # what may stand in a file once at most (5.6 of the standard, and its registered extensions)
    {b"PLTE", b"tRNS", b"cHRM", b"cICP", b"gAMA", b"iCCP", b"mDCV", b"cLLI", b"sBIT", b"sRGB", b"bKGD", b"hIST"}
    | {b"pHYs", b"eXIf", b"tIME", b"oFFs", b"pCAL", b"sCAL", b"sTER"}
)
MAX_CHUNK_BYTES = 8_000_000 - 12  # libpng's default, which OpenCV applies to a chunk with its length, type and CRC-32
EXIF = b"Exif\0\0"  # may stand before the tags
PROFILE = "Raw profile type exif"  # tags in a text, as ImageMagick writes them
COLOURED = frozenset({b"PLTE", b"tRNS", b"bKGD", b"sBIT", b"hIST"})  # whose form depends on the kind of picture
PROBE = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)  # (H, W, 3), which no turn or mirror leaves as it is
ROWS = zlib.compress(b"".join(b"\0" + row.tobytes() for row in PROBE))


def disagreement(chunks: Iterable[Chunk]) -> str:
    """Why readers would make different pictures of a PNG with these chunks; "" where they do not.

    Transparency is left to those who know what the samples mean. Pillow, which acts on most, is shown a tiny picture
    that has the same chunks, so that nothing large is decoded.
    """
    listed = list(chunks)
    if large := [(kind, body) for kind, body in listed if len(body) > MAX_CHUNK_BYTES]:
        return f"libpng takes no chunk of more than {MAX_CHUNK_BYTES} bytes, as {_names(large)} is. Save it without"
    if several := [kind for kind, times in Counter(kind for kind, _ in listed).items() if times > 1 and kind in ONCE]:
        names = ", ".join(sorted(map(name_of, several)))
        return f"more than one {names}, of which some readers take the first and others the last. Save it without them"
    others = [(kind, body) for kind, body in listed if kind not in COLOURED]
    if not others:
        return ""
    if any(kind in ANIMATION for kind, _ in others):
        return ANIMATED
    if foreign := [chunk for chunk in others if not chunk[0].isalpha() or chunk[0][2] & 32]:
        return f"libpng does not open it, for {_names(foreign)} is no name of a chunk. Save it without"
    from PIL import ExifTags, Image, ImageOps  # readers of shards, who load this file too, need none of it

    probe = assemble(PROBE.shape[1], PROBE.shape[0], RGB, [*others, (b"IDAT", ROWS)])
    try:
        with parsing("Pillow", CodecError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(probe), formats=["PNG"]) as image:
                text = image.info.get(PROFILE, "").split("\n")[3:]
                _check_exif(image.info.get("exif") or bytes.fromhex("".join(text)))
                turned = np.asarray(ImageOps.exif_transpose(image))
                orientation = image.getexif().get(ExifTags.Base.Orientation)
    except CodecError:
        return f"Pillow does not open it, for one of its chunks {_names(others)}. Save it without them"
    if np.array_equal(turned, PROBE):
        return ""
    return _told(orientation)


def turning(data: bytes, kind: str, exif: bytes) -> str:
    """Why readers would turn a file of this format (as Pillow names it), by its metadata; "" where they do not.

    `exif` is what it holds of that, which is checked before any reader sees it. Pillow reads what stands before the
    pixels, and decodes nothing.
    """
    from PIL import ExifTags, Image

    try:
        _check_exif(exif)
        with parsing("Pillow", CodecError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=[kind]) as image:
                orientation = image.getexif().get(ExifTags.Base.Orientation)
    except CodecError:
        return "Pillow does not open it, for what its metadata holds. Save it without"
    return turned_by(orientation)


def turned_by(orientation: object) -> str:
    """The same of what a note of the camera says: 2 to 8 turn or mirror, all else does nothing."""
    return _told(orientation) if orientation in range(2, 9) else ""


def _check_exif(exif: bytes) -> None:
    """Raise SizeError for tags that would take more memory than there is."""
    try:
        read_tags(exif.removeprefix(EXIF))
    except SizeError:
        raise
    except CodecError:  # readers make nothing of it
        return


def _told(orientation: object) -> str:
    return (
        f"orientation {orientation} in its metadata: some readers turn the picture, others show it as it is stored. "
        "Save it without that note, upright as its label is"
    )


def _names(chunks: Iterable[Chunk]) -> str:
    return ", ".join(sorted({name_of(kind) for kind, _ in chunks}))
