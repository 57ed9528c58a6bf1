"""Rows as a table for people, as JSON and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from segdata.base.canonical import pretty_json
from segdata.base.ownership import headed, json_kind, write_result
from segmodels.bench.rows import Plan, Row
from segmodels.documents import csv_table

FORMAT = 1
JSON = json_kind("rows of `bench`", "format", "plan", "rows")
CSV = headed("rows of `bench`", b"network,")
LINE = "{:<22} {:>9} {:<34} {:>11} {:>8} {:>9} {:>9} {:>7} {:>9} {:>5} {:>8} {:>8} {:>8}"
HEADER = LINE.format(
    *("network", "size", "setting", "parameters", "GMAC", "ms", "p95", "spread", "images/s", "at", "MB at 1", "MB"),
    "J/image",
)


def line(row: Row) -> str:
    """A row for the terminal. Spread is the interquartile range over the median; MB of the whole process or device."""
    setting = (row.precision, row.layout, row.arithmetic, *(["compiled"] if row.compile else []))
    return LINE.format(
        row.network,
        f"{row.size[0]}x{row.size[1]}",
        " ".join(each for each in setting if each != "contiguous"),
        f"{row.parameters:,}",
        f"{row.macs / 1e9:.2f}",
        f"{row.ms_median:.2f}",
        f"{row.ms_p95:.2f}",
        f"{row.ms_iqr / row.ms_median:.1%}",
        f"{row.images_per_second:.2f}",
        row.best_batch,
        f"{row.peak_memory_bytes / 2**20:.0f}",
        f"{row.best_peak_memory_bytes / 2**20:.0f}",
        "-" if row.joules_per_image is None else f"{row.joules_per_image:.3f}",
    )


def write_json(path: Path, rows: Sequence[Row], plan: Plan) -> None:
    """All rows under the environment that they share. Raises SegmodelsError."""
    document = {
        "format": FORMAT,
        **rows[0].environment,
        "plan": asdict(plan),
        "rows": [{name: value for name, value in asdict(row).items() if name != "environment"} for row in rows],
    }
    write_result("--json", path, JSON, pretty_json(document))


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """A line a row; sizes as HxW, options as name=value. Raises SegmodelsError."""
    columns = [each.name for each in fields(Row) if each.name not in {"environment", "no_energy"}]
    lines = ([_plain(name, getattr(row, name)) for name in columns] for row in rows)
    write_result("--csv", path, CSV, csv_table(columns, lines))


def _plain(name: str, value: Any) -> Any:
    if name == "size":
        return f"{value[0]}x{value[1]}"
    if name == "options":
        return " ".join(f"{key}={each}" for key, each in value.items())
    return value
