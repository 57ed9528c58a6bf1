"""Everything that the page shows of runs, scores, shards and sweeps, read and checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdata.base.files import parsing
from segdata.requirements import RequirementError
from segdata.splits.splitlist import digest_of
from segmodels.errors import CodeError, SegmodelsError
from segmodels.report.read.datasets import Dataset, read_datasets
from segmodels.report.read.latency import FILE as LATENCY
from segmodels.report.read.latency import Latency, read_latencies
from segmodels.report.read.ranking import Ranking, rank_rows
from segmodels.report.read.result import Result, read_result
from segmodels.report.read.rows import Row, rows_of
from segmodels.report.read.sweep import FILE as SWEEP
from segmodels.report.read.sweep import Sweep, read_sweep
from segmodels.runs.run import Run
from segmodels.scoring.scoresheet import METRICS
from segmodels.spec import Size


@dataclass(frozen=True)
class Folders:
    """Where everything is: each place holds a folder (a file in `stats`) for each run or set, or is itself the one."""

    runs: Path
    scores: Path
    stats: Path
    shards: Path
    bench: Path | None = None


@dataclass(frozen=True)
class Board:
    """Results that may be compared: scored on the same images."""

    dataset: Dataset
    split: str
    results: tuple[Result, ...]  # every run, the best first
    rows: tuple[Row, ...]  # the same by network: runs that differ by seed alone are one
    ranking: Ranking  # of the rows
    sweeps: tuple[Sweep, ...]
    latencies: Mapping[str, Mapping[Size, Latency]]  # of the runs that were measured
    listed: str = ""  # digest of the list of frames that was scored, "" of the whole split

    @property
    def part(self) -> str:
        """What was scored, in words."""
        return f"{self.split}, frames of the list {self.listed[:8]}" if self.listed else self.split

    @property
    def no_interval(self) -> str:
        """Why some runs have no interval; empty where all have one."""
        return "; ".join(dict.fromkeys(result.no_interval for result in self.results if result.no_interval))

    def place(self, run: Result) -> int:
        """Of a run among `results`."""
        return [result.name for result in self.results].index(run.name)

    @property
    def staged(self) -> Result | None:
        """The network whose stages are shown: the best that has some."""
        return next((result for result in self.results if result.declared.stages), None)


@dataclass(frozen=True)
class Collection:
    """All boards, and what was left out, with the reason."""

    datasets: tuple[Dataset, ...]
    boards: tuple[Board, ...]
    notes: tuple[str, ...]


def collect(folders: Folders) -> Collection:
    """Raises SegmodelsError or ShardError where a file is damaged, or does not belong to the others."""
    datasets = read_datasets(folders.shards, folders.stats)
    notes: list[str] = []
    results: dict[str, Result] = {}
    runs = _entries(folders.runs, "--runs", "run.json")
    for path in runs:
        scores = folders.scores if (folders.scores / METRICS).is_file() else folders.scores / path.name
        left_out = _left_out(Run(path), scores)
        if left_out:
            notes.append(left_out)
        else:
            with parsing(
                f"{path} with {scores}", SegmodelsError, f"Run `segmodels evaluate {path} --shards … --out {scores}`."
            ):
                try:
                    result = read_result(Run(path), scores, datasets)
                except (CodeError, RequirementError) as error:
                    notes.append(f"{path}: left out. {error}")
                    continue
                results[result.name] = result
    notes += [
        f"{path}: scores of a run that {folders.runs} does not have."
        for path in _entries(folders.scores, "--scores", METRICS)
        if path != folders.scores and path.name not in {run.name for run in runs}
    ]
    if not results:
        why = f" {notes[0]}" if notes else ""
        raise SegmodelsError(f"{folders.runs}: no finished run with scores in {folders.scores}.{why}")
    sweeps: list[Sweep] = []
    latencies: dict[str, dict[Size, Latency]] = {}
    for path in _entries(folders.bench, "--bench", SWEEP, LATENCY) if folders.bench else ():
        if not (path / SWEEP).is_file() and not (path / LATENCY).is_file():
            notes.append(f"{path}: neither {SWEEP} nor {LATENCY}, so nothing was measured.")
        if (path / SWEEP).is_file():
            with parsing(path / SWEEP, SegmodelsError, "Run its `segmodels sweep` again."):
                found = read_sweep(path, list(results.values()))
            notes.append(found) if isinstance(found, str) else sweeps.append(found)
        name = next(iter(results)) if path == folders.bench else path.name
        if (path / LATENCY).is_file() and name in results:
            with parsing(path / LATENCY, SegmodelsError, "Run its `segmodels bench` again."):
                latencies[name] = read_latencies(path / LATENCY, results[name])
            if not latencies[name]:
                notes.append(f"{path / LATENCY}: times of another training than {results[name].run} holds.")
    boards = _boards(list(results.values()), sweeps, latencies)
    shown = {sweep.name for board in boards for sweep in board.sweeps}
    notes += [
        f"{folders.bench}/{sweep.name}: its mIoU is of other images than the runs were scored on."
        for sweep in sweeps
        if sweep.name not in shown
    ]
    return Collection(tuple(datasets.values()), boards, tuple(notes))


def _entries(folder: Path, option: str, *marks: str) -> list[Path]:
    """The folders in it, or itself where one of the files `marks` lies in it."""
    if not folder.is_dir():
        raise SegmodelsError(f"{option} {folder} is no folder")
    if any((folder / mark).is_file() for mark in marks):
        return [folder]
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _left_out(run: Run, scores: Path) -> str:
    """Why a run has no place on the page; empty where it has."""
    if not run.about.is_file():
        return f"{run.path}: no run.json, so this is no run."
    if not run.finished:
        return f"{run.path}: unfinished. Run its `segmodels train` again to go on."
    if not (scores / METRICS).is_file():
        return f"{run.path}: not scored. Run `segmodels evaluate {run.path} --shards … --out {scores}`."
    return ""


def _boards(
    results: Sequence[Result], sweeps: Sequence[Sweep], latencies: Mapping[str, Mapping[Size, Latency]]
) -> tuple[Board, ...]:
    """By set, split and list of frames; the most results first."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        listed = digest_of(result.listed) if result.listed else ""
        groups.setdefault((result.dataset.digest, result.split, listed), []).append(result)
    boards = []
    for (digest, split, listed), rows in groups.items():
        rows.sort(key=lambda row: (-row.miou, row.name))
        names = {row.name for row in rows}
        here = [sweep for sweep in sweeps if (sweep.digest, sweep.split, "") == (digest, split, listed)]
        ours = tuple(sweep for sweep in here if names >= {row.run for row in sweep.rows})
        of_seeds = rows_of(rows)
        times = {name: latencies[name] for name in sorted(names & latencies.keys())}
        boards.append(Board(rows[0].dataset, split, tuple(rows), of_seeds, rank_rows(of_seeds), ours, times, listed))
    return tuple(sorted(boards, key=lambda board: (board.dataset.name, board.part, board.dataset.digest)))
