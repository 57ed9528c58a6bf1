"""Runs as they would be with several seeds and many images, made from one that was trained for two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segmodels.report.read.result import Result
from segmodels.scoring import metrics
from segmodels.scoring.intervals import intervals, no_interval


def seeded(result: Result, name: str, scores: Sequence[float], groups: Sequence[int]) -> list[Result]:
    """A run as it would be with several seeds, a run a seed: images of these groups, this share of pixels right."""
    rng, classes = np.random.default_rng(len(name)), len(result.taxonomy.classes)
    found = []
    for seed, share in enumerate(scores):
        matrices = np.zeros((len(groups), classes, classes), np.int64)
        matrices[:, 0, 0] = right = 900 * share + rng.integers(-20, 20, len(groups))
        matrices[:, 0, 1] = 900 - right
        matrices[:, 1, 1] = 500
        evaluated = [row.evaluated for row in result.taxonomy.classes]
        origin = replace(result.provenance, seed=seed, but_for_seed=name)
        values = metrics.scores(matrices, evaluated)
        known = dict(intervals(matrices, groups, evaluated))
        reason = no_interval(groups)
        found.append(
            replace(
                result, name=f"{name}-{seed}", provenance=origin, confusions=matrices, groups=groups, scores=values,
                no_interval=reason, intervals=dict.fromkeys(known) if reason else known,
            )
        )  # fmt: skip
    return found
