"""What `segmodels sweep` measured: quality and cost at several positions of a knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from segmodels.errors import SegmodelsError
from segmodels.report.read.fields import Fields, read_fields
from segmodels.report.read.result import Result

FORMAT = 1
FILE = "sweep.json"


class Turned(NamedTuple):
    """A run with its knob at one position: a row of a sweep."""

    run: str  # name of the run's folder
    value: str  # of the knob
    shares: tuple[float, ...]  # of the pixels, stage by stage; none where the network has no stages
    macs: float  # executed, mean an image
    ms: float  # median latency
    ms_p95: float
    miou: float | None


@dataclass(frozen=True)
class Sweep:
    """One network at several positions of its knob, or several networks side by side; rows in the order of the file."""

    name: str  # of the folder
    knob: str
    device: str
    threads: int | None
    digest: str  # of the shards that mIoU is of
    split: str
    every: int  # each how many-th of their images was taken
    rows: tuple[Turned, ...]


def read_sweep(folder: Path, results: Sequence[Result]) -> Sweep | str:
    """The sweep in a folder of `segmodels sweep`, or why it is not shown. Raises SegmodelsError."""
    path = folder / FILE
    about = read_fields(path, f"Run `segmodels sweep RUN … --out {folder}` again")
    if about.whole("format") != FORMAT:
        raise SegmodelsError(f"{path}: format {about.whole('format')}, this release reads {FORMAT}. {about.advice}")
    names = {result.provenance.id: result.name for result in results}
    rows = about.each("rows")
    runs = [row.text("run") if "run" in row.values else about.text("run") for row in rows]
    if not rows or not names.keys() >= set(runs):
        return f"{folder}: a sweep of a training that is not on this page."
    shards = about.inside("shards")
    return Sweep(
        folder.name,
        about.text("knob"),
        about.text("device"),
        about.whole("threads") if about.values.get("threads") is not None else None,
        shards.text("fingerprint"),
        about.text("split"),
        about.whole("every") if "every" in about.values else 1,
        tuple(_setting(row, names[run]) for row, run in zip(rows, runs, strict=True)),
    )


def _setting(row: Fields, run: str) -> Turned:
    shares = row.numbers("shares") if row.values.get("shares") is not None else ()
    return Turned(
        run,
        _value(row.values),
        shares,
        row.number("macs"),
        row.number("ms_median"),
        row.number("ms_p95"),
        row.score("miou"),
    )


def _value(row: Mapping[str, object]) -> str:
    value = row.get("value")
    return f"{value:g}" if isinstance(value, int | float) else str(value)
