"""The leaderboard as data: report/results.json, from which the README's table is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segmodels.report.observe.observe import Observation
from segmodels.report.read.collect import Board
from segmodels.report.read.result import SCORES
from segmodels.report.read.rows import Row

FORMAT = 1


def leaderboard(boards: tuple[Board, ...], observations: Mapping[str, Observation]) -> dict[str, Any]:
    """All boards, their rows in order of mIoU. No path, no time of day."""
    return {"format": FORMAT, "boards": [_board(board, observations) for board in boards]}


def _board(board: Board, observations: Mapping[str, Observation]) -> dict[str, Any]:
    return {
        "set": board.dataset.name,
        "split": board.split,
        **({"frames": board.listed} if board.listed else {}),
        "images": board.results[0].images,
        "shards": board.dataset.digest,
        "painted": board.dataset.painted,
        "not_ranked": board.ranking.not_ranked or None,
        "interval_reason": board.no_interval if all(run.no_interval for run in board.results) else None,
        "rows": [_row(board, row, observations[row.first.name]) for row in board.rows],
    }


def _row(board: Board, row: Row, seen: Observation) -> dict[str, Any]:
    """Of several seeds the means; what seeds do not change, and what names one run, is of the first."""
    rank, first = board.ranking.ranks[row.name], row.first
    latency = board.latencies.get(first.name, {}).get(seen.size)
    intervals = {name: None if found is None else found._asdict() for name, found in row.intervals.items()}
    return {
        "run": row.name,
        "runs": [run.name for run in row.runs],
        "seeds": [run.provenance.seed for run in row.runs],
        "network": first.network,
        "family": first.family,
        "rank": {"best": rank.best, "worst": rank.worst, "not_ranked_against": list(rank.tied)},
        "scores": {name: row.scores[name] for name in SCORES},
        "spread": {name: row.spread[name] for name in SCORES},
        "q": first.q,
        "own_stride": {"stride": first.stride, **{name: row.own_stride[name] for name in SCORES}},
        "interval": intervals,
        "steps": list(row.steps),
        "parameters": seen.parameters,
        "macs": seen.macs,
        "size": list(seen.size),
        "latency": None if latency is None else latency._asdict(),
        "train_seconds": row.seconds,
        "train_images_per_second": row.images_per_second,
        "device": first.provenance.device,
        "commit": first.provenance.commit,
        "id": first.provenance.id,
        "config_digest": first.provenance.config_digest,
        "trained_on": first.provenance.shards,
    }
