"""Taxonomies: every shipped one is complete for its source, and every fault is named."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from segdata.cli import cli
from segdata.errors import SegdataError, TaxonomyError
from segdata.labels.label import Label
from segdata.labels.taxonomy import IGNORE, LabelMap, Taxonomy, load_taxonomy, read_taxonomy, taxonomy_names
from segdata.sources import SOURCES, source

SHIPPED = {
    "cityscapes": {"cityscapes-34", "cityscapes-20", "cityscapes-19", "cityscapes-10", "cityscapes-8"},
    "tas500": {"tas500-23", "tas500-10", "tas500-9"},
    "camvid": {"camvid-11"},
}


def test_every_shipped_taxonomy_has_its_source() -> None:
    """The files and the table above name the same taxonomies."""
    assert set(taxonomy_names()) == set.union(*SHIPPED.values())


@pytest.mark.parametrize("dataset, name", [(s, n) for s, names in SHIPPED.items() for n in sorted(names)])
def test_maps_are_total(dataset: str, name: str) -> None:
    """All 256 codes: a defined one goes to its class or is ignored on purpose, any other is undefined."""
    labels, taxonomy = source(dataset).labels, load_taxonomy(name)
    label_map = LabelMap.between(labels, taxonomy)
    by_code = {label.id % 256: label.name for label in labels}
    for code in range(256):
        assert label_map.defined[code] == (code in by_code)
        feeding = [i for i, row in enumerate(taxonomy.classes) if by_code.get(code) in row.feeds]
        expected = feeding[0] if feeding else IGNORE
        assert label_map.lut[code] == expected
        assert not (feeding and by_code[code] in taxonomy.ignore)


@pytest.mark.parametrize("dataset", SHIPPED)
def test_what_label_files_hold(dataset: str) -> None:
    """Every id of the table that is not negative: 255 is TAS500's "undefined", but no train id of Cityscapes."""
    facts = source(dataset)
    held = LabelMap.between(facts.labels, load_taxonomy(facts.default_taxonomy)).held
    published = {"tas500": {*range(23), 255}, "camvid": {*range(12)}, "cityscapes": {*range(34)}}
    due = published.get(dataset, {label.id for label in facts.labels if label.id >= 0})
    assert set(np.flatnonzero(held).tolist()) == due
    assert facts.landmarks < due


def test_cityscapes_20_is_train_ids_and_misc() -> None:
    """Against cityscapesScripts' own table: 19 train ids unchanged, fifteen void ids and the plate are 19."""
    from cityscapesscripts.helpers.labels import labels

    lut = LabelMap.between(source("cityscapes").labels, load_taxonomy("cityscapes-20")).lut
    nineteen = LabelMap.between(source("cityscapes").labels, load_taxonomy("cityscapes-19")).lut
    void = [label for label in labels if label.trainId in (255, -1)]
    assert len(void) == 16
    for label in labels:
        expected = 19 if label in void else label.trainId
        assert lut[label.id % 256] == expected
        assert nineteen[label.id % 256] == (255 if label in void else label.trainId)


def test_categories_are_cityscapes_own() -> None:
    """cityscapes-8 equals catId; cityscapes-10's void is exactly what the evaluation ignores."""
    from cityscapesscripts.helpers.labels import labels

    labels_of = source("cityscapes").labels
    eight = LabelMap.between(labels_of, load_taxonomy("cityscapes-8")).lut
    ten = LabelMap.between(labels_of, load_taxonomy("cityscapes-10")).lut
    for label in labels:
        assert eight[label.id % 256] == label.categoryId
        assert (ten[label.id % 256] == 0) == label.ignoreInEval


def test_export_returns_evaluated_classes_to_their_ids() -> None:
    """raw id -> class -> export is the identity on every evaluated class that one raw label feeds."""
    for dataset, names in SHIPPED.items():
        ids = {label.name: label.id for label in source(dataset).labels}
        for name in names:
            for row in load_taxonomy(name).classes:
                if len(row.feeds) == 1:
                    assert row.export == ids[row.feeds[0]]


def test_colors_and_names_are_the_datasets() -> None:
    """In the finest taxonomies each class keeps the name and colour that its dataset publishes."""
    for dataset, name in (("cityscapes", "cityscapes-34"), ("tas500", "tas500-23"), ("camvid", "camvid-11")):
        table = {label.name: label.color for label in source(dataset).labels}
        for row in load_taxonomy(name).classes:
            assert table[row.name] == row.color


def test_canonical_yaml_reads_back() -> None:
    """What a shard folder holds as taxonomy.yaml is the same taxonomy, with the same digest."""
    own = HEAD + ROAD + SKY.replace("name: sky", "name: grün 😀").replace("[sky]", "[😀]")
    for taxonomy in [*map(load_taxonomy, taxonomy_names()), parse(own)]:
        again = read_taxonomy(taxonomy.yaml().encode(), "again")
        assert again == taxonomy
        assert again.digest == taxonomy.digest


# ---- faults -------------------------------------------------------------------------------------------------

LABELS = (Label(0, "road", (1, 1, 1), "flat"), Label(1, "sky", (2, 2, 2), "sky"), Label(2, "dog", (3, 3, 3), "animal"))
HEAD = "name: own\nclasses:\n"
ROAD = "  - {name: road, color: [1, 1, 1], from: [road]}\n"
SKY = "  - {name: sky, color: [2, 2, 2], from: [sky], export: 1}\n"
DOG = "  - {name: dog, color: [2, 2, 2], from: [dog], export: 2}\n"


def parse(text: str) -> Taxonomy:
    return read_taxonomy(text.encode(), "own.yaml")


@pytest.mark.parametrize(
    "text, message",
    [
        (HEAD + ROAD + SKY, "raw label 'dog' has no destination"),
        (
            HEAD + ROAD + SKY + DOG.replace("from: [dog]", "from: [dog, cat]"),
            r"raw label 'cat' \(own.yaml, line 5\) is not in the data",
        ),
        (
            HEAD + ROAD + SKY + DOG.replace("[dog]", "[dogg]"),
            r"'dogg' \(own.yaml, line 5\) is not in the dataset \(nearest: 'dog'\)",
        ),
        (
            HEAD + ROAD + SKY + DOG.replace("export: 2", "export: 9"),
            r"'dog' \(own.yaml, line 5\) exports to id 9, which the dataset does not",
        ),
        (
            HEAD + ROAD + SKY + DOG.replace("export: 2", "export: -1"),
            r"'dog' \(own.yaml, line 5\) exports to id -1, which the dataset does not",
        ),
        (
            HEAD + ROAD + SKY + SKY.replace("[sky]", "[dog]"),
            "line 5: class name 'sky' stands 2 times, first in own.yaml, line 4",
        ),
        (
            HEAD + ROAD + SKY + DOG.replace("[dog]", "[dog, road]"),
            "line 5: raw label 'road' stands 2 times, first in own.yaml, line 3",
        ),
        (HEAD + ROAD + SKY + DOG.replace("[dog]", "[]"), "line 5: no raw label feeds class 'dog'"),
        (HEAD + ROAD, "line 2: 1 classes; expected 2 to 254"),
        (
            HEAD + ROAD + SKY.replace("color", "colour"),
            r"line 4: class 1: unknown key 'colour' \(nearest: 'color'\), missing key 'color'; expected",
        ),
        (HEAD + ROAD + SKY.replace("[2, 2, 2]", "[2, 2, 256]"), r"line 4: class 1 \(sky\): color is \[2, 2, 256\]"),
        (
            HEAD + ROAD + SKY.replace("name: sky", "name: 7"),
            "line 4: class 1: name: found 7, expected text \\(write it in quotes: '7'\\)",
        ),
        (
            HEAD + ROAD + "  - !!python/object/apply:os.system ['true']\n",
            "line 4: the tag !!python/object/apply:os.system.* tags, aliases and objects are refused",
        ),
        ("name: own\nclasses: [\n", "line 3: while parsing a flow node .* Expected plain YAML"),
        ("", "own.yaml: is empty, expected a taxonomy"),
        (
            HEAD + ROAD + SKY.replace("[sky]", "sky"),
            r"line 4: class 1 \(sky\): from: found 'sky', expected a list, \[sky\]",
        ),
        (HEAD + ROAD + SKY.replace("[sky]", "[7]"), "line 4: .*from: found 7, expected the name of a raw label"),
        (HEAD + ROAD + SKY.replace("export: 1", "export: 999"), "line 4: .*export is outside -1 to 255"),
        (
            HEAD + ROAD + SKY.replace("export: 1", "evaluated: 'no'"),
            "evaluated: found 'no', expected true or false, with",
        ),
        (HEAD + ROAD + SKY.replace("name: sky", "name: no"), "found no, expected text .write it in quotes: 'no'."),
        (
            HEAD + ROAD + SKY + SKY.replace("sky", "new") + "name: own\n",
            "line 6: the key 'name' stands twice, first on line 1",
        ),
        (HEAD + ROAD + SKY.replace("export: 1", "color: [1, 2, 3]"), "line 4: the key 'color' stands twice"),
        (HEAD + ROAD + SKY + "ignore: [dog, {x: 1,\n  x: 2}]\n", "line 6: the key 'x' stands twice, first on line 5"),
        (
            HEAD + ROAD + SKY.replace("[sky]", "[sky, dog, rest]"),
            "raw label 'rest' .*for all others write `from: rest`",
        ),
        (
            HEAD + ROAD + SKY.replace("[sky]", "rest") + "ignore: rest\n",
            r"line 4: class 1 \(sky\): from: the rest has a",
        ),
        (HEAD + ROAD + SKY + "ignore: [dog]\n" + DOG.replace("[dog]", "rest"), "Expected plain YAML"),
        (HEAD + ROAD + SKY.replace("name: sky", 'name: "\\ud83d"'), "line 4: .* is no value of its kind"),
        (
            HEAD + ROAD + SKY + DOG.replace("[dog]", "rest") + "ignore: [dog]\n",
            "line 5: no raw label is left for class 'dog'",
        ),
        ("[]", "own.yaml, line 1: found \\[\\], expected keys with values"),
    ],
)
def test_faults_are_named(text: str, message: str) -> None:
    """Each fault, alone or against the dataset, is an error that names it."""
    with pytest.raises(TaxonomyError, match=message):
        LabelMap.between(LABELS, parse(text))


def test_the_rest_is_what_is_named_nowhere_else() -> None:
    """`from: rest`, or `ignore: rest`, stands for the list of all other labels: same map, bytes and digest."""
    for rest, listed in (
        (HEAD + ROAD + SKY.replace("[sky]", "rest"), HEAD + ROAD + SKY.replace("[sky]", "[sky, dog]")),
        (HEAD + ROAD + SKY + "ignore: rest\n", HEAD + ROAD + SKY + "ignore: [dog]\n"),
    ):
        short, long = parse(rest), parse(listed)
        assert parse(short.yaml()) == short != long
        assert short.resolved(LABELS) == long and short.resolved(LABELS).digest == long.digest
        assert (LabelMap.between(LABELS, short).lut == LabelMap.between(LABELS, long).lut).all()
        assert long.resolved(LABELS) is long


def test_gaps_are_a_table(tmp_path: Path) -> None:
    """`segdata taxonomy` shows each label without a destination, and a line that closes the gap when it is written."""
    path = tmp_path / "own.yaml"
    text = HEAD + ROAD.replace("[road]", "[road, car]") + SKY.replace("export: 1", "export: 0")
    path.write_text(text)
    arguments = ["taxonomy", str(path), "--source", "camvid"]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, TaxonomyError | SegdataError)
    assert "raw labels without a destination: 9\n" in result.output
    assert re.search(r"^ +10 bicyclist +0 128 192  human$", result.output, re.M)
    written = re.search(r"^  (ignore: \[building, .*\])$", result.output, re.M)
    assert written
    for line in (written[1], "ignore: rest"):
        path.write_text(f"{text}{line}\n")
        result = CliRunner().invoke(cli, arguments)
        assert result.exception is None and "own: 2 classes, complete for camvid" in result.output


def test_a_users_file_works_by_path(tmp_path: Path) -> None:
    """A path is read as a file; an unknown name proposes near ones."""
    path = tmp_path / "own.yaml"
    path.write_text(HEAD + ROAD + SKY + DOG)
    assert [row.name for row in load_taxonomy(str(path)).classes] == ["road", "sky", "dog"]
    with pytest.raises(TaxonomyError, match="did you mean cityscapes-20"):
        load_taxonomy("cityscapes-21")
    with pytest.raises(TaxonomyError, match="no taxonomy file"):
        load_taxonomy("nowhere/own.yaml")


def test_every_source_has_a_default_that_fits() -> None:
    """`segdata prepare SOURCE` works without --taxonomy."""
    for dataset in SOURCES.values():
        label_map = LabelMap.between(dataset.labels, load_taxonomy(dataset.default_taxonomy))
        assert np.unique(label_map.lut[label_map.defined]).size > 2
