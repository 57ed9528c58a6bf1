"""`segdata.synth`: layouts, determinism, and what is in the pictures."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import id2label, labels, name2label
from numpy.typing import NDArray
from PIL import Image

from segdata.cli.synth import synth
from segdata.errors import SegdataError
from segdata.sources import source
from segdata.synth import paint, paint_frame
from segdata.synth.layouts.cityscapes import CITIES, stem
from segdata.synth.layouts.datasets import LAYOUTS
from segdata.synth.layouts.files import paths
from segdata.synth.layouts.frames import Frame

TINY = (64, 128)


def files(root: Path) -> dict[str, bytes]:
    """Everything below a folder except the marker."""
    found = (path for path in root.rglob("*") if path.is_file() and path.name != "segdata-synth.json")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def opened(path: Path) -> tuple[str, tuple[int, int]]:
    """Mode and size (width, height) of a picture."""
    with Image.open(path) as image:
        return image.mode, image.size


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen training frames, enough for every class."""
    root = tmp_path_factory.mktemp("streets")
    paint("cityscapes", root, train=16, val=1, test=1, size=(128, 256), seed=5)
    return root


@pytest.fixture(scope="module")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some frames of each split, with coarse labels."""
    root = tmp_path_factory.mktemp("rough")
    paint("cityscapes", root, train=3, val=2, test=2, size=(96, 192), seed=6, coarse=True)
    return root


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tracks")
    paint("tas500", root, train=16, val=2, test=1, size=(124, 404), seed=5)
    return root


def test_street_layout_is_that_of_the_release(rough: Path) -> None:
    """One image and four annotation files a frame, at the official places, in the official formats."""
    expected = set()
    for split, count in {"train": 3, "val": 2, "test": 2, "train_extra": 3}.items():
        for name in (stem(split, k) for k in range(count)):
            city = name.split("_", maxsplit=1)[0]
            expected.add(f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png")
            kinds = {"train_extra": ["gtCoarse"], "test": ["gtFine"]}.get(split, ["gtFine", "gtCoarse"])
            for kind in kinds:
                for suffix in ("color.png", "instanceIds.png", "labelIds.png", "polygons.json"):
                    expected.add(f"{kind}/{split}/{city}/{name}_{kind}_{suffix}")
    assert set(files(rough)) == expected
    modes = {"_leftImg8bit.png": "RGB", "_labelIds.png": "L", "_color.png": "RGBA", "_instanceIds.png": "I;16"}
    for path in rough.rglob("*.png"):
        assert opened(path) == (modes[f"_{path.name.rsplit('_', 1)[1]}"], (192, 96)), path


def test_city_names_are_invented_and_frames_are_numbered_as_in_long_sequences() -> None:
    """No official city occurs; each split has a city with frame 19 and one with other frames; names never repeat."""
    lists = [entry.keys or () for entry in source("cityscapes").official.values()]
    official = {key.split("_", maxsplit=1)[0] for keys in lists for key in keys}
    assert len(official) == 27
    painted = [city for pair in CITIES.values() for city in pair]
    assert len(set(painted)) == 8 and not official & set(painted)
    assert all(city.isascii() and city.isalpha() and city.islower() for city in painted)
    for split in CITIES:
        names = [stem(split, k) for k in range(3000)]
        assert len(set(names)) == 3000
        frames = {city: {n.split("_")[2] for n in names if n.startswith(city)} for city in CITIES[split]}
        assert frames[CITIES[split][0]] == {"000019"} and "000019" not in frames[CITIES[split][1]]


def test_every_evaluated_class_and_the_special_objects_occur(streets: Path) -> None:
    """Sixteen frames hold all 19 evaluated classes, caravans, trailers, a car group, a plate, a deleted object
    and a gap in the numbering of cars."""
    ids, names, deleted, gaps = set(), set(), 0, 0
    for path in sorted((streets / "gtFine/train").rglob("*_labelIds.png")):
        ids |= set(np.unique(np.array(Image.open(path))).tolist())
        objects = json.loads(path.with_name(path.name.replace("labelIds.png", "polygons.json")).read_text())["objects"]
        names |= {entry["label"] for entry in objects}
        deleted += sum(entry.get("deleted", 0) for entry in objects)
        instances = np.unique(np.array(Image.open(path.with_name(path.name.replace("labelIds", "instanceIds")))))
        cars = {int(n) for n in instances if n // 1000 == name2label["car"].id}
        gaps += bool(cars) and len(cars) <= max(cars) % 1000
    assert ids >= {label.id for label in labels if not label.ignoreInEval}
    assert ids >= {1, 2, 3, name2label["caravan"].id, name2label["trailer"].id}
    assert ids <= set(range(34))
    assert {"cargroup", "license plate", "ego vehicle", "rectification border", "out of roi"} <= names
    assert deleted > 0 and gaps > 0


def test_annotation_files_agree_with_each_other(streets: Path) -> None:
    """labelIds follow from instanceIds, colours from labelIds; a car group keeps the plain id."""
    groups = 0
    for path in (streets / "gtFine").rglob("*_labelIds.png"):
        ids = np.array(Image.open(path))
        instances = np.array(Image.open(path.with_name(path.name.replace("labelIds", "instanceIds"))))
        assert np.array_equal(np.where(instances < 1000, instances, instances // 1000), ids)
        colours = np.array(Image.open(path.with_name(path.name.replace("labelIds", "color"))))
        for k in np.unique(ids):
            assert (colours[ids == k] == (*id2label[int(k)].color, 255)).all()
        groups += int((instances == name2label["car"].id).sum())
    assert groups > 0


def test_test_labels_are_dummies_and_coarse_ones_rough_but_right(rough: Path) -> None:
    """Test ground truth knows only the rig; coarse labels leave much open and err nearly nowhere."""
    for path in (rough / "gtFine/test").rglob("*_labelIds.png"):
        assert set(np.unique(np.array(Image.open(path))).tolist()) == {0, 1, 2, 3}
    right = wrong = open_ = 0
    for path in (rough / "gtCoarse/train").rglob("*_labelIds.png"):
        coarse = np.array(Image.open(path))
        fine = np.array(Image.open(Path(str(path).replace("gtCoarse", "gtFine"))))
        right += int(((coarse == fine) & (coarse > 0)).sum())
        wrong += int(((coarse != fine) & (coarse > 0)).sum())
        open_ += int((coarse == 0).sum())
    assert wrong < 0.05 * right and 0.1 * right < open_ < 2 * right


def test_track_layout_is_that_of_the_release(tracks: Path) -> None:
    """Seven flat folders of equal 19-digit names; ids are L, colours RGB, test has no labels."""
    found: dict[str, set[str]] = {}
    for path in (tracks / "tas500v1.1").rglob("*.png"):
        found.setdefault(path.parent.name, set()).add(path.stem)
        mode = "L" if path.parent.name.endswith("_ids") else "RGB"
        assert opened(path) == (mode, (404, 124))
    assert set(found) == {"train", "train_labels", "train_labels_ids", "val", "val_labels", "val_labels_ids", "test"}
    assert found["train"] == found["train_labels"] == found["train_labels_ids"] and len(found["train"]) == 16
    assert found["val"] == found["val_labels"] == found["val_labels_ids"] and len(found["val"]) == 2
    names = found["train"] | found["val"] | found["test"]
    assert len(names) == 19 and all(len(name) == 19 and name.isdigit() for name in names)
    official = {key for entry in source("tas500").official.values() for key in entry.keys or ()}
    assert len(official) == 540 and not names & official


def test_one_colour_mask_is_foreign_and_all_others_agree_with_the_ids(tracks: Path) -> None:
    """Colours follow from ids except in one training frame, whose ids are valid; undefined occurs."""
    table = {label.color: label.id for label in source("tas500").labels}
    foreign, seen = [], set()
    for path in sorted((tracks / "tas500v1.1").glob("*_labels_ids/*.png")):
        ids = np.array(Image.open(path))
        seen |= set(np.unique(ids).tolist())
        colours = np.array(Image.open(path.parent.with_name(path.parent.name.removesuffix("_ids")) / path.name))
        decoded = np.full(ids.shape, -1)
        for colour, number in table.items():
            decoded[(colours == colour).all(2)] = number
        assert (decoded == ids)[decoded >= 0].all()
        if (decoded < 0).any():
            foreign.append(path.parent.name)
    assert foreign == ["train_labels_ids"]
    assert seen == {label.id for label in source("tas500").labels}


@pytest.mark.parametrize("source", ["cityscapes", "tas500"])
def test_a_frame_depends_on_seed_split_and_number_only(source: str, tmp_path: Path) -> None:
    """Same bytes with fewer frames and with two workers; other bytes with another seed."""
    paint(source, tmp_path / "all", train=2, val=1, test=1, size=TINY, seed=1)
    paint(source, tmp_path / "few", train=1, val=0, test=0, size=TINY, seed=1)
    paint(source, tmp_path / "two", train=2, val=1, test=1, size=TINY, seed=1, workers=2)
    paint(source, tmp_path / "other", train=2, val=1, test=1, size=TINY, seed=2)
    everything, few = files(tmp_path / "all"), files(tmp_path / "few")
    assert files(tmp_path / "two") == everything
    assert few.items() < everything.items()
    other = files(tmp_path / "other")
    assert set(other) == set(everything)
    pictures = [path for path in everything if not path.startswith("gt") and "_labels" not in path]
    assert all(other[path] != everything[path] for path in pictures)
    assert len({everything[path] for path in pictures}) == len(pictures)


def test_the_scene_is_the_same_at_every_size() -> None:
    """Labels of a frame at half the size are those of the larger one, but for borders and thin things."""
    for name in ("cityscapes", "tas500"):
        for number in range(3):
            large, small = (fine_labels(Frame(name, "val", number, size, 8)) for size in ((192, 384), (96, 192)))
            assert (large[::2, ::2] == small).mean() > 0.88, (name, number)


def fine_labels(frame: Frame) -> NDArray[np.uint8]:
    """(H, W) raw ids of one frame."""
    (data,) = (m.data for m in paint_frame(frame) if "_labelIds" in m.path or "_labels_ids/" in m.path)
    return np.array(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("source", "archives"),
    [
        ("cityscapes", {"leftImg8bit_trainvaltest", "gtFine_trainvaltest", "leftImg8bit_trainextra", "gtCoarse"}),
        ("tas500", {"tas500v1.1"}),
    ],
)
def test_zips_hold_the_bytes_of_the_tree(source: str, archives: set[str], tmp_path: Path) -> None:
    """The official archives, unpacked over each other, are the tree; they are the same at every run."""
    coarse = source == "cityscapes"
    for name in ("zip", "again"):
        paint(source, tmp_path / name, train=1, val=0, test=1, size=TINY, zips=True, coarse=coarse)
    paint(source, tmp_path / "tree", train=1, val=0, test=1, size=TINY, coarse=coarse)
    packed = files(tmp_path / "zip")
    assert set(packed) == {f"{name}.zip" for name in archives}
    assert files(tmp_path / "again") == packed
    for path in (tmp_path / "zip").glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path / "unpacked")
    assert files(tmp_path / "unpacked") == files(tmp_path / "tree")


def test_nested_layout_adds_one_level(tmp_path: Path) -> None:
    """Each archive's content lies below a folder with the archive's name."""
    paint("cityscapes", tmp_path / "nested", train=1, val=0, test=0, size=TINY, nested=True)
    paint("cityscapes", tmp_path / "tree", train=1, val=0, test=0, size=TINY)
    flat = {path.split("/", 1)[1]: data for path, data in files(tmp_path / "nested").items()}
    assert flat == files(tmp_path / "tree")
    tops = {path.name for path in (tmp_path / "nested").iterdir() if path.is_dir()}
    assert tops == {"leftImg8bit_trainvaltest", "gtFine_trainvaltest"}


def test_a_folder_painted_before_is_painted_anew(tmp_path: Path) -> None:
    """Old frames go, whether the run before had ended or not; the marker tells what is there."""
    paint("cityscapes", tmp_path, train=2, val=0, test=0, size=TINY, seed=3)

    def kill(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paint("cityscapes", tmp_path, train=3, val=0, test=0, size=TINY, seed=4, zips=True, replace=True, progress=kill)
    assert json.loads((tmp_path / "segdata-synth.json").read_text())["complete"] is False
    with pytest.raises(SegdataError, match=r"seed is 4 there, 3 here, .*layout is zip there, tree here.*--replace"):
        paint("cityscapes", tmp_path, train=1, val=0, test=0, size=TINY, seed=3)
    paint("cityscapes", tmp_path, train=1, val=0, test=0, size=TINY, seed=3, replace=True)
    paint("cityscapes", tmp_path / "fresh", train=1, val=0, test=0, size=TINY, seed=3)
    again = {path: data for path, data in files(tmp_path).items() if not path.startswith("fresh/")}
    assert again == files(tmp_path / "fresh")
    text = (tmp_path / "segdata-synth.json").read_text()
    facts = json.loads(text)
    assert text == json.dumps(facts, sort_keys=True, separators=(",", ":")) + "\n"
    assert facts["painted"] is True and facts["complete"] is True
    assert (facts["source"], facts["seed"], facts["size"]) == ("cityscapes", 3, [64, 128])
    assert facts["counts"] == {"train": 1, "val": 0, "test": 0}


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    """Nothing is written beside or over data that this command did not paint."""
    (tmp_path / "leftImg8bit").mkdir()
    with pytest.raises(SegdataError, match=r"leftImg8bit and no segdata-synth\.json"):
        paint("cityscapes", tmp_path, train=1, val=0, test=0, size=TINY)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("kitti", {}, "no painter for 'kitti'"),
        ("cityscapes", {"train": -1}, "each must be 0 or more"),
        ("cityscapes", {"train": 0}, "each must be 0 or more"),
        ("cityscapes", {"zips": True, "nested": True}, "choose one"),
        ("tas500", {"coarse": True}, "neither"),
        ("cityscapes", {"size": (32, 128)}, "32x128 is too small"),
        ("cityscapes", {"seed": -1}, "seed -1"),
    ],
)
def test_impossible_options_are_named(source: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """The error says which option cannot be, before anything is written."""
    chosen: dict[str, Any] = {"train": 1, "val": 0, "test": 0, "size": TINY} | options
    with pytest.raises(SegdataError, match=message):
        paint(source, tmp_path / "out", **chosen)
    assert not (tmp_path / "out").exists()


def test_the_default_size_is_the_real_one(tmp_path: Path) -> None:
    """2048x1024 and 2026x620; a painted photograph weighs what a real one of Cityscapes does."""
    paint("cityscapes", tmp_path / "c", train=1, val=0, test=0)
    paint("tas500", tmp_path / "t", train=1, val=0, test=0)
    (photo,) = (tmp_path / "c").rglob("*_leftImg8bit.png")
    assert opened(photo)[1] == (2048, 1024) and 1.9e6 < photo.stat().st_size < 2.5e6
    (mask,) = (tmp_path / "c").rglob("*_labelIds.png")
    assert 8e3 < mask.stat().st_size < 26e3
    assert {opened(path)[1] for path in (tmp_path / "t").rglob("*.png")} == {(2026, 620)}


@pytest.mark.parametrize("options", [{}, {"zips": True}, {"nested": True, "coarse": True}, {"coarse": True}])
@pytest.mark.parametrize("source", list(LAYOUTS))
def test_a_painting_is_known_again_by_the_names_of_its_files(
    source: str, options: dict[str, bool], tmp_path: Path
) -> None:
    """From the marker alone follow the paths of all files: those may be replaced, and no others."""
    if not LAYOUTS[source].COARSE_SPLITS:  # such a dataset has neither coarse labels nor a nested layout
        options = {name: value for name, value in options.items() if name == "zips"}
    paint(source, tmp_path, train=2, val=2, test=2, size=(48, 96), **options)
    assert set(files(tmp_path)) == paths(json.loads((tmp_path / "segdata-synth.json").read_text()))


def test_the_command_offers_every_dataset_that_can_be_painted() -> None:
    """The table of layouts and the command's choice are the same list."""
    (choice,) = (parameter.type for parameter in synth.params if parameter.name == "source")
    assert isinstance(choice, click.Choice) and list(choice.choices) == list(LAYOUTS)


# SHA-256 of what is in the files of four frames, and of what NumPy and OpenCV compute where these were taken. A change
# of a painter that shall change pictures prints the new ones: pytest tests/segdata/synth/test_synth.py -k pinned
PINNED = {
    "cityscapes": "0a24c945c265e336324455ec1524d782329cb507a8d4392efc3ee3e94437c4e8",
    "tas500": "50c164aa9503c2d0d393cca547737856eb7532c9afd18ca6c34c794154b22b53",
}
ROUNDING = "0f2e6d12f665a25aa7091e47e1db413f35f9ed85eb8d97c5339d63cf0611ca48"


def rounding() -> str:
    """Digest of the inexact operations that painters use."""
    grid = np.linspace(0.01, 9, 4000)
    noise = (np.arange(6000) * 7919 % 251).astype(np.uint8).reshape(60, 100)
    rows, columns = np.mgrid[:80:0.7, :90:0.7].astype(np.float32)
    parts = (
        np.sin(grid), np.cos(grid), np.exp(-grid), grid**2.6, np.geomspace(0.85, 230, 99),
        np.random.default_rng(1).normal(0, 1, 99),
        cv2.resize(noise, (333, 222), interpolation=cv2.INTER_CUBIC), cv2.GaussianBlur(noise, (3, 3), 0.7),
        cv2.multiply(noise, noise[::-1], scale=1 / 255), cv2.remap(noise, columns, rows, cv2.INTER_LINEAR),
    )  # fmt: skip
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("source", list(PINNED))
def test_painted_pictures_are_the_pinned_ones(source: str) -> None:
    """Pixels and outlines of four frames are those of every version so far."""
    if rounding() != ROUNDING:
        pytest.skip(f"NumPy or OpenCV round in another way here: {rounding()}")
    digest = hashlib.sha256()
    for number in range(4):
        for file in paint_frame(Frame(source, "train", number, TINY, 0, source == "cityscapes")):
            pixels = file.data
            if file.path.endswith(".png"):  # not its compressed bytes: they are zlib's choice
                pixels = np.array(Image.open(io.BytesIO(file.data))).tobytes()
            digest.update(f"{file.path} {len(pixels)} ".encode() + pixels)
    assert digest.hexdigest() == PINNED[source]
