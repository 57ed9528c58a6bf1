"""A sweep as a table for people, as JSON and CSV for programs, and as a figure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segdata import ShardSet
from segdata.base.canonical import pretty_json
from segdata.base.ownership import headed, json_kind, marked, write_result
from segmodels.documents import csv_table
from segmodels.knobs.sweep import Row
from segmodels.runs.environment import describe_device

FORMAT = 1
CREATOR = "segmodels bench --sweep"  # the command's first name: the bytes of its figures stay, and make them known
COLUMNS = (
    "value",
    "network",
    "run",
    "macs",
    "full_macs",
    "images",
    "forwards",
    "ms_median",
    "ms_p95",
    "ms_iqr",
    "miou",
)
FILES = {
    "sweep.svg": marked("a figure of `sweep`", CREATOR.encode()),
    "sweep.csv": headed("rows of `sweep`", ",".join(COLUMNS).encode()),
    "sweep.json": json_kind("a sweep", "format", "knob", "rows"),
}


def table(knob: str, rows: Sequence[Row]) -> list[str]:
    """Lines for the terminal."""
    line = "{:<8} {:<22} {:>8} {:>9} {:>9} {:>7}  {}"
    shares = "pixels that reach a stage" if rows[0].shares else ""
    lines = [line.format(knob, "network", "GMAC", "ms", "p95", "miou", shares).rstrip()]
    for row in rows:
        miou = "-" if row.miou is None else f"{row.miou:.4f}"
        reached = " ".join(f"{share:.1%}" for share in row.shares or ())
        figures = f"{row.macs / 1e9:.3f}", f"{row.ms_median:.2f}", f"{row.ms_p95:.2f}"
        lines.append(line.format(f"{row.value:g}", row.network, *figures, miou, reached).rstrip())
    return lines


def write_sweep(
    out: Path, knob: str, rows: Sequence[Row], shards: ShardSet, device: torch.device, about: dict[str, Any]
) -> None:
    """sweep.svg, sweep.csv and, last, sweep.json into the folder `out`; `about` is how it was measured."""
    where = describe_device(device)
    document = {
        "format": FORMAT,
        "run": rows[0].run if len({row.run for row in rows}) == 1 else "",  # of several runs each row names its own
        "network": rows[0].network if len({row.network for row in rows}) == 1 else "",
        "knob": knob,
        "split": shards.split,
        "shards": {"name": shards.manifest.name, "fingerprint": shards.digest},
        "device": where["name"],
        "threads": where.get("threads"),
        "full_macs": max(row.full_macs for row in rows),
        "rows": [asdict(row) for row in rows],
        **about,
    }
    shares = [f"share{stage + 1}" for stage in range(len(rows[0].shares or ()))]  # a column for each stage's
    lines = ([*(getattr(row, name) for name in COLUMNS), *(row.shares or ())] for row in rows)
    for name, content in (
        ("sweep.svg", _figure(knob, rows)),
        ("sweep.csv", csv_table([*COLUMNS, *shares], lines)),
        ("sweep.json", pretty_json(document)),
    ):
        write_result("--out", out / name, FILES[name], content)


def _figure(knob: str, rows: Sequence[Row]) -> bytes:
    """mIoU against time and against work, as SVG; the same rows give the same bytes."""
    with rc_context({"svg.hashsalt": "sweep", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _curve(left, knob, rows, [row.ms_median for row in rows], "ms an image, median")
        _curve(right, knob, rows, [row.macs / 1e9 for row in rows], "GMAC an image, executed")
        left.set_ylabel("mIoU")
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": CREATOR})
    return content.getvalue()


def _curve(axes: Axes, knob: str, rows: Sequence[Row], cost: Sequence[float], label: str) -> None:
    quality = [float("nan") if row.miou is None else row.miou for row in rows]
    axes.plot(cost, quality, "o-", markersize=4)
    for row, x, y in zip(rows, cost, quality, strict=True):
        axes.annotate(f"{row.value:g}", (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set(xlabel=label, title=f"each mark: {knob}")
    axes.grid(alpha=0.3)
