"""Intervals against loops that leave groups out, and against populations whose true score is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from segmodels.scoring import metrics
from segmodels.scoring.intervals import between, interval, intervals, mean_intervals, no_interval, paired
from segmodels.scoring.student import two_sided

Matrices = NDArray[np.int64]
K = 11
EVERYTHING = [True] * K
# A street's classes: their share of the pixels, how well they are found (log odds), in which share of clips they are.
SHARES = np.array([0.3, 0.25, 0.2, 0.1, 0.05, 0.04, 0.03, 0.015, 0.008, 0.004, 0.003])
ODDS = np.log([9, 9, 6, 4, 2, 2, 1.5, 1, 1, 0.7, 0.5])
EVERYWHERE, RARE = np.ones(K), np.array([1, 1, 1, 1, 0.9, 0.6, 0.5, 0.3, 0.15, 0.08, 0.05])


def answers(present: NDArray[Any], quality: NDArray[Any], rng: np.random.Generator) -> Matrices:
    """Matrices (..., K, K) of images whose classes have these weights (..., K), and of this quality (...)."""
    shares = SHARES * present
    pixels = np.round(12288 * shares / shares.sum(-1, keepdims=True)).astype(np.int64)
    hits = rng.binomial(pixels, 1 / (1 + np.exp(-(ODDS + 0.6 * quality[..., None]))))
    found, each = np.zeros((*pixels.shape, K), np.int64), np.arange(K)
    found[..., each, each] = hits
    found[..., each, np.where(each == 0, 1, 0)] += pixels - hits  # what is missed is taken for road, road for building
    return found


def clips(number: int, length: int, presence: NDArray[Any], rng: np.random.Generator) -> Matrices:
    """(number, length, K, K): frames of one clip have the same classes and almost the same quality."""
    quality = rng.normal(size=(number, 1)) + 0.3 * rng.normal(size=(number, length))
    present = (rng.random((number, 1, K)) < presence) * rng.gamma(2, 1, (number, 1, K))
    return answers(np.broadcast_to(present, (number, length, K)), quality, rng)


def drives(number: int, frames: int, correlation: float, rng: np.random.Generator) -> Matrices:
    """(number, frames, K, K): quality and presence wander, those of neighbouring frames have this correlation."""
    state, fresh = rng.normal(size=(number, K + 1)), np.sqrt(1 - correlation**2)
    states = []
    for _ in range(frames):
        states.append(state)
        state = correlation * state + fresh * rng.normal(size=state.shape)
    path = np.stack(states, axis=1)
    present = (path[..., 1:] < stats.norm.ppf(np.minimum(RARE, 1))) * np.exp(0.6 * path[..., :0:-1])
    return answers(present, path[..., 0], rng)


def true_miou(population: Matrices, sample: Matrices) -> float:
    """Of the whole population, over the classes that occur in the sample: the set that an interval fixes."""
    occurs = ~np.isnan(metrics.class_iou(sample.sum(0), EVERYTHING))
    return float(metrics.class_iou(population.reshape(-1, K, K).sum(0), EVERYTHING)[occurs].mean())


# --- Coverage -----------------------------------------------------------------------------------------

CASES = {
    "images, all classes": (EVERYWHERE, [1] * 50),
    "images, rare classes": (RARE, [1] * 50),
    "images, rare classes, many": (RARE, [1] * 150),
    "8 clips of 25 frames": (EVERYWHERE, [25] * 8),
    "10 clips of 25 frames, rare classes": (RARE, [25] * 10),
    "clips of unequal lengths, rare classes": (RARE, [25] * 6 + [12] * 5 + [3] * 3),
}


def share_covered(case: str, rounds: int) -> float:
    """How often the interval of 95 % of a sample holds the score of its population."""
    rng = np.random.default_rng(3)
    presence, lengths = CASES[case]
    population = clips(20000 // max(lengths), max(lengths), presence, rng)
    groups = np.repeat(np.arange(len(lengths)), lengths).tolist()
    covered = 0
    for _ in range(rounds):
        drawn = rng.integers(len(population), size=len(lengths))
        sample = np.concatenate([population[i, :length] for i, length in zip(drawn, lengths, strict=True)])
        low, high = interval(sample, groups, EVERYTHING)
        covered += low <= true_miou(population, sample) <= high
    return covered / rounds


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_truth(case: str) -> None:
    """Nominal 95 %: at least 91 of 100, in 300 draws. Percentiles of images drawn again cover 21 to 93."""
    assert 0.91 <= share_covered(case, 300) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_truth_in_the_long_run(case: str) -> None:
    """In 3000 draws at least 92, but for the rounding of chance."""
    assert 0.915 <= share_covered(case, 3000) <= 0.97


def test_blocks_of_a_drive_cover_and_its_images_do_not() -> None:
    """171 frames of one drive, neighbours' quality correlated at 0.7: blocks of 20 cover, images count too much."""
    rng = np.random.default_rng(4)
    population, found = drives(20, 1000, 0.7, rng), drives(150, 171, 0.7, rng)
    covered = {
        length: np.mean(
            [
                low <= true_miou(population, each) <= high
                for each in found
                for low, high in [interval(each, [i // length for i in range(171)], EVERYTHING)]
            ]
        )
        for length in (1, 20)
    }
    assert covered[20] >= 0.9 and covered[1] <= 0.75


# --- What it is ---------------------------------------------------------------------------------------


@pytest.fixture
def split() -> tuple[Matrices, list[int]]:
    """70 images of 14 clips; every class is in many of them."""
    found = clips(14, 5, EVERYWHERE, np.random.default_rng(7))
    return found.reshape(-1, K, K), np.repeat(np.arange(14), 5).tolist()


def test_an_interval_is_that_of_a_loop(split: tuple[Matrices, list[int]]) -> None:
    """Of every score: leaving each group out in turn, with SciPy's t; the order of the images is of no weight."""
    matrices, groups = split
    evaluated = [*EVERYTHING[:-1], False]
    whole = metrics.scores(matrices, evaluated)
    left = [metrics.scores(matrices[[g != out for g in groups]], evaluated) for out in range(14)]
    shuffled = np.random.default_rng(0).permutation(70)
    again = intervals(matrices[shuffled], [groups[i] for i in shuffled], evaluated)
    for name, found in intervals(matrices, groups, evaluated).items():
        values = np.array([each[name] for each in left])
        half = stats.t.ppf(0.975, 13) * np.sqrt(13 / 14 * ((values - values.mean()) ** 2).sum())
        np.testing.assert_allclose(found, (whole[name] - half, whole[name] + half), rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(again[name], found, rtol=1e-9, err_msg=name)


def test_more_groups_than_are_read_at_once(split: tuple[Matrices, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A large split is read piece by piece, with the same result."""
    before = intervals(*split, EVERYTHING)
    monkeypatch.setattr("segmodels.scoring.groups.AT_ONCE", 3)
    assert intervals(*split, EVERYTHING) == before


def test_a_rare_class_does_not_leave_the_mean() -> None:
    """Images that are scored alike, one class in two of them and never found: mIoU cannot jump by 1/9, nor its end."""
    matrices = np.zeros((64, 9, 9), np.int64)
    eight = np.arange(8)
    matrices[:, eight, eight], matrices[:, eight, (eight + 1) % 8] = 600, 400
    matrices[:2, 8, 0] = 50
    low, high = interval(matrices, range(64), [True] * 9)
    score = float(metrics.miou(matrices.sum(0), [True] * 9))
    assert low <= score <= high and high - low < 0.01


def test_a_class_of_one_group_is_not_known_for_sure() -> None:
    """Found as in any clip, it widens the interval, though leaving out its one clip leaves nothing to compare with."""
    matrices = clips(20, 5, EVERYWHERE, np.random.default_rng(1)).reshape(-1, K, K)
    groups = np.repeat(np.arange(20), 5).tolist()
    without = matrices.copy()
    without[5:, -1] = 0  # the class's pixels of all clips but the first
    of_ten = np.diff(interval(without, groups, [*EVERYTHING[:-1], False]))
    assert np.diff(interval(without, groups, EVERYTHING)) > 1.1 * (10 / 11 * of_ten)  # as if it were known for sure


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (range(49), "49 images, an interval needs at least 50"),
        ([0] * 101, "101 images of one clip, which count as 1.0 independent clips: an interval needs at least 8"),
        ([*range(20), *[20] * 80], "100 images of 21 clips, which count as 1.6 independent clips: an interval needs"),
        (range(50), ""),
        ([i // 20 for i in range(171)], ""),
    ],
)
def test_few_images_have_no_interval(groups: Sequence[int], said: str) -> None:
    """Nor few clips, nor a long one among short ones: the reason says it, and all ends are NaN."""
    found = no_interval(groups)
    assert found.startswith(said) and bool(found) == bool(said)
    matrices = np.ones((len(groups), 3, 3), np.int64)
    ends = [*intervals(matrices, groups, [True] * 3).values(), paired(matrices, matrices, groups, [True] * 3)[1:]]
    assert np.isnan(ends).all() == bool(said)


def test_nothing_to_score_has_no_interval() -> None:
    """Of images without a valid pixel, and of none."""
    found = intervals(np.zeros((60, K, K), np.int64), range(60), EVERYTHING)
    assert np.isnan([*found["miou"], *found["micro_iou"]]).all() and found["miou_fixed"] == (0, 0)
    assert np.isnan(interval(np.zeros((0, K, K), np.int64), [], EVERYTHING)).all()


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 8, 49.9, 232, 5000])
def test_the_quantile_is_scipys(freedom: float) -> None:
    """Broken degrees of freedom count as the whole ones below them."""
    for level in (0.5, 0.95, 0.99):
        expected = stats.t.ppf((1 + level) / 2, int(min(freedom, 1000)))
        assert two_sided(freedom, level) == pytest.approx(expected, rel=1e-9)


# --- Comparisons --------------------------------------------------------------------------------------


def test_a_paired_comparison_is_that_of_a_loop(split: tuple[Matrices, list[int]]) -> None:
    """Both lose the same group; what both share does not count, so it is narrower than the scores' own intervals."""
    matrices, groups = split
    other = matrices.copy()
    other[:, 3, 3] -= other[:, 3, 3] // 10
    other[:, 3, 0] += matrices[:, 3, 3] // 10
    kept = [[g != out for g in groups] for out in range(14)]
    values = np.array(
        [metrics.miou(matrices[k].sum(0), EVERYTHING) - metrics.miou(other[k].sum(0), EVERYTHING) for k in kept]
    )
    found = paired(matrices, other, groups, EVERYTHING)
    half = stats.t.ppf(0.975, 13) * np.sqrt(13 / 14 * ((values - values.mean()) ** 2).sum())
    whole = float(metrics.miou(matrices.sum(0), EVERYTHING) - metrics.miou(other.sum(0), EVERYTHING))
    np.testing.assert_allclose(found, (whole, whole - half, whole + half), rtol=1e-9)
    assert found.settled and found.high - found.low < 0.2 * np.diff(interval(matrices, groups, EVERYTHING))
    assert paired(matrices, matrices, groups, EVERYTHING) == (0, 0, 0)


def test_paired_comparisons_cover_the_truth() -> None:
    """Of two networks that see the same clips, one better: the true difference is inside 92 times of 100 at least."""
    rng = np.random.default_rng(5)
    state = rng.bit_generator.state
    one = clips(1000, 10, RARE, rng)
    rng.bit_generator.state = state
    other = one.copy()
    taken = rng.binomial(np.diagonal(other, axis1=2, axis2=3), 0.1 * rng.random((1000, 1, 1)))
    each = np.arange(K)
    other[..., each, each] -= taken
    other[..., each, np.where(each == 0, 1, 0)] += taken
    groups, covered = np.repeat(np.arange(12), 10).tolist(), 0
    for _ in range(300):
        drawn = rng.integers(1000, size=12)
        a, b = one[drawn].reshape(-1, K, K), other[drawn].reshape(-1, K, K)
        _, low, high = paired(a, b, groups, EVERYTHING)
        covered += low <= true_miou(one, a) - true_miou(other, b) <= high
    assert 0.92 <= covered / 300 <= 0.985


def test_a_class_that_no_image_holds(split: tuple[Matrices, list[int]]) -> None:
    """Predicted by one answer alone it is in the mean of that one: nothing is settled by a single pixel."""
    matrices, groups = split
    truth = matrices.copy()
    truth[:, -1] = 0
    other = truth.copy()
    other[:, :, -1] = 0
    truth[:, :, -1] = 0
    other[0, 0, -1], other[0, 0, 0] = 1, other[0, 0, 0] - 1
    found = paired(truth, other, groups, EVERYTHING)
    assert found.difference > 0.01 and np.isnan(found.low) and not found.settled
    alone, with_it = (interval(each, groups, EVERYTHING) for each in (truth, other))
    assert with_it.high - with_it.low > alone.high - alone.low


def test_seeds_widen_a_comparison(split: tuple[Matrices, list[int]]) -> None:
    """Of three runs a side, Welch's t for the seeds is in it: equal networks are rarely told apart."""
    rng, told = np.random.default_rng(6), 0
    groups = split[1]
    present = np.repeat(rng.gamma(2, 1, (14, 1, K)), 5, 1).reshape(70, K)
    for _ in range(60):
        runs = [answers(present, np.full(70, 0.5 * rng.normal()), rng) for _ in range(6)]
        told += between(runs[:3], runs[3:], groups, EVERYTHING).settled
    assert told <= 6
    alone, three = interval(runs[0], groups, EVERYTHING), mean_intervals(runs[:3], groups, EVERYTHING)["miou"]
    assert three.high - three.low > alone.high - alone.low
    better = [each + 40 * np.eye(K, dtype=np.int64) for each in runs[:3]]  # a second answer of each run
    apart, of_the_same = (between(better, runs[:3], groups, EVERYTHING, matched=each) for each in (False, True))
    assert of_the_same.difference == apart.difference
    assert of_the_same.settled and of_the_same.high - of_the_same.low < 0.5 * (apart.high - apart.low)
    one = between(runs[:1], runs[3:4], groups, EVERYTHING)
    assert one == paired(runs[0], runs[3], groups, EVERYTHING)
