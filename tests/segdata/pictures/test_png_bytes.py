"""The bytes of label PNGs are zlib's, from either library. That they stay what they are, test_pins.py holds."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from zlib_ng import zlib_ng

from segdata.errors import CodecError
from segdata.pictures import bands, png


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


def label_map(seed: int, height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Boxes and ellipses of few ids over each other, as label maps are."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.uint8)
    for _ in range(40):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(1, width // 3)), int(rng.integers(1, height // 3)))
        cv2.ellipse(labels, centre, axes, float(rng.integers(180)), 0, 360, int(rng.choice([*range(20), 255])), -1)
    return labels


def photograph(seed: int, height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """A smooth picture with a little noise, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (smooth.astype(int) + rng.integers(-4, 5, smooth.shape)).clip(0, 255).astype(np.uint8)


def standard(labels: NDArray[np.uint8]) -> bytes:
    """What `encode_labels` promises, written with the standard library and a loop."""
    up = np.diff(labels.astype(int), axis=0, prepend=np.zeros((1, labels.shape[1]), int)) % 256
    deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    data = deflate.compress(b"".join(b"\x02" + bytes(row.tolist()) for row in up)) + deflate.flush()
    header = struct.pack(">II5B", labels.shape[1], labels.shape[0], 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    framed = [len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4) for kind, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_bytes_are_those_of_zlib(data: st.DataObject) -> None:
    """Small label maps of few and of many values: the bytes of the standard library's zlib."""
    shape = (data.draw(st.integers(1, 60)), data.draw(st.integers(1, 90)))
    values = data.draw(st.sampled_from([2, 20, 256]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    labels = np.repeat(rng.integers(0, values, shape, np.uint8), data.draw(st.integers(1, 40)), axis=1)
    assert png.encode_labels(labels) == standard(labels)


def maps() -> list[NDArray[np.uint8]]:
    """Label maps of many deflate blocks: shapes, smooth, noise, constant, stripes of every width."""
    rng = np.random.default_rng(0)
    stripes = np.repeat(np.arange(400) % 251, np.arange(400) % 300 + 1)[:50000].reshape(200, 250)
    maps = [label_map(0, 1024, 2048), rng.integers(0, 20, (512, 512)), rng.integers(0, 256, (300, 700))]
    maps += [np.zeros((1000, 1000)), stripes, photograph(0, 600, 800)[..., 0]]
    return [each.astype(np.uint8) for each in maps]


@pytest.mark.parametrize("number", range(6))
def test_zlib_and_zlib_ng_write_the_same_bytes(number: int) -> None:
    """Label maps of many deflate blocks, from both libraries; Pillow reads them back."""
    labels = maps()[number]
    assert png.DEFLATE is zlib_ng
    assert png.encode_labels(labels) == standard(labels)
    assert np.array_equal(by_pillow(png.encode_labels(labels)), labels)
    assert np.array_equal(png.decode(png.encode_labels(labels)), labels)


def test_without_the_fast_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library alone reads and writes the same."""
    image, labels = photograph(4), label_map(4)
    fast = png.encode_image(image), png.encode_labels(labels)
    for name in ("INFLATE_IMAGE", "INFLATE_LABELS", "DEFLATE"):
        monkeypatch.setattr(png, name, zlib)
    monkeypatch.setattr(bands, "adler32", zlib.adler32)
    assert (png.encode_image(image), png.encode_labels(labels)) == fast
    assert np.array_equal(png.decode(fast[0], window=(9, 9, 30, 30)), image[9:39, 9:39])
    assert np.array_equal(png.decode(fast[1]), labels)


@pytest.mark.parametrize("shape", [(3, 4, 3), (4,), (0, 5)])
def test_a_label_map_is_refused_if_it_is_none(shape: tuple[int, ...]) -> None:
    """Only (H, W) uint8 with at least one pixel is a label map."""
    with pytest.raises(CodecError, match=r"expected uint8 \(H, W\)"):
        png.encode_labels(np.zeros(shape, np.uint8))


def test_an_image_is_refused_if_it_is_none() -> None:
    """Only (H, W, 3) uint8 is an image."""
    for wrong in (np.zeros((3, 4), np.uint8), np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 3), np.uint16)):
        with pytest.raises(CodecError, match=r"expected uint8 \(H, W, 3\)"):
            png.encode_image(wrong)
