"""`segdata init`: what the draft says, what is told, and bad input in one line each."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import segdata.cli
from segdata.documents.yaml import read_yaml
from segdata.drafting.draft import draft_source
from segdata.errors import SegdataError, SourceError
from segdata.sources import source
from segdata.sources.file import load_source
from tests.support.planting import (
    MET,
    RUGD,
    Planted,
    codes,
    colors,
    filled_in,
    ids,
    palette,
    photo,
    saved,
    surveyed,
)

Painted = Callable[..., Path]


def init(*arguments: object) -> Result:
    return CliRunner().invoke(segdata.cli.cli, ["init", *map(str, arguments)])


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[str], Path]:
    """planted("flat"): the folder of one of the layouts."""
    return lambda name: MET[name]().write(tmp_path / name)


# ---- known layouts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cityscapes", "tas500"])
def test_a_painted_dataset_is_known_again(name: str, painted: Painted, tmp_path: Path) -> None:
    """Its own source is named; the draft has the same frames, the best of its label files, and the whole table."""
    root = painted(name)
    draft = draft_source(root)
    assert (draft.layout_of, draft.annotation.kind) == (name, "ids")
    assert draft.known and draft.known.name == name
    assert not [row for row in draft.rows if not row.name]
    assert {split: draft.samples[split] for split in ("train", "val")} == {"train": 6, "val": 3}
    kinds = {"cityscapes": {"ids16", "colors", "polygons"}, "tas500": {"colors"}}
    assert {each.kind for each in draft.spare} == kinds[name]
    found = surveyed(draft, root, tmp_path)
    assert len(found) == 9 and draft.dummies == ({"test": [0, 1, 2, 3]} if name == "cityscapes" else {})
    assert ("test" in draft.layout.bare) == (name == "tas500")
    assert all(image.rpartition("/")[2].startswith(key.rpartition("/")[2]) for key, (image, _) in found.items())


def test_a_folder_of_zips(painted: Painted, tmp_path: Path) -> None:
    """The same draft as of the folders."""
    draft, unpacked = draft_source(painted("cityscapes", zips=True)), draft_source(painted("cityscapes"))
    assert (draft.layout.image, draft.layout.annotation) == (unpacked.layout.image, unpacked.layout.annotation)
    assert (draft.samples, draft.rows, draft.layout_of) == (unpacked.samples, unpacked.rows, "cityscapes")


def test_real_camvid_as_if_it_were_unknown(camvid: Path, tmp_path: Path) -> None:
    """All 701 pairs, three splits, twelve ids with their names, and the four drives as groups."""
    draft = draft_source(camvid)
    assert draft.samples == {"train": 367, "val": 101, "test": 233}
    assert (draft.layout_of, draft.layout.group, draft.layout.safe) == ("camvid", "{drive}", False)
    assert [row.name for row in draft.rows] == [label.name for label in source("camvid").labels]
    assert {pair.fields["drive"] for pair in draft.layout.pairs} == {"0001TP", "0006R0", "0016E5", "Seq05VD"}
    assert len(surveyed(draft, camvid, tmp_path)) == 701


# ---- what a draft says ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "image", "annotation", "coding", "group", "splits"),
    [
        ("drives", "{drive}/images/{name}.jpg", "{drive}/masks/{name}.png", "colors", "{drive}", {"": 12}),
        ("flat", "{name}.png", "{name}_mask.png", "ids", "", {"": 4}),
        ("heads", "data/img_{name}.png", "data/mask_{name}.png", "ids", "", {"": 5}),
        ("several", "images/{split}/{folder3}/{folder3}_{name}_windshield_vis.png",
         "labels/{split}/{folder3}/{folder3}_{name}_labelids.png", "ids", "{folder3}", {"train": 6, "val": 6}),
        ("mapillary", "{split}/images/{name}.jpg", "{split}/v1.2/labels/{name}.png", "palette", "",
         {"train": 2, "val": 2, "test": 1}),
        ("mixed", "images/{name}.{jpg,png}", "annotations/{name}.png", "ids", "", {"": 4}),
        ("repeated", "{part}/rgb/{name}.png", "{part}/gt/{name}.png", "ids", "", {"train": 3, "val": 3}),
        ("labelme", "{name}.jpg", "{name}.json", "labelme", "", {"": 4}),
    ],
)  # fmt: skip
def test_templates(
    name: str,
    image: str,
    annotation: str,
    coding: str,
    group: str,
    splits: dict[str, int],
    planted: Callable[[str], Path],
) -> None:
    """As a person would write them."""
    draft = draft_source(planted(name))
    assert (draft.layout.image, draft.layout.annotation) == (image, annotation)
    assert (draft.annotation.kind, draft.layout.group, draft.samples) == (coding, group, splits)


def test_a_zip_with_lists(tmp_path: Path) -> None:
    """Palette PNGs in a zip, whose list files become the splits; the draft with its lists is prepared as it stands."""
    file = tmp_path / "voc.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path, data in MET["voc"]().files.items():
            archive.writestr(path, data)
    draft = draft_source(file)
    assert (draft.name, draft.annotation.kind, draft.samples) == ("voc", "palette", {"train": 4, "val": 2})
    assert draft.known and (draft.known.name, draft.known.matched, draft.known.met) == ("pascal-voc", 4, 4)
    assert [each.name for each in draft.spare] == ["VOCdevkit/VOC2012/SegmentationObject/*.png"]
    (tmp_path / "home").mkdir()
    done = init(file, "--out", tmp_path / "home" / "mine.yaml")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "home" / "mine_val.txt").read_text() == "2007_000004\n2007_000005\n"
    text = (tmp_path / "home" / "mine.yaml").read_text()
    (tmp_path / "home" / "mine.yaml").write_text(filled_in(text))
    read = load_source(tmp_path / "home" / "mine.yaml")
    assert read.splits == ("train", "val") and len(read.labels) == 22
    assert sorted(surveyed(draft, file, tmp_path / "home")) == [f"2007_{i:06d}" for i in range(6)]


def test_what_is_not_known_is_open(planted: Callable[[str], Path], tmp_path: Path) -> None:
    """Unknown ids have a row with ??? and a colour of their own; the reader refuses the first with its line."""
    out = tmp_path / "mine.yaml"
    done = init(planted("flat"), "--out", out)
    assert done.exit_code == 0, done.output
    assert "label table: 4 rows, 4 without a name" in done.output
    assert done.output.splitlines()[-1].startswith(
        f"{out}: 4 pairs. Fill in every ???, then: segdata check {out} --root "
    )
    rows = read_yaml(out.read_bytes(), "mine.yaml", SegdataError).plain()["labels"]
    assert [row["id"] for row in rows] == [0, 7, 9, 30] and {row["name"] for row in rows} == {"???"}
    assert len({tuple(row["color"]) for row in rows}) == 4
    line = out.read_text().splitlines().index("licence: ??? # who may use the frames, and for what") + 1
    with pytest.raises(SourceError, match=rf"mine\.yaml, line {line} .*: \?\?\?"):
        load_source(out)


def test_almost_all_colours_of_a_table(tmp_path: Path) -> None:
    """24 of 25 colours are RUGD's: its whole table, and the 25th without a name."""
    found = Planted()
    wanted = [*RUGD[1:], (1, 2, 3)]
    for i in range(3):
        found.pair(str(i), f"images/{i}.jpg", f"masks/{i}.png", lambda seed: colors(seed, wanted))
    draft = draft_source(found.write(tmp_path / "x"))
    assert draft.known and str(draft.known) == "24 of the 25 colours met are among the 25 of rugd"
    assert [(row.id, row.color) for row in draft.rows if not row.name] == [(25, (1, 2, 3))]


def test_void_on_the_border(tmp_path: Path) -> None:
    """An unknown 255 that frames the picture is said to be void, perhaps."""

    def framed(seed: int) -> bytes:
        values = codes(seed, [3, 4, 255]).astype(np.uint8)
        values[0], values[-1], values[:, 0], values[:, -1] = 255, 255, 255, 255
        return saved(Image.fromarray(values), "png")

    found = Planted()
    for i in range(3):
        found.pair(str(i), f"images/{i}.jpg", f"masks/{i}.png", framed)
    done = init(found.write(tmp_path / "x"), "--out", "-")
    assert "100 % of the frames' borders: it may be void" in done.stdout


# ---- bad input -----------------------------------------------------------------------------------------------


def bad(root: Path, **files: bytes) -> Path:
    root.mkdir()
    for name, data in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return root


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no files. Expected a folder or archive with images and their labels."),
        ({"notes_dot_txt": b"x", "more_dot_csv": b""}, "no images among 2 files (1 .csv, 1 .txt). Expected frames."),
        ({"a_dot_jpg": photo(1, "jpg")}, "1 images, such as a.jpg, and no labels. Expected also pictures of ids"),
        ({"masks__a_dot_png": ids(1, [1, 2])}, "masks/*.png are grey pictures of ids. Expected frames."),
        (
            {"images__a_dot_jpg": photo(1, "jpg"), "masks__zz9_dot_png": ids(1, [1, 2])},
            "no labels belong to images by their names, such as the image images/a.jpg and the labels masks/zz9.png.",
        ),
        ({"a_dot_jpg": b"\xff\xd8damaged"}, "(1 files could not be read, such as a.jpg)"),
        ({"set_dot_zip": b"PK damaged"}, "set.zip"),
    ],
)  # fmt: skip
def test_bad_folders(files: dict[str, bytes], said: str, tmp_path: Path) -> None:
    """One line that says what was found and what was expected; no file is written."""
    root = bad(tmp_path / "root", **files)
    done = init(root, "--out", tmp_path / "mine.yaml")
    assert isinstance(done.exception, SegdataError) and said in str(done.exception), done.exception
    assert "\n" not in str(done.exception) and not (tmp_path / "mine.yaml").exists()


def test_bad_places(tmp_path: Path, planted: Callable[[str], Path]) -> None:
    """A single file, nothing, and an --out that is there already."""
    (tmp_path / "one.png").write_bytes(ids(1, [1, 2]))
    (tmp_path / "mine.yaml").write_text("mine")
    for arguments, said in (
        ([tmp_path / "one.png"], "a single file, expected a folder, a zip or a tar"),
        ([tmp_path / "none"], "there is no such folder"),
        ([planted("flat"), "--out", tmp_path / "mine.yaml"], "is there already, and is left as it is"),
        ([planted("heads"), "--out", tmp_path / "heads" / "data" / "x.yaml"], "which is left as it is"),
        (
            [planted("rugd"), "--out", "s3://bucket/x.yaml"],
            "s3://bucket/x.yaml: a URL, expected a path of this machine",
        ),
    ):
        done = init(*arguments)
        assert isinstance(done.exception, SegdataError) and said in str(done.exception)
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_palettes_and_greys_together(tmp_path: Path) -> None:
    """Label files of either kind are one annotation, read as palette; one of colours among them is told."""
    found, table = Planted(), {0: (0, 0, 0), 3: (9, 9, 0)}
    for i in range(8):
        greys = i % 2 == 0
        holds = (lambda seed: ids(seed, [0, 3])) if greys else (lambda seed: palette(seed, [0, 3], table))
        found.pair(str(i), f"images/{i}.jpg", f"masks/{i}.png", colors_of_three if i == 7 else holds)
    draft = draft_source(found.write(tmp_path / "x"))
    assert (draft.annotation.kind, len(draft.layout.pairs)) == ("palette", 8)
    assert (draft.census.foreign, draft.census.values) == (["masks/7.png"], [0, 3])


def colors_of_three(seed: int) -> bytes:
    return colors(seed, RUGD[:3])


def test_damaged_files_are_counted(tmp_path: Path) -> None:
    """A label that is cut off is told, and the others make the draft."""
    found = MET["heads"]()
    found.files["data/mask_002.png"] = found.files["data/mask_002.png"][:40]
    draft = draft_source(found.write(tmp_path / "x"))
    assert len(draft.layout.pairs) == 5 and list(draft.damaged) == ["data/mask_002.png"]
    assert draft.census.files == 4


def test_strays_are_told(tmp_path: Path) -> None:
    """Files that `prepare` would refuse among the images: how many, and the first."""
    found = Planted()
    for i in range(3):
        found.pair(f"d_{i}", f"train/d/rgb/{i}.jpg", f"train/d/gt/{i}_ids.png", lambda seed: ids(seed, [0, 3]))
        found.files[f"train/d/gt/{i}_color.png"] = colors(i, RUGD[:3])
        found.files[f"train/d/rgb/{i}.xml"] = b"<a/>"
    draft = draft_source(found.write(tmp_path / "x"))
    assert len(draft.layout.pairs) == 3 and draft.layout.annotation == "{split}/d/gt/{name}_ids.png"
    assert list(draft.strays) == [f"train/d/rgb/{i}.xml" for i in range(3)] and list(draft.endings) == ["color.png"]
    done = init(tmp_path / "x", "--out", "-")
    assert "# 3 more files lie among these, such as train/d/rgb/0.xml" in done.stdout


def test_lists_of_paths(tmp_path: Path) -> None:
    """Lists that name images by paths, here below another folder, though all drives have the same frames."""
    found = Planted()
    for drive in ("a", "b"):
        for i in range(4):
            found.pair(f"{drive}_{i}", f"rgb/{drive}/{i}.jpg", f"gt/{drive}/{i}.png", lambda seed: ids(seed, [0, 3]))
    for split, numbers in (("train", range(3)), ("val", range(3, 4))):
        lines = [f"/data/set/rgb/{drive}/{i}.jpg /data/set/gt/{drive}/{i}.png\n" for drive in "ab" for i in numbers]
        found.files[f"lists/{split}.txt"] = "".join(lines).encode()
    draft = draft_source(found.write(tmp_path / "x"))
    assert {split: list(keys) for split, keys in draft.lists.items()} == {
        "train": ["a_0", "a_1", "a_2", "b_0", "b_1", "b_2"],
        "val": ["a_3", "b_3"],
    }
    assert surveyed(draft, tmp_path / "x", tmp_path) == found.pairs


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("{}_pairs.txt", "a b/images/{0}.jpg a b/masks/{0}_train.png\n"),
        ("lists/pairs_{}.csv", '"images/{0}.jpg","masks/{0}_train.png"\n'),
        ("{}.txt", "./images/{0}.jpg\tmasks/{0}_train.png\n"),
        ("{}list.lst", "{0}\n"),
    ],
)
def test_lists_of_pairs(name: str, line: str, tmp_path: Path) -> None:
    """Lists with an image and its labels a line, whose names say more than the split; others are no lists of frames."""
    found = Planted()
    for i in range(5):
        found.pair(f"{i}", f"images/{i}.jpg", f"masks/{i}_train.png", lambda seed: ids(seed, [0, 3]))
    for split, numbers in (("train", range(4)), ("val", range(4, 5))):
        head = "image,label\n" * name.endswith("csv")
        found.files[name.format(split)] = (head + "".join(line.format(i) for i in numbers)).encode()
        found.files[f"boat_{split}.txt"] = b"0 1\n1 -1\n2 1\n3 1\n4 1\n"  # whether a boat is there
    draft = draft_source(found.write(tmp_path / "x"))
    assert {split: list(keys) for split, keys in draft.lists.items()} == {"train": list("0123"), "val": ["4"]}
    assert draft.list_paths == {split: name.format(split) for split in ("train", "val")}


@pytest.mark.parametrize(
    ("label", "values", "table"),
    [
        ("masks/{}_labelTrainIds.png", [0, 2, 8, 255], "cityscapes-train-ids"),
        ("train_id/{}.png", [0, 13], "cityscapes-train-ids"),
        ("masks/{}_gtFine_labellevel3Ids.png", [0, 3, 24], "idd-level3"),
        ("masks/{}_labelTrainIds.png", [0, 2, 77], None),  # no train id
        ("masks/{}_labelTrainIds.png", [0], None),
        ("masks/{}_trained.png", [0, 2, 8], None),
    ],
)
def test_names_of_label_files_tell_their_ids(label: str, values: list[int], table: str | None, tmp_path: Path) -> None:
    """A few ids of a table are enough where the files are named after them."""
    found = Planted()
    for i in range(3):
        found.pair(f"{i}", f"images/{i}.jpg", label.format(i), lambda seed: ids(seed, values))
    known = draft_source(found.write(tmp_path / "x")).known
    assert (known.name if known else None) == table


def test_a_folder_of_two_datasets(tmp_path: Path) -> None:
    """One is drafted; one line, in the draft and on the screen, says that there is another, and what to do."""
    for name in ("drives", "flat"):
        MET[name]().write(tmp_path / "x" / name)
    (tmp_path / "x" / "flat" / "classes.csv").write_text("name,r,g,b\nroad,9,0,0\nlawn,0,200,0\nsky,0,0,77\n")
    done = init(tmp_path / "x", "--out", "-")
    draft = draft_source(tmp_path / "x")
    assert not draft.known  # by the names of the other one
    lost = {pair.image for pair in draft_source(tmp_path / "x" / "flat").layout.pairs}
    assert {path.removeprefix("flat/") for path in draft.elsewhere} == lost and len(draft.layout.pairs) == 12
    said = (
        "not in this draft: 4 images with labels, such as flat/bridge.png. If they are of another dataset, draft it by "
    )
    for text in (done.stdout.replace("\n# ", " "), done.stderr):
        assert f"Pairs lie in other folders too and are {said}itself: give the folder flat to `segdata init`." in text
    assert not draft.unlabelled and not draft_source(tmp_path / "x" / "flat").elsewhere


def test_no_object_is_black(planted: Callable[[str], Path]) -> None:
    """That is the colour of what no outline covers."""
    rows = {row.name: row.color for row in draft_source(planted("labelme")).rows}
    assert [name for name, color in rows.items() if color == (0, 0, 0)] == ["unlabeled"]
    assert len(set(rows.values())) == len(rows) == 3


@pytest.mark.parametrize(("most", "end"), [(3999, 4095), (4095, 4095), (4096, 8191), (65535, 65535)])
def test_the_range_of_deep_frames(most: int, end: int, tmp_path: Path) -> None:
    """It ends at the largest value of as many bits as the frames have."""
    found = Planted()
    for i in range(2):
        found.pair(f"{i}", f"images/{i}.png", f"masks/{i}.png", lambda seed: ids(seed, [0, 3]))
        values = np.random.default_rng(i).integers(0, most, (24, 40)).astype(np.uint16)
        values[0, 0] = most
        found.files[f"images/{i}.png"] = saved(Image.fromarray(values), "png")
    found.write(tmp_path / "x")
    assert f"range: [0, {end}]}}" in init(tmp_path / "x", "--out", "-").stdout


def test_pictures_of_more_colours_than_labels(tmp_path: Path) -> None:
    """No label table holds 300 colours: one line says so, and what to do."""
    found = Planted()
    for i in range(6):
        table = [(i, 4 * cell, 7) for cell in range(50)]
        found.pair(str(i), f"images/{i}.jpg", f"masks/{i}.png", lambda seed, table=table: colors(seed, table))  # type: ignore[misc]
    with pytest.raises(SourceError, match=r"^300 labels by pictures of few colours, .*; expected 256 at most\. Label"):
        draft_source(found.write(tmp_path / "x"))
