"""`diff` of shard folders by content, and findings as SARIF."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segdata.errors import ShardError
from segdata.findings import CODES, Finding
from segdata.labels.changes import balance, count_changes, described, id_changes
from segdata.labels.taxonomy import load_taxonomy
from segdata.looking.diff import diff
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.sarif import sarif

Shards = Callable[..., Path]
Draw = Callable[[str], Path]
MakeJob = Callable[..., Job]
LABEL = "trainannot/train_0001.png"
TAXONOMY = load_taxonomy("camvid-11")


def repaint(path: Path, change: Callable[[np.ndarray[Any, Any]], Any], **options: Any) -> None:
    with Image.open(path) as image:
        pixels = np.array(image)
    made = change(pixels)
    Image.fromarray(pixels if made is None else made).save(path, "PNG", **options)


def road_to_sky(labels: np.ndarray[Any, Any]) -> None:
    """Nine pixels that were road (3) become sky (0)."""
    labels[4:7, 4:7] = 0


@pytest.fixture
def pair(draw: Draw, make_job: MakeJob, tmp_path: Path) -> Callable[..., list[str]]:
    """pair(change, first={…}, second={…}): the difference that `change(root)` and other options make."""

    def compare(
        change: Callable[[Path], Any] = lambda root: None,
        first: dict[str, Any] | None = None,
        second: dict[str, Any] | None = None,
    ) -> list[str]:
        root = draw("camvid")
        repaint(root / LABEL, lambda labels: labels.__setitem__((slice(4, 7), slice(4, 7)), 3))
        prepare(make_job("camvid", root, tmp_path / "a", **(first or {})))
        change(root)
        prepare(make_job("camvid", root, tmp_path / "b", **(second or {})))
        forth, back = diff(tmp_path / "a", tmp_path / "b"), diff(tmp_path / "b", tmp_path / "a")
        assert len(forth) == len(back)
        return forth

    return compare


def test_equal_folders(shards: Shards) -> None:
    """Nothing differs between a folder and its copy."""
    assert diff(shards(), shards()) == []


def test_no_difference_of_the_same_dataset(pair: Callable[..., list[str]]) -> None:
    """Two runs over the same files."""
    assert pair() == []


def test_changed_labels(pair: Callable[..., list[str]]) -> None:
    """The key, the part, and how many pixels went from which class to which, at every scale where they did."""
    lines = pair(lambda root: repaint(root / LABEL, road_to_sky), {"rule": "stride"}, {"rule": "stride"})
    assert lines == [
        "train train_0001 target1.png: 9 pixels: road -> sky 9",
        "train train_0001 target2.png: 4 pixels: road -> sky 4",
        "train train_0001 target4.png: 1 pixels: road -> sky 1",
    ]


def test_changed_counts(pair: Callable[..., list[str]]) -> None:
    """Coverage is told as cells, and pixels a class has more or less."""
    lines = pair(lambda root: repaint(root / LABEL, road_to_sky), {"rule": "coverage"}, {"rule": "coverage"})
    assert "train train_0001 coverage4.png: 1 cells differ: sky +9, road -9 pixels" in lines
    assert "train train_0001 coverage2.png: 4 cells differ: sky +9, road -9 pixels" in lines


def test_changed_image(pair: Callable[..., list[str]]) -> None:
    """How many pixels, and by how much at most."""

    def change(root: Path) -> None:
        def brighter(image: np.ndarray[Any, Any]) -> None:
            image[3, 5, 0] = (int(image[3, 5, 0]) + 100) % 200
            image[9, 9] = image[9, 9] ^ 1

        repaint(root / "val/val_0000.png", brighter)

    (line,) = pair(change)
    assert re.fullmatch(r"val val_0000 image\.png: 2 pixels differ, by up to \d+", line)


def test_recoded_image(pair: Callable[..., list[str]]) -> None:
    """Other bytes of the same pixels are told apart from other pixels."""

    def recode(root: Path) -> None:
        for i in range(3):
            repaint(root / f"val/val_000{i}.png", lambda image: None, compress_level=0)

    assert pair(recode) == ["val image.png: 3 samples with other bytes, but the same pixels"]


def test_lossy_image(pair: Callable[..., list[str]]) -> None:
    """An image is compared across formats, and the change of options is told."""
    lines = pair(first={"image_codec": "png"}, second={"image_codec": "webp"})
    assert lines == [
        'option codec: "png" -> "webp"',
        *(f"{split} image.png -> image.webp: {n} samples with other bytes, but the same pixels"
          for split, n in (("train", 4), ("val", 3), ("test", 2))),
    ]  # fmt: skip


def test_lost_and_new_samples(pair: Callable[..., list[str]]) -> None:
    """Keys in only one of the folders are named."""

    def change(root: Path) -> None:
        for folder in ("test", "testannot"):
            (root / folder / "test_0000.png").rename(root / folder / "test_0009.png")

    assert pair(change) == ["test: keys only in a: test_0000", "test: keys only in b: test_0009"]


def test_splits_parts_and_options(pair: Callable[..., list[str]]) -> None:
    """Splits and scales of only one folder, and each option that differs."""
    lines = pair(first={"scales": (1, 8)}, second={"splits": ("train",), "scales": (1,), "samples_per_shard": 3})
    assert lines == [
        "option samples_per_shard: 2 -> 3",
        "option scales: [1, 8] -> [1]",
        "splits only in a: test, val",
        "train: parts only in a: target8.png",
    ]


def test_taxonomies_class_by_class(pair: Callable[..., list[str]], tmp_path: Path) -> None:
    """A colour, a name and the classes that only one taxonomy has."""
    document = TAXONOMY.document() | {"name": "mine"}
    document["classes"][0]["color"] = [1, 2, 3]
    last = document["classes"].pop()
    document["ignore"].extend(last["from"])
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(document))
    lines = pair(second={"taxonomy": str(path)})
    head = [line for line in lines if line.startswith("taxonomy")]
    ignored = json.dumps(list(TAXONOMY.ignore))
    assert head == [
        f"taxonomy ignore: {ignored} -> {json.dumps(document['ignore'])}",
        'taxonomy name: "camvid-11" -> "mine"',
        "taxonomy: class 0 color: [128, 128, 128] -> [1, 2, 3]",
        f"taxonomy: class 10 {last['name']!r} only in a",
    ]
    assert all("bicyclist -> ignored" in line for line in lines if "target1.png: " in line and " pixels: " in line)


def test_many_differences(pair: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones in full, then how many more there are and the classes of all."""
    monkeypatch.setattr("segdata.looking.diff.SHOWN", 2)

    def change(root: Path) -> None:
        for path in (root / "trainannot").iterdir():
            repaint(path, lambda labels: np.where(labels == 4, 0, labels).astype(np.uint8))

    first, second, rest = pair(change, {"scales": (1,)}, {"scales": (1,)})
    assert first.startswith("train train_0000 target1.png: ") and second.startswith("train train_0001 target1.png: ")
    assert re.fullmatch(
        r"train target1\.png: 2 more samples differ; over all (\d+) pixels: pavement -> sky \1", rest
    ), rest  # fmt: skip
    assert "pavement -> sky" in first and "pavement -> sky" in second


@pytest.mark.parametrize("side", [0, 1])
def test_a_damaged_folder(shards: Shards, side: int) -> None:
    """A damaged folder is our error, not a difference."""
    folders = [shards(), shards(rule="stride")]
    path = folders[side] / "camvid-11-train-000000.tar"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"IDAT", b"IDAX"))
    with pytest.raises(ShardError, match="segdata verify"):
        diff(*folders)


def test_equal_words_are_no_evidence(shards: Shards) -> None:
    """Two folders that say the same of themselves, one of which is damaged."""
    a, b = shards(), shards()
    path = b / "camvid-11-val-000000.tar"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # behind the last sample: no pixel is another
    path.write_bytes(data)
    for pair in ((a, b), (b, a), (b, b)):
        with pytest.raises(ShardError, match=f"{path.name}.*cannot be compared"):
            diff(*pair)
    assert diff(a, a) == []


# ---- the words ----------------------------------------------------------------------------------------------


@given(arrays(np.uint8, (5, 7), elements=st.integers(0, 3)), arrays(np.uint8, (5, 7), elements=st.integers(0, 3)))
def test_id_changes_against_a_loop(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> None:
    """The pairs and their pixels are those that a loop over all pixels counts."""
    naive = Counter((int(x), int(y)) for x, y in zip(a.ravel(), b.ravel(), strict=True) if x != y)
    assert id_changes(a, b) == naive


@given(
    arrays(np.uint8, (4, 3, 2), elements=st.integers(0, 64)), arrays(np.uint8, (4, 3, 2), elements=st.integers(0, 64))
)
def test_count_changes_against_a_loop(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> None:
    """Per plane the sum of the differences."""
    naive = {k: sum(int(y) - int(x) for x, y in zip(a[k].flat, b[k].flat, strict=True)) for k in range(4)}
    assert count_changes(a, b) == Counter({k: n for k, n in naive.items() if n})


def test_words() -> None:
    """The largest change first, ids without a class as ids, and no more than six."""
    assert described({(3, 0): 2, (1, 255): 5, (0, 99): 1}, TAXONOMY, TAXONOMY) == (
        "8 pixels: building -> ignored 5, road -> sky 2, sky -> id 99 1"
    )
    many = described({(0, i): 1 for i in range(1, 11)}, TAXONOMY, TAXONOMY)
    assert many.count("->") == 6 and many.endswith("and 4 more")
    assert balance({0: 3, 11: -3}, TAXONOMY) == "sky +3, ignored -3 pixels"
    assert balance({0: 0}, TAXONOMY) == "each class has as many pixels as before"


# ---- SARIF --------------------------------------------------------------------------------------------------


def table(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


# what SARIF 2.1.0 (OASIS, 3.13 to 3.52) says of the objects and properties that are written
TEXT = {"type": "string", "minLength": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
MESSAGE = table("text", text=TEXT)
RULE = table("id", id=TEXT, shortDescription=MESSAGE, defaultConfiguration=table("level", level=LEVEL))
LOCATION = table(
    "",
    physicalLocation=table("artifactLocation", artifactLocation=table("uri", uri={**TEXT, "format": "uri-reference"})),
    logicalLocations={"type": "array", "items": table("", name=TEXT, fullyQualifiedName=TEXT, kind=TEXT)},
)
RESULT = table(
    "message",
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations={"type": "array", "items": LOCATION, "minItems": 1, "maxItems": 1},
)
DRIVER = table("name version rules", name=TEXT, version=TEXT, rules={"type": "array", "items": RULE})
RUN = table("tool results", tool=table("driver", driver=DRIVER), results={"type": "array", "items": RESULT})
LOG = table("version runs", version={"const": "2.1.0"}, runs={"type": "array", "items": RUN}) | {
    "patternProperties": {r"^\$schema$": TEXT}
}
FINDINGS = [
    *(Finding(code, f"folder/{code}.png", "something") for code in CODES),
    Finding("changed-pixels", "set-train-000000.tar:a_1.target8.png", "other pixels"),
    Finding("bad-image", "größe mit % und \udcff.png", "CRC"),
    Finding("split-count", "cityscapes train", "2974 frames"),
]


@pytest.mark.parametrize("findings", [[], FINDINGS], ids=["none", "every code"])
def test_sarif_has_the_published_structure(findings: list[Finding]) -> None:
    """Required properties, no unknown ones, levels and places as the standard has them; a rule for every result."""
    document = json.loads(sarif(findings, "1.2.3").decode("ascii"))
    jsonschema.validate(document, LOG)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(CODES)
    assert len(run["results"]) == len(findings)
    for result, finding in zip(run["results"], findings, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.code
        assert result["level"] == CODES[finding.code][0]
        assert finding.found in result["message"]["text"]


def test_sarif_places() -> None:
    """A file is an escaped relative URI, a shard's member stands beside its shard, a split is no file."""
    results = json.loads(sarif(FINDINGS[-3:], "1"))["runs"][0]["results"]
    member, odd, split = (result["locations"][0] for result in results)
    assert member["physicalLocation"]["artifactLocation"]["uri"] == "set-train-000000.tar"
    assert member["logicalLocations"][0]["name"] == "a_1.target8.png"
    uri = odd["physicalLocation"]["artifactLocation"]["uri"]
    assert re.fullmatch(r"(?:[A-Za-z0-9\-._~/]|%[0-9A-F]{2})+", uri), uri
    assert split == {"logicalLocations": [{"fullyQualifiedName": "cityscapes train"}]}


def test_sarif_is_deterministic() -> None:
    """The same findings, the same bytes; another version, others."""
    assert sarif(FINDINGS, "1") == sarif(tuple(replace(finding) for finding in FINDINGS), "1") != sarif(FINDINGS, "2")
