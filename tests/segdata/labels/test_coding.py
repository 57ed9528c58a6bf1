"""Whether a split's labels are in its dataset's own ids: by the shares of pixels that the datasets' tables publish."""

import json

import numpy as np
import pytest

from segdata.labels.coding import Tally, coding_finding
from segdata.labels.targets import Histogram
from segdata.sources import source

# Pixels of each id in order, about ten thousand in all: of Cityscapes' fine training labels (34 ids), of CamVid's 701
# frames (12 ids) and of TAS500's training labels (23 ids).
TABLES = {
    "cityscapes": [50, 520, 240, 150, 130, 30, 140, 3260, 540, 60, 20, 2020, 60, 80, 2, 30, 5, 110, 1, 20, 50, 1410,
                   100, 360, 110, 12, 620, 24, 21, 4, 2, 21, 9, 37],
    "camvid": [1581, 2410, 99, 2932, 669, 1119, 108, 143, 464, 64, 54, 359],
    "tas500": [944, 674, 164, 3, 459, 1707, 2005, 1669, 98, 137, 56, 141, 242, 26, 83, 6, 1016, 58, 9, 2, 15, 2, 476],
}  # fmt: skip


def pixels(name: str) -> Histogram:
    return np.bincount(np.arange(len(TABLES[name])), TABLES[name], 256).astype(np.int64)


def recoded(name: str, table: dict[int, int]) -> Histogram:
    return np.bincount([table.get(i, i) for i in range(256)], pixels(name), 256).astype(np.int64)


def train_ids(rest: int) -> dict[int, int]:
    from cityscapesscripts.helpers.labels import labels

    return {row.id: row.trainId if 0 <= row.trainId < 255 else rest for row in labels if row.id >= 0}


def found(name: str, held: Histogram) -> str:
    finding = coding_finding(source(name), "train", Tally(held))
    if finding is None:
        return ""
    assert (finding.code, finding.where) == ("label-coding", f"{name} train")
    return finding.found


@pytest.mark.parametrize("name", TABLES)
def test_the_published_shares(name: str) -> None:
    """Without a finding; also where some of the landmarks are missing, as of frames without cars, or without sky."""
    assert found(name, pixels(name)) == ""
    landmarks = sorted(source(name).landmarks)
    for landmark in landmarks if len(landmarks) > 1 else ():
        held = pixels(name)
        held[landmark] = 0
        assert found(name, held) == ""


@pytest.mark.parametrize("rest", [0, 19, 255])
def test_train_ids(rest: int) -> None:
    """Named as what they are, whatever value stands for all other labels."""
    said = found("cityscapes", recoded("cityscapes", train_ids(rest)))
    assert "0.00% of 10248 pixels hold 21 (vegetation), 23 (sky) and 26 (car)" in said
    assert "these look like train ids (labelTrainIds). Take the files that ship as *_labelIds.png" in said


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("by", [1, -1])
def test_ids_that_are_shifted(name: str, by: int) -> None:
    """By one: from 1 on, with 0 for what has no label; or without the first id, which is then 255."""
    said = found(name, recoded(name, {i: (i + by) % 256 for i in range(256)}))
    if (name, by) != ("camvid", -1):  # where sky would be 255, which no label file of CamVid holds
        assert f"these look like ids that are one {'higher' if by == 1 else 'lower'} than the table's" in said


def test_a_split_in_which_landmarks_are_much_and_another_coding_more() -> None:
    """CamVid's val split with ids from 1 on: its poles and fences, which then are 3 and 8, are 3.6 % of it."""
    held = recoded("camvid", {i: (i + 1) % 12 for i in range(12)})
    held[3] = held.sum() // 27
    assert "these look like ids that are one higher than the table's" in found("camvid", held)


@pytest.mark.parametrize(("name", "by"), [("camvid", 1), ("tas500", 1), ("tas500", -1), ("cityscapes", 0)])
def test_a_split_of_two_codings(name: str, by: int) -> None:
    """A folder of files in another coding among right ones: what is counted of each file tells, the sum does not."""
    table = train_ids(19) if name == "cityscapes" else {i: max(0, i + by) % len(TABLES[name]) for i in range(256)}
    of, files = source(name), []
    of_one_label = np.bincount([0], [100], 256).astype(np.int64)  # as of a lens that was covered
    folders = {"right": (pixels(name), 90), "other": (recoded(name, table), 9), "one": (of_one_label, 9)}
    for folder, (held, count) in folders.items():
        files += [Tally.of(f"{folder}/{i}.png", held, of.landmarks, of.lookalikes) for i in range(count)]
    mixed = coding_finding(of, "train", sum(files, Tally()))
    assert mixed is not None
    assert "9 of 108 label files look like another coding than the rest, such as other/0.png" in mixed.found
    assert coding_finding(of, "train", sum(files[:90] + files[99:], Tally())) is None
    a_lorry = coding_finding(of, "train", sum(files[:91] + files[99:], Tally()))
    assert a_lorry is None  # a single file may look so by chance
    assert Tally.parse(json.loads(json.dumps(mixed_tally := sum(files, Tally()).document()))).document() == mixed_tally


@pytest.mark.parametrize(("name", "other"), [(a, b) for a in TABLES for b in TABLES if a != b])
def test_ids_of_another_dataset(name: str, other: str) -> None:
    """As far as they are ids of this one at all, which every frame's own check asks."""
    held = pixels(other)
    if not held[len(TABLES[name]) :].any():
        assert "pixels hold" in found(name, held)


@pytest.mark.parametrize("name", TABLES)
def test_one_id_in_all_pixels(name: str) -> None:
    """Not even a landmark makes a set of frames. No pixels at all say nothing."""
    held = np.zeros(256, np.int64)
    assert found(name, held) == ""
    held[min(source(name).landmarks)] = 7
    assert "all 7 pixels hold id" in found(name, held)


@pytest.mark.parametrize("name", TABLES)
def test_masks_of_two_values(name: str) -> None:
    """0 and 1, or 0 and 255, are no labels."""
    for value in (1, 255):
        held = np.zeros(256, np.int64)
        held[[0, value]] = 5000
        assert found(name, held)
