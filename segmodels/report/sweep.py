"""What `segmodels bench --sweep` measured: quality and cost of one network at several settings of its knob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from segmodels.errors import SegmodelsError
from segmodels.report.fields import Fields, read_fields
from segmodels.report.result import Result

FORMAT = 1


class Setting(NamedTuple):
    """One row of a sweep."""

    value: str  # of the knob
    shares: tuple[float, ...]  # of the pixels, stage by stage; none where the network has no stages
    macs: float  # executed, mean an image
    ms: float  # median latency
    ms_p95: float
    miou: float | None


@dataclass(frozen=True)
class Sweep:
    """One network's rows, in the order of the file."""

    run: str  # name of the run's folder
    knob: str
    device: str
    threads: int | None
    rows: tuple[Setting, ...]


def read_sweep(folder: Path, results: Mapping[str, Result]) -> Sweep | str:
    """The sweep in a folder of `segmodels bench`, or why it is not shown. Raises SegmodelsError."""
    path = folder / "sweep.json"
    if not path.is_file():
        return f"{folder}: no sweep.json, so there is no sweep to show."
    if folder.name not in results:
        return f"{folder}: a sweep of a run that is not on this page."
    about = read_fields(path, f"Run `segmodels bench {results[folder.name].run} --out {folder}` again")
    if about.whole("format") != FORMAT:
        raise SegmodelsError(f"{path}: format {about.whole('format')}, this release reads {FORMAT}. {about.advice}")
    if about.text("run") != results[folder.name].provenance.id:
        raise SegmodelsError(f"{path} measured another training than {folder.name} holds. {about.advice}")
    threads = about.values.get("threads")
    rows = tuple(_setting(row) for row in about.each("rows"))
    return Sweep(folder.name, about.text("knob"), _device(about), threads if type(threads) is int else None, rows)


def _device(about: Fields) -> str:
    """A text, or what run.json says of a device."""
    value = about.values.get("device")
    return about.inside("device").text("name") if isinstance(value, dict) else about.text("device")


def _setting(row: Fields) -> Setting:
    shares = row.numbers("shares") if row.values.get("shares") is not None else ()
    value = row.values.get("value")
    text = f"{value:g}" if type(value) in {int, float} else str(value)
    return Setting(text, shares, row.number("macs"), row.number("ms_median"), row.number("ms_p95"), row.score("miou"))
