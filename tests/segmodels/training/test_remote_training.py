"""Training from sets in stores: the bytes that a folder gives, whatever the way; no credentials left anywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from segdata import SegdataError, ShardSet
from segdata.checking.verify import verify as verify_shards
from segdata.publishing.upload import publish
from segdata.stores.url import Url, place
from segmodels.cli import cli
from segmodels.config.config import TrainConfig
from segmodels.errors import SegmodelsError
from segmodels.runs.run import Run
from segmodels.training.train import train
from segmodels.training.verify import verify

Lesson = Callable[..., TrainConfig]
Web = Callable[[Path], str]
PASSWORD = "pa55word"


def results(run: Run) -> tuple[bytes, ...]:
    """Everything that a finished run promises to be equal."""
    return tuple(path.read_bytes() for path in (run.weights, run.history, run.metrics))


@pytest.fixture(scope="module")
def from_disk(make_lessons: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that the others are compared with."""
    return train(small(make_lessons("cityscapes"), tmp_path_factory.mktemp("disk") / "run")).run


def small(shards: Any, out: Path, network: str = "dilated_unet", **values: Any) -> TrainConfig:
    """Six steps of a small network that reads with two threads."""
    length: dict[str, Any] = {"steps": 6, "epochs": None, "batch_size": 4, "crop": (32, 64), "device": "cpu"}
    return TrainConfig(network, shards, out, (("width_factor", 0.25),), **length | values)


@pytest.fixture
def private(web: Web, lessons: Path, tmp_path: Path) -> str:
    """The lessons behind a password that the URL holds."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "private").symlink_to(lessons)
    return web(tmp_path / "served").replace("//", f"//user:{PASSWORD}@") + "/private"


def test_over_http_as_from_disk(
    from_disk: Run, lessons: Path, web: Web, cutting: Callable[..., Any], tmp_path: Path
) -> None:
    """Through nginx and connections that break, whatever the workers: the bytes of weights, history and scores."""
    address = web(lessons)
    port = address.split(":")[2].partition("/")[0]
    proxy = cutting(int(port), (5_000, 300_000, 100_000), cuts=6)
    url = place(address.replace(port, str(proxy.port)))
    run = train(small(url, tmp_path / "run", workers=3)).run
    assert proxy.left < 6
    assert results(run) == results(from_disk)
    assert run.document()["id"] == from_disk.document()["id"]
    assert run.config().shards == url
    report = verify(run.path, steps=2)
    assert not report.wrong, report.wrong


def test_begun_on_disk_and_ended_in_a_store(from_disk: Run, lessons: Path, tmp_path: Path) -> None:
    """L1 whatever the place: a run that was stopped goes on from another copy of its shards, to the same bytes."""
    url = Url(f"memory://{os.urandom(6).hex()}/set")
    publish(lessons, url)
    train(small(lessons, tmp_path / "run"), until=3)
    assert results(train(small(url, tmp_path / "run")).run) == results(from_disk)


def test_samples_are_fetched_ahead(lessons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and validation announce every sample that they read before they read it."""
    announced: list[tuple[str, int]] = []
    missed: list[tuple[str, int]] = []
    real = ShardSet.decode

    def note(self: ShardSet, wanted: Any) -> None:
        announced.extend((self.split, i) for i in wanted)

    def check(self: ShardSet, i: int, *rest: Any) -> Any:
        missed.extend([] if (self.split, i) in announced else [(self.split, i)])
        return real(self, i, *rest)

    monkeypatch.setattr(ShardSet, "prefetch", note)
    monkeypatch.setattr(ShardSet, "decode", check)
    train(small(lessons, tmp_path / "run"))
    assert not missed
    assert {split for split, _ in announced} == {"train", "val"}


def test_another_set_at_the_url(lessons: Path, make_lessons: Callable[[str], Path], tmp_path: Path) -> None:
    """A run does not go on with a set that was published meanwhile: it says that the shards are others."""
    url = Url(f"memory://{os.urandom(6).hex()}/set")
    publish(lessons, url)
    train(small(url, tmp_path / "run"), until=1)
    publish(make_lessons("tas500"), url, replace=True)
    with pytest.raises(SegmodelsError, match="holds another run: shards is"):
        train(small(url, tmp_path / "run"))


OPTIONS = ("--steps", 6, "--batch-size", 4, "--crop", "32x64", "--device", "cpu", "--option", "width_factor=0.25")


def test_no_credentials_are_left(
    private: str, from_disk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`train`, `evaluate` and an error, with a password in the URL: in no file that they write, in nothing they say."""
    run, cache = tmp_path / "run", tmp_path / "cache"
    monkeypatch.setenv("SEGDATA_CACHE", str(cache))
    said = ran("segmodels", "train", "dilated_unet", "--out", run, *OPTIONS, "--shards", private)
    with caplog.at_level("INFO"):
        command = ["evaluate", run, "--shards", private, "--out", tmp_path / "scores", "--device", "cpu"]
        said += CliRunner().invoke(cli, [str(each) for each in command], catch_exceptions=False).output
        with pytest.raises(SegdataError, match="access denied") as caught:
            ShardSet(private.replace("user:", "user:wr0ng"), "train")
    assert results(Run(run)) == results(from_disk)
    assert json.loads(Run(run).about.read_bytes())["config"]["shards"] == private.replace(f"user:{PASSWORD}@", "")
    written = list(files(tmp_path))
    assert (tmp_path / "scores" / "metrics.json") in written
    assert any(cache in path.parents for path in written)
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in f"{said} {caught.value} {caplog.text}"


@pytest.mark.slow
def test_s3_as_from_disk(bucket: str, from_disk: Run, lessons: Path, tmp_path: Path) -> None:
    """Published and trained by the commands with a key in the environment: the same bytes, and no key anywhere."""
    home = {"SEGDATA_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    said = ran("segdata", "publish", lessons, f"{bucket}/set", **home)
    train_there = ("segmodels", "train", "dilated_unet", "--out", tmp_path / "run", *OPTIONS)
    said += ran(*train_there, "--shards", f"{bucket}/set", **home)
    assert results(Run(tmp_path / "run")) == results(from_disk)
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    assert not [path for path in files(tmp_path) if secret.encode() in path.read_bytes()]
    assert secret not in said


@pytest.mark.slow
def test_the_commands_of_the_document(bucket: str, tmp_path: Path) -> None:
    """What docs/remote.md shows works as it is typed, with another bucket."""
    text = (Path(__file__).parents[3] / "docs" / "remote.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert "s3://my-bucket/" in block
    script = block.replace("s3://my-bucket", bucket)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True, env=os.environ | {"PATH": path})
    assert (tmp_path / "scores" / "metrics.json").is_file()


def files(folder: Path) -> Iterator[Path]:
    """All regular files that lie there, without those that the server serves."""
    return (path for path in folder.rglob("*") if path.is_file() and "served" not in path.parts)


def ran(*command: object, **environment: str) -> str:
    """What a command says in a process of its own, on both channels."""
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    run = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run(run, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "network, reader", [("dilated_unet", "shards"), ("percentile", "shards"), ("dilated_unet", "stream")]
)
def test_camvid_by_ray_to_s3(network: str, reader: str, camvid_sets: tuple[Path, Url], tmp_path: Path) -> None:
    """Real frames, converted on Ray into S3 and trained on from there: the same weights after 1, 2 and 4 steps."""
    folder, url = camvid_sets
    values = {"network": network, "reader": reader, "crop": (64, 128)}
    here, there = (
        train(small(shards, tmp_path / name, **values), until=4).digests
        for name, shards in (("disk", folder), ("store", url))
    )
    assert set(here) == {"1", "2", "4"}
    assert there == here


@pytest.fixture(scope="module")
def camvid_sets(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Url]:
    """CamVid converted by one process into a folder, and on Ray into S3: one digest, every byte in S3 as written."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    s3fs = pytest.importorskip("s3fs", reason="the extra remote is not installed")
    root = os.environ.get("SEGDATA_CAMVID") or pytest.skip("SEGDATA_CAMVID does not name an unpacked CamVid folder")
    bucket = f"segdata-{os.urandom(6).hex()}"
    s3fs.S3FileSystem().mkdir(bucket)
    folder, url = tmp_path_factory.mktemp("camvid") / "set", Url(f"s3://{bucket}/camvid")
    prepare = ("segdata", "prepare", "camvid", "--root", root, "--scale", 1, "--scale", 8, "--out")
    ran(*prepare, folder, "--engine", "serial")
    ran(*prepare, url, "--engine", "ray", "--workers", 2)
    assert ShardSet(url, "train").digest == ShardSet(folder, "train").digest
    assert not verify_shards(url)
    return folder, url
