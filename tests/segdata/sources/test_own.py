"""Datasets that nobody planned for, by a source file: what is found, what is told, and what the set keeps of it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from segdata import ShardSet
from segdata.cli import cli
from segdata.errors import SegdataError
from segdata.findings import FindingsError
from segdata.format.manifest import MAX_SOURCE_BYTES, SUMS
from segdata.making.job import Job, make_job
from segdata.making.prepare import prepare
from segdata.making.survey import look
from segdata.raw.tree import open_tree
from segdata.sources import source
from segdata.sources.file import MAX_BYTES, read_source

LABELS = """\
labels:
  - {id: 0, name: nothing, color: [0, 0, 0], category: void}
  - {id: 1, name: road, color: [128, 64, 128]}
  - {id: 2, name: grass, color: [107, 142, 35]}
"""
COLORS = np.array([[0, 0, 0], [128, 64, 128], [107, 142, 35]], np.uint8)
DRIVES = (
    f"name: drives\ntitle: Drives of 2025\nlicence: mine\ncitation: Somebody, 2025.\n{LABELS}"
    """\
image: "{drive}/rgb/{frame}.jpg"
annotation: {files: "{drive}/gt/{frame}.png", coding: colors}
fields: {frame: '[0-9]+'}
group: "{drive}"
splits:
  train: {where: {drive: [a_1, b_2]}}
  val: {where: {drive: [c_3]}}
"""
)
FLAT = f'name: flat\n{LABELS}image: "{{name}}.png"\nannotation: "{{name}}_mask.png"\nsafe_keys: true\nsplits: [all]\n'
SHAPE = (16, 24)


def ids(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 3, SHAPE, np.uint8)


def frame(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (*SHAPE, 3), np.uint8)


def put(root: Path, files: Mapping[str, NDArray[np.uint8]]) -> Path:
    for path, pixels in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / path)
    return root


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Three drives of two frames, JPEG beside colours, and the source file."""
    (tmp_path / "drives.yaml").write_text(DRIVES)
    files: dict[str, NDArray[np.uint8]] = {}
    for number, drive in enumerate(("a_1", "b_2", "c_3")):
        for i in range(2):
            seed = 2 * number + i
            files |= {f"{drive}/rgb/{i:04d}.jpg": frame(seed), f"{drive}/gt/{i:04d}.png": COLORS[ids(seed)]}
    return put(tmp_path / "drives", files)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Two frames in one folder, whose labels are named alike, with names that no shard can hold."""
    (tmp_path / "flat.yaml").write_text(FLAT)
    files = {f"IMG {i}.{end}": pixels for i in range(2) for end, pixels in (("png", frame(i)),)}
    return put(tmp_path / "flat", files | {f"IMG {i}_mask.png": ids(i) for i in range(2)})


def job(root: Path, file: str = "", **options: object) -> Job:
    return make_job(file or f"{root}.yaml", root=root, out=root.parent / "set", engine="serial", **options)  # type: ignore[arg-type]


def test_drives(drives: Path) -> None:
    """Images pass byte for byte, colours become classes, and each frame keeps its drive."""
    made = prepare(job(drives))
    assert made.samples == {"train": 4, "val": 2} and made.findings == ()
    shards = ShardSet(drives.parent / "set", "train")
    assert shards.groups and dict(zip(shards.keys, shards.groups, strict=True)) == {
        f"{drive}_{i:04d}": drive for drive in ("a_1", "b_2") for i in range(2)
    }
    for i, key in enumerate(shards.keys):
        drive, _, number = key.rpartition("_")
        assert shards.bytes(i, "image.jpg") == (drives / drive / "rgb" / f"{number}.jpg").read_bytes()
        raw = ids({"a_1": 0, "b_2": 2}[drive] + int(number))
        assert np.array_equal(shards.read(i).targets[1], np.array([255, 0, 1], np.uint8)[raw])
    assert (drives.parent / "set" / "source.yaml").read_text() == DRIVES
    card = (drives.parent / "set" / "README.md").read_text()
    assert "Licence of the frames: mine." in card and "\nDrives of 2025. To be cited as: Somebody, 2025.\n" in card


def test_wherever_it_lies(drives: Path, tmp_path: Path) -> None:
    """One folder down, in a zip, and in a zip of a folder: the same set."""
    prepare(job(drives))
    due = (tmp_path / "set" / SUMS).read_bytes()
    above = tmp_path / "above"
    above.mkdir()
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as plain, zipfile.ZipFile(tmp_path / "deep.zip", "w") as deep:
        for path in sorted(path for path in drives.rglob("*") if path.is_file()):
            plain.write(path, path.relative_to(drives))
            deep.write(path, Path("x/y") / path.relative_to(drives))
    drives.rename(above / "drives")
    for root in (above, tmp_path / "all.zip", tmp_path / "deep.zip"):
        found = make_job(str(tmp_path / "drives.yaml"), root=root, out=tmp_path / f"of-{root.stem}", engine="serial")
        prepare(found)
        assert (found.out / SUMS).read_bytes() == due, root


def test_what_lies_at_another_level(drives: Path, tmp_path: Path) -> None:
    """Is not read where others are used, and told."""
    put(tmp_path / "above", {"x/rgb/1.jpg": frame(0), "x/gt/1.png": COLORS[ids(0)]})
    drives.rename(tmp_path / "above" / "drives")
    anyhow = DRIVES[: DRIVES.index("  train:")] + "  train: {share: 0.5}\n"
    found = look(read_source(anyhow.encode(), "d.yaml", tmp_path), open_tree(tmp_path / "above"), ())
    assert [scene.key for scenes in found.scenes.values() for scene in scenes] == ["x_1"]
    assert [(each.code, each.where) for each in found.findings] == [
        ("unused-file", "drives"),
        ("unused-file", "drives"),
    ]


def test_splits_with_and_without_labels_in_one_folder(drives: Path) -> None:
    """A split without labels takes images alone; a frame without its label is missed in the other one."""
    change("val: {where: {drive: [c_3]}}", "test: {where: {drive: [c_3]}, annotated: false}")(drives)
    for path in ("c_3/gt/0000.png", "a_1/gt/0001.png"):
        (drives / path).unlink()
    found = look(source(f"{drives}.yaml"), open_tree(drives), ("train", "test"))
    assert [(each.code, each.where) for each in found.findings] == [("missing-label", "a_1/rgb/0001.jpg")]
    assert [scene.key for scene in found.scenes["train"]] == ["a_1_0000", "b_2_0000", "b_2_0001"]
    assert [(scene.key, scene.labels) for scene in found.scenes["test"]] == [("c_3_0000", None), ("c_3_0001", None)]


def test_two_datasets_below_one_root(drives: Path) -> None:
    """Are not taken for one: both places are named."""
    for above in ("one", "other"):
        put(drives.parent / "all" / above, {"a_1/rgb/0000.jpg": frame(0), "a_1/gt/0000.png": COLORS[ids(0)]})
    with pytest.raises(SegdataError, match=r"all: files of the dataset lie below o\w+ and below o\w+: which of them"):
        look(source(f"{drives}.yaml"), open_tree(drives.parent / "all"), ())


def test_flat(flat: Path) -> None:
    """The template that says more of a name has the file; keys become such as a shard can hold."""
    assert prepare(job(flat)).samples == {"all": 2}
    shards = ShardSet(flat.parent / "set", "all")
    assert sorted(shards.keys) == ["IMG-0", "IMG-1"] and shards.groups is None


def test_recordings_of_which_some_frames_are_labelled(drives: Path) -> None:
    """`missing: skip` leaves the other images out, and counts them; a label without its image is an error still."""
    (drives / "a_1/gt/0000.png").unlink()
    change("coding: colors", "coding: colors, missing: skip")(drives)
    made = prepare(job(drives))
    assert made.samples == {"train": 3, "val": 2}
    assert [(finding.code, finding.found) for finding in made.findings] == [
        ("without-label", "1 of 6 images have no label and are left out, such as a_1/rgb/0000.jpg")
    ]
    (drives / "a_1/rgb/0001.jpg").unlink()
    assert [finding.code for finding in look(source(f"{drives}.yaml"), open_tree(drives), ()).errors] == [
        "missing-image"
    ]


def test_images_alone(drives: Path) -> None:
    """A dataset without labels is prepared as one with labels is: all of its splits."""
    change('annotation: {files: "{drive}/gt/{frame}.png", coding: colors}\n', "")(drives)
    assert prepare(job(drives)).samples == {"train": 4, "val": 2}


def test_a_split_by_list_and_shares(drives: Path) -> None:
    """A list takes its frames, shares take the others, and no drive is cut in two."""
    (drives.parent / "mine.txt").write_text("c_3/rgb/0000.jpg\nc_3_0001\n")
    rules = "  val: {list: mine.txt}\n  train: {share: 0.5}\n  test: {share: 0.5}\n"
    (drives.parent / "drives.yaml").write_text(DRIVES[: DRIVES.index("  train:")] + rules)
    found = look(source(f"{drives}.yaml"), open_tree(drives), ()).scenes
    keys = {split: {scene.key for scene in scenes} for split, scenes in found.items()}
    assert keys["val"] == {"c_3_0000", "c_3_0001"}
    whole = [{f"{drive}_{i:04d}" for i in range(2)} for drive in ("a_1", "b_2")]
    assert sorted([keys["train"], keys["test"]], key=min) == whole


def test_one_split_of_several_in_the_same_folders(drives: Path) -> None:
    """What is wrong with its own frames is told, and with those that may be its own; not what is with another's."""
    move("c_3/gt/0000.png", "c_3/gt/0007.png")(drives)
    codes = {}
    for rules in ("", "  train: {share: 0.5}\n  val: {share: 0.5}\n"):
        text = DRIVES if not rules else DRIVES[: DRIVES.index("  train:")] + rules
        (drives.parent / "drives.yaml").write_text(text)
        for split in ("train", "val"):
            found = look(source(f"{drives}.yaml"), open_tree(drives), [split]).errors
            codes[split, rules != ""] = [finding.code for finding in found]
    faults = ["missing-label", "missing-image"]
    assert codes == {("train", False): [], ("val", False): faults, ("train", True): faults, ("val", True): faults}


def test_frames_of_two_formats_can_be_checked(drives: Path) -> None:
    """`check` has no codec to choose: it says what `prepare` needs, and looks at the rest."""
    change(".jpg", ".{jpg,png}")(drives)
    move("a_1/rgb/0000.jpg", "a_1/rgb/0000.png")(drives)
    Image.fromarray(frame(0)).save(drives / "a_1/rgb/0000.png")
    done = CliRunner().invoke(cli, ["check", f"{drives}.yaml", "--root", str(drives)])
    assert done.exit_code == 0 and "6 frames can be prepared" in done.output
    assert "5 frames .jpg and 1 frame .png" in done.output and "Give --image-codec png" in done.output


def test_a_long_source_file(drives: Path) -> None:
    """What `prepare` reads, the set gives back."""
    assert MAX_SOURCE_BYTES == MAX_BYTES
    text = DRIVES + "#" * (MAX_BYTES - len(DRIVES))
    (drives.parent / "drives.yaml").write_text(text)
    prepare(job(drives))
    assert ShardSet(drives.parent / "set", "val").source_file == text.encode()


def test_a_list_that_is_no_text(drives: Path) -> None:
    """The list is named, in the line that names it."""
    (drives.parent / "val.txt").write_bytes(b"\xff\xfea")
    change("{where: {drive: [c_3]}}", "{where: {drive: [c_3]}, official: val.txt}")(drives)
    with pytest.raises(SegdataError, match=r"drives\.yaml, line \d+: .*val\.txt is no text file"):
        source(f"{drives}.yaml")


def change(old: str, new: str) -> Callable[[Path], None]:
    def changed(root: Path) -> None:
        text = Path(f"{root}.yaml").read_text()
        assert old in text
        Path(f"{root}.yaml").write_text(text.replace(old, new))

    return changed


def move(old: str, new: str) -> Callable[[Path], None]:
    def moved(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return moved


def crossed(root: Path) -> None:
    """A label of another drive and frame, whose names make the same key."""
    change("fields: {frame: '[0-9]+'}\n", "")(root)
    move("a_1/gt/0000.png", "a/gt/1_0000.png")(root)


def one_color(root: Path) -> None:
    """All labels have the same: no colour says an id."""
    for color in ("[0, 0, 0]", "[128, 64, 128]", "[107, 142, 35]"):
        change(color, "[1, 1, 1]")(root)


NEAREST = "The nearest folders: "
FAULTS: list[tuple[str, Callable[[Path], None], str, str]] = [  # dataset, what is done to it, code, what is told
    ("drives", change("/rgb/", "/RGB/"), "", rf"looked for as {{drive}}/RGB/.*{NEAREST}\w+/rgb"),
    ("drives", change("jpg", "jpeg"), "", rf"no file {{drive}}/rgb/.* {NEAREST}.* \(2 files"),
    ("drives", move("a_1/gt/0000.png", "a_1/gt/0007.png"), "missing-label", "no label for a_1_0000"),
    ("drives", move("a_1/gt/0000.png", "a_1/gt/0007.png"), "missing-image", "no image for a_1_0007"),
    ("drives", change("[c_3]", "[d_4]"), "missing-split", "none of the 6 frames belongs to val"),
    ("drives", change("a_1, b_2", "a_1"), "no-split", "2 frames belong to none of train, val: b_2_0000, b_2_0001"),
    ("drives", change("[c_3]", "[c_3, a_1]"), "", "a_1_0000 belongs to train and to val"),
    ("drives", change("fields: {frame: '[0-9]+'}", "key: '{frame}_{drive}'"), "", "give back its field 'frame'"),
    ("drives", change('group: "{drive}"', 'group: {key: "{a}-{b}", name: "{a}"}'), "", "no key is one of group"),
    ("drives", change("[107, 142, 35]", "[107, 142, 36]"), "unknown-color", r"colour \(107, 142, 35\)"),
    ("drives", change("[107, 142, 35]", "[0, 0, 0]"), "unknown-color", r"colour \(0, 0, 0\) \(\d+ pixels, of several"),
    ("drives", one_color, "unknown-color", r"colour \(0, 0, 0\) \(\d+ pixels\), \(107, .*"),
    ("drives", change("coding: colors", "coding: ids"), "label-format", "RGB"),
    ("flat", change('"{name}_mask.png"', '"{name}.png"'), "ambiguous-file", r"\(images of all\) and .*labels"),
    ("flat", change('"{name}.png"', '"IMG {name}.png"'), "no-pair", "IMG 0.png has the key 0, IMG 0_mask.png has"),
    ("drives", crossed, "no-pair", r"its key a_1_0000 is also that of a/gt/1_0000\.png, which has another \{drive\}"),
    ("flat", change("id: 2", "id: 3"), "unknown-id", r"id 2 \(\d+ pixels\), which flat does not define"),
    ("flat", move("IMG 1.png", "IMG+0.png"), "duplicate-key", "IMG-0 also names IMG"),
    ("flat", move("IMG 1.png", "sub/IMG 1.png"), "missing-image", "no image for IMG-1"),
    ("flat", change("safe_keys: true\n", ""), "bad-key", "key 'IMG 0'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fault", "code", "told"), FAULTS, ids=[f"{row[2]} {row[3][:30]}" for row in FAULTS])
def test_planted_faults(
    name: str, fault: Callable[[Path], None], code: str, told: str, request: pytest.FixtureRequest
) -> None:
    """Each is found, by its code or in one line; `check` tells the same, and nothing is published where it is one."""
    root: Path = request.getfixturevalue(name)
    fault(root)
    try:
        found = list(prepare(job(root)).findings)
        lines = [str(finding) for finding in found]
    except FindingsError as error:
        found, lines = list(error.findings), [str(error), *map(str, error.findings)]
        assert not (root.parent / "set").exists()
    except SegdataError as error:
        found, lines = [], [str(error)]
        assert not (root.parent / "set").exists()
    if code:
        lines = [str(finding) for finding in found if finding.code == code]
    assert any(re.search(told, line) for line in lines), lines
    assert all("\n" not in line for line in lines)
    done = CliRunner().invoke(cli, ["check", f"{root}.yaml", "--root", str(root)])
    said = done.output if done.exception is None or done.exit_code == 2 else f"{done.output}{done.exception}"
    assert f"[{code}]" in said if code else re.search(told, said), said
