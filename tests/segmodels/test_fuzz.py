"""Every kind of file that a command reads, damaged by the thousand: one line of ours, in bounded memory and time."""

from __future__ import annotations

import copy
import io
import json
import random
import shutil
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file
from torch import Tensor, nn

import segmodels
from segdata import ShardSet
from segdata.base.canonical import canonical_json, pretty_json
from segdata.base.files import parsing
from segdata.errors import SegdataError
from segdata.labels.taxonomy import load_taxonomy
from segdata.looking.stats import stats
from segmodels.data.imagefiles import read_image
from segmodels.inference.segmenter import Segmenter, load_segmenter
from segmodels.inference.trained import load_trained
from segmodels.knobs.quantiles import with_q
from segmodels.pretrained.pretrained import load_init
from segmodels.report.read.collect import Folders, collect
from segmodels.runs.checkpoint import METADATA_KEY, load_checkpoint, save_checkpoint
from segmodels.runs.identity import environment, identity
from segmodels.runs.progress import read_timing
from segmodels.runs.run import Run
from segmodels.scoring.evaluate import evaluate
from segmodels.scoring.official import link_truth
from segmodels.spec import Colours, Geometry
from segmodels.training import verify
from segmodels.training.ema import start_ema
from segmodels.training.optim import make_optimizer
from segmodels.training.ranks import Ranks
from segmodels.training.state import State, best_row
from tests.support.fuzzing import survivors

OLD = Path(__file__).parents[1] / "old" / "0.1.0"  # a run and its shards
CPU = torch.device("cpu")
TAXONOMY = load_taxonomy("camvid-11")
COLOURS = Colours((0.5,) * 3, (0.5,) * 3)
PICTURES = {
    "png": ("a.png", {}),
    "palette.png": ("a.png", {"format": "PNG"}),
    "jpg": ("a.jpg", {}),
    "progressive.jpg": ("a.jpg", {"progressive": True}),
    "webp": ("a.webp", {"lossless": True}),
    "tif": ("a.tif", {}),
    "lzw.tif": ("a.tif", {"compression": "tiff_lzw"}),
    "jpeg.tif": ("a.tif", {"compression": "jpeg"}),
    "bmp": ("a.bmp", {}),
    "ppm": ("a.ppm", {}),
    "gif": ("a.gif", {}),
    "jp2": ("a.jp2", {}),
    "avif": ("a.avif", {}),
}
OF_A_REPORT = {
    "run.json": "runs/a/run.json",
    "history.csv": "runs/a/history.csv",
    "timing.json": "runs/a/timing.json",
    "metrics.json": "scores/a/metrics.json",
    "images.csv": "scores/a/images.csv",
    "confusion.npy": "scores/a/confusion.npy",
    "stats.json": "stats/a.json",
    "sweep.json": "bench/a/sweep.json",
    "bench.json": "bench/a/bench.json",
}
WEIGHTS = ("safetensors", "safetensors of an init", "what weights say", "what an init says")
CHECKPOINTS = ("checkpoint", "pickle in a checkpoint")
DOCUMENTS = ("run.json of a run", "metrics.json of a run", "timing.json of a run", "q.json")
INITS = ("init.pth", "legacy init.pth", "pickle in an init.pth", "init.safetensors")
TRUTH = ("ground truth",)
REPORTS = tuple(f"report: {each}" for each in OF_A_REPORT)
JSON = ("what weights say", "what an init says", *DOCUMENTS, *(each for each in REPORTS if each.endswith(".json")))
KINDS = (
    *WEIGHTS,
    *CHECKPOINTS,
    *DOCUMENTS,
    *INITS,
    *TRUTH,
    *(f"image.{each}" for each in PICTURES),
    *REPORTS,
    *(f"values: {each}" for each in (*JSON, "checkpoint")),
)
SURPRISES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2.5,
        1 << 31,
        1 << 62,
        10**400,
        -1e308,
        float("nan"),
        float("inf"),
        "",
        "0",
        "x" * 300,
    ),
    *("\ud800", "2147483647", [], {}, [0], [[0]], [None], {"": 0}, {"x": "y"}, [0] * 99, "/dev/zero", "s3://x/y"),
)
TENSORS = (
    *(torch.zeros(()), torch.zeros(2), torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), torch.zeros(0)),
    *(torch.zeros(1).expand(1 << 40), torch.zeros(2, dtype=torch.complex64), torch.zeros(2).to_sparse()),
    *(torch.full((2,), float("nan")), torch.zeros(2, 3, 1, 1, device="meta"), torch.zeros(2, 3, 1, 1).bfloat16()),
)


class Case(NamedTuple):
    good: bytes
    read: Callable[[bytes], object]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A run with its scores, statistics, sweep and times, not to be changed but by one file at a time."""
    home = tmp_path_factory.mktemp("report")
    folders = Folders(*(home / each for each in ("runs", "scores", "stats", "shards", "bench")))
    for folder in (folders.scores, folders.stats, home / "bench" / "a"):
        folder.mkdir(parents=True)
    run = Run(Path(shutil.copytree(OLD / "run", folders.runs / "a")))
    shards = Path(shutil.copytree(OLD / "shards", folders.shards / "a"))
    val = ShardSet(shards, "val")
    evaluate(load_trained(run.path, CPU), val, folders.scores / "a")
    (folders.stats / "a.json").write_bytes(pretty_json(stats(shards)))
    row = {"value": 1, "shares": [1.0, 0.5], "macs": 10, "ms_median": 3.5, "ms_p95": 4, "miou": 0.5}
    row |= {"run": run.document()["id"], "size": [64, 128]}
    about = {"format": 1, "knob": "scale", "rows": [row], "split": "val", "threads": 2, "every": 1}
    shown = {"shards": {"name": "x", "fingerprint": val.digest}, "device": "a processor"}
    (home / "bench" / "a" / "sweep.json").write_bytes(pretty_json(about | shown))
    (home / "bench" / "a" / "bench.json").write_bytes(pretty_json(about | {"device": {"name": "x", "threads": 2}}))
    return folders


@pytest.fixture(scope="module")
def cases(report: Folders, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """All kinds: a good file, and the command's own reader."""
    home = tmp_path_factory.mktemp("kinds")
    found = weights(home) | checkpoints(home) | documents(home) | inits(home) | truth(home)
    for kind, (name, options) in PICTURES.items():
        found[f"image.{kind}"] = Case(picture(name, options), read(home / f"{kind}-{name}", read_image))
    for kind, inside in OF_A_REPORT.items():
        found[f"report: {kind}"] = damaged(report, report.runs.parent / inside)
    for kind in JSON:
        found[f"values: {kind}"] = swapped(found[kind], json.loads, lambda value: json.dumps(value).encode(), SURPRISES)
    plain = partial(torch.load, weights_only=True)
    surprises = (*SURPRISES, *TENSORS)
    found["values: checkpoint"] = swapped(found["checkpoint"], lambda data: plain(io.BytesIO(data)), saved, surprises)
    return found


def swapped(case: Case, load: Callable[[bytes], Any], dump: Callable[[Any], bytes], others: tuple[Any, ...]) -> Case:
    """Sound files in which values are others, or gone: drawn by the mutant, which is nothing but a seed."""

    def put(data: bytes) -> object:
        draw, document = random.Random(zlib.crc32(data)), load(case.good)
        for _ in range(0 if data == case.good else draw.choice((1, 1, 2, 5))):
            document = other(document, draw, others)
        return case.read(dump(document))

    return Case(case.good, put)


def other(value: Any, draw: random.Random, others: tuple[Any, ...]) -> Any:
    """The document with another value somewhere."""
    places = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if not places or draw.random() < 0.1:
        return copy.deepcopy(draw.choice(others))
    place = draw.choice(list(places))
    if draw.random() < 0.1:
        del value[place]
    else:
        value[place] = other(value[place], draw, others)
    return value


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def read(path: Path, reader: Callable[[Path], object]) -> Callable[[bytes], object]:
    """The reader of bytes that are written to this path."""

    def put(data: bytes) -> object:
        torch.set_num_threads(1)  # a fork has no other
        path.write_bytes(data)
        return reader(path)

    return put


def network() -> nn.Module:
    return segmodels.build("distill_x1", len(TAXONOMY.classes), (4, 4), width=1, depth=1, norm="batch", base="resnet")


def weights(home: Path) -> dict[str, Case]:
    """model.safetensors, as a whole and in what it says about itself, to be used or to be started from."""
    about = {
        "network": "distill_x1",
        "options": segmodels.spec("distill_x1").resolve({"width": 1, "depth": 1, "norm": "batch", "base": "resnet"}),
        "size": [4, 4],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.1, 0.2, 0.3],
        "run": "0" * 64,
        "taxonomy": TAXONOMY.document(),
        "training": {},
    }
    torch.manual_seed(0)
    state, text = network().state_dict(), canonical_json(about).decode()
    path = home / "model.safetensors"

    def say(data: bytes) -> Segmenter:
        path.write_bytes(save(state, {METADATA_KEY: data.decode(errors="replace")}))
        return load_segmenter(path, CPU)

    def start(path: Path) -> str:
        declared = segmodels.spec("distill_x1")
        return load_init(network(), declared, declared.resolve(about["options"]), (4, 4), TAXONOMY, path, COLOURS)

    def say_to_start(data: bytes) -> str:
        path.write_bytes(save(state, {METADATA_KEY: data.decode(errors="replace")}))
        return start(path)

    whole = save(state, {METADATA_KEY: text})
    return {
        "safetensors": Case(whole, read(path, lambda path: load_segmenter(path, CPU))),
        "safetensors of an init": Case(whole, read(path, start)),
        "what weights say": Case(text.encode(), say),
        "what an init says": Case(text.encode(), say_to_start),
    }


def checkpoints(home: Path) -> dict[str, Case]:
    """last.pt, and its pickle under a checksum that fits: restored into a fresh training."""
    run, path = "0" * 64, home / "last.pt"

    def fresh() -> State:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
        optimizer = make_optimizer("adamw", model, 0.1, momentum=0.9, weight_decay=0.1)
        return State(model, optimizer, start_ema(model))

    def step(state: State) -> None:
        state.optimizer.zero_grad()
        state.network(torch.ones(1, 3, 2, 2)).sum().backward()
        state.optimizer.step()

    def go_on(path: Path) -> object:
        state, checkpoint = fresh(), load_checkpoint(path, run)
        with parsing(path, SegdataError):
            state.restore(checkpoint, Ranks(), CPU)
        step(state)
        return best_row(state.history)

    state = fresh()
    step(state)
    state.history.append({"epoch": 1, "step": 1, "lr": 0.1, "loss": 0.5, "miou": 0.5})
    state.running.update(loss=0.5, images=1)
    save_checkpoint(path, state.checkpoint({"id": run}, Ranks(), CPU))
    whole = path.read_bytes()
    return {
        "checkpoint": Case(whole, read(path, go_on)),
        "pickle in a checkpoint": Case(pickle_of(whole), repacked(whole, read(path, go_on))),
    }


def pickle_of(whole: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))


def repacked(whole: bytes, reader: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """The reader of a torch file with another pickle in it."""

    def put(data: bytes) -> object:
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(buffer, "w") as out:
            for name in archive.namelist():
                out.writestr(name, data if name.endswith("data.pkl") else archive.read(name))
        return reader(buffer.getvalue())

    return put


def documents(home: Path) -> dict[str, Case]:
    """JSON of a run folder as `train` and `verify` read it, and what `--q` takes."""
    run, scored = (Run(Path(shutil.copytree(OLD / "run", home / name))) for name in ("run", "scored"))

    def about(_: Path) -> object:
        document = run.document()
        verify.check_recorded(run, document)
        return run.config(), dict(document["config"]["options"]), identity(document), environment(document)

    torch.manual_seed(0)
    classes = len(TAXONOMY.classes)
    net = segmodels.build("percentile", classes, (8, 8), width_factor=0.01).eval()
    segmenter = Segmenter(net, segmodels.spec("percentile"), Geometry(), (8, 8), TAXONOMY, [0.5] * 3, [0.5] * 3, CPU)
    q = pretty_json({"format": 1, "q": [0.5, 0.25, *[1.0] * (classes - 2)], "taxonomy": TAXONOMY.name, "run": "0"})
    return {
        "run.json of a run": Case(run.about.read_bytes(), read(run.about, about)),
        "metrics.json of a run": Case(
            scored.metrics.read_bytes(), read(scored.metrics, lambda _: scored.results()["miou"])
        ),
        "timing.json of a run": Case(run.timing.read_bytes(), read(run.timing, read_timing)),
        "q.json": Case(q, read(home / "q.json", lambda path: with_q(segmenter, str(path)))),
    }


def inits(home: Path) -> dict[str, Case]:
    """Weights to start from, of a trunk in the old and the new format of torch, and safetensors."""
    torch.manual_seed(0)
    declared, size = segmodels.spec("pspnet"), (32, 32)
    chosen = declared.resolve({"backbone_depth": 18})
    net = declared.build(len(TAXONOMY.classes), size, chosen)
    trunk = net.get_submodule("trunk").state_dict()
    some: dict[str, Tensor] = {name: trunk[name].clone() for name in ("conv1.weight", "bn1.weight", "bn1.bias")}

    def start(path: Path) -> str:
        with patch(
            "segmodels.pretrained.trunk._check_share"
        ):  # a file that holds enough is too large to try many mutants of it
            return load_init(net, declared, chosen, size, TAXONOMY, path, COLOURS)

    old, new, other = home / "old.pth", home / "new.pth", home / "init.safetensors"
    torch.save({"state_dict": some, "epoch": 3}, new)
    torch.save({"state_dict": some, "epoch": 3}, old, _use_new_zipfile_serialization=False)
    save_file(some, other)
    whole = new.read_bytes()
    return {
        "init.pth": Case(whole, read(new, start)),
        "legacy init.pth": Case(old.read_bytes(), read(old, start)),
        "pickle in an init.pth": Case(pickle_of(whole), repacked(whole, read(new, start))),
        "init.safetensors": Case(other.read_bytes(), read(other, start)),
    }


def truth(home: Path) -> dict[str, Case]:
    """A label picture of --ground-truth."""
    key, real = "aachen_000000_000019", home / "real"
    folder = real / "gtFine" / "val" / "aachen"
    folder.mkdir(parents=True)
    picture = io.BytesIO()
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(picture, "PNG")
    (folder / f"{key}_gtFine_labelIds.png").write_bytes(picture.getvalue())

    def link(path: Path) -> object:
        shutil.rmtree(home / "linked", ignore_errors=True)
        return link_truth(home / "linked", real, "val", key)

    return {"ground truth": Case(picture.getvalue(), read(folder / f"{key}_gtFine_instanceIds.png", link))}


def picture(name: str, options: dict[str, Any]) -> bytes:
    """A few pixels with EXIF, in the format of the name."""
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
    image, exif, buffer = Image.fromarray(pixels), Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # lies on its side
    if "format" in options:
        image = image.quantize(16)
    given = {"exif": exif} if name.endswith(("png", "jpg", "webp", "avif")) else {}
    image.save(buffer, **{"format": Image.registered_extensions()[f".{name.partition('.')[2]}"]} | options | given)
    return buffer.getvalue()


def damaged(report: Folders, path: Path) -> Case:
    """One file of those that a report collects."""
    good = path.read_bytes()

    def put(data: bytes) -> object:
        torch.set_num_threads(1)
        path.write_bytes(data)
        try:
            return collect(report)
        finally:
            path.write_bytes(good)

    return Case(good, put)


@pytest.mark.parametrize("kind", KINDS)
def test_mutants(kind: str, cases: dict[str, Case]) -> None:
    """The good file is read; whatever is wrong with its copies is said in an error of ours."""
    good, read = cases[kind]
    read(good)
    assert survivors(good, read, SegdataError, 10) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants(kind: str, cases: dict[str, Case]) -> None:
    """As above, in numbers."""
    good, read = cases[kind]
    assert survivors(good, read, SegdataError, 200, seed=1) == []
