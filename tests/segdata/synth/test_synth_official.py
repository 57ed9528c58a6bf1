"""Painted Cityscapes against the official tools: cityscapesScripts rasterises and evaluates it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from PIL import Image

from segdata.synth import paint

EVALUATE = """
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as evaluation
evaluation.args.quiet = True
evaluation.main()
"""


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    paint("cityscapes", root, train=1, val=8, test=1, size=(128, 256), seed=11, coarse=True)
    return root


def test_official_rasteriser_reproduces_the_label_images(streets: Path) -> None:
    """json2labelImg and json2instanceImg give labelIds, colours and instanceIds, pixel for pixel."""
    annotations = sorted(streets.rglob("*_polygons.json"))
    assert len(annotations) == 1 + 8 + 1 + 1 + 8 + 1  # fine; coarse of train, val and train_extra
    seen, deleted = set(), 0
    for path in annotations:
        annotation = Annotation()
        annotation.fromJsonFile(str(path))
        seen |= {entry.label for entry in annotation.objects}
        deleted += sum(entry.deleted for entry in annotation.objects)
        pictures = {
            "labelIds": createLabelImage(annotation, "ids"),
            "color": createLabelImage(annotation, "color"),
            "instanceIds": createInstanceImage(annotation, "ids"),
        }
        for kind, official in pictures.items():
            ours = Image.open(path.with_name(path.name.replace("polygons.json", f"{kind}.png")))
            assert np.array_equal(np.array(ours), np.array(official)), path.with_suffix(f".{kind}")
    assert {"license plate", "cargroup"} <= seen and deleted > 0


def evaluate(root: Path, predictions: Path) -> dict[str, float]:
    """Average scores of the official pixel-level evaluation, whose paths are read at import."""
    export = predictions / "scores"
    export.mkdir()
    environment = os.environ | {
        "CITYSCAPES_DATASET": str(root),
        "CITYSCAPES_RESULTS": str(predictions),
        "CITYSCAPES_EXPORT_DIR": str(export),
    }
    subprocess.run([sys.executable, "-c", EVALUATE], env=environment, check=True, capture_output=True)
    scores = json.loads((export / "resultPixelLevelSemanticLabeling.json").read_text())
    return {name: value for name, value in scores.items() if name.startswith("averageScore")}


def test_official_evaluation_gives_one_for_the_truth(streets: Path, tmp_path: Path) -> None:
    """Ground truth as prediction scores 1.0 everywhere, instances included; a fault scores less."""
    (tmp_path / "truth").mkdir()
    (tmp_path / "fault").mkdir()
    for path in (streets / "gtFine/val").rglob("*_labelIds.png"):
        name = path.name.replace("gtFine_labelIds", "pred")
        labels = np.array(Image.open(path))
        Image.fromarray(labels).save(tmp_path / "truth" / name)
        labels[:, : labels.shape[1] // 4] = 7
        Image.fromarray(labels).save(tmp_path / "fault" / name)
    truth = evaluate(streets, tmp_path / "truth")
    assert truth == dict.fromkeys(truth, 1.0) and len(truth) == 4
    assert all(score < 1 for score in evaluate(streets, tmp_path / "fault").values())
