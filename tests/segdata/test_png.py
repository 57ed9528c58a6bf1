"""The PNG codec against Pillow, OpenCV, zlib and a slow encoder of the tests' own."""

import hashlib
import io
import itertools
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from zlib_ng import zlib_ng

from segdata import png
from segdata.errors import CodecError

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
    header = png.inspect(data)
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
@pytest.mark.parametrize("seed", range(3))
def test_every_filter_on_every_picture(code: int, seed: int) -> None:
    """Label maps, photographs and noise, all rows by one filter: as Pillow reads them."""
    noise = np.random.default_rng(seed).integers(0, 256, (20, 50, 3), np.uint8)
    for picture in (label_map(seed, 30, 70), photograph(seed, 20, 50), noise):
        data = wrap(zlib.compress(stream(picture, [code], 8)), picture.shape, 2 if picture.ndim == 3 else 0)
        assert np.array_equal(by_pillow(data), picture)
        assert np.array_equal(png.decode(data), picture)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_reads_what_pillow_writes(mode: str) -> None:
    """Pillow's files, its filters chosen row by row, give Pillow's arrays."""
    image = Image.fromarray(photograph(1))
    image = Image.fromarray(photograph(1)[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    image.save(file := io.BytesIO(), "png")
    assert np.array_equal(png.decode(file.getvalue()), by_pillow(file.getvalue()))


@pytest.mark.parametrize("filters", ["IMWRITE_PNG_ALL_FILTERS", "IMWRITE_PNG_FILTER_AVG", "IMWRITE_PNG_FILTER_SUB"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_reads_what_opencv_writes(filters: str, kind: type[np.unsignedinteger]) -> None:
    """OpenCV's files of 8 and 16 bits, in RGB and grey, give the samples back."""
    picture = photograph(2).astype(kind) * (257 if kind is np.uint16 else 1)
    for given_, written in ((picture, picture[..., ::-1]), (picture[..., 0], picture[..., 0])):
        done, data = cv2.imencode(".png", written, [cv2.IMWRITE_PNG_FILTER, getattr(cv2, filters)])
        assert done
        assert np.array_equal(png.decode(data.tobytes()), given_)


# ---- bytes that are not the picture they claim to be

GOOD = wrap(zlib.compress(stream(label_map(1, 20, 30), [2, 4], 8)), (20, 30), cuts=3)
RGB = wrap(zlib.compress(stream(photograph(1, 20, 30), [0, 1, 2, 3, 4], 8)), (20, 30), 2, cuts=3)
END = chunk(b"IEND", b"")


def with_header(width: int = 30, height: int = 20, rest: tuple[int, ...] = (8, 0, 0, 0, 0)) -> bytes:
    return png.SIGNATURE + chunk(b"IHDR", struct.pack(">II5B", width, height, *rest)) + GOOD[33:]


FAULTS = {
    "the file is empty": b"",
    "found b'BM6.*expected the signature": b"BM6\x00" + GOOD,
    "found b'.x89PNG': *expected the signature|found b'.x89PNG', expected": GOOD[:4],
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


ROWS = stream(label_map(1, 20, 30), [2, 4], 8)
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
    data = wrap(IMAGE_FAULTS[message], (20, 30))
    png.inspect(data)
    with pytest.raises(CodecError, match=message):
        png.decode(data)


def test_a_window_looks_no_further_than_it_needs() -> None:
    """Damage behind the window's last row is not seen; damage before it is."""
    picture = photograph(3)
    data = wrap(zlib.compress(stream(picture, [4], 8)), picture.shape, 2, cuts=50)
    broken = bytearray(data)
    broken[-100] ^= 1
    assert np.array_equal(png.decode(bytes(broken), window=(0, 0, 48, 9)), picture[:48, :9])
    for window in (None, (90, 0, 6, 128)):
        with pytest.raises(CodecError, match="CRC-32 of IDAT"):
            png.decode(bytes(broken), window=window)


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 29, 1, 2), (19, 0, 2, 1), (0, 0, 0, 1), (0, 0, 1, -1)])
def test_a_window_lies_inside(window: tuple[int, int, int, int]) -> None:
    """A window that leaves the picture, or is empty, is refused."""
    with pytest.raises(CodecError, match="is not inside 20 rows of 30 pixels"):
        png.decode(GOOD, window=window)


def test_a_bomb_is_not_inflated() -> None:
    """Image data of 256 MB behind a header of 20x30 costs no memory to refuse."""
    bomb = wrap(zlib.compress(bytes(2**28), 9), (20, 30))
    tracemalloc.start()
    with pytest.raises(CodecError, match="goes on after the expected 620"):
        png.decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**21


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


def decoded(data: bytes, window: tuple[int, int, int, int] | None = None) -> Samples | None:
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


# ---- bytes that are promised


def standard(picture: NDArray[np.uint8], strategy: int) -> bytes:
    """What the encoders promise, written with the standard library and a loop."""
    rows = picture.reshape(len(picture), -1)
    up = np.diff(rows.astype(int), axis=0, prepend=np.zeros((1, rows.shape[1]), int)) % 256
    body = zlib.compressobj(1, zlib.DEFLATED, 15, 9, strategy)
    data = body.compress(b"".join(b"\x02" + bytes(row.tolist()) for row in up)) + body.flush()
    return wrap(data, picture.shape, 2 if picture.ndim == 3 else 0)


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_bytes_are_those_of_zlib(data: st.DataObject) -> None:
    """Small pictures of few and of many values: the bytes of the standard library's zlib."""
    shape = (data.draw(st.integers(1, 60)), data.draw(st.integers(1, 90)))
    values = data.draw(st.sampled_from([2, 20, 256]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    labels, image = rng.integers(0, values, shape, np.uint8), rng.integers(0, values, (*shape, 3), np.uint8)
    repeats = data.draw(st.integers(1, 40))
    labels = np.repeat(labels, repeats, axis=1)
    assert png.encode_labels(labels) == standard(labels, zlib.Z_RLE)
    assert png.encode_image(image) == standard(image, zlib.Z_HUFFMAN_ONLY)


def pictures() -> list[NDArray[np.uint8]]:
    """Label maps and images of many deflate blocks: shapes, smooth, noise, constant, stripes of every width."""
    rng = np.random.default_rng(0)
    stripes = np.repeat(np.arange(400) % 251, np.arange(400) % 300 + 1)[:50000].reshape(200, 250)
    maps = [label_map(0, 1024, 2048), rng.integers(0, 20, (512, 512)), rng.integers(0, 256, (300, 700))]
    maps += [np.zeros((1000, 1000)), stripes, photograph(0, 600, 800)[..., 0]]
    images = [photograph(0, 500, 700), rng.integers(0, 256, (300, 300, 3)), np.zeros((400, 400, 3))]
    return [picture.astype(np.uint8) for picture in maps + images]


@pytest.mark.parametrize("number", range(9))
def test_zlib_and_zlib_ng_write_the_same_bytes(number: int) -> None:
    """Pictures of many deflate blocks, under both strategies, from both libraries; Pillow reads them back."""
    picture = pictures()[number]
    encode = png.encode_image if picture.ndim == 3 else png.encode_labels
    strategy = zlib.Z_HUFFMAN_ONLY if picture.ndim == 3 else zlib.Z_RLE
    assert png.DEFLATE is zlib_ng
    assert encode(picture) == standard(picture, strategy)
    assert np.array_equal(by_pillow(encode(picture)), picture)
    assert np.array_equal(png.decode(encode(picture)), picture)


def test_bytes_do_not_change() -> None:
    """The digest of fixed pictures; regenerate only with a new format revision of the shards:

    python -c "import test_png as t; print(t.digest())" in tests/segdata
    """
    assert digest() == "b646a8fb71b823689a75523cf36e43b2293a936f8d8e0ed1295a69efcb731e8c"


def digest() -> str:
    """SHA-256 over what the encoders write of pictures that are plain arithmetic."""
    y, x = np.mgrid[:300, :400]
    maps = [(x // 37 + y // 23) % 20, (x * y >> 9) % 256, np.minimum((x - 200) ** 2 + (y - 150) ** 2 >> 11, 255)]
    images = [np.stack([x, y, x ^ y], axis=2), np.stack([(x * x + y * k) >> 5 for k in range(3)], axis=2)]
    sha = hashlib.sha256()
    for picture in maps:
        sha.update(png.encode_labels(picture.astype(np.uint8)))
    for picture in images:
        sha.update(png.encode_image(picture.astype(np.uint8)))
    return sha.hexdigest()


def test_without_the_fast_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library alone reads and writes the same."""
    image, labels = photograph(4), label_map(4)
    fast = png.encode_image(image), png.encode_labels(labels)
    for name in ("INFLATE_IMAGE", "INFLATE_LABELS", "DEFLATE"):
        monkeypatch.setattr(png, name, zlib)
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
