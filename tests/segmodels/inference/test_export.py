"""`segmodels export`: one file that computes what the network computes, or none."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import segmodels
from segdata import ShardSet
from segmodels import SegmodelsError
from segmodels.inference.export import _places, export
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.trained import load_trained
from segmodels.prediction import Prediction
from tests.segmodels.commands import run

UNET = {"width_factor": 0.25}
V6 = {"width": 4, "depth": 1, "steps": 3, "prenet": "x2"}
MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
Make = Callable[..., Path]


def loaded(folder: Path) -> Segmenter:
    return load_trained(folder, torch.device("cpu"))


@torch.no_grad()
def expected(segmenter: Segmenter, val: ShardSet) -> tuple[Tensor, Tensor]:
    """A street as the file takes it, RGB from 0 to 1, and the network's logits for it."""
    pixels = val.read(0).image
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    return image, segmenter.network(segmenter.input(pixels)).logits


@pytest.mark.parametrize(
    ("name", "options"), [("dilated_unet", UNET), ("iterative_v6", V6), ("percentile", {"width_factor": 0.06})]
)
def test_a_pt2_file(
    make_run: Make, val: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]
) -> None:
    """Loaded by torch alone it gives the network's logits for another image; it says what its classes are. TMPDIR is
    not used: on a full disk torch would end the process there."""
    folder = make_run(name, **options)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    line = run("export", folder, "--out", tmp_path / "net.pt2")
    assert line.startswith(f"{tmp_path / 'net.pt2'}: largest difference ") and "100.0000% of the pixels" in line
    extra = {"segmodels.json": ""}
    module = torch.export.load(tmp_path / "net.pt2", extra_files=extra).module()
    image, logits = expected(loaded(folder), val)
    torch.testing.assert_close(module(image), logits, atol=1e-4, rtol=1e-4)
    about = json.loads(extra["segmodels.json"])
    assert about["network"] == name and about["size"] == [64, 128]
    assert about["taxonomy"]["classes"][0]["name"] == "road"


def test_another_size(make_run: Make, tmp_path: Path) -> None:
    """Where the network takes it; where not, the next line says why."""
    run("export", make_run("dilated_unet", **UNET), "--out", tmp_path / "net.pt2", "--size", "32x48")
    module = torch.export.load(tmp_path / "net.pt2").module()
    assert module(torch.zeros(1, 3, 32, 48)).shape == (1, 20, 32, 48)
    with pytest.raises(SegmodelsError, match="multiples of 16"):
        export(loaded(make_run("dilated_unet", **UNET)), tmp_path / "b.pt2", (30, 48))
    with pytest.raises(SegmodelsError, match="built for 64x128 alone"):
        export(loaded(make_run("iterative_v6", **V6)), tmp_path / "b.pt2", (32, 64))


def test_a_file_that_computes_something_else(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits a hundredth off, or two classes exchanged: an error, and no file."""
    segmenter = loaded(make_run("dilated_unet", **UNET))

    def writer(change: Callable[[Tensor], Tensor]) -> Callable[..., tuple[bytes, Callable[[Tensor], Tensor]]]:
        def write(network: Any, example: Tensor, about: str) -> tuple[bytes, Callable[[Tensor], Tensor]]:
            return b"wrong", lambda image: change(network(image))

        return write

    for change in (lambda logits: logits + 0.01 * logits.abs().max(), lambda logits: logits.flip(1)):
        monkeypatch.setattr("segmodels.inference.export._write_pt2", writer(change))
        with pytest.raises(SegmodelsError, match=r"was not written, as it computes something else: largest difference"):
            export(segmenter, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_names_and_places(make_run: Make, tmp_path: Path) -> None:
    """Another suffix, and the run's own folder, are refused."""
    folder = make_run("dilated_unet", **UNET)
    with pytest.raises(SegmodelsError, match=r"ends in \.pt2 or \.onnx"):
        export(loaded(folder), tmp_path / "net.pth")
    with pytest.raises(SegmodelsError, match="only `train` writes"):
        export(loaded(folder), folder / "net.pt2")


@pytest.mark.skipif(bool(MISSING), reason="the extra onnx is not installed")
@pytest.mark.filterwarnings("default")  # onnxscript's own
@pytest.mark.parametrize(
    ("name", "options"), [("dilated_unet", UNET), ("iterative_v6", V6), ("percentile", {"width_factor": 0.06})]
)
def test_an_onnx_file(make_run: Make, val: ShardSet, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    """Run by onnxruntime it gives the network's logits for another image; it says what its classes are."""
    import onnxruntime

    folder = make_run(name, **options)
    run("export", folder, "--out", tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    image, logits = expected(loaded(folder), val)
    (found,) = session.run(None, {"image": image.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), logits, atol=1e-3, rtol=1e-3)
    about = json.loads(session.get_modelmeta().custom_metadata_map["segmodels"])
    assert about["network"] == name


def test_what_cannot_be_traced(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason that torch began with, in a line; a spec that knows better says it before."""
    segmenter = loaded(make_run("dilated_unet", **UNET))

    def branches(image: Tensor) -> Prediction:
        return Prediction(image if image.sum() > 0 else -image, (), {})

    with monkeypatch.context() as patch, pytest.raises(SegmodelsError, match=r"cannot be written as \.pt2: ") as error:
        patch.setattr(segmenter.network, "forward", branches)
        export(segmenter, tmp_path / "net.pt2")
    assert "\n" not in str(error.value)
    known = replace(segmodels.spec("dilated_unet"), not_exportable="it draws lots")
    with pytest.raises(SegmodelsError, match="dilated_unet cannot be exported: it draws lots"):
        export(replace(segmenter, declared=known), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not MISSING, reason="what ONNX needs is installed")
def test_without_onnx(make_run: Make, tmp_path: Path) -> None:
    """What is missing is named."""
    with pytest.raises(
        SegmodelsError, match=rf"needs the extra `onnx`: {MISSING[0] if MISSING else ''}.*pip install .*\[onnx\]"
    ):
        export(loaded(make_run("dilated_unet", **UNET)), tmp_path / "net.onnx")


def test_places_are_those_of_searchsorted() -> None:
    """What stands in its place in an .onnx file gives the same numbers, ties included."""
    keys = torch.randint(0, 9, (2, 50)).double().sort(dim=1).values
    values = torch.arange(-1, 11).double().expand(2, -1).contiguous()
    assert torch.equal(_places(keys, values), torch.searchsorted(keys, values))


@pytest.mark.parametrize("name", ["clusternet", "clusternet_concat"])
def test_what_onnx_cannot_say(make_run: Make, tmp_path: Path, name: str) -> None:
    """It is told at once, with what works instead."""
    with torch.device("meta"):
        network = segmodels.build(name, 20, (64, 128), backbone_depth=18, assignment="per_image")
    segmenter = replace(loaded(make_run("dilated_unet", **UNET)), declared=segmodels.spec(name), network=network)
    with pytest.raises(SegmodelsError, match=r"written as \.onnx: with assignment=per_image .*Export a \.pt2"):
        export(segmenter, tmp_path / "net.onnx")
