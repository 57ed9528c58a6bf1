"""The label tables that ship: each is sane in itself, and has as many labels as its dataset says that it has."""

from __future__ import annotations

import pytest

from segdata.documents.yaml import read_yaml
from segdata.errors import SourceError
from segdata.labels.label import Label
from segdata.sources.home import HOME
from segdata.sources.tables import label_table

# Labels of each as its publisher counts them, and void where that is no class of its own.
COUNTS = {
    "a2d2": 55,  # class_list.json: 38 classes, some of them in several colours
    "bdd100k": 19 + 1,
    "camvid-32": 32,
    "cityscapes-train-ids": 19 + 1,
    "goose": 64,
    "idd": 40,
    "idd-level3": 26 + 1,
    "kitti": 35,  # with the licence plate, -1
    "mapillary-vistas-1.2": 66,
    "pascal-voc": 21 + 1,
    "rellis-3d": 20,
    "rugd": 24 + 1,
    "wilddash-2": 34 + 5,
}
ONE_COLOR_EACH = frozenset(COUNTS) - {"idd", "idd-level3", "kitti", "wilddash-2"}


def voc_color(index: int) -> tuple[int, ...]:
    """The palette of the VOC development kit: the lowest bits of the index are the highest of the channels."""
    bits = f"{index:024b}"[::-1]
    return tuple(int(bits[channel::3][:8], 2) for channel in range(3))


def test_every_table_is_counted() -> None:
    """No table ships whose size nobody has looked up."""
    names = {each.name.removesuffix(".yaml") for each in (HOME / "tables").iterdir()}
    assert names == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_a_table_is_sane(name: str) -> None:
    """Its name, homepage and count; no id and no name twice; colours that are none, and none twice where they code."""
    document = read_yaml((HOME / "tables" / f"{name}.yaml").read_bytes(), name, SourceError).plain()
    assert document["name"] == name and document["title"] and document["homepage"].startswith("http")
    labels = label_table(name)
    assert len(labels) == COUNTS[name]
    assert len({label.id for label in labels}) == len({label.name for label in labels}) == len(labels)
    assert all(0 <= part <= 255 for label in labels for part in label.color) and all(label.category for label in labels)
    if name in ONE_COLOR_EACH:
        assert len({label.color for label in labels}) == len(labels)


def test_tables_against_other_sources() -> None:
    """Train ids and WildDash's first ids: cityscapesScripts; VOC's palette: its rule; RUGD and RELLIS-3D."""
    from cityscapesscripts.helpers.labels import labels as published

    train = {row.trainId: (row.name, row.color, row.category) for row in published if 0 <= row.trainId < 255}
    table = {label.id: (label.name, label.color, label.category) for label in label_table("cityscapes-train-ids")}
    assert {code: row for code, row in table.items() if code != 255} == train
    wild = {label.id: label.name for label in label_table("wilddash-2")}
    assert {row.id: row.name for row in published if row.id >= 0}.items() <= wild.items()
    assert all(label.color == voc_color(label.id) for label in label_table("pascal-voc"))
    by_name = {label.name: label.color for label in label_table("rugd")}
    shared = {label.name: label.color for label in label_table("rellis-3d") if label.name in by_name}
    assert {name for name, color in shared.items() if color != by_name[name]} == {"concrete"}  # the one that differs
    assert len(shared) == 15


def test_camvid_has_the_colors_of_the_original() -> None:
    """The SegNet tutorial's colours are those of the original, but for pavement's."""
    original = {label.color for label in label_table("camvid-32")}
    eleven: tuple[Label, ...] = label_table("camvid")
    assert [label.name for label in eleven if label.color not in original] == ["pavement"]
