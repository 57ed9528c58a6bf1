"""The table: a row for every case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segmodels.bench.case import Case
from segmodels.bench.child import measured
from segmodels.bench.clock import times
from segmodels.bench.figure import Figure
from segmodels.bench.search import HEADROOM, best_batch, needed
from segmodels.bench.summary import summarize
from segmodels.compute.memory import available
from segmodels.errors import SegmodelsError
from segmodels.spec import Size, Value


@dataclass(frozen=True)
class Plan:
    """How thoroughly."""

    seconds: float = 1.0  # for each figure, warm-up aside
    rounds: int = 1  # of latency; in each all settings have their turn, for a machine that slows down does so for all
    largest_batch: int = 256  # 1: no search for the best


@dataclass(frozen=True)
class Row:
    """A case and its figures."""

    network: str
    run: str  # id; empty with fresh weights
    classes: int
    size: Size
    options: Mapping[str, Value]
    precision: str
    layout: str
    arithmetic: str
    compile: bool
    parameters: int
    macs: int  # of one image, everything computed
    forwards: int  # that the latency was taken from
    ms_median: float  # at batch 1
    ms_p95: float
    ms_iqr: float
    peak_memory_bytes: int  # at batch 1
    base_memory_bytes: int  # of these
    best_batch: int
    images_per_second: float  # at the best batch
    best_peak_memory_bytes: int
    stopped: str  # why the search for it ended: growth, memory or largest
    joules_per_image: float | None  # at the best batch
    no_energy: str
    environment: Mapping[str, Any]


def bench(cases: Sequence[Case], plan: Plan) -> Iterator[Row]:
    """The rows of one network, one after the other once all its latencies are there. Raises SegmodelsError."""
    counts = [_counted(case) for case in cases]
    rounds = [[_first(case, plan.seconds) for case in cases] for _ in range(plan.rounds)]
    for case, count, *figures in zip(cases, counts, *rounds, strict=True):
        yield _row(case, count, figures, plan)


def _row(case: Case, counts: tuple[int, int], rounds: list[Figure], plan: Plan) -> Row:
    subject, setting, first = case.subject, case.setting, rounds[0]
    last = first

    def figure_of(batch: int) -> Figure | None:
        nonlocal last
        room = available() if setting.device == "cpu" else None
        if room and needed(last) > HEADROOM * room:
            return None
        figure = measured(case, batch, plan.seconds)
        last = figure or last
        return figure

    best = best_batch(first, figure_of, plan.largest_batch)
    ms = [each for figure in rounds for each in figure.ms]
    latency = times(ms)
    return Row(
        network=subject.network,
        run=subject.run,
        classes=subject.classes,
        size=case.size,
        options=subject.options,
        precision=setting.precision,
        layout=setting.layout,
        arithmetic=setting.arithmetic,
        compile=setting.compile,
        parameters=counts[0],
        macs=counts[1],
        forwards=len(ms),
        ms_median=latency.median,
        ms_p95=latency.p95,
        ms_iqr=latency.iqr,
        peak_memory_bytes=max(figure.peak_memory_bytes for figure in rounds),
        base_memory_bytes=first.base_memory_bytes,
        best_batch=best.figure.batch,
        images_per_second=best.images_per_second,
        best_peak_memory_bytes=best.figure.peak_memory_bytes,
        stopped=best.stopped,
        joules_per_image=best.figure.joules_per_image,
        no_energy=best.figure.no_energy,
        environment=first.environment,
    )


def _counted(case: Case) -> tuple[int, int]:
    """Parameters and MACs, as `segmodels summary` counts them: this also refuses what does not fit."""
    network = summarize(case.subject.declared, case.subject.classes, case.size, case.subject.options)[0]
    return network.parameters, network.macs


def _first(case: Case, seconds: float) -> Figure:
    figure = measured(case, 1, seconds)
    if figure is None:
        raise SegmodelsError(f"{case}: the memory is not enough for one image. Give a smaller --size")
    return figure
