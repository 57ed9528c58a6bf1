"""Mutants of every kind of file that a command reads: whatever they hold, our error or a finding, in little memory."""

import io
import json
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segdata.base.canonical import digest_bytes, digest_file, digest_sample, digest_source
from segdata.checking.verify import verify
from segdata.decoders import decode_sample
from segdata.errors import SegdataError
from segdata.format.index import write_index
from segdata.format.manifest import FILE, SIDE, SUMS, manifest_bytes
from segdata.format.receipt import read_receipt
from segdata.labels.taxonomy import load_taxonomy, read_taxonomy
from segdata.looking.diff import diff
from segdata.looking.stats import stats, table
from segdata.making.interop import write_dali
from segdata.pictures import png
from segdata.pictures.codecs import decode_image, decode_map, decode_planes, encode_image
from segdata.raw.tree import open_tree
from segdata.reading.shardset import ShardSet
from tests.support.fuzzing import survivors

Read = Callable[[bytes], object]
SIZE = (16, 24)
RNG = np.random.default_rng(0)
IMAGE, IDS = RNG.integers(0, 256, (*SIZE, 3), np.uint8), RNG.integers(0, 11, SIZE, np.uint8)
WEIRD = (None, True, "", "x", "\ud800", "a\0b", "../x", -1, 0, 2**31, 2**64, 10**400, 0.5, 1e999, -1e999, [], {}, [[]])


def each(*reads: Callable[[], object]) -> None:
    """All of them, though one fails. Raises the last of our errors, or one for want of memory."""
    errors = []
    for read in reads:
        try:
            read()
        except SegdataError as error:
            errors.append(error)
    for error in sorted(errors, key=lambda error: not isinstance(error.__cause__, MemoryError)):
        raise error


def odd(document: Any, seed: bytes) -> bytes:
    """The document with an odd value in one place: a mutant that every parser takes."""
    draw = random.Random(seed)
    whole = at = json.loads(json.dumps(document))
    while True:
        place = draw.choice(sorted(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[place], dict | list) or not at[place] or draw.random() < 0.2:
            break
        at = at[place]
    at[place] = draw.choice(WEIRD)
    return json.dumps(whole).encode()


# ---- pictures, taxonomies, metadata ---------------------------------------------------------------------------


def pillow(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, kind, **options)
    return file.getvalue()


def chunked(color: int, depth: int, interlace: int, rows: bytes, palette: bytes = b"") -> bytes:
    """A PNG of SIZE by its filtered rows."""
    head = struct.pack(">IIBBBBB", SIZE[1], SIZE[0], depth, color, 0, 0, interlace)
    bodies = [(b"IHDR", head), *[(b"PLTE", palette)] * bool(palette), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return png.SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in bodies
    )


def interlaced(bits: int) -> int:
    """Bytes of the rows of all passes, of so many bits a pixel."""
    sizes = ((len(range(y, SIZE[0], dy)), len(range(x, SIZE[1], dx))) for y, x, dy, dx in png.ADAM7)
    return sum(height * (1 + (width * bits + 7) // 8) for height, width in sizes)


def resealed(data: bytes) -> bytes:
    """The CRC-32 of every chunk made right, so that the damage reaches what is behind."""
    view, at = bytearray(data), 8
    while at + 12 <= len(view) and (length := int.from_bytes(view[at : at + 4])) <= len(view) - at - 12:
        end = at + 8 + length
        view[end : end + 4] = zlib.crc32(view[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(view)


def read_png(data: bytes) -> None:
    whole = resealed(data)
    each(
        lambda: decode_image(data),
        lambda: png.decode(whole),
        lambda: png.decode(whole, window=(3, 5, 7, 11)),
        lambda: decode_image(whole, size=SIZE),
        lambda: decode_map(whole, (0, 0, 1, 1)),
        lambda: decode_planes(whole, 4, size=(SIZE[0] // 4, SIZE[1])),
    )


def read_picture(data: bytes) -> None:
    each(lambda: decode_image(data), lambda: decode_image(data, (3, 5, 7, 11), SIZE))


META = {"key": "a", "source": "camvid", "split": "train", "height": 16, "width": 24, "image_file": "a.png"}
PARTS = {
    "image.png": png.encode_image(IMAGE),
    "target1.png": png.encode_labels(IDS),
    "coverage2.png": png.encode_labels(np.zeros((12 * SIZE[0] // 2, SIZE[1] // 2), np.uint8)),
}


def read_meta(data: bytes) -> None:
    each(*(lambda text=text: decode_sample({**PARTS, "json": text}) for text in (data, odd(META, data))))


BYTES: dict[str, tuple[bytes, Read]] = {
    "image.png": (PARTS["image.png"], read_png),
    "label.png": (PARTS["target1.png"], read_png),
    "palette.png": (chunked(3, 4, 0, (b"\1" + bytes(12)) * SIZE[0], bytes(48)), read_png),
    "of 16 bits.png": (chunked(6, 16, 0, (b"\2" + bytes(192)) * SIZE[0]), read_png),
    "interlaced.png": (chunked(2, 8, 1, bytes(interlaced(24))), read_png),
    "of 1 bit, interlaced.png": (chunked(0, 1, 1, bytes(interlaced(1))), read_png),
    "baseline.jpg": (encode_image(IMAGE, "jpeg"), read_picture),
    "progressive.jpg": (pillow("JPEG", progressive=True, comment=b"x"), read_picture),
    "lossless.webp": (encode_image(IMAGE, "webp"), read_picture),
    "lossy.webp": (pillow("WEBP", quality=50), read_picture),
    "extended.webp": (pillow("WEBP", lossless=True, icc_profile=b"x"), read_picture),
    "taxonomy.yaml": (load_taxonomy("camvid-11").yaml().encode(), lambda data: read_taxonomy(data, "mine")),
    "sample.json": (json.dumps(META).encode(), read_meta),
}


# ---- zips -----------------------------------------------------------------------------------------------------

ZIPS = {
    "stored.zip": zipfile.ZIP_STORED,
    "deflated.zip": zipfile.ZIP_DEFLATED,
    "bzip2.zip": zipfile.ZIP_BZIP2,
    "lzma.zip": zipfile.ZIP_LZMA,
}


def zipped(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("top/train/a.png", "top/train/b.png"):
            archive.writestr(name, PARTS["target1.png"])
    return file.getvalue()


def zip_reader(folder: Path) -> Read:
    numbers = count()  # a zip of another name each: directories are kept

    def read(data: bytes) -> None:
        path = folder / f"{next(numbers)}.zip"
        path.write_bytes(data)
        try:
            tree = open_tree(path)
            contents = tree.contents(["train"])
            for refused in tree.refused.values():
                raise refused
            each(*(member.read for part in contents.get("train", ()) for member in part.members))
        finally:
            path.unlink()

    return read


# ---- files of a shard folder ----------------------------------------------------------------------------------

SHARD = "camvid-11-train-000000.tar"
RECEIPT = f"{SIDE}/receipts/camvid-11-train-000000.json"
FILES = (
    FILE,
    SUMS,
    RECEIPT,
    SHARD,
    "taxonomy.yaml",
    *(f"{SIDE}/train.{column}.npy" for column in ("keys", "places", "samples", "pixels.target1.png")),
)


class Folder:
    """A shard folder in which one file is a mutant: once as it is, once with the digests that lead to it made right."""

    def __init__(self, path: Path, good: Path, name: str) -> None:
        self.path, self.good, self.name = path, good, name
        self.document = json.loads((good / FILE).read_bytes())

    def read(self, data: bytes) -> None:
        if self.name.endswith(".json") and random.Random(data).random() < 0.7:
            data = odd(json.loads((self.good / self.name).read_bytes()), data)
        (self.path / self.name).write_bytes(data)
        each(self.use, lambda: verify(self.path))
        if self.seal(data):
            each(self.use, lambda: verify(self.path, pixels=True), lambda: diff(self.good, self.path))

    def seal(self, data: bytes) -> bool:
        """Whether there are digests to make right: not those of a manifest that is none."""
        document = json.loads(json.dumps(self.document))
        if self.name == FILE:
            try:
                document = dict(json.loads(data))
            except (ValueError, TypeError, RecursionError):
                return False
        if self.name == SHARD:
            row = document["splits"]["train"]["shards"][0]
            row["sha256"], row["bytes"] = digest_bytes(data), len(data)
            self.rewrite_receipt(row)
            self.rewrite_digests(data)
        if self.name not in {FILE, SUMS}:
            names = sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())
            lines = (f"{digest_file(self.path / name)}  {name}\n" for name in names if name not in {FILE, SUMS})
            (self.path / SUMS).write_text("".join(lines))
        if self.name != FILE:
            document["sha256sums"] = digest_file(self.path / SUMS)
        document.pop("fingerprint", None)
        (self.path / FILE).write_bytes(manifest_bytes(document))
        return True

    def rewrite_receipt(self, row: dict[str, Any]) -> None:
        receipt = json.loads((self.good / RECEIPT).read_bytes())
        (self.path / RECEIPT).write_text(json.dumps({**receipt, "sha256": row["sha256"], "size": row["bytes"]}))

    def rewrite_digests(self, shard: bytes) -> None:
        """Of the samples of the first shard, so that what a mutant's maker put into it is decoded."""
        index, path = ShardSet(self.good, "train")._files.index, self.path / SIDE / "train.samples.npy"
        digests = np.load(self.good / SIDE / "train.samples.npy")
        for i in np.flatnonzero(index.places["shard"] == 0):
            found = digest_sample(digest_source(shard[at : at + size]) for at, size in index.spans(i))
            digests[i] = np.frombuffer(bytes.fromhex(found), np.uint8)
        np.save(path, digests)

    def use(self) -> None:
        if receipt := read_receipt(self.path / RECEIPT):  # as `prepare` uses one of finished work
            write_index(self.path.parent, "x", [receipt])
            write_dali(self.path.parent, "x.tar", receipt)
        shards = ShardSet(self.path, "train")
        each(
            lambda: shards.statistics,
            lambda: [shards.pixel_digests(part) for part in shards.parts],
            *(lambda i=i: shards.read(i) for i in range(2)),
            lambda: shards.read(0, (0, 0, 8, 8)),
            lambda: table(stats(self.path)),
        )


# ---- the runs -------------------------------------------------------------------------------------------------

QUICK, SLOW = 27, 540  # mutants of a file alone; a folder's, of which each is read many times, are a third as many


@pytest.fixture(params=[QUICK, pytest.param(SLOW, marks=pytest.mark.slow)])
def many(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.parametrize("kind", BYTES)
def test_mutants_of_bytes(kind: str, many: int) -> None:
    """Pictures, taxonomies and metadata."""
    good, read = BYTES[kind]
    assert survivors(good, read, SegdataError, many) == []


@pytest.mark.parametrize("kind", ZIPS)
def test_mutants_of_zips(kind: str, many: int, tmp_path: Path) -> None:
    """Their directories and members, packed by every method."""
    good, read = zipped(ZIPS[kind]), zip_reader(tmp_path)
    read(good)
    assert survivors(good, read, SegdataError, many) == []


@pytest.mark.parametrize("name", FILES)
def test_mutants_in_a_folder(name: str, many: int, finished: Callable[..., Path], tmp_path: Path) -> None:
    """Every kind of file of a shard folder: what reads it, and `stats`, `verify` and `diff` of the folder."""
    good = finished("camvid", scales=(1, 8), rule="coverage", image_codec="jpeg", splits=("train",))
    folder = Folder(Path(shutil.copytree(good, tmp_path / "set")), good, name)
    folder.use()
    assert survivors((good / name).read_bytes(), folder.read, SegdataError, many // 3) == []
