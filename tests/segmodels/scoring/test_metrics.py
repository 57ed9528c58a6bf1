"""Scores against cityscapesScripts, scikit-learn, naive loops and closed forms."""

import importlib
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn import metrics as sklearn_metrics

from segmodels.scoring import metrics

K = 6
EVALUATED = [True, True, True, True, False, True]
CATEGORIES = ["flat", "flat", "nature", "vehicle", "void", "vehicle"]
Maps = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def label_maps(rng: np.random.Generator, images: int = 5, classes: int = K, ignored: float = 0.1) -> Maps:
    """Pairs of target and prediction that agree on about half of the pixels; not every class in each."""
    pairs = []
    for _ in range(images):
        present = rng.choice(classes, size=max(2, classes - 2), replace=False)
        target = rng.choice(present, size=(13, 17)).astype(np.uint8)
        prediction = np.where(rng.random(target.shape) < 0.5, target, rng.integers(classes, size=target.shape))
        target[rng.random(target.shape) < ignored] = 255
        pairs.append((target, prediction.astype(np.uint8)))
    return pairs


def split_of(maps: Maps, classes: int = K) -> metrics.ConfusionMatrix:
    return np.stack([metrics.confusion(target, prediction, classes) for target, prediction in maps])


@pytest.fixture
def maps() -> Maps:
    return label_maps(np.random.default_rng(7))


@pytest.fixture
def split(maps: Maps) -> metrics.ConfusionMatrix:
    return split_of(maps)


@pytest.fixture(scope="module")
def official() -> ModuleType:
    """The evaluator of cityscapesScripts, without instances (its numpy calls are older than numpy 2.4)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    module.args.evalInstLevelScore = False
    module.args.JSONOutput = False
    module.args.quiet = True
    return module


# --- The matrix ---------------------------------------------------------------------------------------


def test_confusion_is_scikit_learns(maps: Maps) -> None:
    """The matrix of each image is scikit-learn's over its pixels that are not ignored."""
    for target, prediction in maps:
        valid = target != 255
        expected = sklearn_metrics.confusion_matrix(target[valid], prediction[valid], labels=range(K))
        found = metrics.confusion(target, prediction, K)
        assert found.dtype == np.int64
        assert (found == expected).all()


def test_any_prediction_on_an_ignored_pixel_counts_nowhere() -> None:
    """Ignored pixels may be predicted as anything, even as ignore itself or an unknown class."""
    target = np.array([[255, 255, 0]], dtype=np.uint8)
    prediction = np.array([[255, 200, 0]], dtype=np.uint8)
    assert metrics.confusion(target, prediction, 2).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("target", "prediction", "said"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), "shape"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.int64), "uint8"),
        (np.full((2, 3), 9, np.uint8), np.zeros((2, 3), np.uint8), r"targets \[9\], predictions \[\]"),
        (np.zeros((2, 3), np.uint8), np.full((2, 3), 255, np.uint8), r"targets \[\], predictions \[255\]"),
    ],
)
def test_maps_that_do_not_fit_are_refused(target: NDArray[np.uint8], prediction: NDArray[np.uint8], said: str) -> None:
    """Wrong shapes, wrong types and unknown class ids are errors that name what was found."""
    with pytest.raises(ValueError, match=said):
        metrics.confusion(target, prediction, K)


# --- Cityscapes' own evaluator ------------------------------------------------------------------------


def test_scores_are_the_official_ones_on_all_raw_ids(official: ModuleType, tmp_path: Path) -> None:
    """On files with original ids, class, category and mean scores equal cityscapesScripts' to 1e-9."""
    rng = np.random.default_rng(3)
    ids = range(34)
    labels = [official.id2label[i] for i in ids]
    maps = label_maps(rng, images=4, classes=34, ignored=0.0)
    theirs = official.evaluateImgLists(*_as_files(maps, tmp_path), official.args)

    evaluated = [not label.ignoreInEval for label in labels]
    total = split_of(maps, 34).sum(0)
    assert (theirs["confMatrix"] == total).all()
    ours = metrics.class_iou(total, evaluated)
    expected = [theirs["classScores"][label.name] for label in labels]
    np.testing.assert_allclose(ours, expected, atol=1e-9, rtol=0)
    assert metrics.miou(total, evaluated) == pytest.approx(theirs["averageScoreClasses"], abs=1e-9)

    categories = metrics.category_iou(total, evaluated, [label.category for label in labels])
    scored = {name: score for name, score in theirs["categoryScores"].items() if not np.isnan(score)}
    assert set(categories) == set(scored)
    for name, score in scored.items():
        assert categories[name] == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("misc", ["trained", "ignored"])
def test_scores_on_train_ids_are_the_official_ones(official: ModuleType, tmp_path: Path, misc: str) -> None:
    """Twenty classes with misc, or nineteen with void ignored: both give the official class scores."""
    rng = np.random.default_rng(4)
    classes = 20 if misc == "trained" else 19
    to_train = np.full(34, 19 if misc == "trained" else 255, dtype=np.uint8)
    to_raw = np.zeros(classes, dtype=np.uint8)  # misc goes back to id 0, unlabeled
    for raw in range(34):
        if official.id2label[raw].trainId < 19:
            to_train[raw] = official.id2label[raw].trainId
            to_raw[official.id2label[raw].trainId] = raw

    raw_maps = label_maps(rng, images=4, classes=34, ignored=0.0)
    targets = [target for target, _ in raw_maps]
    predictions = [rng.integers(classes, size=target.shape).astype(np.uint8) for target in targets]
    files = _as_files([(t, to_raw[p]) for t, p in zip(targets, predictions, strict=True)], tmp_path)
    theirs = official.evaluateImgLists(*files, official.args)

    total = split_of([(to_train[t], p) for t, p in zip(targets, predictions, strict=True)], classes).sum(0)
    evaluated = np.arange(classes) < 19
    ours = metrics.class_iou(total, evaluated)
    for train_id in range(19):
        name = official.id2label[int(to_raw[train_id])].name
        assert ours[train_id] == pytest.approx(theirs["classScores"][name], abs=1e-9)
    assert metrics.miou(total, evaluated) == pytest.approx(theirs["averageScoreClasses"], abs=1e-9)


def _as_files(maps: Maps, folder: Path) -> tuple[list[str], list[str]]:
    """Label maps as PNG files: predictions and ground truths, in the evaluator's order."""
    predictions, targets = [], []
    for index, (target, prediction) in enumerate(maps):
        for kind, array, paths in (("pred", prediction, predictions), ("gt", target, targets)):
            paths.append(str(folder / f"{index}_{kind}.png"))
            Image.fromarray(array).save(paths[-1])
    return predictions, targets


# --- scikit-learn and naive loops ---------------------------------------------------------------------


def test_scores_over_all_classes_are_scikit_learns(maps: Maps, split: metrics.ConfusionMatrix) -> None:
    """With every class evaluated, every score of the split equals its counterpart in scikit-learn."""
    target = np.concatenate([t[t != 255] for t, _ in maps])
    prediction = np.concatenate([p[t != 255] for t, p in maps])
    total, everything = split.sum(0), [True] * K

    def jaccard(average: str | None) -> float | NDArray[np.float64]:
        return sklearn_metrics.jaccard_score(target, prediction, labels=range(K), average=average)

    np.testing.assert_allclose(metrics.class_iou(total, everything), jaccard(None), rtol=1e-12)
    assert metrics.miou(total, everything) == pytest.approx(jaccard("macro"))
    assert metrics.miou_with_misc(total, EVALUATED) == pytest.approx(jaccard("macro"))
    assert metrics.frequency_weighted_iou(total, everything) == pytest.approx(jaccard("weighted"))
    assert metrics.pixel_accuracy(total, everything) == pytest.approx(
        sklearn_metrics.accuracy_score(target, prediction)
    )
    assert metrics.mean_accuracy(total, everything) == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(target, prediction)
    )
    assert metrics.micro_iou(total) == pytest.approx(jaccard("micro"))


def test_scores_without_misc_are_those_of_a_loop(maps: Maps, split: metrics.ConfusionMatrix) -> None:
    """Pixel by pixel: misc in the ground truth counts nowhere, misc in the prediction is a miss."""
    hits, misses, false = [0] * K, [0] * K, [0] * K
    for target, prediction in maps:
        for truth, guess in zip(target.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if truth == 255 or not EVALUATED[truth]:
                continue
            if truth == guess:
                hits[truth] += 1
            else:
                misses[truth] += 1
                false[guess] += 1
    kept = [c for c in range(K) if EVALUATED[c]]
    iou = {c: hits[c] / (hits[c] + misses[c] + false[c]) for c in kept}
    pixels = sum(hits[c] + misses[c] for c in kept)

    total = split.sum(0)
    assert np.isnan(metrics.class_iou(total, EVALUATED)[4])
    assert metrics.miou(total, EVALUATED) == pytest.approx(sum(iou.values()) / len(kept))
    assert metrics.pixel_accuracy(total, EVALUATED) == pytest.approx(sum(hits[c] for c in kept) / pixels)
    assert metrics.mean_accuracy(total, EVALUATED) == pytest.approx(
        sum(hits[c] / (hits[c] + misses[c]) for c in kept) / len(kept)
    )
    assert metrics.frequency_weighted_iou(total, EVALUATED) == pytest.approx(
        sum((hits[c] + misses[c]) / pixels * iou[c] for c in kept)
    )


def test_miou_present_is_that_of_a_loop(maps: Maps, split: metrics.ConfusionMatrix) -> None:
    """Per image over the classes in its ground truth, from sets of pixels."""
    of_images = []
    for target, prediction in maps:
        valid = target != 255
        ious = []
        for c in np.unique(target[valid]):
            truth, guess = (target == c) & valid, (prediction == c) & valid
            ious.append((truth & guess).sum() / (truth | guess).sum())
        of_images.append(sum(ious) / len(ious))
    np.testing.assert_allclose(metrics.miou_present(split), of_images, rtol=1e-12)
    assert metrics.scores(split, EVALUATED)["miou_present"] == pytest.approx(np.mean(of_images))


def test_micro_iou_has_its_closed_form(split: metrics.ConfusionMatrix) -> None:
    """Per image it is accuracy / (2 - accuracy), so it says nothing that accuracy does not."""
    accuracy = metrics.pixel_accuracy(split, [True] * K)
    np.testing.assert_allclose(metrics.micro_iou(split), accuracy / (2 - accuracy), rtol=1e-12)
    assert metrics.scores(split, EVALUATED)["micro_iou"] == pytest.approx(np.mean(accuracy / (2 - accuracy)))


# --- Edges, worked by hand ----------------------------------------------------------------------------


def test_absent_classes_leave_the_mean_or_count_zero() -> None:
    """Of four classes two occur (IoU 1/2 and 3/4) and one is only predicted (IoU 0)."""
    matrix = np.array([[1, 0, 0, 0], [0, 3, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    matrix[0, 2] = 1
    everything = [True] * 4
    assert metrics.class_iou(matrix, everything)[:3].tolist() == [0.5, 0.75, 0.0]
    assert np.isnan(metrics.class_iou(matrix, everything)[3])
    assert metrics.miou(matrix, everything) == pytest.approx(1.25 / 3)
    assert metrics.miou_fixed(matrix, everything) == pytest.approx(1.25 / 4)
    assert metrics.miou_present(matrix) == pytest.approx(1.25 / 2)
    assert metrics.mean_accuracy(matrix, everything) == pytest.approx((0.5 + 0.75) / 2)


def test_confusion_within_a_category_is_no_error() -> None:
    """Car taken for truck leaves the category whole; the void category, never evaluated, is not listed."""
    matrix = np.array([[2, 3, 0], [0, 5, 0], [4, 4, 4]])
    evaluated, categories = [True, True, False], ["vehicle", "vehicle", "void"]
    assert metrics.category_iou(matrix, evaluated, categories) == {"vehicle": 1.0}
    assert metrics.miou(matrix, evaluated) == pytest.approx((2 / 5 + 5 / 8) / 2)


def test_nothing_to_score_is_nan() -> None:
    """A split of images without a single valid pixel has no scores, and does not warn."""
    empty = np.zeros((3, K, K), dtype=np.int64)
    found = metrics.scores(empty, EVALUATED)
    assert found.pop("miou_fixed") == 0.0
    assert np.isnan(list(found.values())).all()


def test_every_score_of_a_split_is_the_mean_of_its_columns(split: metrics.ConfusionMatrix) -> None:
    """What intervals are computed from is what is scored; only of one score do absent classes count."""
    total = split.sum(0)
    total[2], total[:, 2] = 0, 0
    assert metrics.COLUMNS.keys() == metrics.SPLIT_SCORES.keys()
    for name, columns in metrics.COLUMNS.items():
        values = columns(total, EVALUATED)
        mean = np.nan_to_num(values).mean() if name in metrics.ABSENT_COUNT else np.nanmean(values)
        assert mean == pytest.approx(float(metrics.SPLIT_SCORES[name](total, EVALUATED))), name


def test_an_image_without_valid_pixels_leaves_the_mean_over_images(split: metrics.ConfusionMatrix) -> None:
    """Adding an all-ignored image changes no score."""
    longer = np.concatenate([split, np.zeros_like(split[:1])])
    assert metrics.scores(longer, EVALUATED) == pytest.approx(metrics.scores(split, EVALUATED))
