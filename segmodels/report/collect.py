"""Everything that the page shows of runs, scores, shards and sweeps, read and checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segmodels.errors import SegmodelsError
from segmodels.report.datasets import Dataset, read_datasets
from segmodels.report.ranking import Rank, ranks
from segmodels.report.result import Result, read_result
from segmodels.report.sweep import Sweep, read_sweep
from segmodels.run import Run


@dataclass(frozen=True)
class Folders:
    """Where everything is; each holds a folder or file a run, or a set."""

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
    results: tuple[Result, ...]  # the best first
    ranks: Mapping[str, Rank]
    sweeps: tuple[Sweep, ...]


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
    for path in _entries(folders.runs, "--runs"):
        left_out = _left_out(Run(path), folders.scores / path.name)
        if left_out:
            notes.append(left_out)
        else:
            results[path.name] = read_result(Run(path), folders.scores / path.name, datasets)
    notes += [
        f"{path}: scores of a run that {folders.runs} does not have."
        for path in _entries(folders.scores, "--scores")
        if not (folders.runs / path.name).is_dir()
    ]
    if not results:
        why = f" {notes[0]}" if notes else ""
        raise SegmodelsError(f"{folders.runs}: no finished run with scores in {folders.scores}.{why}")
    sweeps: list[Sweep] = []
    for path in _entries(folders.bench, "--bench") if folders.bench else ():
        found = read_sweep(path, results)
        notes.append(found) if isinstance(found, str) else sweeps.append(found)
    return Collection(tuple(datasets.values()), _boards(list(results.values()), sweeps), tuple(notes))


def _entries(folder: Path, option: str) -> list[Path]:
    if not folder.is_dir():
        raise SegmodelsError(f"{option} {folder} is no folder")
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _left_out(run: Run, scores: Path) -> str:
    """Why a run has no place on the page; empty where it has."""
    if not run.about.is_file():
        return f"{run.path}: no run.json, so this is no run."
    if not run.finished:
        return f"{run.path}: unfinished. Run its `segmodels train` again to go on."
    if not (scores / "metrics.json").is_file():
        return f"{run.path}: not scored. Run `segmodels evaluate {run.path} --out {scores}`."
    return ""


def _boards(results: Sequence[Result], sweeps: Sequence[Sweep]) -> tuple[Board, ...]:
    """By set and split; the most results first."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.dataset.digest, result.split), []).append(result)
    boards = []
    for (_, split), rows in groups.items():
        rows.sort(key=lambda row: (-row.miou, row.name))
        names = {row.name for row in rows}
        ours = tuple(sweep for sweep in sweeps if sweep.run in names)
        order = ranks({row.name: row.intervals["miou"] for row in rows})
        boards.append(Board(rows[0].dataset, split, tuple(rows), order, ours))
    return tuple(sorted(boards, key=lambda board: (board.dataset.name, board.split, board.dataset.digest)))
