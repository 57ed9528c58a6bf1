"""Files of a folder that name its classes: their names stand in the draft where they explain what was met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segdata.drafting.draft import Draft, draft_source
from segdata.drafting.finding.legends import read_legends
from segdata.drafting.text import source_text
from segdata.raw.member import Member
from tests.support.planting import SHAPE, Planted, colors, ids, palette, surveyed

TABLE = [(9, 0, 0), (0, 200, 0), (0, 0, 77)]
ROWS = ("field", "grass path", "sky")
CLASSES = "field,9,0,0\ngrass path,0,200,0\nsky,0,0,77\n"
POLYGON = {"label": "grass path", "points": [[0, 0], [9, 0], [9, 9]], "shape_type": "polygon"}


def label_file(kind: str, seed: int, values: list[int]) -> bytes:
    if kind == "colors":
        return colors(seed, TABLE)
    if kind == "palette":
        return palette(seed, values, dict(zip(values, TABLE, strict=False)))
    if kind == "labelme":
        document = {"shapes": [POLYGON, {**POLYGON, "label": "sky"}], "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]}
        return json.dumps(document).encode()
    return ids(seed, values)


def drafted(root: Path, kind: str, values: list[int], **files: str) -> Draft:
    """Of three pairs and these files."""
    found = Planted()
    suffix = "json" if kind == "labelme" else "png"
    for i in range(3):
        found.pair(f"{i}", f"images/{i}.jpg", f"masks/{i}.{suffix}", lambda seed: label_file(kind, seed, values))
    found.files |= {name.replace("__", "/").replace("_dot_", "."): text.encode() for name, text in files.items()}
    return draft_source(found.write(root))


@pytest.mark.parametrize(
    ("kind", "values", "files", "codes"),
    [
        ("ids", [1, 5], {"masks___classes_dot_csv": "Pixel Value, Class\n1, field\n5, grass path\n7, sky"}, [1, 5, 7]),
        ("ids", [0, 1, 2, 255], {"labels_dot_txt": "name\nfield\ngrass path\nsky\n"}, [0, 1, 2]),
        ("ids", [0, 2, 255], {"labels_dot_txt": "__ignore__\nfield\ngrass path\nsky\n"}, [255, 0, 1, 2]),
        ("ids", [3, 4], {"masks__label_map_dot_json": '{"field": 3, "grass path": 4, "sky": 9}'}, [3, 4, 9]),
        ("ids", [3, 4], {"label_map_dot_json": '{"3": "field", "4": "grass path", "9": "sky"}'}, [3, 4, 9]),
        ("ids", [3, 4], {"meta_classes_dot_json": json.dumps({"classes": [
            {"id": code, "name": name, "color": "#090000"} for code, name in zip((3, 4, 9), ROWS, strict=True)
        ]})}, [3, 4, 9]),
        ("palette", [2, 3, 6], {"class_dict_dot_csv": f"name,r,g,b\n{CLASSES}"}, [2, 3, 6]),
        ("palette", [2, 3, 6], {"classes_dot_csv": "id;name\n2;field\n3;grass path\n6;sky\n"}, [2, 3, 6]),
        ("colors", [], {"class_dict_dot_csv": f"name,r,g,b\n{CLASSES}"}, [0, 1, 2]),
        ("colors", [], {"classes_dot_csv": CLASSES}, [0, 1, 2]),
        ("colors", [], {"labelmap_dot_txt": "# label:color_rgb\nfield:9,0,0::\ngrass path:0,200,0::\nsky:0,0,77::\n"},
         [0, 1, 2]),
        ("colors", [], {"label_colors_dot_txt": "9 0 0\tfield\n0 200 0\tgrass path\n0 0 77\tsky\n"}, [0, 1, 2]),
        ("colors", [], {"set-colormap_dot_txt": "4 field 9 0 0\n5 grass path 0 200 0\n8 sky 0 0 77\n"}, [4, 5, 8]),
        ("colors", [], {"my_colormap_dot_json": json.dumps(dict(zip(ROWS, TABLE, strict=True)))}, [0, 1, 2]),
        ("labelme", [], {"labels_dot_txt": "__ignore__\n_background_\nfield\ngrass path\nsky\n"}, [255, 0, 1, 2, 3]),
    ],
)  # fmt: skip
def test_names_of_the_folder(
    kind: str, values: list[int], files: dict[str, str], codes: list[int], tmp_path: Path
) -> None:
    """They are taken, and the draft says from which file; `prepare` reads the draft."""
    draft = drafted(tmp_path / "x", kind, values, **files)
    path = next(iter(files)).replace("__", "/", 1).replace("_dot_", ".")
    assert draft.annotation.kind == kind and draft.known and draft.known.path == path
    named = [row for row in draft.rows if row.name]
    assert [row.id for row in named] == codes
    assert [row.name for row in named if row.name in ROWS] == list(ROWS)
    assert {row.value for row in draft.rows if not row.name} <= {255}
    assert [row.id for row in draft.rows if row.category == "void"] == [255] * (255 in codes)
    if kind in {"palette", "colors"}:
        assert [row.color for row in named] == TABLE
    assert path not in [each for several in draft.unread.values() for each in several]
    text = source_text(draft, "x", "x.yaml", {}).replace("\n# ", " ")
    counted = " (one name a line: ids are counted from 0)" if path == "labels.txt" else ""
    assert path not in draft.strays
    met, left = len(draft.census.values), 255 in values and 255 not in codes
    assert f" The names are those of the file {path}{counted}, which has {met - left} of the {met} " in text
    assert len(surveyed(draft, tmp_path / "x", tmp_path)) == 3


@pytest.mark.parametrize(
    ("values", "files"),
    [
        ([1, 2, 3], {"classes_dot_csv": "id,name\n1,field\n2,sky\n"}),  # 3 has no name
        ([1, 2], {"labels_dot_txt": "field\ngrass path\nsky\n"}),  # may count from 0 or from 1
        ([0, 1], {"labels_dot_txt": "masks/0.png\nmasks/1.png\n"}),  # a list of files
        ([0, 1], {"labels_dot_txt": "0\n1\n2\n"}),  # no names
        ([0, 1], {"class_dict_dot_csv": f"name,r,g,b\n{CLASSES}"}),  # colours alone do not say ids
        ([0, 1], {"a_classes_dot_csv": "id,name\n0,field\n1,sky\n", "b_classes_dot_csv": "id,name\n0,sky\n1,field\n"}),
        ([0, 1], {"classes_dot_csv": "id,name\n0,field\n0,sky\n1,grass\n"}),  # one id, two names
        ([0, 1], {"classes_dot_csv": "class,pixels\nfield,0\nsky,1\n"}),  # no ids
        ([0, 1], {"class_counts_dot_json": '{"field": 0, "sky": 1}'}),
        ([0, 1], {"classes_dot_json": "{", "labels_dot_json": "[]", "classes_dot_txt": ""}),
        ([0, 1], {"classes_dot_json": '{"field": 0, "sky": [1]}', "label_map_dot_json": '{"0": 4, "1": 7}'}),
    ],
)  # fmt: skip
def test_names_that_explain_nothing_are_left(values: list[int], files: dict[str, str], tmp_path: Path) -> None:
    """A wrong name is worse than none."""
    draft = drafted(tmp_path / "x", "ids", values, **files)
    assert draft.known is None and [row.name for row in draft.rows] == [""] * len(values)


def test_a_known_table_with_more(tmp_path: Path) -> None:
    """The folder's own names go before a guess by ids alone; a table with the same names has categories too."""
    classes = [f"{i},{'thing ' + 'abcdefghijklmnopqrs'[i]}\n" for i in range(19)]
    draft = drafted(tmp_path / "x", "ids", list(range(19)), classes_dot_csv="id,name\n" + "".join(classes))
    assert draft.known and draft.known.path == "classes.csv" and draft.rows[3].name == "thing d"
    (tmp_path / "x" / "classes.csv").unlink()
    table = draft_source(tmp_path / "x").known
    assert table and (table.name, table.path) == ("cityscapes-train-ids", "")
    names = "".join(f"{label.name.title().replace(' ', '_')}\n" for label in table.labels[:19])
    (tmp_path / "x" / "labels.txt").write_text(names)
    same = draft_source(tmp_path / "x")
    assert same.known == table and same.rows[3].category == "construction"


def test_large_files_are_not_read(tmp_path: Path) -> None:
    """Nor more of them than a few."""
    (tmp_path / "labels.txt").write_text("field\nsky\n" + "\n" * (1 << 18))
    for i in range(30):
        (tmp_path / f"classes_{i:02d}.txt").write_text(f"field {i}\nsky {i}\n")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "classes.json").write_text('[{"Name": "field", "Id": 1}, {"Name": "sky", "Id": 2}]')
    members = {name: Member(name, tmp_path, name) for name in ("meta/classes.json",)}
    members |= {path.name: Member(path.name, tmp_path, path.name) for path in tmp_path.iterdir() if path.is_file()}
    found = read_legends(members)
    assert len(found) == 23 and found[0].path == "meta/classes.json"  # 24 files were opened
    assert read_legends({"labels.txt": members["labels.txt"]}) == []
