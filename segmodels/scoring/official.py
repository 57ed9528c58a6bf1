"""Cityscapes' own evaluation of our predictions, and the files that its benchmark takes.

The evaluator (cityscapesScripts) compares PNGs of original ids. Its ground truth is either the real gtFine
or rebuilt from the shards' labels. Rebuilt, the pixels of evaluated classes have their ids; everything else
is 0 (unlabeled), for a taxonomy that merges the void classes does not tell them apart. Class and category
scores are exact all the same, because ground truth that is not evaluated counts nowhere. Instance scores
need the instances of the real gtFine: without, they are undefined.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from segdata import ShardSet
from segdata.base.arrays import U8
from segdata.base.files import parsing, read_file
from segdata.base.ownership import PICTURE, check_file
from segdata.base.processes import environment
from segdata.labels.taxonomy import Taxonomy
from segmodels.compute.deterministic import resize
from segmodels.data.imagefiles import open_image
from segmodels.documents import read_json
from segmodels.errors import SegmodelsError
from segmodels.inference.draw import original_ids, save_png
from segmodels.runs.results import check_out
from segmodels.spec import Size

FRAME = (1024, 2048)  # height and width of every frame of the benchmark
MOST_PIXELS = 1 << 23  # of a picture of --ground-truth: four such frames
KEY = re.compile(r"([A-Za-z\-]+)_\d{6}_\d{6}")  # <city>_<sequence>_<frame>
RESULT = "resultPixelLevelSemanticLabeling.json"
# A process of its own: the evaluator reads its paths when it is imported, prints, and exits on errors.
EVALUATE = """
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as evaluation
evaluation.args.quiet = True
evaluation.main()
"""


def check_benchmark(shards: ShardSet, taxonomy: Taxonomy) -> None:
    """Raise SegmodelsError unless these are frames of Cityscapes with the benchmark's classes."""
    from cityscapesscripts.helpers.labels import labels

    wanted = {((row.name,), row.id) for row in labels if not row.ignoreInEval}
    found = {(row.feeds, row.export) for row in taxonomy.classes if row.evaluated}
    if found != wanted:
        others = sorted(" + ".join(feeds) for feeds, _ in found - wanted) or ["some are missing"]
        raise SegmodelsError(
            f"taxonomy {taxonomy.name}: the benchmark scores {len(wanted)} labels one by one, this has "
            f"{', '.join(others)}. Use cityscapes-19, cityscapes-20 or cityscapes-34"
        )
    if strange := [key for key in shards.keys if not KEY.fullmatch(key)]:
        raise SegmodelsError(f"{shards.path}: {strange[0]!r} is no Cityscapes frame, <city>_<sequence>_<frame>")


def full_size(shards: ShardSet, i: int) -> Size:
    """The size of frame i as the benchmark has it: that of the shards, unless they were resized."""
    return FRAME if shards.manifest.document["options"]["size"] else shards.size_of(i)


def ids_at(answer: Tensor, shards: ShardSet, size: Size) -> U8:
    """The class ids (H, W) of an answer (1, K, h, w) to the shards' image, at the frame's own size.

    Raises SegmodelsError where the way from the frame to the image cannot be gone back.
    """
    if answer.shape[-2:] != size:
        resized = shards.manifest.document["options"]["size"]
        if not resized or resized[0] > answer.shape[-2] or resized[1] > answer.shape[-1]:
            raise SegmodelsError(
                f"{shards.path}: images are {answer.shape[-2]}x{answer.shape[-1]}, the frame is {size[0]}x{size[1]}: "
                "predictions on padded or cropped images cannot be compared with it"
            )
        answer = resize(answer[..., : resized[0], : resized[1]], size, align_corners=False)
    return np.asarray(answer.argmax(dim=1)[0].byte().cpu().numpy(), np.uint8)


def prepare_submission(folder: Path, shards: ShardSet) -> None:
    """Make the folder; what it holds of an earlier submission must be of the same frames."""
    check_out(folder, option="--submission")
    wanted = {f"{key}_pred.png" for key in shards.keys}
    if strange := sorted(path.name for path in folder.iterdir() if path.name not in wanted):
        raise SegmodelsError(f"--submission {folder} holds {strange[0]}, which is no part of it. Name an empty folder")
    for name in sorted(wanted):
        check_file("--submission", folder / name, PICTURE)


def write_prediction(folder: Path, key: str, ids: U8, taxonomy: Taxonomy) -> None:
    """One file of a submission: class ids (H, W) at full size, as original ids."""
    folder.mkdir(parents=True, exist_ok=True)
    save_png(folder / f"{key}_pred.png", original_ids(ids, taxonomy))


def rebuild_truth(root: Path, key: str, ids: U8, taxonomy: Taxonomy) -> None:
    """One frame's labels as the evaluator finds them below `root`; no instances."""
    labels = _truth(root, key, "labelIds")
    labels.parent.mkdir(parents=True, exist_ok=True)
    evaluated = np.zeros(256, bool)
    evaluated[: len(taxonomy.classes)] = [row.evaluated for row in taxonomy.classes]
    picture = np.where(evaluated[ids], original_ids(ids, taxonomy), 0).astype(np.uint8)
    save_png(labels, picture)
    save_png(_truth(root, key, "instanceIds"), picture)  # up to 1000 an id is no instance


def link_truth(root: Path, real: Path, split: str, key: str) -> Size:
    """The real files of one frame as the evaluator finds them below `root`; gives their (H, W)."""
    for kind in ("labelIds", "instanceIds"):
        file = real / "gtFine" / split / _city(key) / f"{key}_gtFine_{kind}.png"
        if not file.is_file():
            raise SegmodelsError(f"no {file}. --ground-truth is the folder that holds gtFine, unpacked")
        link = _truth(root, key, kind)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
        with parsing(file, SegmodelsError), open_image(read_file(file, error=SegmodelsError), file, MOST_PIXELS) as it:
            size = (it.height, it.width)
    return size


def predictions(root: Path) -> Path:
    """Where the evaluator takes the predictions for `root` from."""
    return root / "results"


def official_scores(root: Path) -> dict[str, Any]:
    """Run the evaluator on all frames below `root`: its result as it wrote it, NaN where undefined."""
    variables = environment() | {
        "CITYSCAPES_DATASET": str(root),
        "CITYSCAPES_RESULTS": str(predictions(root)),
        "CITYSCAPES_EXPORT_DIR": str(root),
    }
    command = [sys.executable, "-c", EVALUATE]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode or not (root / RESULT).is_file():
        said = (done.stderr + done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise SegmodelsError(f"cityscapesScripts' evaluator failed: {said[-1]}")
    result: dict[str, Any] = read_json(root / RESULT)
    return result


def largest_difference(theirs: Mapping[str, float], ours: Mapping[str, float]) -> float:
    """Between the scores of the labels in `ours`; infinite where only one of both is defined (not NaN)."""
    pairs = np.array([(theirs[label], value) for label, value in ours.items()])
    undefined = np.isnan(pairs)
    if (undefined[:, 0] != undefined[:, 1]).any():
        return float("inf")
    return float(np.abs(np.diff(pairs[~undefined[:, 0]])).max(initial=0))


def _truth(root: Path, key: str, kind: str) -> Path:
    return root / "gtFine" / "val" / _city(key) / f"{key}_gtFine_{kind}.png"  # the evaluator looks in val only


def _city(key: str) -> str:
    return key.partition("_")[0]
