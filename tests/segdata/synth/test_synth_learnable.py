"""Painted scenes can be learned, and not by colour alone."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from segdata.synth import paint_frame
from segdata.synth.layouts.frames import Frame

SIZE = (64, 128)


def pixels(source: str, split: str, frames: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Every fifth pixel: (N, 7) colour, its neighbourhood's mean and its row; (N,) raw ids."""
    import cv2

    features, targets = [], []
    for number in range(frames):
        files = {member.path: member.data for member in paint_frame(Frame(source, split, number, SIZE, 21))}
        (photo,) = (d for path, d in files.items() if not path.startswith("gt") and "_labels" not in path)
        (labels,) = (d for path, d in files.items() if "labelIds" in path or "_labels_ids/" in path)
        image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
        ids = cv2.imdecode(np.frombuffer(labels, np.uint8), cv2.IMREAD_UNCHANGED)
        row = np.broadcast_to(np.arange(SIZE[0])[:, None, None], (*SIZE, 1))
        everything = np.concatenate([image, cv2.blur(image, (9, 9)), row], axis=2).reshape(-1, 7)
        features.append(everything[number % 5 :: 5])
        targets.append(ids.ravel()[number % 5 :: 5])
    return np.concatenate(features).astype(np.float64), np.concatenate(targets)


@pytest.mark.parametrize("source", ["cityscapes", "tas500"])
def test_a_small_classifier_learns_much_but_not_all(source: str) -> None:
    """Trees on colour, surroundings and row make less than half the errors of "all is the commonest class" on
    unseen frames, and are far from perfect."""
    train, train_ids = pixels(source, "train", 16)
    val, val_ids = pixels(source, "val", 6)
    commonest = float((val_ids == np.bincount(train_ids).argmax()).mean())
    trees = ExtraTreesClassifier(20, min_samples_leaf=4, random_state=0).fit(train, train_ids)
    accuracy = float((trees.predict(val) == val_ids).mean())
    assert 1 - accuracy < 0.5 * (1 - commonest) and accuracy < 0.9
