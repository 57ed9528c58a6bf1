"""The charts of a board with their rows: learning, steps, quality against cost."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from segmodels.report.observe.budget import thinned
from segmodels.report.observe.observe import Observation
from segmodels.report.page import charts
from segmodels.report.read.collect import Board

Row = dict[str, Any]
NAMED_SWEEPS = 4  # at most


def figures(board: Board, name: str, observations: Mapping[str, Observation]) -> dict[str, Row]:
    """Name → specification and rows of every chart of the board that has something to show."""
    found: dict[str, Row] = {f"learning-{name}": {"spec": charts.learning_curve(), "rows": learning_rows(board)}}
    if stepped := step_rows(board):
        found[f"steps-{name}"] = {"spec": charts.step_curve(), "rows": stepped}
    if outputs := output_rows(board):
        most = max(row["output"] for row in outputs)
        found[f"outputs-{name}"] = {"spec": charts.output_curves(most), "rows": outputs}
    rows = [*network_rows(board, observations), *sweep_rows(board)]
    families = list(dict.fromkeys(result.family for result in board.results))
    for cost, title in (("macs", "GMAC an image"), ("ms", "milliseconds an image, median")):
        known = [row for row in rows if row[cost] is not None]
        if known:
            best = frontier(known, cost)
            line = [row | {"kind": "best", "named": False} for row in best] if len(best) > 1 else []
            rows_here = named(known, {row["run"] for row in best}) + line
            spec = charts.trade_off(cost, title, families, frozenset(row["kind"] for row in rows_here))
            found[f"{cost}-{name}"] = {"spec": spec, "rows": rows_here}
    return found


def learning_rows(board: Board) -> list[Row]:
    """A row for every score and loss of every epoch; of long histories of many runs, of some."""
    rows = []
    for result in board.results:
        for epoch in thinned(result.history, len(board.results)):
            for metric, value in (("miou", epoch.miou), ("loss", epoch.loss)):
                if value is not None:
                    label = f"{result.name}, step {epoch.step}: {metric} {value:.4f}"
                    rows.append(
                        {"run": result.name, "step": epoch.step, "metric": metric, "value": value, "label": label}
                    )
    return rows


def step_rows(board: Board) -> list[Row]:
    """A row for every step of the networks that have some."""
    return [
        {
            "run": result.name,
            "step": number,
            "value": value,
            "label": f"{result.name}, step {number}: mIoU {value:.4f}",
            "told": value == max(scores.values()) or number in {min(scores), max(scores)},
        }
        for result in board.results
        if (scores := {i: step.full for i, step in enumerate(result.steps, start=1) if step.full is not None})
        for number, value in scores.items()
    ]


def output_rows(board: Board) -> list[Row]:
    """A row for every output, split and validated epoch of the networks that answer more than once."""
    rows = []
    for result in board.results:
        validated = [epoch for epoch in result.history if epoch.outputs]
        for epoch in thinned(validated, len(board.results)):
            for split, scores in (("validation", epoch.outputs), ("training", epoch.train_outputs)):
                for number, value in enumerate(scores, start=1):
                    if value is not None:
                        label = f"{result.name}, step {epoch.step}: output {number}, {split} mIoU {value:.4f}"
                        row = {"run": result.name, "step": epoch.step, "output": number, "split": split}
                        rows.append(row | {"value": value, "label": label})
    return rows


def network_rows(board: Board, observations: Mapping[str, Observation]) -> list[Row]:
    """The networks as they were scored, with their latency where it was measured at that size."""
    rows = []
    for row in board.rows:
        miou, interval, result = row.scores["miou"], row.intervals["miou"], row.first
        if miou is not None:
            low, high = interval or (miou, miou)
            seen = observations[result.name]
            latency = board.latencies.get(result.name, {}).get(seen.size)
            point = _point(row.name, result.family, seen.macs / 1e9, latency and latency.ms, miou, "as scored")
            rows.append(point | {"kind": "network", "low": low, "high": high, "order": 0})
    return rows


def sweep_rows(board: Board) -> list[Row]:
    """The settings of the sweeps."""
    results = {result.name: result for result in board.results}
    return [
        _point(row.run, results[row.run].family, row.macs / 1e9, row.ms, row.miou, f"{sweep.knob} {row.value}")
        | {"kind": "sweep", "line": sweep.name, "order": order}
        for sweep in board.sweeps
        for order, row in enumerate(sweep.rows)
        if row.miou is not None
    ]


def _point(run: str, family: str, macs: float, ms: float | None, miou: float, setting: str) -> Row:
    cost = f"{macs:.3g} GMAC" + ("" if ms is None else f", {ms:.3g} ms")
    label = f"{run}, {setting}: mIoU {miou:.4f}, {cost}"
    common = {"run": run, "family": family, "value": setting, "label": label}
    return common | {"macs": macs, "ms": ms, "miou": miou}


def frontier(rows: Iterable[Row], cost: str) -> list[Row]:
    """The rows that nothing as cheap or cheaper reaches, in order of cost."""
    reached, best = -1.0, []
    for row in sorted(rows, key=lambda row: (row[cost], -row["miou"], row["run"])):
        if row["miou"] > reached:
            reached = row["miou"]
            best.append(row)
    return best


def named(rows: Sequence[Row], runs: Container[str]) -> list[Row]:
    """The rows; one of each of `runs`, and of each sweep, has its name beside it in the chart: its best.

    Many sweeps lie on top of each other: then names are for `runs`, the others are told where one points at them.
    """
    best: dict[str, Row] = {}
    for row in rows:
        if row["run"] not in best or row["miou"] > best[row["run"]]["miou"]:
            best[row["run"]] = row
    swept = {row["run"] for row in rows if row["kind"] == "sweep"}
    if len(swept) > NAMED_SWEEPS:
        swept = set()
    return [row | {"named": best[row["run"]] is row and (row["run"] in runs or row["run"] in swept)} for row in rows]
