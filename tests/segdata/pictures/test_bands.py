"""PNG that is read from the middle: plain to Pillow and zlib, every window right, every disagreement an error."""

import io
import itertools
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segdata.errors import CodecError
from segdata.pictures import png

Bytes = NDArray[np.uint8]
Window = tuple[int, int, int, int]
BAND, SEGMENT = 32, 512  # as the format has them


def by_pillow(data: bytes) -> Bytes:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


def picture(height: int, width: int, kind: str = "photograph", seed: int = 0) -> Bytes:
    """(H, W, 3): smooth with a little noise, or of one colour, or noise, or of a skewed few values."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    if kind == "flat":
        return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    if kind == "skewed":
        return (rng.geometric(0.5, (height, width, 3)) * 37 % 256).astype(np.uint8)
    y, x, channel = np.mgrid[:height, :width, :3]
    smooth = 128 + 120 * np.sin(x / 170 + channel) * np.cos(y / 23 - channel)
    return (smooth + rng.integers(-4, 5, smooth.shape)).astype(np.uint8)


def chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Type, place and length of the bodies."""
    found, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        found.append((data[at + 4 : at + 8], at + 8, length))
        at += 12 + length
    return found


def bodies(data: bytes) -> list[bytes]:
    return [data[at : at + length] for kind, at, length in chunks(data) if kind == b"IDAT"]


def mended(data: bytes) -> bytes:
    """With every CRC-32 right."""
    mended = bytearray(data)
    for _, at, length in chunks(data):
        mended[at + length : at + length + 4] = zlib.crc32(data[at - 4 : at + length]).to_bytes(4)
    return bytes(mended)


def decoded(data: bytes, window: Window | None = None) -> Bytes | None:
    try:
        return png.decode(data, window=window)
    except CodecError:
        return None


PICTURE = picture(3 * BAND + 5, 2 * SEGMENT + 77)
DATA = png.encode_image(PICTURE)
SMALL = png.encode_image(picture(BAND + 3, 20))


@st.composite
def windows(draw: st.DrawFn, height: int, width: int) -> Window:
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left))


def cut(whole: Bytes, window: Window) -> Bytes:
    top, left, height, width = window
    return whole[top : top + height, left : left + width]


@given(
    st.integers(1, 2 * BAND + 2),
    st.sampled_from([1, 2, 7, 85, SEGMENT - 1, SEGMENT, SEGMENT + 1]),
    st.sampled_from(["photograph", "flat", "noise", "skewed"]),
    st.integers(0, 2**32),
    st.data(),
)
@settings(deadline=None, max_examples=60)
def test_a_plain_png(height: int, width: int, kind: str, seed: int, data: st.DataObject) -> None:
    """Any size, any content: Pillow, OpenCV and we read what was written, the whole and a window."""
    image = picture(height, width, kind, seed)
    encoded = png.encode_image(image)
    window = data.draw(windows(height, width))
    assert np.array_equal(by_pillow(encoded), image)
    assert np.array_equal(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB), image)
    assert np.array_equal(png.decode(encoded), image)
    assert np.array_equal(png.decode(encoded, window=window), cut(image, window))


@given(windows(*PICTURE.shape[:2]))
@settings(deadline=None, max_examples=200)
def test_every_window(window: Window) -> None:
    """Windows across bands and segments are the crops of the picture."""
    crop = png.decode(DATA, window=window)
    assert np.array_equal(crop, cut(PICTURE, window))
    assert crop.flags.c_contiguous


def test_bands_stand_alone() -> None:
    """Every IDAT between the first and the last is by itself a stream: rows by Sub, Up, Up, …"""
    begin, *bands, end = bodies(DATA)
    rows = PICTURE.reshape(len(PICTURE), -1).astype(int)
    everything = b""
    for top, band in zip(range(0, len(rows), BAND), bands, strict=True):
        some = rows[top : top + BAND]
        sub = np.concatenate([[1], some[0, :3], some[0, 3:] - some[0, :-3]])
        up = np.insert(np.diff(some, axis=0), 0, 2, axis=1)
        expected = (np.vstack([sub, up]) % 256).astype(np.uint8).tobytes()
        assert zlib.decompressobj(-15).decompress(band) == expected
        everything += expected
    assert begin + end == b"\x78\x01\x03\x00" + zlib.adler32(everything).to_bytes(4)
    assert zlib.decompress(b"".join(bodies(DATA))) == everything  # zlib compares the Adler-32 too


def test_the_chunk_of_places() -> None:
    """It says where every segment starts: from there on the bits are those of the same rows without the left part."""
    kind, at, length = chunks(DATA)[1]
    numbers = np.frombuffer(DATA[at : at + length], ">u2")
    segments = numbers[2:].reshape(len(PICTURE), 3).astype(int)
    first_band = len(bodies(DATA)[1]) * 8
    assert kind == b"seEK"
    assert numbers[:2].tolist() == [BAND, SEGMENT]
    assert 0 < first_band - segments[:BAND].sum() < 74 + 4 * 259 + 32 * 12 + 12 + 3 + 7 + 33  # head, filters, end, tail


def test_only_what_a_window_needs_is_checked() -> None:
    """Damage in another band is not seen; in its own band, or in the chunk of places, it is."""
    places = [at for kind, at, _ in chunks(DATA) if kind in (b"IDAT", b"seEK")]
    seek, _, first, second, *_ = places
    window = (BAND + 3, 100, BAND - 3, 700)
    for at, seen in ((first, False), (places[-2], False), (second, True), (seek, True)):
        broken = bytearray(DATA)
        broken[at + 5] ^= 1
        if seen:
            with pytest.raises(CodecError, match="CRC-32 of"):
                png.decode(bytes(broken), window=window)
        else:
            assert np.array_equal(png.decode(bytes(broken), window=window), cut(PICTURE, window))
        with pytest.raises(CodecError, match="CRC-32 of"):
            png.decode(bytes(broken))


def test_a_chunk_of_the_same_name_is_no_obstacle() -> None:
    """Another program's seEK, of another length or content, is skipped like all that is ancillary."""
    _, at, length = chunks(DATA)[1]
    foreign = [b"", b"hello", DATA[at : at + length - 2], bytes(length)]
    for body in foreign:
        data = DATA[: at - 8] + len(body).to_bytes(4) + b"seEK" + body + b"0000" + DATA[at + length + 4 :]
        data = mended(data)
        assert np.array_equal(png.decode(data), PICTURE)
        assert np.array_equal(png.decode(data, window=(40, 600, 50, 500)), PICTURE[40:90, 600:1100])


@pytest.mark.parametrize("entry", range(2, 2 + 3 * BAND, 5))
@pytest.mark.parametrize("change", [1, -1, 300])
def test_places_that_are_wrong(entry: int, change: int) -> None:
    """One number of the first band altered, under a right checksum: no window of that band is read."""
    _, at, _ = chunks(DATA)[1]
    broken = bytearray(DATA)
    number = int.from_bytes(broken[at + 2 * entry : at + 2 * entry + 2]) + change
    broken[at + 2 * entry : at + 2 * entry + 2] = number.to_bytes(2)
    with pytest.raises(CodecError, match=r"IDAT at .* and the chunk seEK are not of each other"):
        png.decode(mended(bytes(broken)), window=(0, 0, 1, 1))
    assert np.array_equal(png.decode(mended(bytes(broken)), window=(BAND, 5, 9, 9)), PICTURE[BAND : BAND + 9, 5:14])


def test_two_wrong_places_that_add_up() -> None:
    """The sum is right, the rows are not: an error for who reads from there, the right pixels for others."""
    _, at, _ = chunks(DATA)[1]
    window = (0, 0, 8, PICTURE.shape[1])
    refused = 0
    for one, other in itertools.combinations(range(2, 2 + 3 * 8), 2):
        numbers = np.frombuffer(DATA[at : at + 4 + 6 * 8], ">u2").copy()
        numbers[one] += 1
        numbers[other] -= 1
        found = decoded(mended(DATA[:at] + numbers.tobytes() + DATA[at + 4 + 6 * 8 :]), window)
        assert found is None or np.array_equal(found, cut(PICTURE, window))
        refused += found is None
    assert refused >= 24 * 21 / 2  # all, but for those of one row


@pytest.mark.parametrize("head", [0, 3, 8, 9, 40, 100, 137])
def test_a_block_that_is_another(head: int) -> None:
    """A head that says something else, or lengths that are no code, under a right checksum."""
    _, at, _ = chunks(DATA)[3]
    broken = bytearray(DATA)
    broken[at + head] ^= 0x5A
    with pytest.raises(CodecError, match="are not of each other"):
        png.decode(mended(bytes(broken)), window=(0, 0, 1, 1))


def test_a_missing_band() -> None:
    """A chunk of another kind where the rows should be; the end of the file."""
    _, at, length = chunks(DATA)[4]
    without = mended(DATA[: at - 8] + DATA[at + length + 4 :])
    renamed = mended(DATA[: at - 4] + b"teST" + DATA[at:])
    with pytest.raises(CodecError, match="are not of each other"):
        png.decode(without, window=(BAND, 0, BAND, 9))
    with pytest.raises(CodecError, match=r"chunk teST at .*, expected the IDAT of the rows from 32 on"):
        png.decode(renamed, window=(BAND, 0, BAND, 9))
    for end in range(at - 8, at + length, 97):
        with pytest.raises(CodecError, match="truncated"):
            png.decode(DATA[:end], window=(BAND, 0, BAND, 9))


FLIPS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4)


@given(st.sampled_from([SMALL, DATA]), FLIPS, st.data())
@settings(deadline=None, max_examples=400)
def test_damage_under_mended_checksums(data: bytes, flips: list[tuple[int, int]], draw: st.DataObject) -> None:
    """Bytes changed behind the header: an error, or where the whole still decodes, the window of it."""
    broken = bytearray(data)
    for at, mask in flips:
        broken[45 + at % (len(broken) - 45)] ^= mask
    try:
        repaired = mended(bytes(broken))
    except (OverflowError, ValueError):
        repaired = bytes(broken)
    header, _ = png.inspect(data)
    window = draw.draw(windows(header.height, header.width))
    whole, part = decoded(repaired), decoded(repaired, window)
    if whole is not None and part is not None:
        assert np.array_equal(part, cut(whole, window))
