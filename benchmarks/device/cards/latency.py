"""Cards `latency-PRECISION`: what a forward of every network costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import segmodels
from benchmarks.device.card import Bench, Row
from benchmarks.device.cards.training import let_go
from benchmarks.networks.train import SMALL
from segmodels.bench.case import Case, Setting, Subject
from segmodels.bench.clock import times
from segmodels.bench.figure import measure
from segmodels.compute.device import choose_device

CLASSES = 20


def latency(bench: Bench, precision: str) -> Iterator[Row]:
    """Every network at batch 1: milliseconds, memory and joules of a forward, channels last, reproducible."""
    size, seconds = ((64, 128), 0.0) if bench.rehearsal else ((512, 1024), 1.0)
    for name in segmodels.names():
        options = segmodels.spec(name).resolve(SMALL[name] if bench.rehearsal else {})
        setting = Setting(precision, "channels_last", device=str(choose_device(bench.device)))
        figure = measure(Case(Subject(name, CLASSES, options, size), size, setting), 1, seconds)
        found = times(figure.ms)
        yield {
            "network": name,
            "precision": precision,
            "layout": setting.layout,
            "size": size,
            "classes": CLASSES,
            "forwards": len(figure.ms),
            "ms_median": found.median,
            "ms_p95": found.p95,
            "ms_iqr": found.iqr,
            "peak_memory_bytes": figure.peak_memory_bytes,
            "joules_per_image": figure.joules_per_image,
            "no_energy": figure.no_energy,
        }
        let_go(bench.device)


def says(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row['network']} {row['ms_median']:.1f} ms" for row in rows)
