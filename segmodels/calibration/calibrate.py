"""Find the q of each class that spends a budget best: searched in a model, settled by real evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch

from segdata import ShardSet
from segmodels.calibration.model import Model, Q
from segmodels.calibration.pixels import look_closely
from segmodels.calibration.search import search
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.knobs.point import knob_points
from segmodels.knobs.sweep import Row, sweep
from segmodels.networks.percentile.macs import needed_macs
from segmodels.networks.percentile.network import PercentileNet
from segmodels.scoring.evaluate import check_classes

CLOSE = 0.99  # of a budget: what is left of it is not worth another evaluation
ROUNDS = 4  # of the search, each with what the last one taught about the model's error
Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Budget:
    """What an image may take: a share of the full compute, or milliseconds on this device (median)."""

    share: float | None = None
    ms: float | None = None

    def cost(self, row: Row) -> float:
        return row.macs / row.full_macs if self.ms is None else row.ms_median

    @property
    def limit(self) -> float:
        return self.share or self.ms or 0.0

    @property
    def text(self) -> str:
        return f"a share of {self.share:g} of the full compute" if self.ms is None else f"{self.ms:g} ms an image"


class Candidate(NamedTuple):
    """A q, and what really came of it."""

    q: Q
    row: Row


class Calibration(NamedTuple):
    """What was found, and what to compare it with: all evaluated on the same images."""

    found: Candidate
    uniform: Candidate  # the largest q in hundredths, one for all classes, that meets the budget
    trained: Candidate  # the run's own q
    full: Candidate  # q = 1: everything computed
    evaluations: int


class Trials:
    """Real evaluations: each q once, over the chosen images of the split."""

    def __init__(
        self, segmenter: Segmenter, shards: ShardSet, *, forwards: int, every: int, workers: int, progress: Progress
    ) -> None:
        self.segmenter, self.shards, self.progress = segmenter, shards, progress
        self.forwards, self.every, self.workers = forwards, every, workers
        self.rows: dict[Q, Row] = {}

    def __call__(self, q: Q) -> Candidate:
        if q not in self.rows:
            (self.rows[q],) = sweep(
                knob_points(self.segmenter, self.segmenter.declared.knob("q", "calibrate"), [q]),
                self.shards,
                forwards=self.forwards,
                every=self.every,
                workers=self.workers,
                progress=self.progress,
            )
        return Candidate(q, self.rows[q])


def calibrate(
    segmenter: Segmenter,
    shards: ShardSet,
    budget: Budget,
    *,
    forwards: int = 20,
    every: int = 1,
    workers: int = 0,
    progress: Progress = iter,
) -> Calibration:
    """The best q a class within the budget, on each `every`-th image of the split.

    Stage outputs are remembered once; a search in the model that they make proposes; real evaluations correct what
    the model allows and decide, the best uniform q among the candidates, so that none is better on these images.

    Raises SegmodelsError where the network has no q, the shards are not its, or the budget cannot be met.
    """
    segmenter.declared.knob("q", "calibrate")
    network = cast(PercentileNet, segmenter.network)  # the one family that has it
    if network.as_published:
        raise SegmodelsError(
            "calibrate: the run has as_published=true, whose q are those of ten classes and of the batch"
        )
    check_classes(segmenter.taxonomy, shards)
    trained = network.q
    pixels = look_closely(segmenter, shards, every=every, workers=workers, progress=progress)
    model = Model(pixels, [row.evaluated for row in segmenter.taxonomy.classes], base_share(network))
    trials = Trials(segmenter, shards, forwards=forwards, every=every, workers=workers, progress=progress)
    cheapest, full = trials(model.same(0.0)), trials(model.same(1.0))
    if full.row.miou is None:
        raise SegmodelsError(f"{shards.path}: {shards.split} has no pixel of an evaluated class, so there is no miou")
    if budget.cost(cheapest.row) > budget.limit:
        raise SegmodelsError(
            f"the budget is {budget.text}, but even at q = 0 it takes {budget.cost(cheapest.row):.3g}: "
            "everything before stage 2 is always computed. Allow more"
        )
    uniform = _uniform(model, trials, budget, cheapest, full)
    proposed = _proposals(model, trials, budget, cheapest, uniform)
    own = trials(trained)
    fitting = [each for each in (uniform, own, full, *proposed) if budget.cost(each.row) <= budget.limit]
    found = max(fitting, key=lambda each: (each.row.miou or 0.0, -budget.cost(each.row)))
    return Calibration(found, uniform, own, full, len(trials.rows))


def base_share(network: PercentileNet) -> float:
    """The share of the full compute that every pixel takes: stem and stage 1."""
    masks = torch.ones(1, 3, 8, 8, dtype=torch.bool)
    full = int(needed_macs(network, masks))
    masks[:, 1:] = False
    return int(needed_macs(network, masks)) / full


def _uniform(model: Model, trials: Trials, budget: Budget, low: Candidate, high: Candidate) -> Candidate:
    """The largest q in hundredths, one for all classes, within the budget: by halves and by the model, in turns."""
    if budget.cost(high.row) <= budget.limit:
        return high
    works = [model(model.same(hundredth / 100)).work for hundredth in range(101)]
    turn = 0
    while (last := round(100 * high.q[0])) - (first := round(100 * low.q[0])) > 1:
        middle = (first + last) // 2
        if turn % 2 == 0:
            part = (budget.limit - budget.cost(low.row)) / (budget.cost(high.row) - budget.cost(low.row))
            aim = works[first] + part * (works[last] - works[first])
            middle = min(range(first + 1, last), key=lambda hundredth: abs(works[hundredth] - aim))
        tried = trials(model.same(middle / 100))
        low, high = (tried, high) if budget.cost(tried.row) <= budget.limit else (low, tried)
        turn += 1
    return low


def _proposals(
    model: Model, trials: Trials, budget: Budget, cheapest: Candidate, uniform: Candidate
) -> list[Candidate]:
    """What the search finds, evaluated. After each, the model's allowance is set by how it missed the budget."""
    least, allowed = budget.cost(cheapest.row), model(uniform.q).work
    found: list[Candidate] = []
    for _ in range(ROUNDS):
        q = search(model, allowed).q
        if q in trials.rows and found:
            break
        found.append(trials(q))
        cost = budget.cost(found[-1].row)
        if CLOSE * budget.limit <= cost <= budget.limit or cost <= least:
            break
        aim = budget.limit if cost < budget.limit else CLOSE * budget.limit
        allowed = model.base + (allowed - model.base) * min(1.25, max(0.0, aim - least) / (cost - least))
    between = tuple(round((one + other) / 2, 2) for one, other in zip(uniform.q, found[-1].q, strict=True))
    return [*found, trials(between)]
