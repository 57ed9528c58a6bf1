"""Bytes that are not the picture they claim to be: planted faults one by one, and random damage."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segdata.errors import CodecError
from segdata.pictures import png
from tests.support.memory import peak


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk as section 5.3 of the standard lays it out."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def wrap(data: bytes, color: int = 0, cuts: int = 3) -> bytes:
    """A PNG of 20 rows of 30 pixels, its compressed image data cut into `cuts` chunks."""
    edges = [len(data) * i // cuts for i in range(cuts + 1)]
    bodies = b"".join(chunk(b"IDAT", data[a:b]) for a, b in itertools.pairwise(edges))
    return png.SIGNATURE + chunk(b"IHDR", struct.pack(">II5B", 30, 20, 8, color, 0, 0, 0)) + bodies + END


def random_rows(length: int) -> bytes:
    """Twenty filtered rows: the five filters in turn, then any bytes; every such stream is some picture."""
    rng = np.random.default_rng(length)
    return b"".join(bytes([y % 5]) + rng.integers(0, 4, length, np.uint8).tobytes() for y in range(20))


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


END = chunk(b"IEND", b"")
ROWS = random_rows(30)
GOOD = wrap(zlib.compress(ROWS))
RGB = wrap(zlib.compress(random_rows(90)), 2)


def with_header(width: int = 30, height: int = 20, rest: tuple[int, ...] = (8, 0, 0, 0, 0)) -> bytes:
    return png.SIGNATURE + chunk(b"IHDR", struct.pack(">II5B", width, height, *rest)) + GOOD[33:]


FAULTS = {
    "the file is empty": b"",
    "found b'BM6.*expected the signature": b"BM6\x00" + GOOD,
    "found b'.x89PNG', expected the signature": GOOD[:4],
    "truncated: 0 bytes after the signature": GOOD[:8],
    "truncated: chunk IHDR of 13 bytes at 8, 12 follow": GOOD[:32],
    "truncated: chunk IDAT of": GOOD[:60],
    "truncated: 0 bytes after chunk IDAT": GOOD[:-12],
    "truncated: 11 bytes after chunk IDAT": GOOD[:-1],
    "7 bytes after IEND, expected none": GOOD + b"trailer",
    "first chunk is IDAT": png.SIGNATURE + GOOD[33:],
    "CRC-32 of IHDR at 8 is": GOOD[:20] + bytes([GOOD[20] ^ 1]) + GOOD[21:],
    "CRC-32 of IDAT at 33 is": GOOD[:44] + bytes([GOOD[44] ^ 128]) + GOOD[45:],
    "no IDAT chunk before IEND": GOOD[:33] + END,
    "chunk tEXt between two IDAT": GOOD[:33] + chunk(b"IDAT", b"") + chunk(b"tEXt", b"a\0b") + GOOD[33:],
    "chunk IHDR is critical": GOOD[:33] + GOOD[8:],
    "chunk ABCD is critical": GOOD[:33] + chunk(b"ABCD", b"") + GOOD[33:],
    "declared size 0x20": with_header(width=0),
    "declared size 30x0": with_header(height=0),
    "declared size 2147483647x2147483647, expected 1 to": with_header(2**31 - 1, 2**31 - 1),
    "bytes cannot hold 16384x16384 pixels": with_header(2**14, 2**14),
    "colour type 5 with 8 bits": with_header(rest=(8, 5, 0, 0, 0)),
    "colour type 2 with 4 bits": with_header(rest=(4, 2, 0, 0, 0)),
    "compression 1, filter 0, interlace 0": with_header(rest=(8, 0, 1, 0, 0)),
    "interlace 2; expected": with_header(rest=(8, 0, 0, 0, 2)),
    "no PLTE chunk before IDAT": with_header(rest=(8, 3, 0, 0, 0)),
}


@pytest.mark.parametrize("message", FAULTS)
def test_faults_of_the_container(message: str) -> None:
    """Each is refused by `inspect` and by `decode` with one line that names what was found."""
    for read in (png.inspect, png.decode):
        with pytest.raises(CodecError, match=message) as caught:
            read(FAULTS[message])
        assert "\n" not in str(caught.value)


WHOLE = zlib.compress(ROWS)
IMAGE_FAULTS = {
    "cannot be inflated": WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]),  # the Adler-32
    "ends early: 620 of 620 bytes and the Adler-32": WHOLE[:-4],
    "ends early: 589 of 620": zlib.compress(ROWS[:-31]),
    "goes on after the expected 620": zlib.compress(ROWS + b"0"),
    "goes on after the expected 620 bytes$": WHOLE + b"0",
    "row 3 has filter 5, expected 0 to 4": zlib.compress(ROWS[: 31 * 3] + b"\x05" + ROWS[31 * 3 + 1 :]),
}


@pytest.mark.parametrize("message", IMAGE_FAULTS)
@pytest.mark.parametrize("library", [None, zlib])
def test_faults_of_the_image_data(message: str, library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without fault around image data that is not the picture: found by every inflater."""
    if library:
        monkeypatch.setattr(png, "INFLATE_LABELS", library)
    data = wrap(IMAGE_FAULTS[message])
    png.inspect(data)
    with pytest.raises(CodecError, match=message):
        png.decode(data)


def test_a_window_looks_no_further_than_it_needs() -> None:
    """Damage behind the window's last row is not seen; damage before it is."""
    broken = bytearray(RGB)
    broken[-30] ^= 1  # in the last of three chunks
    assert np.array_equal(png.decode(bytes(broken), window=(0, 0, 8, 9)), by_pillow(RGB)[:8, :9])
    for window in (None, (18, 0, 2, 30)):
        with pytest.raises(CodecError, match="CRC-32 of IDAT"):
            png.decode(bytes(broken), window=window)


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 29, 1, 2), (19, 0, 2, 1), (0, 0, 0, 1), (0, 0, 1, -1)])
def test_a_window_lies_inside(window: tuple[int, int, int, int]) -> None:
    """A window that leaves the picture, or is empty, is refused."""
    with pytest.raises(CodecError, match="is not inside 20 rows of 30 pixels"):
        png.decode(GOOD, window=window)


def test_a_bomb_is_not_inflated() -> None:
    """Image data of 256 MB behind a header of 20x30 costs no memory to refuse."""
    bomb = wrap(zlib.compress(bytes(2**28), 9))

    def refuse() -> None:
        with pytest.raises(CodecError, match="goes on after the expected 620"):
            png.decode(bomb)

    assert peak(refuse, 2**21) < 2**21


def reseal(data: bytearray) -> bytes:
    """Correct the CRC-32 of every chunk, so that the damage reaches the decoder behind it."""
    at = 8
    while at + 12 <= len(data) and (length := int.from_bytes(data[at : at + 4])) <= len(data) - at - 12:
        end = at + 8 + length
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(data)


FLIPS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), max_size=4)


def damaged(data: bytes, flips: list[tuple[int, int]], cut: int) -> bytearray:
    broken = bytearray(data[: len(data) - cut])
    for at, mask in flips:
        broken[at % len(broken)] ^= mask
    return broken


def decoded(data: bytes, window: tuple[int, int, int, int] | None = None) -> NDArray[np.uint8] | None:
    try:
        return png.decode(data, window=window)
    except CodecError:
        return None


@given(st.sampled_from([GOOD, RGB]), FLIPS, st.integers(0, 40))
@settings(deadline=None, max_examples=300)
def test_damage_is_an_error_or_out_of_sight(data: bytes, flips: list[tuple[int, int]], cut: int) -> None:
    """Bytes flipped or cut off: the whole is refused, a window too unless the damage lies behind it."""
    broken = bytes(damaged(data, flips, cut))
    original = by_pillow(data)
    assert (decoded(broken) is None) == (broken != data)
    top = decoded(broken, (0, 0, 2, 30))
    assert top is None or np.array_equal(top, original[:2])


@given(st.sampled_from([GOOD, RGB]), FLIPS, st.integers(0, 40))
@settings(deadline=None, max_examples=300)
def test_damage_under_mended_checksums(data: bytes, flips: list[tuple[int, int]], cut: int) -> None:
    """Damage that no CRC-32 shows: an error, or the picture that Pillow sees; a window never crashes."""
    broken = reseal(damaged(data, flips, cut))
    whole, top = decoded(broken), decoded(broken, (0, 0, 2, 30))
    if whole is not None:
        assert np.array_equal(whole, by_pillow(broken))
        assert top is None or np.array_equal(top, whole[:2, :30])
