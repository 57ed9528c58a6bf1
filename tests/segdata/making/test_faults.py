"""The planted-fault corpus: each fault alone in a dataset that is otherwise clean, found once, by its code and file."""

import json
import os
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segdata.checking.verify import verify
from segdata.errors import MissingError, SegdataError
from segdata.findings import CODES, Finding, FindingsError
from segdata.format.manifest import FILE, SUMS, manifest_bytes, read_manifest
from segdata.making.job import Job
from segdata.making.prepare import AROUND, prepare
from segdata.making.survey import PAINTED
from segdata.reading.shardset import ShardSet
from segdata.sources import source

MakeJob = Callable[..., Job]
Draw = Callable[[str], Path]
Plant = Callable[[Path], None]

# one labelled training frame of each drawn dataset: image, label
PLACES = {
    "camvid": ("train/train_0001.png", "trainannot/train_0001.png"),
    "cityscapes": (
        "leftImg8bit/train/bochum/bochum_000001_000019_leftImg8bit.png",
        "gtFine/train/bochum/bochum_000001_000019_gtFine_labelIds.png",
    ),
    "tas500": ("train/1527245932460366850.png", "train_labels_ids/1527245932460366850.png"),
}
KEYS = {"camvid": "train_0001", "cityscapes": "bochum_000001_000019", "tas500": "1527245932460366850"}


@dataclass(frozen=True)
class Fault:
    """`plant` spoils the dataset at its root; `code` and `where` are of the one finding that is due."""

    title: str
    source: str
    plant: Plant
    code: str
    where: str
    found: str = ""  # a part of the message
    lost: frozenset[str] = frozenset()  # keys that quarantine leaves out
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.source}: {self.title}"


# ---- how files are spoilt -----------------------------------------------------------------------------------


def bytes_of(path: str, change: Callable[[bytes], bytes]) -> Plant:
    return lambda root: (root / path).write_bytes(change((root / path).read_bytes())) and None


def flipped(data: bytes) -> bytes:
    at = data.index(b"IDAT") + 9
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def bomb(data: bytes) -> bytes:
    """A hundred bytes that declare 100000x100000 pixels, every CRC right."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return data[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def picture(path: str, change: Callable[[np.ndarray[Any, Any]], Any]) -> Plant:
    """Write the picture anew as what `change` makes of its pixels: an array, or an image of another mode."""

    def plant(root: Path) -> None:
        with Image.open(root / path) as image:
            made = change(np.array(image))
        (made if isinstance(made, Image.Image) else Image.fromarray(made)).save(root / path, "PNG")

    return plant


def as_mode(mode: str) -> Callable[[np.ndarray[Any, Any]], Image.Image]:
    return lambda pixels: Image.fromarray(pixels).convert(mode)


def palette(pixels: np.ndarray[Any, Any]) -> Image.Image:
    image = Image.fromarray(pixels, "L")
    image.putpalette([255 - i // 3 for i in range(768)])
    return image


def with_chunk(path: str, kind: bytes, body: bytes) -> Plant:
    """Before the image data."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def change(data: bytes) -> bytes:
        at = data.index(b"IDAT") - 4
        return data[:at] + chunk + data[at:]

    return bytes_of(path, change)


def turned(path: str) -> Plant:
    """Its pixels as they are, and a camera's note that they lie on their side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return with_chunk(path, b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))


def indexed(colors: list[tuple[int, int, int]], **options: Any) -> Callable[[np.ndarray[Any, Any]], Image.Image]:
    """A palette picture whose index i has the i-th colour, of those pixels."""

    def change(pixels: np.ndarray[Any, Any]) -> Image.Image:
        image = Image.fromarray(pixels, "P")
        image.putpalette([value for color in colors for value in color])
        image.info.update(options)
        return image

    return change


def as_train_ids(root: Path) -> None:
    """All training labels, the rest as class 19, so that every value is a legal label id."""
    from cityscapesscripts.helpers.labels import labels

    table = np.full(256, 19, np.uint8)
    for label in labels:
        if 0 <= label.trainId < 255:
            table[label.id] = label.trainId
    for path in root.glob("gtFine/train/*/*_labelIds.png"):
        picture(str(path.relative_to(root)), lambda pixels: table[pixels])(root)


def with_id(code: int) -> Callable[[np.ndarray[Any, Any]], Any]:
    def change(labels: np.ndarray[Any, Any]) -> Any:
        labels[2, 4:7] = code
        return labels

    return change


def gone(*paths: str) -> Plant:
    return lambda root: [(root / path).unlink() for path in paths] and None


def linked(path: str, target: str) -> Plant:
    def plant(root: Path) -> None:
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(target)

    return plant


def pipe(path: str) -> Plant:
    def plant(root: Path) -> None:
        (root / path).unlink()
        os.mkfifo(root / path)

    return plant


def copied(*pairs: tuple[str, str]) -> Plant:
    def plant(root: Path) -> None:
        for old, new in pairs:
            (root / new).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / old, root / new)

    return plant


def both(*plants: Plant) -> Plant:
    return lambda root: [plant(root) for plant in plants] and None


# ---- the corpus ---------------------------------------------------------------------------------------------


def anywhere(source: str) -> list[Fault]:
    """What can be wrong with one frame of any source."""
    image, label = PLACES[source]
    colors = label.replace("train_labels_ids", "train_labels")
    key = frozenset({KEYS[source]})
    unlabelled = {"camvid": 11, "cityscapes": 0, "tas500": 255}[source]
    undefined = {"camvid": 12, "cityscapes": 34, "tas500": 23}[source]

    def fault(title: str, plant: Plant, code: str, where: str, found: str = "") -> Fault:
        return Fault(title, source, plant, code, where, found, key)

    return [
        fault("truncated image", bytes_of(image, lambda data: data[:-30]), "bad-image", image, "truncated"),
        fault("truncated label", bytes_of(label, lambda data: data[:40]), "bad-image", label, "truncated"),
        fault("flipped byte in an image", bytes_of(image, flipped), "bad-image", image, "CRC"),
        fault("flipped byte in a label", bytes_of(label, flipped), "bad-image", label, "CRC"),
        fault("image that is none", bytes_of(image, lambda data: b"GIF89a" + data), "bad-image", image, "GIF89a"),
        fault("empty image", bytes_of(image, lambda data: b""), "empty-file", image),
        fault("empty label", bytes_of(label, lambda data: b""), "empty-file", label),
        fault("no label", gone(*{label, colors}), "missing-label", image),
        fault("no image", gone(image), "missing-image", label),
        fault("label of another size", picture(label, lambda a: a[:8]), "size-mismatch", label, "24x8 beside"),
        fault("RGB label", picture(label, as_mode("RGB")), "label-format", label, "8-bit RGB"),
        fault("16-bit label", picture(label, lambda a: a.astype(np.uint16)), "label-format", label, "16-bit grey"),
        fault("two-coloured label", picture(label, as_mode("1")), "label-format", label, "1-bit grey"),
        fault("transparent label", with_chunk(label, b"tRNS", b"\0\x08"), "label-format", label, "transparent pixels"),
        fault("image that some readers turn", turned(image), "reader-dependent", image, "orientation 6"),
        fault("label that some readers turn", turned(label), "reader-dependent", label, "orientation 6"),
        fault("animated image", with_chunk(image, b"acTL", bytes(8)), "reader-dependent", image, "animation"),
        fault("transparent colour", with_chunk(image, b"tRNS", bytes(6)), "reader-dependent", image, "tRNS"),
        fault("image with half a chunk", with_chunk(image, b"gAMA", b"\0"), "reader-dependent", image, "gAMA"),
        fault("RGBA image", picture(image, as_mode("RGBA")), "image-format", image, "8-bit RGBA"),
        fault("grey image", picture(image, as_mode("L")), "image-format", image, "8-bit grey"),
        fault("first undefined id", picture(label, with_id(undefined)), "unknown-id", label, f"{undefined} (3 pixels)"),
        fault("last undefined id", picture(label, with_id(254)), "unknown-id", label, "254 (3 pixels)"),
        Fault("nothing labelled", source, picture(label, lambda a: a * 0 + unlabelled),
              "nothing-labelled", f"{source} train", "1 of 4 label files have no pixel of an evaluated class"),
        fault("bomb", bytes_of(image, bomb), "too-large", image, "100000x100000"),
        fault("bomb of a label", bytes_of(label, bomb), "too-large", label, "100000x100000"),
        fault("image is a pipe", pipe(image), "unreadable", image, "a pipe, expected a regular file"),
        fault("label is a pipe", pipe(label), "unreadable", label, "a pipe, expected a regular file"),
        fault("link to nowhere", linked(image, "nowhere.png"), "bad-link", image, "to nowhere.png, where nothing is"),
        fault("link to itself", linked(label, Path(label).name), "bad-link", label, "circle"),
        fault("image of nobody", linked(image, "/dev/null"), "unreadable", image, "a device, expected a regular file"),
        Fault("folder linked in a circle", source, linked(f"{Path(image).parent}/again", "."),
              "bad-link", f"{Path(image).parent}/again", "loop"),
        Fault("folder linked upwards", source, linked(f"{Path(image).parent}/up", ".."),
              "bad-link", f"{Path(image).parent}/up", "loop"),
        Fault("folder linked out", source, linked(f"{Path(label).parent}/out", "/"),
              "bad-link", f"{Path(label).parent}/out", "loop"),
    ]  # fmt: skip


def _odd_size(source: str) -> Plant:
    image, label = PLACES[source]
    return both(picture(image, lambda a: a[:, :20]), picture(label, lambda a: a[:, :20]))


def _upright(source: str) -> Plant:
    return both(*(picture(path, lambda a: np.ascontiguousarray(np.swapaxes(a, 0, 1))) for path in PLACES[source][:2]))


def _polygons(root: Path) -> None:
    """An outline of half the picture for each frame, and for one frame of what the dataset does not define."""
    for path in root.rglob("gtFine/*/*/*_labelIds.png"):
        name = "dragon" if path.name == Path(LABEL).name else "car"
        half = {"label": name, "polygon": [[0, 0], [23, 0], [23, 7], [0, 7]]}
        polygons = path.with_name(path.name.replace("labelIds.png", "polygons.json"))
        polygons.write_text(json.dumps({"imgHeight": 16, "imgWidth": 24, "objects": [half]}))


def _city(path: str, city: str) -> str:
    return path.replace("/bochum/", f"/{city}/")


def _split(path: str) -> str:
    return path.replace("/train/", "/val/").replace("trainannot/", "valannot/").replace("train/", "val/")


def _foreign_color(root: Path) -> None:
    gone(PLACES["tas500"][1])(root)
    picture(
        "train_labels/1527245932460366850.png", lambda a: np.where(np.indices(a.shape)[1] < 2, 7, a).astype(np.uint8)
    )(root)


def without(*folders: str) -> Plant:
    return lambda root: [shutil.rmtree(root / folder) for folder in folders] and None


IMAGE, LABEL = PLACES["cityscapes"]
LABEL_IDS = PLACES["tas500"][1]
COLOURS = [label.color for label in source("tas500").labels[:23]]  # by their ids
VAL = ("lindau_000000_000019", "munster_000001_000019", "lindau_000002_000019")
FRAME, COLORS = PLACES["tas500"][0], PLACES["tas500"][1].replace("_ids", "")
CORPUS = [
    *(fault for source in PLACES for fault in anywhere(source)),
    *(
        Fault("odd size", source, _odd_size(source), "indivisible-size", PLACES[source][0], "16x20 (HxW)",
              frozenset({KEYS[source]}))
        for source in PLACES
    ),
    *(
        Fault("upright frame", source, _upright(source), "turned-size", PLACES[source][0],
              "a frame of 24x16 (HxW) would be squashed to 16x24; did you mean --size 24x16?",
              frozenset({KEYS[source]}), options={"size": (16, 24)})
        for source in PLACES
    ),
    Fault("palette label", "camvid", picture(PLACES["camvid"][1], palette), "label-format", PLACES["camvid"][1],
          "8-bit palette", frozenset({KEYS["camvid"]})),
    Fault("palette label", "cityscapes", picture(LABEL, palette), "label-format", LABEL, "8-bit palette",
          frozenset({KEYS["cityscapes"]})),
    Fault("polygons of an unknown label", "cityscapes", _polygons, "bad-polygons",
          LABEL.replace("labelIds.png", "polygons.json"), "object 0 has the label 'dragon'",
          frozenset({KEYS["cityscapes"]}), options={"labels": "polygons"}),
    Fault("an id that no file holds", "cityscapes", picture(LABEL, with_id(255)), "unknown-id", LABEL,
          "255 (3 pixels), which no label file", frozenset({KEYS["cityscapes"]})),
    Fault("train ids", "cityscapes", as_train_ids, "label-coding", "cityscapes train", "these look like train ids",
          frozenset(f"{city}_{i:06d}_000019" for i, city in enumerate(["aachen", "bochum"] * 2))),
    *(
        Fault(title, "tas500", picture(PLACES["tas500"][1], change), code, PLACES["tas500"][1], found,
              frozenset({KEYS["tas500"]}))
        for title, change, code, found in (
            ("palette of other colours", palette, "label-palette", "neither the grey of an id nor the colour"),
            ("short palette", indexed(COLOURS[:20]), "label-palette", "where the palette has 20 colours"),
            ("palette of two meanings", indexed([(0, 0, 0)] * 23), "label-palette", "may be id 0 or 255"),
            ("transparent index", indexed(COLOURS, transparency=8), "label-format", "index 8 is transparent"),
        )
    ),
    Fault("foreign colour", "tas500", _foreign_color, "unknown-color", COLORS, "(7, 7, 7) (32 pixels)",
          frozenset({KEYS["tas500"]})),
    Fault("grey colours", "tas500", both(gone(PLACES["tas500"][1]), picture(COLORS, as_mode("L"))), "label-format",
          COLORS, "8-bit grey", frozenset({KEYS["tas500"]})),
    Fault("grey colours with alpha", "tas500", both(gone(PLACES["tas500"][1]), picture(COLORS, as_mode("LA"))),
          "label-format", COLORS, "alpha", frozenset({KEYS["tas500"]})),
    Fault("orphan colours", "tas500", copied((COLORS, "train_labels/1999999999999999999.png")), "missing-image",
          "train_labels/1999999999999999999.png"),
    Fault("foreign name", "cityscapes", copied((IMAGE, "leftImg8bit/train/bochum/holiday.png")), "unexpected-name",
          "leftImg8bit/train/bochum/holiday.png"),
    Fault("foreign label name", "cityscapes", copied((LABEL, "gtFine/train/bochum/bochum_1_2_gtFine_labelIds.png")),
          "unexpected-name", "gtFine/train/bochum/bochum_1_2_gtFine_labelIds.png"),
    Fault("one key in two cities", "cityscapes",
          copied((IMAGE, _city(IMAGE, "zurich")), (LABEL, _city(LABEL, "zurich"))), "duplicate-key", IMAGE,
          _city(IMAGE, "zurich"), frozenset({KEYS["cityscapes"]})),
    Fault("two labels of one key", "cityscapes", copied((LABEL, _city(LABEL, "zurich"))), "duplicate-key", LABEL,
          _city(LABEL, "zurich"), frozenset({KEYS["cityscapes"]})),
    Fault("one key in two splits", "cityscapes", copied((IMAGE, _split(IMAGE)), (LABEL, _split(LABEL))),
          "duplicate-key", _split(IMAGE), IMAGE),
    Fault("one key in two splits", "camvid", copied(*((path, _split(path)) for path in PLACES["camvid"])),
          "duplicate-key", "val/train_0001.png", PLACES["camvid"][0]),
    *(
        Fault(f"key {key!r}", "camvid", copied(("train/train_0001.png", f"train/{key}.png"),
              ("trainannot/train_0001.png", f"trainannot/{key}.png")), "bad-key", f"train/{key}.png", repr(key))
        for key in ("a.b", "größe", "with blank", "k" * 90, "-dash")
    ),
    Fault("one frame in two splits", "camvid", copied(("train/train_0001.png", "val/val_0002.png")), "duplicate-frame",
          "val val_0002", "train_0001 in train"),
    Fault("a split without its folders", "camvid", without("test", "testannot"), "missing-split", "test", "no test"),
    Fault("a split without images", "camvid", without("val"), "missing-image", "val", "there are 3 labels",
          frozenset({f"val_{i:04d}" for i in range(3)})),
    Fault("a split without labels", "camvid", without("valannot"), "missing-label", "valannot", "there are 3 images",
          frozenset({f"val_{i:04d}" for i in range(3)})),
    Fault("a split without labels", "cityscapes", without("gtFine/val"), "missing-label", "gtFine/val",
          "place gtFine_trainvaltest.zip there, or name the splits that you want", frozenset(VAL)),
    Fault("files of another suffix", "camvid", both(copied((PLACES["camvid"][0], "train/a.tif")),
          copied((PLACES["camvid"][0], "train/b.tif"))), "unexpected-name", "train",
          "2 files .tif (such as train/a.tif), not <name>.{png,jpg,jpeg}"),
    Fault("a file of no part", "camvid", copied((PLACES["camvid"][0], "drafts/a/b.png")), "unused-file",
          "drafts/a/b.png", "not read"),
    Fault("files of no part", "camvid", both(copied((PLACES["camvid"][0], "drafts/a/b.png")),
          copied((PLACES["camvid"][0], "drafts/c.png"))), "unused-file", "drafts", "2 files .png"),
    Fault("a split of another count", "cityscapes", lambda root: (root / PAINTED).unlink(), "split-count",
          "cityscapes train", "4 frames where the release has 2975", options={"splits": ("train",)}),
]  # fmt: skip


def place(findings: list[Finding] | tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.code, finding.where) for finding in findings]


def listed(out: Path) -> list[tuple[str, str]]:
    """The findings that dataset.json lists."""
    document = read_manifest(out).document
    rows = document["warnings"] + [row for entry in document["splits"].values() for row in entry["quarantined"]]
    return [(row["code"], row["file"]) for row in rows]


def keys(out: Path) -> set[str]:
    return {key for split in read_manifest(out).splits for key in ShardSet(out, split).keys}


def expected_keys(finished: Path, fault: Fault) -> set[str]:
    splits = fault.options.get("splits", read_manifest(finished).splits)
    there = {key for split in splits for key in ShardSet(finished, split).keys} - fault.lost
    return there if fault.code != "missing-split" else {key for key in there if not key.startswith("test")}


@pytest.mark.parametrize("fault", CORPUS, ids=str)
def test_a_planted_fault(
    fault: Fault, draw: Draw, make_job: MakeJob, finished: Callable[..., Path], tmp_path: Path
) -> None:
    """Found once, by code and file. An error publishes nothing, or by quarantine all but the frame, and lists it."""
    root = draw(fault.source)
    fault.plant(root)
    job = make_job(fault.source, root, tmp_path / "set", **fault.options)
    due = [(fault.code, fault.where)]
    if CODES[fault.code][0] == "error":
        with pytest.raises(FindingsError, match="nothing was published") as stopped:
            prepare(job)
        assert place(stopped.value.findings) == due
        assert not job.out.exists()
    job = make_job(fault.source, root, tmp_path / "set", on_error="quarantine", **fault.options)
    whole = finished(fault.source)
    if any(fault.lost >= set(ShardSet(whole, split).keys) for split in read_manifest(whole).splits):
        with pytest.raises(FindingsError, match="a whole split is never left out unasked") as stopped:
            prepare(job)
        assert place(stopped.value.findings) == due
        assert not job.out.exists()
        return
    result = prepare(job)
    (finding,) = result.findings
    assert place([finding]) == due
    assert fault.found in finding.found
    assert not fault.lost or result.left_out == len(fault.lost)
    assert keys(job.out) == expected_keys(finished(fault.source), fault)
    assert listed(job.out) == (due if fault.code not in AROUND else [])
    assert verify(job.out, pixels=True) == []


@pytest.mark.parametrize("source", PLACES)
@pytest.mark.parametrize("quarantine", [False, True])
def test_the_clean_corpus(source: str, quarantine: bool, draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """No finding where nothing was planted."""
    result = prepare(make_job(source, draw(source), tmp_path / "set", on_error="quarantine" if quarantine else "fail"))
    assert result.findings == ()
    assert listed(tmp_path / "set") == []


def renumbered(color_of: Callable[[int], tuple[int, int, int]], depth: int = 8) -> Plant:
    """TAS500's label with the same ids in another order of indices, as tools leave it; `color_of` an id says which."""

    def plant(root: Path) -> None:
        path = root / PLACES["tas500"][1]
        labels = np.array(Image.open(path))
        if depth < 8:
            labels %= 1 << depth
            Image.fromarray(labels).save(path)
        used = np.unique(labels)[::-1]
        table = np.zeros(256, np.uint8)
        table[used] = np.arange(len(used))
        indexed([color_of(int(code)) for code in used])(table[labels]).save(path, "PNG", bits=depth)

    return plant


def own_color(code: int) -> tuple[int, int, int]:
    return COLOURS[code]


def own_grey(code: int) -> tuple[int, int, int]:
    return code, code, code


@pytest.mark.parametrize(
    "plant",
    [
        picture(LABEL_IDS, indexed([own_grey(i) for i in range(256)])),
        picture(LABEL_IDS, indexed([*COLOURS, *map(own_grey, range(23, 256))])),
        renumbered(own_grey),
        renumbered(own_color),
        both(gone(LABEL_IDS), picture(COLORS, lambda pixels: Image.fromarray(pixels).quantize(64))),
    ],
    ids=["greys in order", "colours in order", "greys in another order", "colours in another order", "colour map"],
)
def test_palette_labels_of_tas500(
    plant: Plant, draw: Draw, make_job: MakeJob, finished: Callable[..., Path], tmp_path: Path
) -> None:
    """A palette's colours say the ids, whatever its indices are."""
    root = draw("tas500")
    plant(root)
    job = make_job("tas500", root, tmp_path / "set")
    assert prepare(job).findings == ()
    clean, other = ShardSet(finished("tas500"), "train"), ShardSet(job.out, "train")
    for i, key in enumerate(clean.keys):
        assert np.array_equal(clean.read(i).targets[1], other.read(other.keys.index(key)).targets[1])


def test_small_palettes_of_tas500(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """Tools write few colours with 1, 2 or 4 bits a pixel: the table says what they are."""
    root = draw("tas500")
    renumbered(own_color, depth=4)(root)
    assert prepare(make_job("tas500", root, tmp_path / "set", taxonomy="tas500-23")).findings == ()
    shards = ShardSet(tmp_path / "set", "train")
    labels = np.array(Image.open(root / LABEL_IDS).convert("RGB"))
    target = shards.read(shards.keys.index(KEYS["tas500"])).targets[1]
    assert np.array_equal(np.array(COLOURS, np.uint8)[target], labels)


def test_every_fault_at_once(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """All findings are listed, not the first one alone; nothing is published; the work left over harms no later run."""
    root = draw("camvid")
    for i, name in enumerate(["train_0000", "val_0001", "test_0000"]):
        path = root / name.partition("_")[0] / f"{name}.png"
        path.write_bytes((b"", b"no picture", path.read_bytes()[:99])[i])
    job = make_job("camvid", root, tmp_path / "set")
    with pytest.raises(FindingsError, match="3 findings") as stopped:
        prepare(job)
    due = [
        ("bad-image", "test/test_0000.png"),
        ("bad-image", "val/val_0001.png"),
        ("empty-file", "train/train_0000.png"),
    ]
    assert sorted(place(stopped.value.findings)) == due
    assert not job.out.exists()
    shutil.rmtree(root)
    prepare(make_job("camvid", draw("camvid"), tmp_path / "set"))
    prepare(make_job("camvid", root, tmp_path / "fresh"))
    assert (tmp_path / "set" / SUMS).read_bytes() == (tmp_path / "fresh" / SUMS).read_bytes()


def test_a_failed_run_leaves_the_old_version(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """Where a complete version stands, a run with findings changes none of its bytes."""
    root = draw("camvid")
    job = make_job("camvid", root, tmp_path / "set")
    prepare(job)
    before = {path: path.read_bytes() for path in job.out.rglob("*") if path.is_file()}
    (root / "train/train_0002.png").write_bytes(b"")
    with pytest.raises(FindingsError):
        prepare(job)
    assert {path: path.read_bytes() for path in job.out.rglob("*") if path.is_file()} == before
    assert verify(job.out, pixels=True) == []


@pytest.mark.parametrize("plant, code", [(turned(IMAGE), "reader-dependent"), (as_train_ids, "label-coding")])
@pytest.mark.parametrize("published", [False, True])
def test_what_an_older_version_passed(
    plant: Plant, code: str, published: bool, draw: Draw, make_job: MakeJob, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Shards that stand already, of a killed run or published, are reviewed before they stand again."""
    root = draw("cityscapes")
    plant(root)
    job = make_job("cityscapes", root, tmp_path / "set")
    with monkeypatch.context() as older:
        older.setattr("segdata.pictures.containers.kinds.disagreement", lambda chunks: "")
        older.setattr("segdata.making.prepare.coding_finding", lambda *arguments: None)
        older.setattr("segdata.making.build.RULES", 0)
        if not published:
            older.setattr("segdata.making.prepare.write_side_files", lambda *arguments: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                prepare(job)
        else:
            prepare(job)
    for _ in range(2):  # what the first one leaves counts for nothing either
        with pytest.raises(FindingsError) as stopped:
            prepare(job)
        assert [finding.code for finding in stopped.value.findings] == [code]


def test_quarantine_is_deterministic(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """The same faults give the same folder: at once, in a second run over the first, and after a failed one."""
    root = draw("cityscapes")
    (root / IMAGE).write_bytes(b"")
    copied((IMAGE.replace("bochum", "aachen").replace("000001", "000000"), _split(IMAGE)))(root)
    sums = set()
    for out, quarantine in [("a", True), ("a", True), ("b", False), ("b", True)]:
        job = make_job(
            "cityscapes", root, tmp_path / out, on_error="quarantine" if quarantine else "fail", samples_per_shard=1
        )
        if quarantine:
            prepare(job)
            sums.add((job.out / SUMS).read_bytes() + (job.out / FILE).read_bytes())
        else:
            with pytest.raises(FindingsError):
                prepare(job)
    assert len(sums) == 1


def test_a_shard_of_nothing_but_faults(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """With one frame a shard, the shard of a bad frame is not published, numbers have no gap, the frame is listed."""
    root = draw("camvid")
    (root / "train/train_0001.png").write_bytes(b"")
    job = make_job("camvid", root, tmp_path / "set", on_error="quarantine", samples_per_shard=1)
    prepare(job)
    assert listed(job.out) == [("empty-file", "train/train_0001.png")]
    assert [row.name for row in read_manifest(job.out).shards("train")] == [
        f"camvid-11-train-00000{i}.tar" for i in range(3)
    ]
    assert verify(job.out, pixels=True) == []


def test_nothing_but_faults(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """Where every frame is left out there is nothing to publish: an error, no empty folder."""
    root = draw("camvid")
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(SegdataError, match="nothing of train and val and test can be used"):
        prepare(make_job("camvid", root, tmp_path / "set", on_error="quarantine"))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("source", ["cityscapes", "tas500"])
def test_the_test_split(source: str, draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """Without real labels it is skipped unless asked for, and then has no targets: dummies are no truth."""
    root = draw(source)
    prepare(make_job(source, root, tmp_path / "usual"))
    assert read_manifest(tmp_path / "usual").splits == ("train", "val")
    prepare(make_job(source, root, tmp_path / "asked", splits=("test",)))
    shards = ShardSet(tmp_path / "asked", "test")
    assert (shards.parts, shards.scales, len(shards)) == (("image.png", "json"), (), 2)
    assert shards.statistics[0] is None


def test_a_split_that_was_asked_for(draw: Draw, make_job: MakeJob, tmp_path: Path) -> None:
    """A missing folder is a warning for a usual split, an error for one that was named."""
    root = draw("camvid")
    shutil.rmtree(root / "testannot")
    with pytest.raises(MissingError, match="testannot"):
        prepare(make_job("camvid", root, tmp_path / "set", splits=("train", "test")))


# ---- faults of shard folders --------------------------------------------------------------------------------


def _without_member(folder: Path) -> None:
    path = folder / "camvid-11-train-000000.tar"
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info)) for info in tar][:-1]
        with tarfile.open(folder / "new", "w:", format=tarfile.USTAR_FORMAT) as new:
            for info, file in members:
                new.addfile(info, file)
    (folder / "new").rename(path)


def _repainted(folder: Path) -> None:
    """Other pixels in a valid PNG of the same length: its own neighbour's target."""
    places = json.loads((folder / ".segdata/receipts/camvid-11-train-000000.json").read_bytes())["samples"]
    path = folder / "camvid-11-train-000000.tar"
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        other = tar.extractfile(f"{places[1]['key']}.target8.png").read()  # type: ignore[union-attr]
    at, size = places[0]["places"]["target8.png"]
    assert size == len(other)
    data[at : at + size] = other
    path.write_bytes(data)


def _other_rule(folder: Path) -> None:
    document = dict(read_manifest(folder).document)
    del document["fingerprint"]
    document["options"]["rule"] = "stride"
    (folder / FILE).write_bytes(manifest_bytes(document))


FOLDER_FAULTS: dict[str, Plant] = {
    "missing-file": lambda folder: (folder / "README.md").unlink(),
    "extra-file": lambda folder: (folder / "extra").touch(),
    "changed-bytes": lambda folder: (folder / "README.md").write_text("") and None,
    "bad-manifest": lambda folder: (folder / FILE).write_text("{}") and None,
    "bad-member": _without_member,
    "changed-pixels": _repainted,
    "wrong-target": _other_rule,
}


@pytest.mark.parametrize("code", FOLDER_FAULTS)
def test_a_planted_fault_in_a_shard_folder(code: str, shards: Callable[..., Path]) -> None:
    """`verify --pixels` finds it by its code, beside nothing but the changed bytes of the file that holds it."""
    folder = shards()
    FOLDER_FAULTS[code](folder)
    found = {finding.code for finding in verify(folder, pixels=True)}
    assert code in found
    assert found <= {code, "changed-bytes"}


def test_the_corpus_covers_every_code() -> None:
    """No code is without a planted fault, and none is planted that is not defined."""
    of_lists = {"unknown-frame"}  # planted in tests/segdata/splits/test_division.py
    of_files = {
        "no-pair",
        "ambiguous-file",
        "no-split",
        "without-label",
    }  # planted in tests/segdata/sources/test_own.py
    assert {fault.code for fault in CORPUS} | set(FOLDER_FAULTS) | of_lists | of_files == set(CODES)
