"""A prediction as pictures: labels in the dataset's own ids, colours, confidence, and how the answer came about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segdata.base.arrays import U8
from segdata.base.files import replacing
from segdata.base.ownership import PICTURE, check_file
from segdata.labels.taxonomy import Taxonomy
from segdata.pictures.marked import Paint, write_png

if TYPE_CHECKING:
    from torch import Tensor

    from segmodels.prediction import Prediction
    from segmodels.spec import Size, Stages

ACCEPTED, SETTLED, GOES_ON = 255, 96, 0  # grey levels of an accepted region


def original_ids(ids: U8, taxonomy: Taxonomy) -> U8:
    """Class ids as the ids that the dataset publishes; what has no class, as ignored pixels, becomes 0."""
    table = np.zeros(256, np.uint8)
    table[: len(taxonomy.classes)] = [row.export % 256 for row in taxonomy.classes]  # -1 is stored as 255
    return np.asarray(table[ids], np.uint8)


def colours(ids: U8, taxonomy: Taxonomy) -> U8:
    """Class ids (H, W) as colours (H, W, 3)."""
    return np.asarray(taxonomy.palette[ids], np.uint8)


def grey(confidence: NDArray[Any]) -> U8:
    """Probabilities as grey levels: black is 0, white is 1."""
    return np.asarray(np.rint(confidence * 255), np.uint8)


def output_pictures(outputs: Sequence[Tensor], taxonomy: Taxonomy) -> Iterator[tuple[str, U8]]:
    """Name and picture of every output's classes and confidence, from its logits (1, K, H, W)."""
    for number, logits in enumerate(outputs, start=1):
        ids, confidence = answer(logits)
        yield f"step{number:02}_color", colours(ids, taxonomy)
        yield f"step{number:02}_confidence", grey(confidence)


def stage_pictures(prediction: Prediction, stages: Stages, taxonomy: Taxonomy) -> Iterator[tuple[str, U8]]:
    """Name and picture of every stage of a staged network's answer to one image.

    Its confidence; the region that it accepts (white; what was settled before is grey, what goes on black); the
    classes that it settles there (all else black).
    """
    classes = colours(answer(prediction.logits)[0], taxonomy)  # (H, W, 3)
    confidences = prediction.extras[stages.confidences][0].cpu().numpy()  # (S, H, W)
    reached = prediction.extras[stages.reached][0].cpu().numpy()  # (S, H, W)
    goes_on = np.concatenate([reached[1:], np.zeros_like(reached[:1])])
    for i, (here, on) in enumerate(zip(reached, goes_on, strict=True)):
        accepted = here & ~on
        region = np.where(accepted, ACCEPTED, np.where(here, GOES_ON, SETTLED)).astype(np.uint8)
        yield f"stage{i + 1}_confidence", grey(confidences[i])
        yield f"stage{i + 1}_accepted", region
        yield f"stage{i + 1}_color", np.where(accepted[..., None], classes, 0).astype(np.uint8)


def answer(logits: Tensor) -> tuple[U8, NDArray[np.float32]]:
    """The class of each pixel of one image (1, K, H, W), and its probability: (H, W) both."""
    confidence, ids = logits[0].float().softmax(dim=0).max(dim=0)
    return ids.byte().cpu().numpy(), confidence.cpu().numpy()


def save_png(path: Path, picture: U8) -> None:
    """Write (H, W) grey levels or ids, or (H, W, 3) colours; the file appears as a whole.

    Raises SegdataError where it would take the place of a file that is no picture of ours.
    """
    save_strips(path, (picture.shape[0], picture.shape[1]), lambda rows: picture[rows])


def save_strips(path: Path, size: Size, paint: Paint) -> None:
    """The same for a picture (H, W) that is painted some rows at a time. Raises as `save_png` does."""
    check_file("--out", path, PICTURE)
    with replacing(path) as file:
        write_png(file, size, paint)
