"""Labels as people have them: polygons are drawn by the official rule; what cannot be used is told in one line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from click.testing import CliRunner
from PIL import Image

from segdata.checking.verify import verify
from segdata.cli import cli
from segdata.errors import OptionError, SegdataError
from segdata.findings import FindingsError
from segdata.labels.label import Coding
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.raw.contents.labelfiles import label_opener
from segdata.raw.member import Member
from segdata.reading.shardset import ShardSet
from segdata.sources import source

MakeJob = Callable[..., Job]
Painted = Callable[..., Path]
LABELS = source("cityscapes").labels
RANDOM = np.random.default_rng(16)
KINDS = ["car", "cargroup", "license plate", "sky", "unlabeled", "bicyclegroup", "road", "out of roi"]


def drawn(path: Path) -> np.ndarray[Any, Any]:
    read = label_opener(Coding("polygons", background="unlabeled"), LABELS)
    return read(Member(path.name, path.parent, path.name)).ids()


def official(path: Path) -> np.ndarray[Any, Any]:
    annotation = Annotation()
    annotation.fromJsonFile(str(path))
    return np.array(createLabelImage(annotation, "ids"))


def objects() -> list[dict[str, Any]]:
    """Lines, outlines that cross themselves or leave the picture, fractions, what is deleted, groups, and plates."""
    found = []
    for i in range(60):
        corners = RANDOM.integers(-40, 160, (int(RANDOM.integers(2, 9)), 2)) + (0.5 * (i % 3 == 0))
        found.append({"label": KINDS[i % len(KINDS)], "polygon": corners.tolist(), "deleted": int(i % 7 == 0)})
    return found


def test_polygons_are_drawn_by_the_official_rule(painted: Painted, tmp_path: Path) -> None:
    """Pixel by pixel against json2labelImg: the painted streets, and outlines that no annotator would draw."""
    paths = sorted(painted("cityscapes").rglob("*_polygons.json"))
    (tmp_path / "odd.json").write_text(json.dumps({"imgHeight": 90, "imgWidth": 120, "objects": objects()}))
    for path in [*paths, tmp_path / "odd.json"]:
        assert np.array_equal(drawn(path), official(path)), path
    assert len(paths) == 11 and len(np.unique(drawn(tmp_path / "odd.json"))) > 4


def without(root: Path, *kinds: str) -> Path:
    for kind in kinds:
        for path in root.rglob(f"*_gtFine_{kind}"):
            path.unlink()
    return root


def test_a_set_of_polygons(painted: Painted, make_job: MakeJob, tmp_path: Path) -> None:
    """Made where there are no label images: the same targets as of these, under a key of its own, and kept."""
    root = without(shutil.copytree(painted("cityscapes"), tmp_path / "raw"), "labelIds.png", "color.png")
    made, plain = (
        make_job("cityscapes", root, tmp_path / "set", labels="polygons"),
        make_job("cityscapes", painted("cityscapes"), tmp_path / "plain"),
    )
    assert prepare(made).findings == prepare(plain).findings == ()
    assert prepare(made).reused == prepare(made).shards
    assert verify(made.out, pixels=True) == []
    for split in ("train", "val"):
        ours, theirs = ShardSet(made.out, split), ShardSet(plain.out, split)
        assert ours.keys == theirs.keys
        for i in range(len(ours)):
            one, other = ours.read(i).targets, theirs.read(i).targets
            assert all(np.array_equal(one[scale], other[scale]) for scale in (1, 2, 4, 8))
    assert "labels" not in plain.conversion.document() and made.conversion.document()["labels"] == "polygons"
    with pytest.raises(SegdataError, match="holds another set: labels is polygons there"):
        prepare(replace(plain, out=made.out))
    with pytest.raises(OptionError, match="--labels polygons: camvid has no annotation of that name; expected ids"):
        make_job("camvid", root, tmp_path / "none", labels="polygons")


@pytest.mark.parametrize(
    "change, code, found",
    [
        ({"imgWidth": 127}, "size-mismatch", "127x64 beside an image of 128x64"),
        ({"imgWidth": "128"}, "bad-polygons", "a height or width of 128, expected pixels"),
        ({"objects": None}, "bad-polygons", "not imgHeight, imgWidth and objects"),
        ({"objects": [{"label": "dragon", "polygon": []}]}, "bad-polygons", "object 0 has the label 'dragon', which"),
        ({"objects": [{"label": "car", "polygon": [[1, 2]]}]}, "bad-polygons", "(car) has no polygon of at least 2"),
        ({"objects": [{"label": "car", "polygon": [[1, 2], [1e30, 2]]}]}, "bad-polygons", "object 0 (car) has no poly"),
        (b"", "empty-file", "0 bytes"),
        (b'{"imgHeight": 64, "imgHeight": 64}', "bad-polygons", "the key 'imgHeight' stands twice"),
        (b"[" * 99_999, "bad-polygons", "RecursionError"),
        (b" " * (1 << 23), "too-large", "8388608 bytes, expected at most"),
    ],
)
def test_damaged_polygons(
    change: dict[str, Any] | bytes, code: str, found: str, painted: Painted, make_job: MakeJob, tmp_path: Path
) -> None:
    """One finding that names the file."""
    root = Path(shutil.copytree(painted("cityscapes"), tmp_path / "raw"))
    path = min((root / "gtFine/val").rglob("*_polygons.json"))
    data = change if isinstance(change, bytes) else json.dumps(json.loads(path.read_text()) | change).encode()
    path.write_bytes(data)
    with pytest.raises(FindingsError) as stopped:
        prepare(make_job("cityscapes", root, tmp_path / "set", labels="polygons", splits=("val",)))
    (finding,) = stopped.value.findings
    assert (finding.code, finding.where) == (code, str(path.relative_to(root))) and found in finding.found


@pytest.mark.parametrize(
    "name, kind, told",
    [
        ("cityscapes", "polygons.json", "6 files *_polygons.json, and no <city>_<sequence>_<frame>_gtFine_labelIds.png"
         ". Give --labels polygons, which draws them"),
        ("cityscapes", "color.png", "6 files *_color.png, and no <city>_<sequence>_<frame>_gtFine_labelIds.png"
         ". Colours are no ids"),
        ("cityscapes", "labelTrainIds.png", "6 files *_labelTrainIds.png, and no <city>_<sequence>_<frame>_gtFine_"
         "labelIds.png. Train ids have lost 15 of the 34 classes"),
        ("camvid", "L.png", "are all *_L.png, of which none is named as its image. These are colours of the original"),
    ],
)  # fmt: skip
def test_other_labels_only(name: str, kind: str, told: str, painted: Painted, draw: Callable[[str], Path],
                           tmp_path: Path) -> None:  # fmt: skip
    """One line: what lies there, and what to do."""
    if name == "camvid":
        root = draw("camvid")
        for path in list(root.rglob("*annot/*.png")):
            Image.open(path).convert("RGB").save(path)
            path.rename(path.with_name(f"{path.stem}_{kind}"))
    else:
        root = Path(shutil.copytree(painted("cityscapes"), tmp_path / "raw"))
        for path in list(root.rglob("*_gtFine_labelIds.png")):
            path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
        without(root, *({"polygons.json", "color.png", "labelTrainIds.png", "instanceIds.png"} - {kind}))
    result = CliRunner().invoke(cli, ["prepare", name, "--root", str(root), "--out", str(tmp_path / "set")])
    assert isinstance(result.exception, SegdataError)
    assert told in str(result.exception) and "\n" not in str(result.exception)


def test_frames_without_an_evaluated_class(draw: Callable[[str], Path], make_job: MakeJob, tmp_path: Path) -> None:
    """A warning for each split: how many, and which; the same of shards that stood already, and in dataset.json."""
    root = draw("camvid")
    for path in root.rglob("trainannot/*.png"):
        Image.fromarray(np.array(Image.open(path)) * 0 + 11).save(path)
        if path.stem.endswith("0000"):
            Image.fromarray(np.full((16, 24), 3, np.uint8)).save(path)
    mine = tmp_path / "mine.yaml"
    row = "  - {{name: {0}, color: [0, 0, 0], evaluated: {1}, from: {2}}}\n"
    mine.write_text(f"name: mine\nclasses:\n{row.format('road', 'true', '[road]')}{row.format('all', 'false', 'rest')}")
    job = make_job("camvid", root, tmp_path / "set", taxonomy=str(mine), splits=("train",))
    first = prepare(job)
    (finding,) = first.findings
    assert str(finding).startswith(
        "warning[nothing-labelled] camvid train: 3 of 4 label files have no pixel of an evaluated class (road): "
        "trainannot/train_0001.png, trainannot/train_0002.png, trainannot/train_0003.png (expected: "
    )
    assert first.samples == {"train": 4} and verify(job.out, pixels=True) == []
    again = prepare(job)
    assert again.findings == first.findings and again.reused == again.shards and not again.changed
