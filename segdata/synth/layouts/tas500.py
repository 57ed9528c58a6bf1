"""Painted off-road scenes in the layout of TAS500 v1.1: images, colour masks, id masks; test without any."""

from collections.abc import Iterator

import numpy as np

from segdata.sources import source
from segdata.synth.layouts.annotation import photograph, png, rasterise
from segdata.synth.layouts.frames import Frame
from segdata.synth.places.offroad import paint_offroad

ROOT = "tas500v1.1"
SIZE = (620, 2026)
COARSE_SPLITS: dict[str, str] = {}
UNDEFINED = 255
# Names are nanoseconds since 1970; these years lie before the dataset's, so that no name is a real one.
SECONDS = {"train": 1_000_000_000, "val": 1_100_000_000, "test": 1_200_000_000}
FOREIGN = ("train", 1)  # the frame whose colour mask has a colour outside the table, as five real ones


def stem(split: str, number: int) -> str:
    """Nineteen digits, in the order of the numbers."""
    return f"{SECONDS[split] + 7 * number}{(number * 366_848_717) % 1_000_000_000:09d}"


def names(split: str, number: int, coarse: bool) -> Iterator[tuple[str, str]]:
    """Archive and path of every file of a frame."""
    for kind in ("",) if split == "test" else ("", "_labels", "_labels_ids"):
        yield ROOT, f"{ROOT}/{split}{kind}/{stem(split, number)}.png"


def contents(frame: Frame) -> Iterator[bytes]:
    """The bytes of these files, in the order of `names`: the image, its colour mask, its id mask."""
    stage = paint_offroad(frame.rng(), frame.number, *frame.size)
    yield photograph(stage.image)
    if frame.split == "test":
        return
    labels = source("tas500").labels
    codes = {label.name: label.id for label in labels}
    table = [UNDEFINED] + [codes[outline.label] for outline in stage.outlines]
    ids = np.array(table, np.uint8)[rasterise(stage.outlines, *frame.size)]
    palette = np.zeros((256, 3), np.uint8)
    for label in labels:
        palette[label.id] = label.color
    colours = palette[ids]
    if (frame.split, frame.number) == FOREIGN:
        row, column = frame.size[0] // 2, frame.size[1] // 2
        colours[row : row + 4, column : column + 4] = (1, 2, 3)
    yield png(colours)
    yield png(ids)
