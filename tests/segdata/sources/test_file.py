"""Source files: what they say is what comes of them, and every fault is told with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segdata.errors import SourceError
from segdata.labels.label import Coding
from segdata.making.job import make_job
from segdata.raw.scene import FrameRule
from segdata.sources import SOURCES, source
from segdata.sources.file import read_source, shipped

GOOD = """\
name: drives
licence: mine
labels:
  - {id: 0, name: nothing, color: [0, 0, 0], category: void}
  - {id: 1, name: road, color: [128, 64, 128], category: flat}
  - {id: 2, name: building, color: [70, 70, 70]}
fields: {frame: '\\d+'}
image: "{drive}/rgb/{frame}.png"
annotation: {files: "{drive}/gt/{frame}.png", coding: ids}
group: "{drive}"
splits:
  train: {where: {drive: [a, b]}}
  val: {where: {drive: [c]}}
"""


def test_what_a_file_says() -> None:
    """The source has it, with the defaults of what it does not say."""
    found = read_source(GOOD.encode(), "d.yaml", Path())
    assert (found.name, found.licence, found.title, found.ships) == ("drives", "mine", "", False)
    assert [(label.id, label.name, label.category) for label in found.labels] == [
        (0, "nothing", "void"), (1, "road", "flat"), (2, "building", "building"),
    ]  # fmt: skip
    assert found.splits == found.default_splits == ("train", "val") and found.pools == {
        "train and val": ("train", "val")
    }
    assert found.naming.text == "{drive}_{frame}"  # all fields that images and labels share
    assert found.group("a_b_0017") == "a_b" and found.split_group("a_b_0017") == "a_b" and found.group("x") == "x"
    assert (found.coding, found.frame_rule) == (Coding("ids"), FrameRule())
    assert [(each.path, each.role, each.key("a/rgb/7.png"), each.key("a/gt/7.png")) for each in found.folders] == [
        ("", "image", "a_7", None), ("", "labels", None, "a_7"),
    ]  # fmt: skip


def test_classes_without_a_taxonomy(tmp_path: Path) -> None:
    """A class for each label, in the order of ids, that is written back as its id; what is void is ignored."""
    path = tmp_path / "d.yaml"
    path.write_text(GOOD)
    taxonomy = make_job(str(path), root=tmp_path, out=tmp_path / "set").conversion.taxonomy
    assert taxonomy.name == "drives" and taxonomy.ignore == ("nothing",)
    assert [(row.name, row.color, row.export, row.evaluated) for row in taxonomy.classes] == [
        ("road", (128, 64, 128), 1, True), ("building", (70, 70, 70), 2, True),
    ]  # fmt: skip


def test_another_annotation_by_name() -> None:
    """`--labels` chooses it; a source has no other digest for it, as the option says it."""
    cityscapes = SOURCES["cityscapes"]
    drawn = cityscapes.with_labels("polygons")
    assert drawn.coding == Coding("polygons", background="unlabeled") and cityscapes.coding == Coding("ids")
    assert {folder.rule.rpartition("_")[2] for folder in drawn.folders} == {"leftImg8bit.png", "polygons.json"}
    assert drawn.digest == cityscapes.digest == ""
    own = '{where: {drive: [c]}, annotation: "{drive}/val/{frame}.png"}'  # of the usual labels, not of the others
    others = 'other_annotations: {drawn: {files: "{drive}/{frame}.json", coding: labelme, background: nothing}}\n'
    mine = read_source((GOOD.replace("{where: {drive: [c]}}", own) + others).encode(), "d.yaml", Path())
    assert mine.annotation and mine.annotation.files.templates["val"] == "{drive}/val/{frame}.png"
    assert {*mine.annotations["drawn"].files.templates.values()} == {"{drive}/{frame}.json"}


def test_what_decides_bytes_is_in_the_digest() -> None:
    """Labels, coding and the rule for frames; not the title, nor where files lie."""

    def digest(*changes: tuple[str, str]) -> str:
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return read_source(text.encode(), "d.yaml", Path()).digest

    assert digest() == digest(("licence: mine", "licence: yours"), ("rgb/", "color/"))
    others = [
        digest(("id: 2", "id: 3")), digest(("name: road", "name: street")), digest(("[70, 70, 70]", "[70, 70, 71]")),
        digest(("coding: ids", "coding: palette")),
        digest(('image: "{drive}/rgb/{frame}.png"', 'image: {files: "{drive}/rgb/{frame}.png", channels: grey}')),
    ]  # fmt: skip
    assert len({digest(), *others}) == len(others) + 1


@pytest.mark.parametrize("extended", SOURCES)
def test_a_source_that_extends_another(extended: str) -> None:
    """Takes what it does not say itself, with the lists of the other one's folder."""
    text = f"name: mine\nextends: {extended}\nlicence: other\n"
    mine, other = read_source(text.encode(), "m.yaml", Path()), SOURCES[extended]
    assert (mine.name, mine.licence, mine.ships) == ("mine", "other", False)
    assert (mine.labels, mine.official, mine.folders) == (other.labels, other.official, other.folders)
    assert mine.digest and not other.digest


@pytest.mark.parametrize("name", SOURCES)
def test_a_copy_of_a_shipped_file_is_the_source(name: str, tmp_path: Path) -> None:
    """Wherever it lies; one that was changed must have a name of its own."""
    copy = tmp_path / "copy.yaml"
    copy.write_bytes(shipped(name).read_bytes())
    assert source(str(copy)).ships and source(str(copy)).official == SOURCES[name].official
    copy.write_bytes(shipped(name).read_bytes() + b"# mine\n")
    with pytest.raises(SourceError, match=rf"copy\.yaml, line \d+: name: {name} is a source that ships with segdata"):
        source(str(copy))


FAULTS: list[tuple[str, str, int, str]] = [  # what stands there, what stands in its place, the line, what is told
    ("name: drives", "name: my drives", 1, "name: 'my drives'; expected letters"),
    ("name: drives\n", "", 1, "missing key 'name'"),
    ("licence:", "license:", 2, "unknown key 'license' (nearest: 'licence')"),
    ("name: road", "name: ???", 5, "??? stands for what is not known yet"),
    ("licence: mine", "licence: '???'", 2, "??? stands for what is not known yet"),
    ("id: 2", "id: 1", 6, "id 1 stands 2 times, first in d.yaml, line 5"),
    ("name: building", "name: road", 6, "name 'road' stands 2 times"),
    ("id: 2", "id: 256", 6, "id 256; expected 0 to 255"),
    ("id: 2", "id: 010", 6, "010 begins with 0: YAML would take it for an octal number. Write 10"),
    ("[70, 70, 70]", "[070, 70, 70]", 6, "070 begins with 0"),
    ("id: 2", "id: two", 6, "id: found 'two', expected a whole number"),
    ("[70, 70, 70]", "[70, 70]", 6, "color is [70, 70]; expected [red, green, blue]"),
    ("category: flat", "kategory: flat", 5, "unknown key 'kategory'"),
    ("'\\d+'", "'(\\d+)'", 7, "a group in parentheses"),
    ("'\\d+'", "'(?P<x>\\d+)'", 7, "a group in parentheses"),
    ("'\\d+'", "'(\\d+'", 7, "fields: frame: missing )"),
    ("'\\d+'", "'[0'", 7, "fields: frame: unterminated character set"),
    ("'\\d+'}", "'\\d+', drvie: a}", 7, "fields: drvie stands in no template (nearest: 'drive')"),
    ("'\\d+'", "'(?:[a-z]+)+'", 7, "a repeated group that itself repeats"),
    ("'\\d+'", "'(?:(?:a|ab)x)*'", 7, "a repeated group that itself repeats"),
    ("{frame: ", "{Frame: ", 7, "'Frame' is no name of a field"),
    ("{drive}/rgb", "{Drive}/rgb", 8, "{Drive} is no field"),
    ("{drive}/rgb", "/{drive}/rgb", 8, "expected a path from the dataset's folder on"),
    ("{drive}/gt/{frame}", "{a}/gt/{b}", 8, "share no field, so that nothing joins them"),
    ('"{drive}/rgb/{frame}.png"', "{channels: grey}", 8, "missing key 'files'"),
    (
        '"{drive}/rgb/{frame}.png"',
        '{files: "{drive}/rgb/{frame}.png", channels: cmyk}',
        8,
        "channels 'cmyk'; expected one",
    ),
    (
        '"{drive}/rgb/{frame}.png"',
        '{files: "{drive}/rgb/{frame}.png", range: [9, 1]}',
        8,
        "range [9, 1]; expected [low",
    ),
    (
        "coding: ids",
        'fallback: {files: "{drive}/c/{frame}.png", coding: colors, fallback: "{drive}/d/{frame}.png"}',
        9,
        "annotation: fallback: unknown key 'fallback'",
    ),
    (
        "coding: ids",
        'fallback: {files: "{drive}/{frame}.json", coding: labelme, background: sky}',
        9,
        "the label table has no 'sky'",
    ),
    ("coding: ids", "coding: rgb", 9, "coding 'rgb'; expected one of ids, palette, colors"),
    ("coding: ids", "missing: ignore", 9, "missing 'ignore'; expected refuse or skip"),
    ("coding: ids", "divisor: 256", 9, "a divisor is for the coding ids16"),
    ("coding: ids", "coding: labelme", 9, "missing key 'background'"),
    ("coding: ids", "coding: labelme, background: sky", 9, "the label table has no 'sky'"),
    ('group: "{drive}"', 'group: "{city}"', 10, "no field 'city' here; there are drive, frame"),
    ('group: "{drive}"', 'group: "{frame//0}"', 10, "expected text and fields in braces"),
    ("{where: {drive: [c]}}", "{}", 11, "val does not say which frames are its own"),
    ("{where: {drive: [c]}}", "{where: {city: [c]}}", 13, "the key has no field 'city'; it has drive, frame"),
    ("{where: {drive: [c]}}", "{share: 1.5}", 13, "share 1.5; expected a number between 0 and 1"),
    ("{where: {drive: [c]}}", "{share: 0.1, list: a.txt}", 13, "list and share; expected one of them"),
    ("{where: {drive: [c]}}", "{list: none.txt}", 13, "no list none.txt"),
    ("{where: {drive: [c]}}", "{official: -1}", 13, "official -1; expected the number of its frames"),
    ("{where: {drive: [c]}}", "{annotated: no way}", 13, "annotated: found 'no way', expected true or false"),
    (
        "{where: {drive: [c]}}",
        '{annotation: {files: "{drive}/val/{frame}.png", coding: palette}}',
        13,
        "split val: annotation: unknown key 'coding'; expected optionally files, package",
    ),
    ("{where: {drive: [c]}}", "{image: {channels: grey}}", 13, "split val: image: unknown key 'channels'"),
    ("{where: {drive: [c]}}", "{where: {drive: [c]}, folder: x}", 13, "a folder, and no template has {split}"),
    ("  val:", "  my val:", 13, "'my val'; expected letters, digits"),
    (", coding: ids}", ", fallback: {files: 'a/{frame}', fallback: 'b/{frame}'}}", 9, "unknown key 'fallback'"),
    ("splits:", "other_annotations: {ids: '{drive}/{frame}'}\nsplits:", 11, "'ids' means the usual label files"),
    ("splits:", "other_annotations: {o: 'o/{frame}.png'}\nsplits:", 11, "o/{frame}.png lacks the field 'drive'"),
    ("splits:", "taxonomy: 3\nsplits:", 11, "taxonomy: found 3, expected text"),
    ("splits:", "extends: kitti\nsplits:", 11, "extends: no source 'kitti' ships"),
    ("splits:", "landmarks: [sky]\nsplits:", 11, "landmarks: the label table has no 'sky'"),
]


@pytest.mark.parametrize(("there", "instead", "line", "told"), FAULTS, ids=[told for *_, told in FAULTS])
def test_faults_are_told_with_their_line(there: str, instead: str, line: int, told: str) -> None:
    """In one sentence that names the file and the line."""
    assert there in GOOD
    with pytest.raises(SourceError) as caught:
        read_source(GOOD.replace(there, instead, 1).encode(), "d.yaml", Path())
    message = str(caught.value)
    assert re.match(rf"d\.yaml, line {line}\b.*: ", message) and told in message and "\n" not in message, message


def test_what_is_open_is_found_in_every_encoding() -> None:
    """As editors write it: UTF-8 with a mark, UTF-16."""
    text = GOOD.replace("licence: mine", "licence: ???")
    for encoding in ("utf-8-sig", "utf-16"):
        with pytest.raises(SourceError, match=r"d\.yaml, line 2: \?\?\? stands for"):
            read_source(text.encode(encoding), "d.yaml", Path())


def test_shares_add_up() -> None:
    """To at most one."""
    text = GOOD.replace("{where: {drive: [a, b]}}", "{share: 0.7}").replace("{where: {drive: [c]}}", "{share: 0.4}")
    with pytest.raises(SourceError, match=r"line 11: splits: the shares of train and val add up to 1\.1"):
        read_source(text.encode(), "d.yaml", Path())


def test_a_name_that_nobody_has() -> None:
    """The nearest ones, and that one's own dataset is a file."""
    with pytest.raises(
        SourceError, match=r"no source 'cityscape'; did you mean cityscapes .* a YAML file: `segdata init`"
    ):
        source("cityscape")
    with pytest.raises(SourceError, match=r"no source file mine\.yaml"):
        source("mine.yaml")


@pytest.mark.parametrize(
    "expression",
    [r"\d{5,6}", r"f?\d+", r"(?:left|right)_\d+", r"[(+*)]+", r"\(\d+\)\+", r"(?!x)[a-z]+", r"(?:cam\d)?x+"],
)
def test_expressions_that_cannot_hang(expression: str) -> None:
    """Repetitions beside each other, and choices that are not repeated, are fine."""
    found = read_source(GOOD.replace(r"'\d+'", f"'{expression}'").encode(), "d.yaml", Path())
    assert found.fields == {"frame": expression}


def test_what_is_taken_over_is_told_where_it_is_extended() -> None:
    """The user has no other file to mend."""
    text = 'name: mine\nextends: cityscapes\nimage: "{name}.png"\nannotation: "{name}_gt.png"\nsplits: [train]\n'
    with pytest.raises(SourceError, match=r"^m\.yaml, line 2, which takes over cityscapes\.yaml, line \d+: "):
        read_source(text.encode(), "m.yaml", Path())
