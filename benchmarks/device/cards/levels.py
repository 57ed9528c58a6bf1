"""Cards `levels-NETWORK`: the same bytes twice (L0), after a kill (L1), and under any number of workers (L2)."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import segmodels
from benchmarks.device.card import Bench, CardError, Row
from benchmarks.device.processes import side_by_side
from benchmarks.networks.train import SMALL
from segdata.base.canonical import digest_file
from segmodels.config.config import TrainConfig
from segmodels.runs.progress import Status
from segmodels.training import train as loop

STEPS, KILLED = 10, 6
LEVELS = {"again": "L0", "killed": "L1", "workers": "L2"}


def levels(bench: Bench, network: str, batch_size: int = 2) -> Iterator[Row]:
    """Train four times at 512x1024, side by side, and compare the digests of the weights after steps 1, 2, 4, 8, 10.

    A run that is killed by the system after step 6 goes on from its checkpoint of step 5.
    """
    options = segmodels.spec(network).resolve(SMALL[network] if bench.rehearsal else {})
    for precision in ("bf16", "fp32"):
        base = TrainConfig(
            network,
            bench.streets,
            bench.scratch / precision / "first",
            tuple(sorted(options.items())),
            epochs=None,
            steps=STEPS,
            validate_every=10**6,
            batch_size=batch_size,
            crop=(64, 128) if bench.rehearsal else (512, 1024),
            precision=precision,
            channels_last=True,
            workers=4,
            device=bench.device,
        )
        runs = {name: replace(base, out=bench.scratch / precision / name) for name in ("again", "killed")}
        runs["workers"] = replace(base, out=bench.scratch / precision / "workers", workers=1)
        side_by_side([(_killed, runs["killed"])])
        found = side_by_side([(_trained, each) for each in (base, *runs.values())])
        first, *others = found
        row = {LEVELS[name]: _bytes(other) == _bytes(first) for name, other in zip(runs, others, strict=True)}
        went_on = any("going on after step 5" in line for line in found[2]["told"])
        yield {
            "network": network,
            "precision": precision,
            "steps": STEPS,
            "batch_size": batch_size,
            "crop": base.crop,
            **row,
            "resumed": went_on,
            "weights": first["weights"],
        }
        if not all(row.values()) or not went_on:
            raise CardError(f"{network}, {precision}: weights differ, or the killed run did not go on: {row}")


def says(rows: Sequence[Row]) -> str:
    return "; ".join(f"{row['precision']} " + ", ".join(each for each in LEVELS.values() if row[each]) for row in rows)


def _trained(config: TrainConfig) -> dict[str, Any]:
    loop.CHECKPOINT_SECONDS = math.inf
    told: list[str] = []
    outcome = loop.train(config, show=lambda news: told.append(news) if isinstance(news, str) else None)
    return {"weights": outcome.digests, "model": digest_file(outcome.run.weights), "told": told}


def _killed(config: TrainConfig) -> None:
    loop.CHECKPOINT_SECONDS = math.inf

    def kill(news: Status | str) -> None:
        if isinstance(news, Status) and news.step == KILLED - 1:
            loop.CHECKPOINT_SECONDS = 0.0  # after this step, which is told before
        if isinstance(news, Status) and news.step == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)

    loop.train(config, show=kill)
    raise AssertionError(f"{Path(config.out).name} was to be killed at step {KILLED}")


def _bytes(left: dict[str, Any]) -> tuple[Any, ...]:
    """What must be equal of what a run left behind."""
    return left["weights"], left["model"]
