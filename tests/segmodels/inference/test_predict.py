"""`segmodels predict`: images of any size and format, and pictures that say what the network said."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from segdata import ShardSet
from segdata.labels.taxonomy import load_taxonomy
from segmodels import SegmodelsError
from segmodels.data.imagefiles import read_image
from segmodels.inference.draw import original_ids
from segmodels.inference.find import find_images
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.slide import Block, enlarged
from segmodels.inference.trained import load_trained
from segmodels.inference.views import at_full_size
from segmodels.prediction import Prediction
from tests.segmodels.commands import refused, run

UNET = {"width_factor": 0.25}
V6 = {"width": 4, "depth": 1, "steps": 3, "prenet": "x2", "norm": "batch"}
PICTURES = ("color", "confidence", "labels", "overlay")
Make = Callable[..., Path]
Array = np.ndarray[Any, Any]


def photo(path: Path, size: tuple[int, int], seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def picture(path: Path) -> Array:
    with Image.open(path) as image:
        return np.array(image)


@torch.no_grad()
def logits_of(segmenter: Segmenter, pixels: Array) -> Prediction:
    prediction: Prediction = segmenter.network(segmenter.input(pixels))
    return prediction


# ---- pictures -------------------------------------------------------------------------------------------


def test_pictures_say_what_the_network_says(make_run: Make, val: ShardSet, tmp_path: Path) -> None:
    """Labels are the winning classes' original ids, colours the taxonomy's, confidence their softmax."""
    folder = make_run("dilated_unet", **UNET)
    (tmp_path / "street.png").write_bytes(val.bytes(0, "image.png"))
    assert run("predict", folder, tmp_path / "street.png", "--out", tmp_path / "out").startswith(f"{tmp_path / 'out'}:")
    pixels = val.read(0).image
    probabilities = logits_of(load_trained(folder, torch.device("cpu")), pixels).logits[0].softmax(0)
    ids = probabilities.argmax(0).numpy()
    labels, color, overlay, confidence = (
        picture(tmp_path / "out" / f"street_{name}.png") for name in ("labels", "color", "overlay", "confidence")
    )
    classes = val.taxonomy.classes
    assert len(np.unique(ids)) > 5
    assert np.array_equal(labels, np.array([row.export for row in classes], np.uint8)[ids])
    assert np.array_equal(color, np.array([row.color for row in classes], np.uint8)[ids])
    assert np.abs(confidence / 255 - probabilities.max(0).values.numpy()).max() <= 0.5 / 255 + 1e-6
    expected = 0.45 * pixels + 0.55 * color
    assert np.abs(overlay - expected).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50), (150, 40)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dilated_unet", UNET),  # multiples of 16
        ("iterative_v6", V6 | {"norm": "layerHW", "size": (32, 48)}),  # that size alone
        ("iterative_v6", V6),  # answers at half the resolution
        ("percentile", {"width_factor": 0.06}),
    ],
)
def test_any_size(make_run: Make, tmp_path: Path, name: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    """Every picture has the image's size, whatever the network takes."""
    run("predict", make_run(name, **options), photo(tmp_path / "a.png", size), "--out", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"a_{each}.png" for each in PICTURES]
    for each in PICTURES:
        found = picture(tmp_path / "out" / f"a_{each}.png")
        assert found.shape == (*size, 3) if each in {"color", "overlay"} else found.shape == size
        assert found.dtype == np.uint8


def test_views_and_windows(make_run: Make, tmp_path: Path) -> None:
    """The options reach the network: other pictures, of the same size."""
    folder, image = make_run("dilated_unet", **UNET), photo(tmp_path / "a.png", (48, 80))
    options = ((), ("--flip",), ("--scales", "0.5,1"), ("--window", "32x32"))
    for number, option in enumerate(options):
        run("predict", folder, image, "--out", tmp_path / str(number), *option)
    found = [picture(tmp_path / str(number) / "a_confidence.png") for number in range(len(options))]
    assert all(each.shape == (48, 80) for each in found)
    assert len({each.tobytes() for each in found}) == len(options)


def test_a_window_with_its_sides_swapped(make_run: Make, tmp_path: Path) -> None:
    """A window that fits an image only the other way round is refused; one that is too large both ways is padded."""
    folder, image = make_run("dilated_unet", **UNET), photo(tmp_path / "a.png", (48, 80))
    told = refused("predict", folder, image, "--out", tmp_path / "out", "--window", "64x48")
    assert told == "--window 64x48 is larger than an image of 48x80. Sizes are HxW: did you mean 48x64?"
    run("predict", folder, image, "--out", tmp_path / "out", "--window", "64x96")


def test_files_and_folders(make_run: Make, tmp_path: Path) -> None:
    """A folder stands for its images; twice the same gives the same bytes."""
    folder = make_run("dilated_unet", **UNET)
    (tmp_path / "in").mkdir()
    photo(tmp_path / "in" / "b.PNG", (20, 30), 1), photo(tmp_path / "in" / "a.jpg", (20, 30), 2)
    (tmp_path / "in" / "notes.txt").touch()
    one = photo(tmp_path / "c.webp", (20, 30), 3)
    for out in ("x", "y"):
        assert "3 images" in run("predict", folder, one, tmp_path / "in", "--out", tmp_path / out)
    names = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert names == [f"{stem}_{each}.png" for stem in "abc" for each in PICTURES]
    assert all((tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes() for name in names)


# ---- stages ---------------------------------------------------------------------------------------------


def test_stages_of_percentile(make_run: Make, val: ShardSet, tmp_path: Path) -> None:
    """Confidence, accepted region and accepted classes of each stage; the regions share out the image."""
    folder = make_run("percentile", width_factor=0.125)
    (tmp_path / "a.png").write_bytes(val.bytes(0, "image.png"))
    run("predict", folder, tmp_path / "a.png", "--out", tmp_path, "--stages")
    names = [f"a_stage{i}_{kind}.png" for i in (1, 2, 3) for kind in ("confidence", "accepted", "color")]
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", *names, *(f"a_{each}.png" for each in PICTURES)}
    accepted = np.stack([picture(tmp_path / f"a_stage{i}_accepted.png") for i in (1, 2, 3)])
    assert accepted.shape == (3, 64, 128)
    assert ((accepted == 255).sum(0) == 1).all()  # every pixel at exactly one stage
    assert (accepted == 255).sum((1, 2)).min() > 0
    settled = np.cumsum(accepted == 255, axis=0) - (accepted == 255)
    assert np.array_equal(accepted == 96, settled == 1)
    colors = np.stack([picture(tmp_path / f"a_stage{i}_color.png") for i in (1, 2, 3)])
    assert not colors[accepted != 255].any()
    assert np.array_equal(colors.sum(0), picture(tmp_path / "a_color.png"))

    steps = logits_of(load_trained(folder, torch.device("cpu")), val.read(0).image).steps
    for i, step in enumerate(steps, start=1):
        confidence = step[0].softmax(0).max(0).values.numpy()
        found = picture(tmp_path / f"a_stage{i}_confidence.png")
        assert np.abs(found / 255 - confidence).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("norm", ["batch", "layerHW"])
def test_refinement_steps(make_run: Make, tmp_path: Path, norm: str) -> None:
    """Classes and confidence of every step, the last one being the answer; also through windows."""
    folder = make_run("iterative_v6", (32, 48), **V6 | {"norm": norm})
    run("predict", folder, photo(tmp_path / "a.png", (50, 70)), "--out", tmp_path / "out", "--stages")
    steps = [picture(tmp_path / "out" / f"a_step0{i}_color.png") for i in (1, 2, 3)]
    assert all(step.shape == (50, 70, 3) for step in steps)
    assert len({step.tobytes() for step in steps}) == 3
    assert np.array_equal(steps[-1], picture(tmp_path / "out" / "a_color.png"))
    assert picture(tmp_path / "out" / "a_step02_confidence.png").shape == (50, 70)


def test_stages_that_there_are_not(make_run: Make, tmp_path: Path) -> None:
    """A network of one step has none; averaged views have no one way to the answer."""
    image, rest = photo(tmp_path / "a.png", (32, 48)), ("--out", tmp_path / "out", "--stages")
    assert "answers at once" in refused("predict", make_run("dilated_unet", **UNET), image, *rest)
    percentile = make_run("percentile", width_factor=0.06)
    assert "leave --flip" in refused("predict", percentile, image, *rest, "--flip")
    assert "leave --flip" in refused("predict", percentile, image, *rest, "--window", "32x32")
    assert not list((tmp_path / "out").glob("*"))


# ---- images ---------------------------------------------------------------------------------------------

COLORS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
GREY = COLORS[..., 0]


def saved(path: Path, image: Image.Image, **options: Any) -> Array:
    image.save(path, **options)
    return read_image(path)


def test_modes(tmp_path: Path) -> None:
    """Grey is repeated, 16 bits keep the upper 8, palettes are looked up, transparency is dropped."""
    grey = np.repeat(GREY[..., None], 3, axis=2)
    alpha = np.concatenate([COLORS, GREY[..., None]], axis=2)
    deep = GREY.astype(np.uint16) << 8 | 77
    palette = Image.fromarray(COLORS).quantize(8)
    assert np.array_equal(saved(tmp_path / "rgb.png", Image.fromarray(COLORS)), COLORS)
    assert np.array_equal(saved(tmp_path / "rgb.webp", Image.fromarray(COLORS), lossless=True), COLORS)
    assert np.array_equal(saved(tmp_path / "grey.png", Image.fromarray(GREY)), grey)
    assert np.array_equal(saved(tmp_path / "rgba.png", Image.fromarray(alpha)), COLORS)
    assert np.array_equal(saved(tmp_path / "deep.png", Image.fromarray(deep)), grey)
    assert np.array_equal(saved(tmp_path / "palette.png", palette), np.array(palette.convert("RGB")))
    clear = saved(tmp_path / "clear.png", palette, transparency=bytes([0, 128]))
    assert np.array_equal(clear, np.array(palette.convert("RGB")))
    assert saved(tmp_path / "cmyk.jpg", Image.fromarray(COLORS).convert("CMYK")).shape == (6, 9, 3)
    first = Image.fromarray(COLORS)
    assert np.array_equal(saved(tmp_path / "two.png", first, save_all=True, append_images=[first.rotate(180)]), COLORS)


@pytest.mark.parametrize(("orientation", "quarters"), [(1, 0), (3, 2), (6, -1), (8, 1)])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_orientation(name: str, orientation: int, quarters: int, tmp_path: Path) -> None:
    """A photo that its camera held sideways (Exif) is turned upright, the same in every format."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    flat = np.zeros((16, 32, 3), np.uint8)
    flat[:8, :8] = 255  # a corner that shows where it went, through JPEG too
    options = {"lossless": True} if name.endswith("webp") else {}
    assert np.array_equal(saved(tmp_path / name, Image.fromarray(flat), exif=exif, **options), np.rot90(flat, quarters))


def test_pictures_lie_on_the_upright_photo(make_run: Make, tmp_path: Path) -> None:
    """All of them have its size, as people see it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    run("predict", make_run("dilated_unet", **UNET), tmp_path / "a.jpg", "--out", tmp_path / "out")
    assert {picture(path).shape[:2] for path in (tmp_path / "out").iterdir()} == {(48, 32)}


def test_unreadable_images(make_run: Make, tmp_path: Path) -> None:
    """Missing, empty, cut off, text, a folder without images, numbers that are no grey levels."""
    folder = make_run("dilated_unet", **UNET)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    files = {"empty.png": b"", "cut.png": buffer.getvalue()[:3000], "text.jpg": b"no image"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert f"cannot read image {tmp_path / name}" in refused(
            *("predict", folder, tmp_path / name, "--out", tmp_path / "out")
        )
    Image.fromarray(COLORS[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    assert "16-bit grey" in refused("predict", folder, tmp_path / "float.tif", "--out", tmp_path / "out")
    assert f"{tmp_path / 'none.png'}: no such file" in refused(
        "predict", folder, tmp_path / "none.png", "--out", tmp_path
    )
    (tmp_path / "void").mkdir()
    assert "no image in this folder" in refused("predict", folder, tmp_path / "void", "--out", tmp_path / "out")
    assert "cannot write to --out" in refused(
        *("predict", folder, photo(tmp_path / "a.png", (4, 4)), "--out", tmp_path / "text.jpg")
    )


def test_an_image_that_is_too_large(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the memory ends it is said, with what takes less of it."""

    def ask(*arguments: object, **options: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999999999 bytes")

    monkeypatch.setattr("segmodels.inference.predict._blocks", ask)
    image = photo(tmp_path / "a.png", (4, 4))
    assert "memory is too small for so large an image. Give --window" in refused(
        "predict", make_run("dilated_unet", **UNET), image, "--out", tmp_path / "out"
    )


def test_two_images_of_one_name(tmp_path: Path) -> None:
    """Neither overwrites the other's pictures: both are named, before any work."""
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    photo(tmp_path / "x" / "a.png", (4, 4)), photo(tmp_path / "y" / "a.jpg", (4, 4))
    with pytest.raises(SegmodelsError, match=r"x/a\.png and .*y/a\.jpg would be written to the same files"):
        find_images([tmp_path / "x", tmp_path / "y"], tmp_path / "out")


def test_a_folder_of_folders(tmp_path: Path) -> None:
    """The pictures keep the folders between; those of an earlier time are no images, nor is anything else there."""
    for name in ("a.png", "x/a.png", "x/y/b.JPG", "x/notes.txt", "out/a_color.png"):
        photo(tmp_path / "one.png", (4, 4))
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "one.png").rename(tmp_path / name)
    found = find_images([tmp_path], tmp_path / "out")
    assert found.images == {name: tmp_path / path for name, path in
                     {"a": "a.png", "x/a": "x/a.png", "x/y/b": "x/y/b.JPG"}.items()}  # fmt: skip


@pytest.mark.parametrize("name", ["cityscapes-19", "cityscapes-20", "tas500-10", "camvid-11"])
def test_original_ids(name: str) -> None:
    """What a class is exported as; what has no class is 0."""
    taxonomy = load_taxonomy(name)
    ids = np.arange(256, dtype=np.uint8)[None]
    expected = [row.export for row in taxonomy.classes] + [0] * (256 - len(taxonomy.classes))
    assert original_ids(ids, taxonomy)[0].tolist() == expected


def test_a_folder_as_people_have_it(make_run: Make, tmp_path: Path) -> None:
    """A bad file is named at the end, a linked folder followed, a loop, leftovers and own pictures left out."""
    folder, home = make_run("dilated_unet", **UNET), tmp_path / "in"
    (home / "x").mkdir(parents=True), (tmp_path / "far").mkdir()
    for place in (home / "a.png", home / "x" / "b.png", tmp_path / "far" / "c.png"):
        photo(place, (20, 30))
    (home / "bad.jpg").write_bytes(b"no image"), (home / "._a.png").write_bytes(b"\0")
    (home / "linked").symlink_to(tmp_path / "far"), (home / "x" / "loop").symlink_to(home)
    assert f"cannot read image {home / 'bad.jpg'}" in refused("predict", folder, home, "--out", tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*_labels.png")}
    assert found == {"a_labels.png", "x/b_labels.png", "linked/c_labels.png"}
    (tmp_path / "out").rename(home / "old")
    again = find_images([home], tmp_path / "out")
    assert set(again.images) == {"a", "bad", "x/b", "linked/c"} and len(again.drawn) == 12
    assert again.loops == [home / "x" / "loop"] and again.leftovers.counts == {"macOS": 1}
    assert "bad.jpg" in refused("predict", folder, home / "bad.jpg", "--out", tmp_path / "none" / "deep")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("colors", [False, True])
def test_twelve_bits_in_sixteen(tmp_path: Path, colors: bool) -> None:
    """It is said that the image is nearly black; with its range it is the image of 8 bits."""
    deep, said = COLORS.astype(np.uint16) << 4, list[str]()
    assert cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1] if colors else deep[..., 0])
    assert read_image(tmp_path / "a.png", say=said.append).max() < 16
    assert len(said) == 1 and said[0].endswith("have 12 bits, give --range 4095")
    expected = COLORS if colors else np.repeat(GREY[..., None], 3, axis=2)
    assert np.array_equal(read_image(tmp_path / "a.png", (0, 4095)), expected)


def test_more_than_the_memory_holds(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image for which there is no room is refused before, with the memory that it would take; windows are not."""
    monkeypatch.setattr("segmodels.inference.predict.FREELY", 0)
    monkeypatch.setattr("segmodels.inference.predict.available", lambda: 100_000)
    folder, image = make_run("dilated_unet", **UNET), photo(tmp_path / "a.png", (48, 80))
    told = refused("predict", folder, image, "--out", tmp_path / "out")
    assert "48x80 at once would take about" in told and "Give --window" in told
    run("predict", folder, image, "--out", tmp_path / "out", "--window", "32x32")


@pytest.mark.parametrize(("stride", "size"), [(2, (301, 150)), (8, (40, 70))])
def test_interpolated_in_parts(stride: int, size: tuple[int, int]) -> None:
    """Bands of logits that come one by one give what all of them give at once."""
    cells = [-(-side // stride) for side in size]
    logits = torch.randn(1, 3, *cells, generator=torch.Generator().manual_seed(0))
    whole = torch.full((1, 3, *size), torch.nan)
    for block in enlarged((Block(i, 0, [logits[:, :, i : i + 3]]) for i in range(0, cells[0], 3)), stride, size):
        block.put(block.outputs[0], whole)
    torch.testing.assert_close(whole, at_full_size(logits, stride, size))


def test_what_a_folder_of_images_cannot_hide(make_run: Make, tmp_path: Path) -> None:
    """Links to nothing are named like unreadable images; --out is neither the folder of the images nor above it."""
    run_folder, folder = make_run("dilated_unet", **UNET), tmp_path / "images"
    (tmp_path / "elsewhere").mkdir()
    folder.mkdir()
    photo(folder / "whole.png", (16, 16))
    photo(tmp_path / "elsewhere" / "more.png", (16, 16))
    (folder / "linked").symlink_to("../elsewhere")
    for out in (folder, tmp_path):
        assert "holds it: name another folder" in refused("predict", run_folder, folder, "--out", out)
    (folder / "dead.png").symlink_to("nowhere.png")
    assert "dead.png: a link to nowhere.png, where nothing is" in refused(
        *("predict", run_folder, folder, "--out", tmp_path / "out")
    )
    assert (tmp_path / "out/whole_labels.png").is_file() and (tmp_path / "out/linked/more_labels.png").is_file()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["more.png"]
    assert "no such file or folder" in refused("predict", run_folder, folder / "gone.png", "--out", tmp_path / "out")
