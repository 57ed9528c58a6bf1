"""What a PNG says beside its pixels is a finding where real readers make different pixels of it, and nowhere else."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from segdata.pictures.ancillary import MAX_CHUNK_BYTES, ONCE, disagreement
from segdata.pictures.png import inspect

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 7, 3), np.uint8)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
XMP += b'<r:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/></r:RDF></x:xmpmeta>'


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """The pixels with these chunks before them."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    data, framed = file.getvalue(), b""
    for kind, body in chunks:
        framed += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    at = data.index(b"IDAT") - 4
    return data[:at] + framed + data[at:]


def exif(orientation: int) -> bytes:
    note = Image.Exif()
    note[0x0112] = orientation
    return note.tobytes()


def profile(orientation: int) -> bytes:
    """As ImageMagick stored Exif before PNG had a chunk for it."""
    data = exif(orientation)
    return b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n%s\n" % (len(data), data.hex().encode()))


def as_opencv(data: bytes) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


def as_hugging_face(data: bytes) -> np.ndarray:  # type: ignore[type-arg]
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image))


def agree(data: bytes) -> bool:
    """Whether both see the pixels as they are stored."""
    try:
        return all(np.array_equal(read(data), PIXELS) for read in (as_opencv, as_hugging_face))
    except Exception:  # a reader's own
        return False


# What Cityscapes' camera files hold comes first; then what other programs add.
HARMLESS = {
    "Cityscapes": [
        (b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0"), (b"bKGD", bytes(6)), (b"pHYs", bytes(9)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"tEXt", b"date:create\x002014-01-01"),
    ],
    "another gamma": [(b"gAMA", struct.pack(">I", 100_000))],
    "time": [(b"tIME", struct.pack(">HBBBBB", 2020, 1, 1, 0, 0, 0))],
    "HDR": [(b"cICP", b"\x09\x10\0\1")],
    "significant bits": [(b"sBIT", b"\5\6\5")],
    "a palette to choose from": [(b"PLTE", bytes(30))],
    "private": [(b"prVt", b"x")],
    "private, as large as may be": [(b"prVt", bytes(MAX_CHUNK_BYTES))],
    "private, twice": [(b"prVt", b"x"), (b"prVt", b"y")],
    "texts": [(b"tEXt", b"a\0b"), (b"tEXt", b"a\0c"), (b"iTXt", b"a\0\0\0\0\0b"), (b"iTXt", b"a\0\0\0\0\0c")],
    "upright": [(b"eXIf", exif(1)[6:])],
    "orientation that there is none": [(b"eXIf", exif(9)[6:])],
}  # fmt: skip
HARMFUL = {
    **{f"Exif {i}": [(b"eXIf", exif(i)[6:])] for i in range(2, 9)},
    "Exif with a prefix": [(b"eXIf", exif(6))],
    "a profile of ImageMagick": [(b"zTXt", profile(6))],
    "XMP": [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)],
    "Exif that is none": [(b"eXIf", b"junk")],
    "half a gamma": [(b"gAMA", b"\0")],
    "half a resolution": [(b"pHYs", b"\0")],
    "a text of gigabytes": [(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 23)))],
    "a colour profile of a method that there is none": [(b"iCCP", b"x\0\7x")],
    "a name that is none": [(b"prvt", b"x")],
    "a chunk of megabytes": [(b"prVt", bytes(MAX_CHUNK_BYTES + 1))],
    "Exif of megabytes": [(b"eXIf", exif(1)[6:] + bytes(MAX_CHUNK_BYTES))],
    **{f"Exif {i}, then upright": [(b"eXIf", exif(i)[6:]), (b"eXIf", exif(1)[6:])] for i in (3, 6, 8)},
    "upright, then Exif 6": [(b"eXIf", exif(1)[6:]), (b"eXIf", exif(6)[6:])],
}


@pytest.mark.parametrize("chunks", HARMLESS.values(), ids=HARMLESS)
def test_what_no_reader_acts_on(chunks: list[tuple[bytes, bytes]]) -> None:
    """Passes, as readers agree."""
    assert agree(png(*chunks))
    assert disagreement(inspect(png(*chunks))[1]) == ""


@pytest.mark.parametrize("chunks", HARMFUL.values(), ids=HARMFUL)
def test_what_some_readers_act_on(chunks: list[tuple[bytes, bytes]]) -> None:
    """Is told in the same words each time: they go into dataset.json."""
    assert not agree(png(*chunks))
    said = disagreement(inspect(png(*chunks))[1])
    assert "Save it without" in said
    assert "object at" not in said
    assert disagreement(inspect(png(*chunks))[1]) == said


@pytest.mark.parametrize("kind", sorted(ONCE))
def test_what_may_stand_once(kind: bytes) -> None:
    """Twice is told by its name, whatever it says: which of them counts is not defined."""
    assert f"more than one {kind.decode()}, " in disagreement([(kind, b"x"), (b"tEXt", b"a\0b"), (kind, b"x")])


@pytest.mark.parametrize("kind", [b"acTL", b"fcTL", b"fdAT"])
def test_animations(kind: bytes) -> None:
    """Readers show the picture itself or the first frame, which may be another one."""
    assert "animation" in disagreement(inspect(png((kind, bytes(26))))[1])
