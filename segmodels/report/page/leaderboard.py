"""The leaderboard as data: report/results.json, from which the README's table is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segmodels.report.observe.observe import Observation
from segmodels.report.read.collect import Board
from segmodels.report.read.result import SCORES, Result

FORMAT = 1


def leaderboard(boards: tuple[Board, ...], observations: Mapping[str, Observation]) -> dict[str, Any]:
    """All boards, their rows in order of mIoU. No path, no time of day."""
    return {"format": FORMAT, "boards": [_board(board, observations) for board in boards]}


def _board(board: Board, observations: Mapping[str, Observation]) -> dict[str, Any]:
    return {
        "set": board.dataset.name,
        "split": board.split,
        "images": board.results[0].images,
        "shards": board.dataset.digest,
        "painted": board.dataset.painted,
        "rows": [_row(board, result, observations[result.name]) for result in board.results],
    }


def _row(board: Board, result: Result, seen: Observation) -> dict[str, Any]:
    rank, origin = board.ranks[result.name], result.provenance
    latency = board.latencies.get(result.name, {}).get(seen.size)
    intervals = {name: None if found is None else found._asdict() for name, found in result.intervals.items()}
    return {
        "run": result.name,
        "network": result.network,
        "family": result.family,
        "rank": {"best": rank.best, "worst": rank.worst, "not_ranked_against": list(rank.tied)},
        "scores": {name: result.scores[name] for name in SCORES},
        "q": result.q,
        "own_stride": {"stride": result.stride, **{name: result.own_stride[name] for name in SCORES}},
        "interval": intervals,
        "steps": [step.full for step in result.steps],
        "parameters": seen.parameters,
        "macs": seen.macs,
        "size": list(seen.size),
        "latency": None if latency is None else latency._asdict(),
        "train_seconds": result.seconds,
        "train_images_per_second": result.images_per_second,
        "device": origin.device,
        "commit": origin.commit,
        "id": origin.id,
        "config_digest": origin.config_digest,
        "trained_on": origin.shards,
    }
