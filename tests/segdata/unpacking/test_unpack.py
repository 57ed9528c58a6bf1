"""A set as plain folders: read by other programs, prepared again with the same pixels, whole or not there at all."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from segdata import ShardSet
from segdata.cli import cli
from segdata.errors import SegdataError, ShardError
from segdata.format.manifest import FILE, SIDE, manifest_bytes
from segdata.labels.taxonomy import load_taxonomy, read_taxonomy
from segdata.looking.diff import diff
from segdata.making.job import Job
from segdata.making.prepare import prepare
from segdata.publishing.upload import publish
from segdata.sources import groups, source
from segdata.stores.url import Url
from segdata.unpacking.unpack import unpack
from tests.support.injection import ERRORS, KILL, run
from tests.support.sealing import reseal_sums

Finished = Callable[..., Path]
MakeJob = Callable[..., Job]
ALL = ("train", "val", "test")
SETS: dict[
    str, dict[str, Any]
] = {  # source: options of its set, which has an unlabelled split where the source has one
    "cityscapes": {"splits": ALL, "taxonomy": "cityscapes-19"},
    "tas500": {"splits": ALL, "image_codec": "jpeg", "rule": "coverage", "taxonomy": "tas500-9"},
    "camvid": {"image_codec": "webp", "size": (32, 40), "rule": "stride"},
}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


# ---- what is written ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_folders(name: str, finished: Finished, tmp_path: Path) -> None:
    """Pillow and OpenCV read from the files what ShardSet reads from the set; PyYAML, what they are."""
    shards, out = finished(name, **SETS[name]), tmp_path / "plain"
    found = unpack(shards, out, colors=True)
    assert dict(found.samples) == {"train": 4, "val": 3, "test": 2} and found.changed
    text = yaml.safe_load((out / "source.yaml").read_text())
    files, is_ignored = 0, False
    for split in ALL:
        samples = ShardSet(shards, split)
        kind = {"jpeg": "jpg", "webp": "webp"}.get(SETS[name].get("image_codec", ""), "png")
        assert (split in found.unlabelled) == (not samples.scales) == (text["splits"][split] == {"annotated": False})
        for i in range(len(samples)):
            record = samples.read(i)
            read = cv2.imread(str(out / f"images/{split}/{record.key}.{kind}"))
            np.testing.assert_array_equal(read[:, :, ::-1], record.image)
            if samples.scales:
                label = out / f"labels/{split}/{record.key}.png"
                with Image.open(label) as picture:
                    assert picture.mode == "L"
                np.testing.assert_array_equal(pixels(label), record.targets[1])
                is_ignored |= 255 in pixels(label)
                colors = pixels(out / f"colors/{split}/{record.key}.png")
                np.testing.assert_array_equal(colors, samples.taxonomy.palette[record.targets[1]])
            files += 1 + 2 * bool(samples.scales)
    assert len([path for path in content(out) if "/" in path]) == files
    classes = ShardSet(shards, "train").taxonomy.classes
    assert [(row["id"], row["name"], row["color"], row["category"]) for row in text["labels"]] == [
        *((i, row.name, list(row.color), row.category) for i, row in enumerate(classes)),
        *[(255, {"camvid": "unlabelled"}.get(name, "ignored"), [0, 0, 0], "void")] * is_ignored,
    ]
    assert (text["image"], text["annotation"]) == (f"images/{{split}}/{{name}}.{kind}", "labels/{split}/{name}.png")
    assert text["licence"] == source(name).licence
    taxonomy = read_taxonomy((out / text["taxonomy"]).read_bytes(), "taxonomy.yaml")
    assert [(row.name, row.color, row.category, row.evaluated) for row in taxonomy.classes] == [
        (row.name, row.color, row.category, row.evaluated) for row in classes
    ]
    assert [row.feeds for row in taxonomy.classes] == [(row.name,) for row in classes]


def test_original_ids(finished: Finished, tmp_path: Path) -> None:
    """--ids export: what cityscapesScripts calls evaluated has its id, all else 0; every id where each is a class."""
    from cityscapesscripts.helpers.labels import labels

    evaluated = np.zeros(256, np.uint8)
    for row in labels:
        if not row.ignoreInEval:
            evaluated[row.id] = row.id
    expected = {"cityscapes-19": evaluated, "cityscapes-34": np.arange(256, dtype=np.uint8)}
    for taxonomy, table in expected.items():
        shards, out = finished("cityscapes", splits=ALL, taxonomy=taxonomy), tmp_path / taxonomy
        unpack(shards, out, "export", ["train", "val"])
        raw = list((shards.parent / "dataset/gtFine").glob("[tv][ra]*/*/*.png"))
        for path in raw:
            key = path.name.removesuffix("_gtFine_labelIds.png")
            made = out / f"labels/{path.parent.parent.name}/{key}.png"
            np.testing.assert_array_equal(pixels(made), table[pixels(path)])
        assert len(raw) == 7 == len(list((out / "labels").glob("*/*")))
        ids = {row["name"]: row["id"] for row in yaml.safe_load((out / "source.yaml").read_text())["labels"]}
        assert ids["road"] == 7 and ids.get("ignored") == (0 if taxonomy == "cityscapes-19" else None)


@pytest.mark.parametrize(("name", "ids"), [*((name, "target") for name in SETS), ("cityscapes", "export")])
def test_the_way_back(name: str, ids: str, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of README.md gives a set of the same keys, pixels, targets, classes and groups, without a warning."""
    shards, out = finished(name, **SETS[name]), tmp_path / "plain"
    unpack(shards, out, ids, colors=True)
    line = (out / "README.md").read_text().splitlines()[-1].strip()
    monkeypatch.chdir(out)
    done = CliRunner().invoke(cli, [*line.split()[1:], "--engine", "serial"], catch_exceptions=False)
    assert done.exit_code == 0 and "warning" not in done.output, done.output
    for split in ALL:
        before, after = ShardSet(shards, split), ShardSet(tmp_path / "SHARDS", split)
        assert (before.keys, before.scales, before.parts) == (after.keys, after.scales, after.parts)
        assert list(groups(name, before.keys)) == (after.groups or after.keys)
        for i in range(len(before)):
            one, other = before.read(i), after.read(i)
            np.testing.assert_array_equal(one.image, other.image)
            for scale, target in one.targets.items():
                np.testing.assert_array_equal(target, other.targets[scale])
    told = (
        r"(source|option (source|source_file|codec|size|jpeg_quality)|taxonomy:? .*(ignore|export|from)|.* json)\b.*:"
    )
    assert [line for line in diff(shards, tmp_path / "SHARDS") if not re.match(told, line)] == []


def test_a_set_at_a_url(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files as from the folder; the command's last line says what lies where."""
    monkeypatch.setenv("SEGDATA_CACHE", str(tmp_path / "cache"))
    url = Url(f"memory://{os.urandom(6).hex()}/set")
    publish(finished("camvid"), url)
    unpack(url, tmp_path / "far", colors=True, splits=["val"])
    near = ["unpack", str(finished("camvid")), "--out", str(tmp_path / "near"), "--colors", "--split", "val"]
    last = f"{tmp_path / 'near'}: val 3 samples with target ids"
    assert CliRunner().invoke(cli, near).stdout == f"{last}\n"
    assert CliRunner().invoke(cli, near).stdout == f"{last}, unchanged\n"
    assert content(tmp_path / "far") == content(tmp_path / "near")


# ---- what is there already ----------------------------------------------------------------------------------


def test_what_stands_is_compared(finished: Finished, tmp_path: Path) -> None:
    """The same command again says that nothing changed; a file that is gone or other is named, and nothing written."""
    shards, out = finished("camvid"), tmp_path / "plain"
    unpack(shards, out)
    (out / "README.md").write_text("my own words")
    before = content(out)
    assert not unpack(shards, out).changed
    label = out / "labels/val/val_0001.png"
    for found, change in (("has other bytes", lambda: label.write_bytes(b"x")), ("is not there", label.unlink)):
        change()
        with pytest.raises(SegdataError, match=rf"val_0001\.png {found}.*move it away"):
            unpack(shards, out)
    assert content(out) == {name: data for name, data in before.items() if name != "labels/val/val_0001.png"}


def test_refused(finished: Finished, shards: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each, with what to do; what is there stays as it is, and nothing comes."""
    mine, own = shards("camvid"), tmp_path / "own"
    other = shards("camvid", scales=(2, 4))
    unpack(mine, own)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/a.tex").write_text("mine")
    (tmp_path / ".new.unpack").mkdir()
    (tmp_path / ".new.unpack/a.tex").write_text("mine")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = content(tmp_path)
    cases: Mapping[str, tuple[Path, Path, dict[str, Any]]] = {
        r"is a file\. Name a folder": (mine, tmp_path / "file", {}),
        r"holds a\.tex, and is no folder of this set": (mine, tmp_path / "thesis", {}),
        r"holds README\.md, .* with these options": (mine, own, {"splits": ["val"]}),
        r"holds README\.md, .* It is left as it is": (mine, own, {"ids": "export"}),
        r"holds README\.md, .* name a folder": (mine, own, {"colors": True}),
        r"no split 'vall'; it has train": (mine, tmp_path / "plain", {"splits": ["vall"]}),
        r"in which only `prepare` writes": (mine, other / "plain", {}),
        r"--out .* and the shard set .* overlap": (mine, mine / "plain", {}),
        r"--out .* the shard set .* overlap\. Give": (mine / "../here/../" / mine.name, mine, {}),
        r"is the folder you are in": (mine, tmp_path / "here", {}),
        r"no targets x1 in train \(it has x2, x4\).*--scale 1": (other, tmp_path / "plain", {}),
        r"`unpack --out .*` needs this name": (mine, tmp_path / "new", {}),
    }
    for says, (shards_at, out, options) in cases.items():
        with pytest.raises(SegdataError, match=says) as refused:
            unpack(shards_at, out, **options)
        assert "\n" not in str(refused.value)
    assert content(tmp_path) == before
    done = CliRunner().invoke(cli, ["unpack", str(mine), "--out", "s3://bucket/set"])
    assert done.exit_code == 2 and "is a URL, expected a folder" in done.output


def test_classes_that_share_an_id(
    shards: Finished, draw: Callable[[str], Path], make_job: MakeJob, tmp_path: Path
) -> None:
    """Refused for original ids, which would not lead back, and so are ignored pixels that have none."""
    rows = load_taxonomy("camvid-11").document()["classes"]
    text = {"name": "mine", "ignore": ["unlabelled"], "classes": [{**row, "export": 3} for row in rows]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(text))
    prepare(make_job("camvid", draw("camvid"), tmp_path / "set", taxonomy=str(tmp_path / "mine.yaml")))
    with pytest.raises(ShardError, match=r"'sky' and 'building' both export to id 3.*Give --ids target"):
        unpack(tmp_path / "set", tmp_path / "plain", "export")
    padded = shards("tas500", taxonomy="tas500-10", fit="pad", size=(20, 30))
    with pytest.raises(ShardError, match=r"ignored pixels have no id of their own.*Give --ids target"):
        unpack(padded, tmp_path / "plain", "export")
    assert not (tmp_path / "plain").exists()


def test_damage(shards: Finished, tmp_path: Path) -> None:
    """A sample of other bytes, and a key that leads out of the folder: nothing appears at --out."""
    folder = shards("camvid")
    keys = folder / SIDE / "val.keys.npy"
    keys.write_bytes(keys.read_bytes().replace(b"val_0000", b"../../aa"))
    reseal_sums(folder)
    with pytest.raises(ShardError, match=r"the key '\.\./\.\./aa' in val is no name for a file"):
        unpack(folder, tmp_path / "plain")
    folder = shards("camvid")
    shard = next(folder.glob("*-val-000001.tar"))
    data = bytearray(shard.read_bytes())
    data[data.index(b"IDAT") + 9] ^= 1
    shard.write_bytes(data)
    said: list[str] = []
    with pytest.raises(ShardError, match="segdata verify"):
        unpack(folder, tmp_path / "plain", say=said.append)
    assert not (tmp_path / "plain").exists() and "the same command goes on with it" in said[0]


def test_the_command_is_one_command(shards: Finished, tmp_path: Path) -> None:
    """Whatever stands in the manifest of a set that others made: people copy the line into a shell."""
    folder, words = shards("camvid"), "majority; touch x $(id)"
    document = json.loads((folder / FILE).read_bytes())
    del document["fingerprint"]
    document["options"] |= {"rule": words, "seed": words, "samples_per_shard": words, "scales": [words]}
    (folder / FILE).write_bytes(manifest_bytes(document))
    unpack(folder, tmp_path / "plain", splits=["val"])
    line = (tmp_path / "plain" / "README.md").read_text().splitlines()[-1]
    assert shlex.split(line).count(words) == 4


# ---- interrupted --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampled", [12, pytest.param(0, marks=pytest.mark.slow)], ids=["sample", "every call"])
def test_every_call_fails(sampled: int, finished: Finished, tmp_path: Path) -> None:
    """Whatever call fails, or ends the process: nothing at --out, or all of it, durable; then the same command ends
    well, and leaves nothing else."""
    home, shards = tmp_path / "home", finished("camvid")
    unpack(shards, tmp_path / "whole")
    whole = content(tmp_path / "whole")

    def start() -> None:
        shutil.rmtree(home, ignore_errors=True)
        (home / "plain").mkdir(parents=True)  # empty, as somebody may have made it

    start()
    clean = run(lambda: unpack(shards, home / "plain"), home, 0, KILL)
    assert (clean.said, clean.undurable) == ("", "") and content(home) == {f"plain/{k}": v for k, v in whole.items()}
    every = range(1, clean.calls + 1)
    for at in [every[len(every) * i // sampled] for i in range(1, sampled)] + [clean.calls] if sampled else every:
        start()
        ended = run(lambda: unpack(shards, home / "plain"), home, at, (KILL, *ERRORS)[at % 3])
        assert content(home / "plain") in ({}, whole), (at, ended)
        unpack(shards, home / "plain")
        assert content(home / "plain") == whole and list(home.iterdir()) == [home / "plain"], (at, ended)


def test_what_was_written_is_not_written_again(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an end, whole files stay and others are written; of another set nothing is taken over."""
    work = tmp_path / ".plain.unpack"

    def stopped(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(finished("camvid"), tmp_path / "plain", progress=stopped)
    first, second = sorted((work / "folders/images/train").iterdir())[:2]
    second.write_bytes(b"half")
    time = first.stat().st_mtime_ns
    with pytest.raises(KeyboardInterrupt):
        unpack(finished("camvid"), tmp_path / "plain", progress=stopped)
    assert first.stat().st_mtime_ns == time and second.stat().st_size > 9
    (work / "folders/images/train/other.png").write_bytes(b"")
    unpack(finished("camvid", rule="stride"), tmp_path / "plain")
    assert "images/train/other.png" not in content(tmp_path / "plain") and not work.exists()
