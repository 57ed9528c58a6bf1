"""The pictures of docs/evidence.md: how each output of a network learns, on both splits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from benchmarks.pages.evidence import PATTERN, rows_of
from benchmarks.pages.tables import ROOT, load

PICTURED = ("iterations", "stages")  # rows of the plan
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]  # Okabe and Ito's
Row = dict[str, Any]


def picture(name: str) -> Path:
    return ROOT / "docs" / f"evidence-{name}.svg"


def points(document: Mapping[str, Any]) -> list[Row]:
    """A row a run, output, split and validated epoch, of the first seed."""
    return [point for run, seeds in document["runs"].items() for point in _points(run, seeds[0]["history"])]


def _points(run: str, history: list[dict[str, float]]) -> Iterator[Row]:
    for row in history:
        for split, prefix in (("validation", "miou"), ("training", "train_miou")):
            numbered = sorted(name for name in row if name.startswith(f"{prefix}_"))
            for output, name in enumerate(numbered or [prefix], start=1):
                if name in row:
                    yield {"run": run, "step": row["step"], "split": split, "output": output, "miou": row[name]}


def digest(rows: list[Row]) -> str:
    """What stands in the picture, so that a test sees whether it is of these rows."""
    return sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def draw(rows: list[Row]) -> str:
    """SVG: a panel a run, a line an output, solid on the validation split, dashed on the training split."""
    outputs = sorted({row["output"] for row in rows})
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.6)
        .encode(
            x=alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=4, grid=False)),
            y=alt.Y("miou:Q", title="mIoU", scale=alt.Scale(zero=True)),
            color=alt.Color("output:O", scale=alt.Scale(domain=outputs, range=COLOURS[: len(outputs)])),
            strokeDash=alt.StrokeDash(
                "split:N", scale=alt.Scale(domain=["validation", "training"], range=[[1, 0], [4, 3]]), title=None
            ),
            facet=alt.Facet("run:N", title=None, sort=list(dict.fromkeys(row["run"] for row in rows))),
        )
        .properties(width=230, height=190)
        .configure(background="white", font="sans-serif")
    )
    svg: str = vl_convert.vegalite_to_svg(chart.to_dict())
    return f"{svg}\n<!-- {digest(rows)} -->\n"


def write_pictures() -> None:
    """Those whose figures have changed."""
    documents = rows_of(load(PATTERN))
    for name in PICTURED:
        if name in documents and not up_to_date(name):
            picture(name).write_text(draw(points(documents[name])))


def up_to_date(name: str) -> bool:
    """Whether the picture is of today's results."""
    documents = rows_of(load(PATTERN))
    if name not in documents:
        return True  # not tried yet
    rows = points(documents[name])
    return picture(name).is_file() and digest(rows) in picture(name).read_text()
