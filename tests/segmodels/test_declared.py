"""What a file declares is bounded before it is believed: by its bytes, by its tensors, by being a file at all."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file

import segmodels
from segdata.base.canonical import canonical_json
from segdata.errors import SegdataError
from segdata.labels.taxonomy import load_taxonomy
from segmodels import SegmodelsError
from segmodels.cli import cli, main
from segmodels.config.config import TrainConfig
from segmodels.data.imagefiles import read_image
from segmodels.inference.segmenter import load_segmenter
from segmodels.pretrained.pretrained import load_trunk
from segmodels.runs.checkpoint import METADATA_KEY, load_checkpoint, load_torch, load_weights
from segmodels.runs.run import Run, read_document
from segmodels.training.train import train
from tests.segmodels.commands import refused

Make = Callable[..., Path]
CPU = torch.device("cpu")
UNET = {"width_factor": 0.25}
MEMORY = 256 << 20  # bytes that a refusal may take: the network that is declared takes 20 times that

# In a process of its own: what it takes in memory is its own.
MEASURED = """
import resource, sys
from pathlib import Path
import torch
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import load_segmenter
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
try:
    load_segmenter(Path(sys.argv[1]), torch.device("cpu"))
except SegmodelsError as error:
    print(peak() - before, error)
"""


def about(**values: Any) -> dict[str, Any]:
    declared = {"network": "dilated_unet", "options": UNET, "size": [64, 128], "run": "0" * 64, "training": {}}
    colours = {"mean": [0.5] * 3, "std": [0.5] * 3}
    return declared | colours | {"taxonomy": load_taxonomy("camvid-11").document()} | values


def write(path: Path, **values: Any) -> Path:
    """Weights of a small network, which say something else about themselves."""
    declared = about(**values)
    classes = len(load_taxonomy("camvid-11").classes)
    state = segmodels.build("dilated_unet", classes, (64, 128), **UNET).state_dict()
    path.write_bytes(save(state, {METADATA_KEY: canonical_json(declared).decode()}))
    return path


# ---- weights ------------------------------------------------------------------------------------------------


def test_a_width_that_the_weights_do_not_have(tmp_path: Path) -> None:
    """350 KB whose metadata declare a width of 40 (5 GB) are refused in a small part of that, by the first tensor."""
    path = write(tmp_path / "model.safetensors", options={"width_factor": 40})
    done = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True)
    taken, said = done.stdout.split(maxsplit=1)
    assert int(taken) < MEMORY
    assert "does not hold the weights of dilated_unet: down1.branches.0.1.weight is" in said


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"network": "hourglass", "options": {"steps": 64, "depth": 10}, "size": [8192, 8192]}, "has more tensors"),
        ({"network": "fcn_resnet_v2", "options": {"depth": 1001}}, "has more tensors"),
        ({"network": "hourglass", "options": {"steps": 10**9}}, "steps is 1000000000, expected .* up to 64"),
        ({"network": "hourglass", "options": {"depth": 10**9}}, "depth is 1000000000, expected .* up to 10"),
        ({"network": "fcn_resnet_v2", "options": {"n_layers": 10**9}}, "n_layers is 1000000000, expected .* up to 16"),
        ({"options": {"width_factor": 1e300}}, "width_factor is 1e.300, expected .* up to 64"),
        ({"size": [10**6, 10**6]}, "size 1000000x1000000, expected at most 32768 a side"),
        ({"network": "percentile", "options": {}}, "does not hold the weights of percentile: stem.* is absent"),
        ({"options": {"width_factor": "1"}}, "width_factor is '1', expected a number"),
        ({"size": [64]}, r"'size' is \[64\], expected tuple\[int, int\]"),
        ({"mean": [0.5, 0.5, 10**400]}, "OverflowError"),
        ({"run": "\ud800"}, "surrogates not allowed"),
        ({"taxonomy": {}}, "missing key 'name', missing key 'classes'"),
        ({"network": None}, "'network' is None, expected str"),
    ],
)
def test_what_weights_declare(declared: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Endless numbers of modules, shapes beyond all memory, values of other types: one line, at once."""
    path = write(tmp_path / "model.safetensors", **declared)
    with pytest.raises(SegdataError, match=message) as caught:
        load_segmenter(path, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("plain_logits", [False, True])
@pytest.mark.parametrize("name", segmodels.names())
def test_every_network_is_within_its_bound(name: str, plain_logits: bool, tmp_path: Path) -> None:
    """Weights of each network load, where its build drops modules as well; random numbers are drawn for one build."""
    small = {"width_factor": 0.02, "width": 1, "depth": 1, "backbone_depth": 18, "plain_logits": plain_logits}
    options = {key: value for key, value in small.items() if key in segmodels.spec(name).options}
    if name == "fcn_resnet_v2":
        options["depth"] = 11
    size = (64, 64)
    classes = len(load_taxonomy("camvid-11").classes)
    torch.manual_seed(0)
    state = segmodels.build(name, classes, size, **options).state_dict()
    drawn = torch.get_rng_state()
    declared = about(network=name, options=options, size=size)
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(state, {METADATA_KEY: canonical_json(declared).decode()}))
    torch.manual_seed(0)
    loaded = load_segmenter(path, CPU).network.state_dict()
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def header(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The same tensors under another header."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    document = json.loads(data[8 : 8 + length])
    change(document)
    text = json.dumps(document).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a shape": lambda h: h["b"].update(shape=[1 << 40]),
    "a shape without end": lambda h: h["b"].update(shape=[1 << 62, 1 << 62]),
    "a type": lambda h: h["b"].update(dtype="F64"),
    "no such type": lambda h: h["b"].update(dtype="F99"),
    "beyond the end": lambda h: h["b"].update(data_offsets=[8, 1 << 40]),
    "overlapping": lambda h: h["b"].update(data_offsets=[0, 8]),
    "backwards": lambda h: h["b"].update(data_offsets=[16, 8]),
    "negative": lambda h: h["b"].update(data_offsets=[-8, 0]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies(lie: str, tmp_path: Path) -> None:
    """Shapes, types and places that are not the bytes'."""
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2), "b": torch.ones(2)}, path, {METADATA_KEY: "{}"})
    with pytest.raises(SegmodelsError, match=r"cannot read weights .*model\.safetensors: .*Take another copy"):
        load_weights(header(path, LIES[lie]))


@pytest.mark.parametrize("length", [1 << 63, 1 << 40, 90_000_000, 0])
def test_a_header_without_end(length: int, tmp_path: Path) -> None:
    """Its first eight bytes declare more than there is."""
    (tmp_path / "a").write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(SegmodelsError, match="cannot read weights"):
        load_weights(tmp_path / "a")


# ---- files of torch -----------------------------------------------------------------------------------------


def repacked(path: Path, old: bytes, new: bytes, kind: int = zipfile.ZIP_STORED) -> Path:
    """The torch file with other bytes in its pickle, under checksums that fit."""
    data = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(data) as whole, zipfile.ZipFile(path, "w", kind) as out:
        for name in whole.namelist():
            content = whole.read(name)
            out.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)
    return path


HUGE = b"J\xff\xff\xff\x7f"  # 2^31 - 1, as a pickle has it


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"K\x06t", HUGE + b"t"), (b"K\x02K\x03\x86", HUGE + b"K\x03\x86"), (b"K\x03K\x01\x86", HUGE + b"K\x01\x86")],
    ids=["storage", "shape", "stride"],
)
def test_a_tensor_larger_than_its_bytes(old: bytes, new: bytes, tmp_path: Path) -> None:
    """A storage, a shape and a stride of 2^31 on 24 bytes: an error, or no more than the file has; never the memory."""
    path = tmp_path / "a.pth"
    torch.save({"w": torch.arange(6.0).view(2, 3)}, path)
    repacked(path, old, new)
    try:
        found = load_torch(path)["w"]
    except (RuntimeError, SegmodelsError):
        return
    assert found.untyped_storage().nbytes() <= path.stat().st_size


def test_packed_members(tmp_path: Path) -> None:
    """A zip that unpacks to a thousand times its size is refused before anything is unpacked."""
    path = tmp_path / "last.pt"
    torch.save({"w": torch.zeros(1 << 22)}, path)
    repacked(path, b"", b"", zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 17
    with pytest.raises(SegmodelsError, match=r"last\.pt is no checkpoint: .*compressed.*Remove it"):
        load_checkpoint(path, "0" * 64)
    with pytest.raises(SegmodelsError, match=r"last\.pt is no \.safetensors file and no \.pth file.*compressed"):
        load_trunk(segmodels.build("pspnet", 3, (32, 32), backbone_depth=18), path)


def test_a_checkpoint_cut_by_a_byte(lesson: Callable[..., TrainConfig]) -> None:
    """`train` names the file and what to do, whichever of its files has lost its end."""
    train(lesson(), until=2)
    run = Run(lesson().out)
    whole = run.last.read_bytes()
    run.last.write_bytes(whole[:-1])
    with pytest.raises(SegmodelsError, match=r"last\.pt is no checkpoint: .*Remove it, and the same command starts"):
        train(lesson(), until=3)
    run.last.write_bytes(whole)
    whole_timing = run.timing_so_far.read_bytes()
    run.timing_so_far.write_bytes(whole_timing[:-3])
    with pytest.raises(SegmodelsError, match=r"timing\.json is not JSON: .*Remove it: the times begin anew"):
        train(lesson(), until=3)
    run.timing_so_far.write_bytes(whole_timing.replace(b"{", b'{"steps": 1, "steps": 1, ', 1))
    with pytest.raises(SegmodelsError, match=r"timing\.json is not JSON: .*the key 'steps' stands twice"):
        train(lesson(), until=3)
    run.timing_so_far.unlink()
    assert set(train(lesson(), until=3).digests) == {"1", "2"}


def test_a_checkpoint_of_another_shape(lesson: Callable[..., TrainConfig]) -> None:
    """Forged under the run's own id: weights, averages and the optimiser's state are held to the network."""
    train(lesson(), until=2)
    last = Run(lesson().out).last
    whole = torch.load(last, weights_only=True)
    name = next(iter(whole["weights"]))
    endless = torch.zeros(1).expand(1 << 40)
    state = whole["optimizer"]["state"]
    for forged in (
        {"weights": whole["weights"] | {name: endless}},
        {"ema": whole["ema"] | {name: endless}},
        {"ema": None},
        {"optimizer": {"state": state | {0: state[0] | {"exp_avg": endless}}}},
        {"optimizer": {"state": state | {0: {"step": state[0]["step"]}}}},
        {"history": [{"epoch": 1}]},
        {"random": {"cpu": torch.zeros(3)}},
        {"step": "2"},
    ):
        torch.save(whole | forged, last)
        with pytest.raises(SegmodelsError, match=r"last\.pt is (not of this run|no checkpoint): "):
            train(lesson(), until=3)


# ---- no files -----------------------------------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.timeout(120)
def test_a_pipe_is_refused_at_once(
    pipe: Path, make_run: Make, lesson: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """Instead of an image, weights, q, documents or --init: nobody ever writes into it."""
    folder = make_run("dilated_unet", **UNET)
    said = "a pipe, expected a regular file"
    assert said in refused("predict", folder, pipe, "--out", tmp_path / "out")
    assert said in refused("predict", pipe, pipe, "--out", tmp_path / "out")
    percentile = make_run("percentile", width_factor=0.06)
    assert said in refused("predict", percentile, tmp_path, "--out", tmp_path / "out", "--q", pipe)
    for read in (read_document, lambda path: load_checkpoint(path, ""), lambda path: load_trunk(pspnet(), path)):
        with pytest.raises(SegmodelsError, match=said):
            read(pipe)
    with pytest.raises(SegmodelsError, match=said):
        train(lesson(init=pipe))


def pspnet() -> torch.nn.Module:
    return segmodels.build("pspnet", 3, (32, 32), backbone_depth=18)


def test_a_device_is_no_image(make_run: Make, tmp_path: Path) -> None:
    """/dev/zero never ends; a link to it neither."""
    (tmp_path / "a.png").symlink_to("/dev/zero")
    folder = make_run("dilated_unet", **UNET)
    assert "a device, expected a regular file" in refused("predict", folder, tmp_path / "a.png", "--out", tmp_path)


# ---- images -------------------------------------------------------------------------------------------------


def ihdr(side: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return chunk + struct.pack(">I", zlib.crc32(chunk))


SIDE = 16_000
FORGED = {  # where 8 x 8 stands in a file of Pillow's, and what stands there for SIDE x SIDE
    "png": (ihdr(8), ihdr(SIDE)),
    "bmp": (struct.pack("<II", 8, 8), struct.pack("<II", SIDE, SIDE)),
    "gif": (struct.pack("<HH", 8, 8), struct.pack("<HH", SIDE, SIDE)),
    "webp": (struct.pack("<I", 7 | 7 << 14), struct.pack("<I", (SIDE - 1) | (SIDE - 1) << 14)),
    "tif": (struct.pack("<HII", 4, 1, 8), struct.pack("<HII", 4, 1, SIDE)),
    "ppm": (b"8 8", b"%d %d" % (SIDE, SIDE)),
}


@pytest.mark.parametrize("suffix", FORGED)
def test_too_many_pixels(suffix: str, tmp_path: Path) -> None:
    """A header of 16,000 x 16,000 over a few bytes: refused by it."""
    path, (old, new) = tmp_path / f"a.{suffix}", FORGED[suffix]
    Image.new("RGB", (8, 8)).save(path, lossless=True)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    with pytest.raises(SegmodelsError, match=r"cannot read image .*(16000x16000|exceeds limit|decoder object)"):
        read_image(path)


def test_a_picture_that_is_a_program(tmp_path: Path) -> None:
    """EPS, which Pillow hands to Ghostscript, is none of the formats."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(SegmodelsError, match="damaged, or none of AVIF, BMP"):
        read_image(tmp_path / "a.png")


def test_avif(tmp_path: Path) -> None:
    """Read where Pillow reads it; cut, it is one line."""
    path = tmp_path / "a.avif"
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(path)
    assert read_image(path).shape == (8, 9, 3)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SegmodelsError, match="cannot read image"):
        read_image(path)


# ---- the command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "segmodels: stopped. Run the same command again to go on.\n"),
        (SegmodelsError("no"), 1, "segmodels: no\n"),
        (
            PermissionError(13, "Permission denied", "x"),
            1,
            "segmodels: x: Permission denied. Give this user the right to it (chmod, chown), or name another place.\n",
        ),
        (OSError("odd"), 1, "segmodels: the system: odd.\n"),
    ],
)
def test_how_it_ends(
    raised: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever stops a command is one line and an exit status."""

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(cli.commands["list"], "callback", fail)
    monkeypatch.setattr(sys, "argv", ["segmodels", "list"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    assert capsys.readouterr().err.lstrip("\n") == said


def test_a_usage_error_and_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2 for what cannot be parsed, 0 for help."""
    for arguments, code in ((["list", "--x"], 2), (["--help"], 0), (["train", "--help"], 0)):
        monkeypatch.setattr(sys, "argv", ["segmodels", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == code
    assert "No such option" in capsys.readouterr().err
