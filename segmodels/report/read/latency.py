"""What `segmodels bench RUN --json` measured: the time that an image takes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from segmodels.errors import SegmodelsError
from segmodels.report.read.fields import read_fields
from segmodels.report.read.result import Result
from segmodels.spec import Size

FORMAT = 1
FILE = "bench.json"


class Latency(NamedTuple):
    """Of a batch of one image, from the normalised image to logits."""

    ms: float  # median
    ms_p95: float
    device: str
    threads: int | None


def read_latencies(path: Path, result: Result) -> dict[Size, Latency]:
    """Of a run as it is now, by the images' sizes (H, W); of several settings the first. Raises SegmodelsError."""
    about = read_fields(path, f"Run `segmodels bench {result.run} --json {path}` again")
    if about.whole("format") != FORMAT:
        raise SegmodelsError(f"{path}: format {about.whole('format')}, this release reads {FORMAT}. {about.advice}")
    device = about.inside("device")
    threads = device.whole("threads") if "threads" in device.values else None
    found: dict[Size, Latency] = {}
    for row in about.each("rows"):
        if row.text("run") == result.provenance.id:
            height, width = map(int, row.numbers("size"))
            measured = Latency(row.number("ms_median"), row.number("ms_p95"), device.text("name"), threads)
            found.setdefault((height, width), measured)
    return found
