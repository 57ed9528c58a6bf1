"""The PNG codec against Pillow, OpenCV, zlib and a slow encoder of the tests' own."""

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from segdata.pictures import png

Samples = NDArray[np.uint8] | NDArray[np.uint16]
COLOR_TYPES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # channels of each
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
KINDS += [(color, depth) for color in (2, 4, 6) for depth in (8, 16)]
ADAM7 = "16462646 77777777 56565656 77777777 36463646 77777777 56565656 77777777"  # section 8.1, the figure
FILTERS = st.lists(st.integers(0, 4), min_size=1)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk as section 5.3 lays it out."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def predict(code: int, a: int, b: int, c: int) -> int:
    """Section 9.2, word by word."""
    if code == 4:
        distances = [abs(a + b - c - value) for value in (a, b, c)]
        return (a, b, c)[distances.index(min(distances))]
    return (0, a, b, (a + b) // 2)[code]


def filtered(rows: list[bytes], codes: list[int], step: int) -> bytes:
    """Filter the rows one byte after the other, by the codes in turn."""
    out = bytearray()
    for y, (row, code) in enumerate(zip(rows, itertools.cycle(codes), strict=False)):
        above = rows[y - 1] if y else bytes(len(row))
        out.append(code)
        for x, value in enumerate(row):
            a, c = (row[x - step], above[x - step]) if x >= step else (0, 0)
            out.append((value - predict(code, a, above[x], c)) % 256)
    return bytes(out)


def packed(samples: Samples, depth: int) -> list[bytes]:
    """Rows of samples as bytes: the bits of each, highest first, the last byte filled up with zeros."""
    texts = ["".join(f"{value:0{depth}b}" for value in row) for row in samples.reshape(len(samples), -1)]
    return [bytes(int(text[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(text), 8)) for text in texts]


def stream(picture: Samples, codes: list[int], depth: int, *, interlaced: bool = False) -> bytes:
    """The filtered image data of (H, W) or (H, W, C), whole or as the passes of Adam7."""
    step = max(1, picture[0, 0].size * depth // 8)
    if not interlaced:
        return filtered(packed(picture, depth), codes, step)
    height, width = picture.shape[:2]
    order = np.array([[int(digit) for digit in line] for line in ADAM7.split()])
    order = np.tile(order, (-(-height // 8), -(-width // 8)))[:height, :width]
    data = b""
    for number in range(1, 8):
        where = order == number
        if where.any():
            part = picture[np.ix_(where.any(1), where.any(0))]
            data += filtered(packed(part, depth), codes, step)
    return data


def wrap(
    data: bytes, size: tuple[int, ...], color: int = 0, depth: int = 8, interlace: int = 0, cuts: int = 1
) -> bytes:
    """A PNG of the compressed image data, cut into `cuts` IDAT chunks (some may be empty)."""
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, color, 0, 0, interlace)
    edges = [len(data) * i // cuts for i in range(cuts + 1)]
    bodies = b"".join(chunk(b"IDAT", data[a:b]) for a, b in itertools.pairwise(edges))
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if color == 3 else b""
    return png.SIGNATURE + chunk(b"IHDR", header) + palette + bodies + chunk(b"IEND", b"")


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


def labels(height: int = 60, width: int = 90) -> NDArray[np.uint8]:
    """A label map: long runs, slanted and straight edges."""
    y, x = np.mgrid[:height, :width]
    return np.where(x + 2 * y > 120, x // 31 % 3, (x * x + y * y) // 900).astype(np.uint8)


def photograph(height: int = 60, width: int = 90) -> NDArray[np.uint8]:
    """A smooth picture with a little noise, (H, W, 3)."""
    y, x, channel = np.mgrid[:height, :width, :3]
    smooth = 128 + 120 * np.sin(x / 17 + channel) * np.cos(y / 23 - channel)
    return (smooth + np.random.default_rng(0).integers(-4, 5, smooth.shape)).astype(np.uint8)


@st.composite
def files(draw: st.DrawFn) -> tuple[Samples, bytes]:
    """A picture of any kind the standard has, and its PNG: any filters, cuts, interlaced or not."""
    color, depth = draw(st.sampled_from(KINDS))
    channels = COLOR_TYPES[color]
    shape = (draw(st.integers(1, 11)), draw(st.integers(1, 40)), channels)[: 2 + (channels > 1)]
    kind = np.uint16 if depth == 16 else np.uint8
    top = draw(st.sampled_from(sorted({min(2, 2**depth - 1), 2**depth - 1})))  # few values: runs, as in label maps
    picture = draw(arrays(kind, shape, elements=st.integers(0, top)))
    interlaced = draw(st.booleans())
    data = zlib.compress(stream(picture, draw(FILTERS), depth, interlaced=interlaced))
    return picture, wrap(data, shape, color, depth, int(interlaced), draw(st.integers(1, 5)))


@given(files())
@settings(deadline=None)
def test_gives_the_samples_that_were_written(file: tuple[Samples, bytes]) -> None:
    """Any kind of PNG, any filters, any cut of the image data: the stored samples, of the stored depth."""
    picture, data = file
    decoded = png.decode(data)
    assert decoded.dtype == picture.dtype
    assert np.array_equal(decoded, picture)
    header, _ = png.inspect(data)
    assert (header.height, header.width) == picture.shape[:2]
    assert header.channels == (picture.shape[2] if picture.ndim == 3 else 1)


@given(files(), st.data())
@settings(deadline=None)
def test_window_is_the_crop_of_the_whole(file: tuple[Samples, bytes], data: st.DataObject) -> None:
    """Any window, over any kind of PNG, equals the crop of the whole picture."""
    picture, encoded = file
    top, left = (data.draw(st.integers(0, n - 1)) for n in picture.shape[:2])
    height, width = (data.draw(st.integers(1, n - at)) for n, at in zip(picture.shape, (top, left), strict=False))
    crop = png.decode(encoded, window=(top, left, height, width))
    assert np.array_equal(crop, picture[top : top + height, left : left + width])
    assert crop.flags.c_contiguous


@pytest.mark.parametrize("code", range(5))
def test_every_filter_on_every_picture(code: int) -> None:
    """A label map, a photograph and noise, all rows by one filter: as Pillow reads them."""
    noise = np.random.default_rng(code).integers(0, 256, (20, 50, 3), np.uint8)
    for picture in (labels(), photograph(), noise, noise[..., 0]):
        data = wrap(zlib.compress(stream(picture, [code], 8)), picture.shape, 2 if picture.ndim == 3 else 0)
        assert np.array_equal(by_pillow(data), picture)
        assert np.array_equal(png.decode(data), picture)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_reads_what_pillow_writes(mode: str) -> None:
    """Pillow's files, its filters chosen row by row, give Pillow's arrays."""
    image = Image.fromarray(photograph())
    image = Image.fromarray(photograph()[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    image.save(file := io.BytesIO(), "png")
    assert np.array_equal(png.decode(file.getvalue()), by_pillow(file.getvalue()))


@pytest.mark.parametrize("filters", ["IMWRITE_PNG_ALL_FILTERS", "IMWRITE_PNG_FILTER_AVG", "IMWRITE_PNG_FILTER_SUB"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_reads_what_opencv_writes(filters: str, kind: type[np.unsignedinteger]) -> None:
    """OpenCV's files of 8 and 16 bits, in RGB and grey, give the samples back."""
    picture = photograph().astype(kind) * (257 if kind is np.uint16 else 1)
    for given_, written in ((picture, picture[..., ::-1]), (picture[..., 0], picture[..., 0])):
        done, data = cv2.imencode(".png", written, [cv2.IMWRITE_PNG_FILTER, getattr(cv2, filters)])
        assert done
        assert np.array_equal(png.decode(data.tobytes()), given_)
