"""`segmodels bench` and `segmodels calibrate`: what networks cost, and what their knobs trade."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segmodels.cli.parameters import ANY_PATH, network_options, parse_size
from segmodels.errors import SegmodelsError
from segmodels.networks import names

if TYPE_CHECKING:
    from segmodels.bench.case import Subject
    from segmodels.bench.rows import Row
    from segmodels.spec import Size

SMALL = (128, 256)  # the size of --all: the smallest that every network takes at 1 : 2


def _sizes(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[Size, ...]:
    return tuple(size for part in text.split(",") if (size := parse_size(ctx, param, part))) if text else ()


def _words(ctx: click.Context, param: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


@click.command()
@click.argument("targets", nargs=-1, metavar="[NETWORK|RUN]...")
@click.option("--all", "everything", is_flag=True, help="Every network of `segmodels list`.")
@click.option("--classes", type=click.IntRange(2), metavar="N", help="Of networks by name. [default: their source's]")
@click.option("--size", "sizes", metavar="HxW,…", callback=_sizes, help="[default: its own; all: 128x256]")
@network_options
@click.option("--precision", metavar="fp32,bf16", callback=_words, default="fp32", show_default=True)
@click.option("--layout", metavar="contiguous,channels_last", callback=_words, default="contiguous", show_default=True)
@click.option("--arithmetic", metavar="reproducible,fast", callback=_words, default="reproducible", show_default=True)
@click.option("--compile", "compiled", metavar="no,yes", callback=_words, default="no", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Of the CPU. [default: as many as torch takes]")
@click.option("--seconds", type=click.FloatRange(0), default=1.0, show_default=True, help="Of every figure.")
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="Of latency, settings in turns.")
@click.option(
    "--largest-batch", type=click.IntRange(1), default=256, show_default=True, help="1: no search for the best."
)
@click.option("--json", "json_path", type=ANY_PATH, metavar="FILE", help="Write the rows here as JSON.")
@click.option("--csv", "csv_path", type=ANY_PATH, metavar="FILE", help="Write the rows here as CSV.")
def bench(
    targets: tuple[str, ...],
    everything: bool,
    classes: int | None,
    sizes: tuple[Size, ...],
    options: dict[str, str],
    precision: tuple[str, ...],
    layout: tuple[str, ...],
    arithmetic: tuple[str, ...],
    compiled: tuple[str, ...],
    device: str,
    threads: int | None,
    seconds: float,
    rounds: int,
    largest_batch: int,
    json_path: Path | None,
    csv_path: Path | None,
) -> None:
    """Measure networks, by name or as trained in a RUN: latency at batch 1, throughput at the best batch, memory.

    Every figure is taken in a process of its own, on noise, from normalised images on the device to logits. Where an
    option takes a list by commas, there is a row for each combination.
    """
    from segmodels.bench.case import cases, settings
    from segmodels.bench.report import HEADER, line, write_csv, write_json
    from segmodels.bench.rows import Plan
    from segmodels.bench.rows import bench as measure
    from segmodels.device import choose_device

    axes = {"precision": precision, "layout": layout, "arithmetic": arithmetic, "compile": compiled}
    chosen = settings(axes, str(choose_device(device)), threads)
    subjects = _subjects(targets, everything, classes, options)
    groups = [cases(each, sizes or [SMALL if everything else each.size], chosen) for each in subjects]
    plan = Plan(seconds, rounds, largest_batch)
    rows: list[Row] = []
    click.echo(HEADER)
    for group in groups:
        for row in measure(group, plan):
            click.echo(line(row))
            rows.append(row)
    if rows[0].no_energy:
        click.echo(f"energy: not measured, {rows[0].no_energy}")
    if json_path:
        write_json(json_path, rows, plan)
    if csv_path:
        write_csv(csv_path, rows)


def _subjects(targets: Sequence[str], everything: bool, classes: int | None, options: dict[str, str]) -> list[Subject]:
    """The networks that are meant. Raises SegmodelsError."""
    from segmodels.bench.case import named, trained

    if bool(targets) == everything:
        raise SegmodelsError("bench what? Name networks or runs, or give --all and name none")
    if everything and options:
        raise SegmodelsError("--all takes no --option: networks have different ones")
    runs = [target for target in targets if target not in names() and Path(target).exists()]
    if runs and (classes or options):
        raise SegmodelsError(f"--classes and --option are for networks by name: {runs[0]} has its own")
    return [
        trained(Path(target)) if target in runs else named(target, classes, options)
        for target in (names() if everything else targets)
    ]
