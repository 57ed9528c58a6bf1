"""The PNG codec against Pillow, OpenCV, zlib and a tiny encoder of the tests' own."""

import io
import struct
import zlib
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from segdata import png

Bytes = NDArray[np.uint8]


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk, as section 5.3 of the standard lays it out."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def predict(code: int, a: int, b: int, c: int) -> int:
    """Section 9 of the standard, word by word."""
    if code == 4:
        estimate = a + b - c
        distances = [abs(estimate - value) for value in (a, b, c)]
        return (a, b, c)[distances.index(min(distances))]
    return (0, a, b, (a + b) // 2)[code]


def filter_rows(rows: Bytes, codes: list[int], step: int) -> bytes:
    """Filter the rows (H, N) by the given codes, one byte after the other."""
    out = bytearray()
    for y, code in enumerate(codes):
        out.append(code)
        for x in range(rows.shape[1]):
            a = int(rows[y, x - step]) if x >= step else 0
            b = int(rows[y - 1, x]) if y else 0
            c = int(rows[y - 1, x - step]) if y and x >= step else 0
            out.append((int(rows[y, x]) - predict(code, a, b, c)) % 256)
    return bytes(out)


def write_png(picture: Bytes, codes: list[int], cuts: int = 1) -> bytes:
    """Encode (H, W) or (H, W, C) with the given filters and the image data cut into about `cuts` chunks."""
    height, width, channels = (*picture.shape, 1)[:3]
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    body = zlib.compress(filter_rows(picture.reshape(height, -1), codes, channels))
    length = -(-len(body) // cuts)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    bodies = b"".join(chunk(b"IDAT", body[at : at + length]) for at in range(0, len(body), length))
    return png.SIGNATURE + header + bodies + chunk(b"IEND", b"")


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


@st.composite
def files(draw: st.DrawFn) -> tuple[Bytes, bytes]:
    """A picture of one to four channels and its PNG, filters drawn row by row."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 12))
    channels = draw(st.sampled_from(((), (2,), (3,), (4,))))
    picture = draw(arrays(np.uint8, (height, width, *channels)))
    codes = draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    return picture, write_png(picture, codes, draw(st.integers(1, 5)))


@given(files())
@settings(deadline=None)
def test_decodes_what_was_written(file: tuple[Bytes, bytes]) -> None:
    """Any filters, any cut of the image data: the pixels that were written, as Pillow reads them."""
    picture, data = file
    assert np.array_equal(png.decode(data), picture)
    assert np.array_equal(by_pillow(data), picture)
    assert png.inspect(data).channels == (*picture.shape, 1)[2]


@given(files())
@settings(max_examples=30, deadline=None)
def test_window_is_the_crop_of_the_whole(file: tuple[Bytes, bytes]) -> None:
    """Every window of a small picture equals the crop."""
    picture, data = file
    height, width = picture.shape[:2]
    for top, left in product(range(height), range(width)):
        for bottom, right in {(top + 1, left + 1), (height, left + 1), (top + 1, width), (height, width)}:
            crop = png.decode(data, window=(top, left, bottom - top, right - left))
            assert np.array_equal(crop, picture[top:bottom, left:right])
