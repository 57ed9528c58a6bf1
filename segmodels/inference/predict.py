"""A trained network on images: labels in the dataset's own ids, colours, overlay, confidence and stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segdata.base.arrays import U8
from segdata.base.ownership import PICTURE
from segdata.looking.show import overlay
from segmodels.compute.device import enough_memory
from segmodels.data.imagefiles import read_image
from segmodels.data.images import pad
from segmodels.errors import SegmodelsError
from segmodels.inference.draw import answer, colours, grey, original_ids, output_pictures, save_png, stage_pictures
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.views import Views, at_full_size, average, crop, look, outputs
from segmodels.prediction import Prediction
from segmodels.runs.results import check_out

KINDS = ("labels", "color", "overlay", "confidence")  # of every image
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
Progress = Callable[[Iterable[Any]], Iterable[Any]]


def predict(
    segmenter: Segmenter,
    images: Mapping[str, Path],
    out: Path,
    views: Views,
    *,
    stages: bool = False,
    progress: Progress = iter,
) -> None:
    """Write the pictures of every image (from `find_images`) into `out`. Raises SegmodelsError.

    Of the image named x: x_labels.png (original ids), x_color.png, x_overlay.png, x_confidence.png (grey level 255 is
    probability 1), and with `stages` what `stage_pictures` or `output_pictures` draws.
    """
    if stages and not (views.single and views.window == segmenter.window):
        raise SegmodelsError("--stages shows how one answer came about: leave --flip, --scales and --window away")
    check_out(out, {f"{name}_{kind}.png": PICTURE for name in images for kind in KINDS})
    for name, path in progress(images.items()):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        with enough_memory(path):
            for kind, picture in _pictures(segmenter, read_image(path), views, stages=stages):
                save_png(out / f"{name}_{kind}.png", picture)


def find_images(paths: Sequence[Path], out: Path) -> dict[str, Path]:
    """The files, and all images in and below the folders: the name of its pictures -> where the image lies.

    A file's pictures have its own name, those of a folder's images keep the folders between. What lies under `out`
    are pictures of an earlier time. Raises SegmodelsError where two images would share their pictures.
    """
    found: dict[str, Path] = {}
    for path in paths:
        inside = _images_below(path, out.resolve()) if path.is_dir() else [path]
        if not inside and _images_below(path, None):
            raise SegmodelsError(f"--out {out} holds all images of {path}: name another folder than theirs")
        if not inside:
            raise SegmodelsError(f"{path}: no image in this folder ({', '.join(sorted(SUFFIXES))})")
        for image in inside:
            name = (image.relative_to(path) if path.is_dir() else Path(image.name)).with_suffix("").as_posix()
            if name in found:
                raise SegmodelsError(
                    f"{found[name]} and {image} would be written to the same files. Predict them into two folders"
                )
            found[name] = image
    return found


@torch.inference_mode()
def _pictures(segmenter: Segmenter, pixels: U8, views: Views, *, stages: bool) -> Iterable[tuple[str, U8]]:
    """Name and picture of everything that is written for an image (H, W, 3)."""
    taxonomy = segmenter.taxonomy
    found, prediction = _see(segmenter, pixels, views)
    if stages and len(found) == 1:
        raise SegmodelsError(
            f"--stages: {segmenter.name} answers at once: it has neither stages nor iterations to show"
        )
    size = (pixels.shape[0], pixels.shape[1])
    stride = segmenter.geometry.stride if views.single else 1
    ids, confidence = answer(at_full_size(found[-1], stride, size))
    pictures = original_ids(ids, taxonomy), colours(ids, taxonomy), overlay(pixels, ids, taxonomy), grey(confidence)
    yield from zip(KINDS, pictures, strict=True)
    if stages and prediction and segmenter.declared.stages:
        yield from stage_pictures(prediction, segmenter.declared.stages, taxonomy)
    elif stages:
        yield from output_pictures([at_full_size(each, stride, size) for each in found], taxonomy)


def _see(segmenter: Segmenter, pixels: U8, views: Views) -> tuple[list[Tensor], Prediction | None]:
    """The outputs, of a single view at the network's stride; and what it said where it saw the image once and whole."""
    views.check((pixels.shape[0], pixels.shape[1]), segmenter.window)
    image, geometry = segmenter.input(pixels), segmenter.geometry
    if not views.single:
        return average(segmenter, image, views), None
    if views.window:
        return look(segmenter, image, views.window), None
    prediction: Prediction = segmenter.network(pad(image, geometry))
    return crop(outputs(segmenter, prediction), geometry.stride, (pixels.shape[0], pixels.shape[1])), prediction


def _images_below(folder: Path, out: Path | None) -> list[Path]:
    """All but those that lie in `out`."""
    images = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in images if out is None or not path.resolve().is_relative_to(out))
