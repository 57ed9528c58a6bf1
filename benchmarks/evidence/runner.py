"""Doing the plan: shards, then training after training, so many side by side; each ends in its row's result file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from benchmarks.evidence.plan import Plan, Training, flags
from benchmarks.evidence.result import is_of, write_result
from segdata.errors import SegdataError

Say = Callable[[str], None]


@dataclass
class Place:
    """Where everything lies: shards, runs and scores in `home`, result files in `results`."""

    home: Path
    results: Path
    device: str = "cpu"
    lock: Lock = field(default_factory=Lock)

    def shards(self, name: str) -> Path:
        return self.home / "shards" / name

    def run(self, training: Training) -> Path:
        return self.home / "runs" / training.name

    def start(self, training: Training) -> Path:
        return self.home / "runs" / f"{training.name}.start.safetensors"

    def scores(self, training: Training, name: str = "") -> Path:
        return self.home / "scores" / (training.name + (f"-{name}" if name else ""))


def make_sets(plan: Plan, place: Place, camvid: Path, names: Sequence[str]) -> None:
    """The shard sets of these names; what is there and up to date stays."""
    for name in names:
        chosen = plan.sets[name]
        where = ["--root", camvid, "--out", place.shards(name), "--name", name, "--taxonomy", chosen["taxonomy"]]
        call("segdata", ["prepare", "camvid", *map(str, where), *flags(chosen["options"])])


def do(plan: Plan, place: Place, trainings: Sequence[Training], side_by_side: int, say: Say = print) -> list[str]:
    """Train and score all of these, and write their rows' results; the names of those that failed.

    A training that was killed goes on from its checkpoint; one that is finished and scored costs nothing.
    """

    def one(training: Training) -> str:
        try:
            train_and_score(training, place)
        except subprocess.CalledProcessError as error:
            say(f"{training.name}: failed, exit status {error.returncode}: {place.home / 'logs' / training.name}.log")
            return training.name
        try:
            with place.lock:  # the others' trainings go on
                write_result(plan, training.row, place, place.results)
        except SegdataError as error:  # segmodels' are of this kind
            say(f"{training.name}: no result: {error}")
            return training.name
        say(f"{training.name}: done")
        return ""

    with ThreadPoolExecutor(side_by_side) as pool:
        return [name for name in pool.map(one, trainings) if name]


def train_and_score(training: Training, place: Place) -> None:
    """One training, and its scores under every setting. Raises CalledProcessError."""
    log = place.home / "logs" / f"{training.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    shards, run = place.shards(training.row.set), place.run(training)
    here = ["--device", place.device, *(["--threads", "1"] if place.device == "cpu" else [])]
    start = place.start(training)
    if training.start and not start.exists():
        start.parent.mkdir(parents=True, exist_ok=True)
        call(f"benchmarks.networks.{training.start}", training.start_command(shards, start), log)
    call("segmodels", [*training.command(shards, run, start), *here], log)
    for name, options in training.evaluations():
        out = place.scores(training, name)
        if not is_of(out / "metrics.json", run):
            where = ["--shards", shards, "--split", training.row.split, "--out", out]
            call("segmodels", ["evaluate", str(run), *map(str, where), *flags(options), *here], log)
    out = place.scores(training, "sweep")
    if training.row.sweep and not is_of(out / "sweep.json", run):
        where = ["--shards", shards, "--split", training.row.split, "--out", out]
        call("segmodels", ["sweep", str(run), *map(str, where), *flags(training.row.sweep), *here], log)
    out = place.scores(training, "measure").with_suffix(".json")
    if training.row.measure and not is_of(out, run):
        where = ["--shards", shards, "--split", training.row.split, "--every", 5, "--out", out]
        call(f"benchmarks.networks.{training.row.measure}", [str(run), *map(str, where)], log)


def call(module: str, arguments: Sequence[str], log: Path | None = None) -> None:
    """A command of ours, nicely: whoever works at this machine comes first. Raises CalledProcessError."""
    command = ["nice", "-n", "5", sys.executable, "-m", module, *arguments]
    if log is None:
        subprocess.run(command, check=True)
        return
    with log.open("a") as file:
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.STDOUT)
