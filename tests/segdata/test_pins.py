"""Same inputs and options, same bytes, from version to version: of shard folders, and of what goes into them.

The frames are those of tests/support/frames.py, so that a pin speaks of the conversion alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segdata import __version__
from segdata.base.canonical import (
    canonical_json,
    digest_bytes,
    digest_pixels,
    digest_sample,
    digest_source,
    pretty_json,
)
from segdata.format.manifest import CARD, FILE, SUMS, manifest_bytes
from segdata.format.receipt import inputs_digest
from segdata.labels.taxonomy import LabelMap, load_taxonomy
from segdata.making.plan import plan_split
from segdata.pictures import png
from segdata.raw.member import Member
from segdata.raw.scene import Scene
from segdata.reading.order import Permutation
from segdata.sources import source
from tests.support.frames import prepare, write_dataset
from tests.support.pinning import check, digest, libraries

SHARDS = "Undo it, or raise segdata.format.receipt.FORMAT and say in CHANGELOG.md that sets have to be prepared again"
FOLDER = (
    f"{SHARDS}. Where only what lies beside the shards has changed, and older readers read it all the same (a text of "
    "README.md, a raised segdata.labels.coding.RULES), the format stays"
)
RUNS = "Undo it, or raise segmodels.runs.run.FORMAT and say in CHANGELOG.md that unfinished runs have to start anew"

ALL = "--scale 1 --scale 2 --scale 4 --scale 8"
FOLDERS = {  # name -> height and width of the frames, and what is typed
    "camvid": (40, 56, f"camvid {ALL}"),
    "camvid stride": (40, 56, f"camvid {ALL} --rule stride"),
    "camvid coverage": (40, 56, f"camvid {ALL} --rule coverage --for energon"),
    "camvid seed": (40, 56, "camvid --seed 5 --samples-per-shard 3 --name other"),
    "camvid odd majority": (36, 52, "camvid --scale 4 --scale 2"),
    "camvid pad": (37, 53, f"camvid {ALL} --pad"),
    "camvid crop": (37, 53, f"camvid {ALL} --crop"),
    "camvid png": (40, 56, "camvid --image-codec png"),
    "cityscapes": (40, 56, f"cityscapes {ALL} --split train --split val --split test"),
    "cityscapes-coarse": (40, 56, "cityscapes --coarse --scale 8"),
    "tas500": (40, 56, f"tas500 {ALL} --full-check"),
    "tas500 colours": (40, 56, "tas500"),
}
BY_OPENCV = {  # whose pixels or bytes OpenCV computes
    "camvid half": (40, 56, "camvid --size 20x28"),
    "camvid smaller": (40, 56, f"camvid {ALL} --size 24x32"),
    "camvid larger": (40, 56, "camvid --size 64x72"),
    "camvid jpeg": (40, 56, "camvid --image-codec jpeg"),
    "camvid jpeg 80": (40, 56, "camvid --image-codec jpeg --jpeg-quality 80"),
    "camvid webp": (40, 56, "camvid --image-codec webp"),
}
TAXONOMIES = {
    "camvid": ("camvid-11",),
    "cityscapes": ("cityscapes-8", "cityscapes-10", "cityscapes-19", "cityscapes-20", "cityscapes-34"),
    "tas500": ("tas500-9", "tas500-10", "tas500-23"),
}


# ---- shard folders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FOLDERS, *BY_OPENCV])
def test_a_shard_folder(name: str, tmp_path: Path) -> None:
    """The shards, and all files beside them but for this version's number and what follows from it."""
    height, width, typed = (FOLDERS | BY_OPENCV)[name]
    write_dataset(name, tmp_path / "root", (height, width))
    prepare(typed, tmp_path / "root", tmp_path / "set")
    here = libraries("processor", "opencv", "jpeg", "webp") if name in BY_OPENCV else None
    check(f"folder {name}", digests(tmp_path / "set"), FOLDER, here)


def digests(folder: Path) -> str:
    """Of the shards, and of what lies beside them."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    document = json.loads(files[FILE])
    for name in ("sha256sums", "fingerprint"):  # of the files and of the document, versions included
        del document[name]
    sums = files.pop(SUMS).replace(digest_bytes(files[CARD]).encode(), b"")
    files |= {FILE: pretty_json(document), "sums": sums}
    shards = sorted(name for name in files if name.endswith(".tar"))
    own = f"segdata {__version__}".encode()
    beside = [part for name in sorted(files.keys() - shards) for part in (name, files[name].replace(own, b"segdata"))]
    return f"shards {digest(*(part for name in shards for part in (name, files[name])))}, beside {digest(*beside)}"


# ---- what goes into them ------------------------------------------------------------------------------------


def test_label_pngs_and_image_pngs() -> None:
    """What both encoders write of pictures with many bands and blocks of deflate."""
    y, x = np.mgrid[:300, :400]
    maps = [(x // 37 + y // 23) % 20, (x * y >> 9) % 256, np.minimum((x - 200) ** 2 + (y - 150) ** 2 >> 11, 255)]
    images = [np.stack([x, y, x ^ y], axis=2), np.stack([(x * x + y * k) >> 5 for k in range(3)], axis=2)]
    written = [png.encode_labels(each.astype(np.uint8)) for each in maps]
    written += [png.encode_image(each.astype(np.uint8)) for each in images]
    check("png", digest(*written), SHARDS)


def test_the_plan() -> None:
    """Which scene stands where in which shard."""
    scenes = [Scene(f"key_{i}", "train", Member(f"{i}.png", Path(), f"{i}.png")) for i in range(23)]
    plans = [plan_split("set", split, scenes, 5, seed) for split in ("train", "val") for seed in (0, 1, 2**40)]
    found = [f"{shard.name} {[scene.key for scene in shard.scenes]}" for plan in plans for shard in plan]
    check("plan", digest(*found), SHARDS)


@pytest.mark.parametrize(("name", "taxonomy"), [(name, each) for name, all_ in TAXONOMIES.items() for each in all_])
def test_a_taxonomy(name: str, taxonomy: str) -> None:
    """Its content's digest, and the class of each id in the source's files."""
    classes = load_taxonomy(taxonomy)
    lut = LabelMap.between(source(name).labels, classes).lut
    check(f"taxonomy {taxonomy}", digest(classes.digest, lut.tobytes()), SHARDS)


def test_documents_and_digests() -> None:
    """How JSON is written, and what files, samples, pixels, sets and finished shards are known by."""
    document = {"b": [1, 2.5, None, True], "a": {"é": "ü\n", "z": -0.0}, "c": 1e-7}
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)[:, ::2]
    found = [canonical_json(document), pretty_json(document), manifest_bytes(document)]
    found += [
        f"{digest_bytes(b'1')} {digest_source(b'1')} {digest_pixels(pixels)} {digest_sample(['00', 'ff'])}".encode()
    ]
    scenes = [("key", {"image": "00", "labels": "11"}), ("other", {"image": "22"})]
    check("documents", digest(*found, inputs_digest({"rule": "majority"}, "train", scenes)), SHARDS)


# ---- what is read from them ---------------------------------------------------------------------------------


def test_the_order() -> None:
    """The shuffled order of an epoch, by which samples come to a network."""
    orders = [Permutation(n, *of) for n in (1, 2, 5, 33, 1000) for of in ((0, 0), (1, 0), (0, 7), (2**40, 123456))]
    check("order", digest(*(str(list(order)) for order in orders)), RUNS)
