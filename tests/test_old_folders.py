"""Folders that older versions wrote are opened by this one, or refused in one line that says what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from segdata.base.canonical import digest_pixels
from segdata.checking.verify import verify
from segdata.errors import SegdataError
from segdata.format.manifest import FILE, manifest_bytes, read_manifest
from segdata.reading.shardset import ShardSet
from segmodels.config.config import config_from_document
from segmodels.inference.trained import load_trained
from segmodels.runs.run import Run
from segmodels.scoring.evaluate import evaluate
from segmodels.training.train import train

OLD = Path(__file__).parent / "old"
VERSIONS = sorted(path.name for path in OLD.iterdir() if path.is_dir())


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what a version wrote."""
    return Path(shutil.copytree(OLD / request.param, tmp_path / "old"))


def test_shards(old: Path) -> None:
    """Every byte and pixel is as it was written, and every sample is read."""
    assert verify(old / "shards", True) == []
    for split in read_manifest(old / "shards").splits:
        shards = ShardSet(old / "shards", split)
        for part in shards.parts:
            if (digests := shards.pixel_digests(part)) is not None:
                for i in range(len(shards)):
                    found = shards.read(i).targets[int(part[-5])]
                    assert digest_pixels(found) == digests[i].tobytes().hex()


def test_a_finished_run(old: Path, tmp_path: Path) -> None:
    """Its network gives the scores that the run noted."""
    run = Run(old / "run")
    segmenter = load_trained(run.path, torch.device("cpu"))
    found = evaluate(segmenter, ShardSet(old / "shards", "val"), tmp_path / "scores")
    assert found
    assert np.array_equal(np.load(tmp_path / "scores/confusion.npy").sum(0), run.document()["confusion"])
    assert found.document["miou"] == pytest.approx(run.results()["miou"])


def test_a_finished_run_is_not_trained_again(old: Path) -> None:
    """The same command finds nothing to do."""
    before = {path: path.read_bytes() for path in (old / "run").rglob("*") if path.is_file()}
    train(config_of(old, "run"))
    assert {path: path.read_bytes() for path in (old / "run").rglob("*") if path.is_file()} == before


def test_an_unfinished_run_goes_on(old: Path) -> None:
    """From its checkpoint to the end, without a word of starting anew."""
    said: list[str] = []
    outcome = train(config_of(old, "unfinished"), show=said.append)
    assert any("going on after step 1 of 2" in line for line in said)
    assert outcome.run.finished
    assert outcome.digests.keys() == {"1", "2"}


def test_another_format_is_one_line(old: Path) -> None:
    """As a later version's folder is to this one."""
    about = old / "run/run.json"
    about.write_text(json.dumps(json.loads(about.read_bytes()) | {"format": 99}))
    with pytest.raises(SegdataError, match=r"another version.*Use another --out, or --replace"):
        train(config_of(old, "run"))
    document = json.loads((old / "shards" / FILE).read_bytes())
    del document["fingerprint"]
    (old / "shards" / FILE).write_bytes(manifest_bytes(document | {"format": 99}))
    with pytest.raises(SegdataError, match=r"format 99; this release reads format 1\. Run prepare again"):
        ShardSet(old / "shards", "train")


def config_of(old: Path, name: str):  # type: ignore[no-untyped-def]
    """The configuration that the run was trained with, its paths here."""
    document = json.loads((old / name / "run.json").read_bytes())["config"]
    return config_from_document(document | {"out": str(old / name), "shards": str(old / "shards")})
