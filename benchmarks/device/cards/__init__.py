"""The cards, in order of value. To add one: a function that yields rows, and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import segmodels
from benchmarks.device.card import Card
from benchmarks.device.cards import camvid, evidence, latency, levels, profiling, skipping, suite, training
from benchmarks.device.cards.training import Variant

# One network a family, those first of which most is asked.
FAMILIES = (
    "pspnet",
    "percentile",
    "dilated_unet",
    "fcn_resnet_v2",
    "iterative_v6",
    "res_hourglass",
    "distill_x1",
    "clusternet",
)
FIRST_ON_CAMVID = ("pspnet", "fcn_resnet_v2", "dilated_unet", "percentile", "iterative_v6", "res_hourglass")
LAST_ON_CAMVID = tuple(name for name in segmodels.names() if name not in FIRST_ON_CAMVID)
TRAINED = 40  # seconds on CamVid


def _levels(network: str, estimate: float, limit: float) -> Card:
    # In float32 two images of percentile take seconds.
    work = partial(levels.levels, network=network, batch_size=1 if network == "percentile" else 2)
    return Card(f"levels-{network}", work, estimate, limit, levels.says, alone=False)


def _train(kind: str, network: str, variants: Sequence[Variant], estimate: float, limit: float) -> Card:
    work = partial(training.training, network=network, variants=variants)
    return Card(f"{kind}-{network}", work, estimate, limit, training.says)


def _camvid(network: str, seconds: float, seed: int = 0) -> Card:
    name = f"camvid-{network}" + (f"-seed{seed}" if seed else "")
    work = partial(camvid.camvid, network=network, seconds=seconds, seed=seed)
    return Card(name, work, seconds + 22, 2 * seconds + 60, camvid.says)


def _evidence(row: str, estimate: float) -> Card:
    work = partial(evidence.evidence, row=row)
    return Card(f"evidence-{row}", work, estimate, 290, evidence.says, alone=False)


CARDS = (
    Card("tests", suite.tests, 45, 100, suite.says, alone=False),
    _levels("percentile", 40, 110),
    _levels("pspnet", 25, 50),
    Card("sparse", skipping.sparse, 25, 50, skipping.says),
    *(_train("train", name, training.VARIANTS, 14, 30) for name in FAMILIES),
    # Fast is slow to begin: cuDNN times its kernels against each other first.
    *(_train("determinism", name, training.DETERMINISM, 25, 90) for name in FAMILIES[:1]),
    *(
        Card(f"profile-{name}", partial(profiling.profile, network=name), 8, 25, profiling.says)
        for name in ("pspnet", "percentile", "res_hourglass", "dilated_unet")
    ),
    Card("latency-bf16", partial(latency.latency, precision="bf16"), 40, 60, latency.says),
    *(_camvid(name, TRAINED) for name in FIRST_ON_CAMVID),
    *(_evidence(name, 150) for name in ("strong", "iterations", "stages")),
    Card("memory", training.memory, 40, 90, training.says_memory),
    *(_train("compile", name, training.COMPILED, 60, 150) for name in ("pspnet", "dilated_unet", "res_hourglass")),
    *(_train("determinism", name, training.DETERMINISM, 40, 90) for name in FAMILIES[1:]),
    *(_levels(name, 20, 60) for name in FAMILIES if name not in ("percentile", "pspnet")),
    *(_camvid(name, TRAINED) for name in LAST_ON_CAMVID),
    *(_evidence(name, 150) for name in ("fcn", "separable", "residual", "clusters")),
    Card("latency-fp32", partial(latency.latency, precision="fp32"), 40, 60, latency.says),
    *(_camvid(name, TRAINED, seed) for seed in (1, 2) for name in FIRST_ON_CAMVID),
)
