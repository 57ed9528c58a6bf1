"""A trained network on images: labels in the dataset's own ids, colours, overlay, confidence and stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segdata.base.arrays import U8
from segdata.base.ownership import PICTURE
from segdata.looking.show import overlay
from segdata.pictures.marked import STRIP, Paint
from segmodels.compute.device import enough_memory
from segmodels.compute.memory import available, peak_of
from segmodels.data.imagefiles import Range, Say, read_image
from segmodels.data.images import pad
from segmodels.errors import SegmodelsError
from segmodels.inference.draw import answer, colours, grey, original_ids, output_pictures, save_strips, stage_pictures
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.slide import Block, enlarged, slide
from segmodels.inference.views import Views, at_full_size, average, crop, fitting, look, outputs
from segmodels.prediction import Prediction
from segmodels.runs.results import check_out
from segmodels.spec import Size

KINDS = ("labels", "color", "overlay", "confidence")  # of every image
FREELY = 1 << 20  # pixels that are shown to any network at once without a look at the memory
PROBE = 256  # pixels a side of the image on which a network's memory is measured
Progress = Callable[[Iterable[Any]], Iterable[Any]]


def predict(
    segmenter: Segmenter,
    images: Mapping[str, Path],
    out: Path,
    views: Views,
    *,
    stages: bool = False,
    levels: Range | None = None,
    progress: Progress = iter,
    say: Say = lambda line: None,
) -> list[str]:
    """Write the pictures of every image (from `find_images`) into `out`; what was wrong with each that has none.

    Of the image named x: x_labels.png (original ids), x_color.png, x_overlay.png, x_confidence.png (grey level 255 is
    probability 1), and with `stages` what `stage_pictures` or `output_pictures` draws. `levels` and `say` are those
    of `read_image`. Raises SegdataError where no image can be predicted so, and where nothing can be written.
    """
    if stages:
        _check_stages(segmenter, views)
    failed = []
    check_out(out, {f"{name}_{kind}.png": PICTURE for name in images for kind in KINDS})
    for name, path in progress(images.items()):
        try:
            with enough_memory(path):
                pixels = read_image(path, levels, say)
                pictures = list(_pictures(segmenter, pixels, views, path, stages=stages))
        except SegmodelsError as error:
            failed.append(str(error))
            continue
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        for kind, paint in pictures:
            save_strips(out / f"{name}_{kind}.png", (pixels.shape[0], pixels.shape[1]), paint)
        del pixels, pictures, paint  # before the next image is read
    return failed


@torch.inference_mode()
def _check_stages(segmenter: Segmenter, views: Views) -> None:
    """Raise SegmodelsError where there is no way to the answer that could be drawn."""
    if not (views.single and views.window == segmenter.window):
        raise SegmodelsError("--stages shows how one answer came about: leave --flip, --scales and --window away")
    side = segmenter.geometry.neighbours(1)[1]
    height, width = segmenter.window or (side, side)
    if len(look(segmenter, segmenter.input(np.zeros((height, width, 3), np.uint8)), views.window)) == 1:
        raise SegmodelsError(
            f"--stages: {segmenter.name} answers at once: it has neither stages nor iterations to show"
        )


@torch.inference_mode()
def _pictures(
    segmenter: Segmenter, pixels: U8, views: Views, path: Path, *, stages: bool
) -> Iterator[tuple[str, Paint]]:
    """Name of everything that is written for an image (H, W, 3), and how its rows are painted."""
    taxonomy, size = segmenter.taxonomy, (pixels.shape[0], pixels.shape[1])
    views.check(size, segmenter.window)
    _check_memory(segmenter, size, views, path)
    found, prediction = _see(segmenter, pixels, views) if stages else ([], None)
    ids, certain = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for block in _rows(found[-1]) if stages else _blocks(segmenter, pixels, views):
        classes, confidence = answer(block.outputs[-1][..., : size[0] - block.top, : size[1] - block.left])
        block.put(classes, ids)
        block.put(grey(confidence), certain)
    yield "labels", lambda rows: original_ids(ids[rows], taxonomy)
    yield "color", lambda rows: colours(ids[rows], taxonomy)
    yield "overlay", lambda rows: overlay(pixels[rows], ids[rows], taxonomy)
    yield "confidence", lambda rows: certain[rows]
    if stages and prediction and segmenter.declared.stages:
        yield from _painted(stage_pictures(prediction, segmenter.declared.stages, taxonomy))
    elif stages:
        yield from _painted(output_pictures(found, taxonomy))


def _painted(pictures: Iterable[tuple[str, U8]]) -> Iterator[tuple[str, Paint]]:
    for name, picture in pictures:
        yield name, picture.__getitem__


def _blocks(segmenter: Segmenter, pixels: U8, views: Views) -> Iterator[Block]:
    """The answer, logits in the image's own pixels, in parts that cover it."""
    size, stride = (pixels.shape[0], pixels.shape[1]), segmenter.geometry.stride
    if not views.single:
        return _rows(average(segmenter, segmenter.input(pixels), views)[-1])
    if not views.window:
        found = look(segmenter, segmenter.input(pixels), None)
        return _rows(at_full_size(found[-1], stride, size))

    def show(top: int, left: int, height: int, width: int) -> list[Tensor]:
        image = segmenter.input(pixels[top : top + height, left : left + width])
        image = F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))
        return [outputs(segmenter, segmenter.network(image))[-1]]

    blocks = slide(show, fitting(size, views.window, stride), views.window, stride)
    return blocks if stride == 1 else enlarged(blocks, stride, size)


def _rows(logits: Tensor) -> Iterator[Block]:
    """Logits (1, K, H, W) some rows at a time: what is made of them is as large again."""
    for top in range(0, logits.shape[-2], STRIP):
        yield Block(top, 0, [logits[..., top : top + STRIP, :]])


def _see(segmenter: Segmenter, pixels: U8, views: Views) -> tuple[list[Tensor], Prediction | None]:
    """All outputs (1, K, H, W); and what the network said where it saw the image once and whole."""
    size, geometry = (pixels.shape[0], pixels.shape[1]), segmenter.geometry
    image, prediction = segmenter.input(pixels), None
    if views.window:
        found = look(segmenter, image, views.window)
    else:
        prediction = segmenter.network(pad(image, geometry))
        found = crop(outputs(segmenter, prediction), geometry.stride, size)
    return [at_full_size(each, geometry.stride, size) for each in found], prediction


def _check_memory(segmenter: Segmenter, size: Size, views: Views, path: Path) -> None:
    """Raise SegmodelsError where an image (H, W) takes more memory than there is: Linux would kill the process."""
    pixels, free = size[0] * size[1], available()
    in_parts = views.single and views.window
    if pixels <= FREELY or in_parts or free is None or segmenter.device.type != "cpu":
        return
    needed = pixels * _bytes_per_pixel(segmenter, views)
    if needed <= free:
        return
    advice = "Give --window 512x1024, which shows it in parts"
    if not views.single:
        advice = "Leave --flip and --scales away" + ", and give --window 512x1024" * (not segmenter.window)
    raise SegmodelsError(
        f"{path}: {size[0]}x{size[1]} at once would take about {needed / 1e9:.1f} GB of memory, "
        f"and {free / 1e9:.1f} GB are free. {advice}"
    )


def _bytes_per_pixel(segmenter: Segmenter, views: Views) -> float:
    """As measured on a small image; through windows, what averages of logits hold for every pixel."""
    if views.window:
        return 4.0 * 4 * len(segmenter.taxonomy.classes)  # float32: a view's, its probabilities, their sum, a logarithm
    side = segmenter.geometry.neighbours(PROBE)[1]
    small = np.zeros((side, side, 3), np.uint8)
    return peak_of(lambda: list(_blocks(segmenter, small, views))) / side**2
