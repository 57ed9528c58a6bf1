"""JPEG, WebP and TIFF files: what is whole is known for what it is, and has the oracle's pixels; all else is told."""

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segdata.errors import CodecError, SizeError, UnsupportedError
from segdata.pictures.containers.container import Container
from segdata.pictures.containers.kinds import decode, format_of, inspect

RNG = np.random.default_rng(18)
Y, X = np.mgrid[:13, :22]
SMOOTH = np.stack([X * 9, Y * 15, X * Y], axis=2).astype(np.uint8)
RGBA = RNG.integers(0, 256, (13, 22, 4), np.uint8)
RGB, GREY = RGBA[..., :3].copy(), RGBA[..., 0].copy()
DEEP = RNG.integers(0, 1 << 16, (13, 22, 4), np.uint16)
PILLOW = {"JPEG": "JPEG", "WebP": "WEBP", "TIFF": "TIFF"}
Pixels = NDArray[Any]


def kind_of(name: str) -> str:
    return name.partition(" ")[0]


def saved(kind: str, pixels: Pixels | Image.Image, **options: Any) -> bytes:
    """As Pillow writes it."""
    buffer = BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, PILLOW.get(kind, kind), **options)
    return buffer.getvalue()


def oracle(data: bytes) -> Pixels:
    """What Pillow makes of it."""
    with Image.open(BytesIO(data)) as image:
        return np.array(image)


def camera(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def tiff(pixels: Pixels, order: str = "<", **tags: int) -> bytes:
    """A TIFF of one strip without compression; `tags` t338=2 are set, or added, or with 0 left out."""
    height, width, samples = (*pixels.shape, 1)[:3]
    body = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    entries = {256: (width,), 257: (height,), 258: (8 * pixels.itemsize,) * samples, 259: (1,)}
    entries |= {262: (2 if samples > 1 else 1,), 273: (8,), 277: (samples,), 278: (height,), 279: (len(body),)}
    entries |= {int(name[1:]): (value,) for name, value in tags.items()}
    at = 8 + len(body) + 2 + 12 * len(entries) + 4
    rows, beside = b"", b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}H", *values) if tag != 279 else struct.pack(f"{order}I", *values)
        if len(packed) > 4:
            packed, beside = struct.pack(f"{order}I", at + len(beside)), beside + packed
        rows += struct.pack(f"{order}HHI", tag, 4 if tag == 279 else 3, len(values)) + packed.ljust(4, b"\0")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(entries)) + rows + bytes(4) + beside


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(each)) + each + bytes(len(each) % 2) for kind, each in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


LOSSY, LOSSLESS = saved("WebP", SMOOTH), saved("WebP", RGB, lossless=True)
JPEG = saved("JPEG", SMOOTH)
SOF = b"\xff\xc0\x00\x11\x08"
CANVAS = struct.pack("<I3s3s", 0, (21).to_bytes(3, "little"), (12).to_bytes(3, "little"))

# name: file, colour, bits, pixels (None: what Pillow makes of the file)
WHOLE: dict[str, tuple[bytes, str, int, Pixels | None]] = {
    "JPEG": (JPEG, "RGB", 8, None),
    "JPEG progressive": (saved("JPEG", SMOOTH, progressive=True, subsampling=0), "RGB", 8, None),
    "JPEG with restarts": (saved("JPEG", SMOOTH, restart_marker_blocks=1), "RGB", 8, None),
    "JPEG grey": (saved("JPEG", GREY), "grey", 8, np.repeat(oracle(saved("JPEG", GREY))[..., None], 3, 2)),
    "JPEG upright": (saved("JPEG", SMOOTH, exif=camera(1)), "RGB", 8, None),
    "JPEG with fill bytes": (patched(JPEG, b"\xff\xdb", b"\xff\xff\xff\xdb"), "RGB", 8, None),
    "JPEG padded": (JPEG + bytes(9), "RGB", 8, None),
    "JPEG of several": (saved("MPO", Image.fromarray(SMOOTH), save_all=True,
                              append_images=[Image.fromarray(RGB)]), "RGB", 8, None),
    "WebP": (LOSSY, "RGB", 8, None),
    "WebP lossless": (LOSSLESS, "RGB", 8, RGB),
    "WebP upright": (saved("WebP", SMOOTH, exif=camera(0), icc_profile=b"profile"), "RGB", 8, None),
    "WebP with alpha": (saved("WebP", RGBA, lossless=True, exact=True), "RGBA", 8, RGB),
    "WebP lossy with alpha": (saved("WebP", np.dstack([SMOOTH, GREY])), "RGBA", 8, None),
    **{f"TIFF {name}": (tiff(pixels, order), color, bits, pixels)
       for order in "<>" for name, pixels, color, bits in (
           (f"{order} grey", GREY, "grey", 8), (f"{order} RGB", RGB, "RGB", 8),
           (f"{order} grey 16", DEEP[..., 0], "grey", 16), (f"{order} RGB 16", DEEP[..., :3], "RGB", 16))},
    "TIFF RGBA": (tiff(RGBA, t338=2), "RGBA", 8, RGBA),
    "TIFF with long places": (saved("TIFF", RGB, big_tiff=True), "RGB", 8, RGB),
    "TIFF RGBA 16": (tiff(DEEP, t338=2), "RGBA", 16, DEEP),
    **{f"TIFF {how}": (saved("TIFF", RGB, compression=how), "RGB", 8, RGB)
       for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits")},
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files(name: str) -> None:
    """Size, colour and depth are the file's; its pixels are those of Pillow, or those that were stored."""
    data, color, depth, pixels = WHOLE[name]
    container = inspect(data, kind_of(name))
    assert container == Container(kind_of(name), (13, 22), depth, color)
    expected = oracle(data)[..., :3] if pixels is None else pixels
    found = decode(data, container)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)


def overfull(rows: int = 3000) -> bytes:
    """Tags that each name nearly all of these bytes as their value."""
    size = 10 + 12 * rows
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", rows)
        + b"".join(struct.pack("<HHII", tag, 7, size, 0) for tag in range(300, 300 + rows))
        + bytes(4)
    )


DAMAGED: dict[str, tuple[bytes, type[CodecError], str]] = {
    "JPEG that is a PNG": (saved("PNG", RGB), CodecError, "begins as a PNG does, its name says JPEG"),
    "JPEG that is none": (b"GIF89a", CodecError, "found b'GIF89a', expected"),
    "JPEG with more": (JPEG + b"more", CodecError, "4 bytes after its end"),
    "JPEG of 12 bits, without tables": (b"\xff\xd8" + JPEG[JPEG.index(SOF) :][:19] + JPEG[JPEG.index(b"\xff\xda") :],
                                        CodecError, "a scan before the frame header and the tables"),
    "JPEG of two frames": (patched(JPEG, SOF, JPEG[JPEG.index(SOF) :][:19] + SOF), CodecError, "two frame headers"),
    "JPEG without a scan": (JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9", CodecError, "no frame header and scan"),
    "JPEG with a foreign marker": (patched(JPEG, b"\xff\xdb", b"\xff\x02"), CodecError, "marker ff 02 at byte"),
    "JPEG with arithmetic codes": (patched(JPEG, SOF[:2], b"\xff\xc9"), UnsupportedError, "an arithmetic-coded JPEG"),
    "JPEG without loss": (patched(JPEG, SOF[:2], b"\xff\xc3"), UnsupportedError, "a lossless JPEG"),
    "JPEG in a hierarchy": (patched(JPEG, SOF[:2], b"\xff\xc5"), UnsupportedError, "a hierarchical JPEG"),
    "JPEG of no height": (patched(JPEG, SOF + b"\x00\x0d", SOF + b"\x00\x00"), SizeError, "declare 22x0 pixels"),
    "JPEG bomb": (patched(JPEG, SOF + b"\x00\x0d\x00\x16", SOF + b"\xff\xff" * 2), SizeError, "65535x65535 pixels"),
    "WebP that is a TIFF": (tiff(RGB), CodecError, "begins as a TIFF does, its name says WebP"),
    "WebP with more": (LOSSY + b"more", CodecError, "bytes after its end"),
    "WebP without a picture": (webp((b"VP8X", CANVAS)), CodecError, "0 pictures, expected one"),
    "WebP of another size": (webp((b"VP8X", CANVAS[:-3] + b"\x0d\0\0"), (b"VP8L", LOSSLESS[20:])), CodecError,
                             "a picture of 22x13 on a canvas of 22x14"),
    "WebP bomb": (webp((b"VP8X", CANVAS[:4] + b"\xff" * 6)), SizeError, "16777216x16777216 pixels"),
    "WebP between key frames": (patched(LOSSY, LOSSY[20:21], bytes([LOSSY[20] | 1])), CodecError, "whose header"),
    "TIFF that is a WebP": (LOSSY, CodecError, "begins as a WebP does, its name says TIFF"),
    "TIFF that is none": (b"GIF89a", CodecError, "begin with b'GIF8'"),
    "TIFF of two pages": (saved("TIFF", Image.fromarray(RGB), save_all=True, append_images=[Image.fromarray(RGB)]),
                          UnsupportedError, "several pages"),
    "TIFF of floats": (saved("TIFF", GREY.astype(np.float32)), UnsupportedError, "no whole numbers from 0"),
    "TIFF with signs": (tiff(DEEP[..., 0], t339=2), UnsupportedError, "no whole numbers from 0"),
    "TIFF with a palette": (saved("TIFF", Image.fromarray(RGB).quantize(8)), UnsupportedError, "interpretation 3"),
    "TIFF of ink": (saved("TIFF", Image.fromarray(RGB).convert("CMYK")), UnsupportedError, "interpretation 5"),
    "TIFF that is a negative": (tiff(GREY, t262=0), UnsupportedError, "interpretation 0"),
    "TIFF of multiplied colours": (tiff(RGBA, t338=1), UnsupportedError, "with 4 samples"),
    "TIFF of two colours": (saved("TIFF", Image.fromarray(GREY).convert("1")), UnsupportedError, "of 1 bits"),
    "TIFF in a JPEG": (saved("TIFF", RGB, compression="jpeg"), UnsupportedError, "compression 7"),
    "TIFF of planes": (tiff(DEEP[..., :3], t284=2), UnsupportedError, "channels lie apart"),
    "TIFF of overlapping tags": (overfull(), SizeError, "tags of 36014 bytes whose values take 108030000"),
    "TIFF bomb": (tiff(GREY, t256=65535, t257=65535), SizeError, "65535x65535 pixels"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_refused(name: str) -> None:
    """One line that says what was found, of the kind that says what to do, before anything is decoded."""
    data, kind, found = DAMAGED[name]
    with pytest.raises(CodecError) as refused:
        inspect(data, kind_of(name))
    assert type(refused.value) is kind and found in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["JPEG", "JPEG progressive", "WebP", "WebP with alpha", "TIFF tiff_lzw", "TIFF RGBA 16"]
)
def test_no_part_is_taken_for_the_whole(name: str) -> None:
    """A file that was cut off anywhere is told."""
    data, kind = WHOLE[name][0], kind_of(name)
    for length in [*range(1, 80), *range(80, len(data), 7), len(data) - 2, len(data) - 1]:
        with pytest.raises(CodecError):
            decode(data[:length], inspect(data[:length], kind))


@pytest.mark.parametrize("kind", PILLOW)
def test_turned_frames(kind: str) -> None:
    """A camera's note that readers act on, or not, is told; a note that turns nothing is none."""
    for orientation, told in [(1, False), (0, False), (3, True), (6, True)]:
        container = inspect(saved(kind, SMOOTH, exif=camera(orientation)), kind)
        assert (f"orientation {orientation} in its metadata" in container.dispute) == told
        assert told or container.dispute == ""


def test_disputes_of_webp_and_jpeg() -> None:
    """An animation, and metadata whose tags would fill the memory of a reader."""
    moving = saved("WebP", Image.fromarray(RGB), save_all=True, append_images=[Image.fromarray(SMOOTH)], duration=40)
    assert "an animation" in inspect(moving, "WebP").dispute
    exif = b"Exif\0\0" + overfull()
    for kind in ("JPEG", "WebP", "PNG"):
        assert "Pillow does not open it, for" in inspect(saved(kind, SMOOTH, exif=exif), kind).dispute
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(exif)}\n{exif.hex()}", zip=True)
    assert "Pillow does not open it, for" in inspect(saved("PNG", SMOOTH, pnginfo=text), "PNG").dispute
    assert "an animation" in inspect(patched(moving, b"ANIM", b"ANIN"), "WebP").dispute  # the flag alone says it


def test_a_jpeg_of_12_bits_and_of_ink_is_known() -> None:
    """As what they are: whoever wants 8-bit RGB says so."""
    assert inspect(patched(JPEG, SOF, SOF[:4] + b"\x0c"), "JPEG").kind == "a 12-bit RGB JPEG"
    assert inspect(saved("JPEG", Image.fromarray(RGB).convert("CMYK")), "JPEG").kind == "an 8-bit CMYK JPEG"


@pytest.mark.parametrize(
    "name, kind",
    [("a.png", "PNG"), ("a.PNG", "PNG"), ("b.a/c.Jpeg", "JPEG"), ("a.jpg", "JPEG"), ("a.WEBP", "WebP"),
     ("a.TIF", "TIFF"), ("a.tiff", "TIFF"), ("a.bmp", None), ("png", "PNG"), ("a", None)],
)  # fmt: skip
def test_formats_by_names(name: str, kind: str | None) -> None:
    """By what stands behind the last dot, in capitals or not."""
    assert format_of(name) == kind


def spoiled(data: bytes) -> Iterator[bytes]:
    for _ in range(300):
        at, bit = int(RNG.integers(len(data))), 1 << int(RNG.integers(8))
        yield data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


@pytest.mark.parametrize("name", ["JPEG progressive", "WebP lossy with alpha", "WebP lossless", "TIFF packbits"])
def test_damage_never_ends_otherwise(name: str) -> None:
    """Of any flipped bit: a CodecError, or a picture of the size that the file declares."""
    kind = kind_of(name)
    told = 0
    for data in spoiled(WHOLE[name][0]):
        try:
            container = inspect(data, kind)
            pixels = decode(data, container)
        except CodecError:
            told += 1
            continue
        assert pixels.shape[:2] == container.size
    assert told
