"""`segmodels bench`: what networks cost, and what the knobs of trained ones trade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from segdata.base.files import resolved
from segdata.base.numbers import distinct
from segdata.base.numbers import size as one_size
from segdata.cli.command import Command
from segdata.cli.parameters import COUNT, Number, Whole
from segmodels.cli.parameters import (
    ANY_PATH,
    THREADS,
    network_options,
    parse_list,
    parse_numbers,
    progress_bar,
    shard_set,
    workers_option,
)
from segmodels.errors import SegmodelsError
from segmodels.networks import names
from segmodels.spec import MOST_CLASSES

if TYPE_CHECKING:
    from segdata.stores.url import Place
    from segmodels.bench.case import Case, Setting, Subject
    from segmodels.bench.rows import Plan
    from segmodels.spec import Size

SECONDS = Number(0, 86400, "seconds")
SMALL = (128, 256)  # the size of --all: the smallest that every network takes at 1 : 2
OF_SWEEPS = {"values", "shards", "split", "every", "forwards", "workers", "out"}
OF_BOTH = {"targets", "precision", "arithmetic", "device", "threads", "sweep"}


def _sizes(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[Size, ...]:
    return parse_list(text, one_size) if text else ()


def _words(ctx: click.Context, param: click.Parameter, text: str) -> tuple[str, ...]:
    return parse_list(text, str)


def _values(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    return None if text is None else parse_numbers(ctx, param, text)


def _targets(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Names, or runs, which are the same wherever a path to them begins and whether their weights are named."""
    try:
        distinct(texts, lambda text: text if text in names() else str(_weights(Path(text))))
    except ValueError as error:
        raise click.BadParameter(f"{' '.join(texts)!r} {error}.") from None
    return texts


def _weights(run: Path) -> Path:
    from segmodels.runs.run import Run

    return resolved(Run(run).weights if run.is_dir() else run)


@click.command(cls=Command)
@click.argument("targets", nargs=-1, callback=_targets, metavar="[NETWORK|RUN]...")
@click.option("--all", is_flag=True, help="Every network of `segmodels list`.")
@click.option(
    "--classes", type=Whole(2, MOST_CLASSES), metavar="N", help="Of networks by name. [default: their source's]"
)
@click.option("--size", metavar="HxW,…", callback=_sizes, help="[default: its own; with --all 128x256]")
@network_options
@click.option("--precision", metavar="fp32,bf16", callback=_words, default="fp32", show_default=True)
@click.option("--layout", metavar="contiguous,channels_last", callback=_words, default="contiguous", show_default=True)
@click.option("--arithmetic", metavar="reproducible,fast", callback=_words, default="reproducible", show_default=True)
@click.option("--compile", metavar="no,yes", callback=_words, default="no", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=THREADS, metavar="N", help="Of the CPU. [default: as many as torch takes]")
@click.option("--seconds", type=SECONDS, default=1.0, show_default=True, help="Of each figure, at least.")
@click.option("--rounds", type=COUNT, default=1, show_default=True, help="Of latency, settings in turns.")
@click.option("--largest-batch", type=COUNT, default=256, show_default=True, help="That is tried.")
@click.option("--json", type=ANY_PATH, metavar="FILE", help="Write the rows here as JSON.")
@click.option("--csv", type=ANY_PATH, metavar="FILE", help="Write the rows here as CSV.")
@click.option("--sweep", type=click.Choice(("q", "steps", "scale")), help="Turn a knob of RUN on images of --shards.")
@click.option("--values", metavar="V,V,…", callback=_values, help="Its positions. [default: q by tenths, every step]")
@click.option("--shards", type=shard_set, help="Shards of the run's taxonomy: a folder or URL.")
@click.option("--split", default="val", show_default=True)
@click.option("--every", type=COUNT, default=1, show_default=True, metavar="N", help="Each N-th image.")
@click.option("--forwards", type=COUNT, default=20, show_default=True, help="At each position, at least.")
@workers_option
@click.option("--out", type=ANY_PATH, metavar="DIR", help="Folder for sweep.json, sweep.csv and sweep.svg.")
@click.pass_context
def bench(
    ctx: click.Context,
    targets: tuple[str, ...],
    all: bool,  # noqa: A002  # as the option is called
    classes: int | None,
    size: tuple[Size, ...],
    options: dict[str, str],
    precision: tuple[str, ...],
    layout: tuple[str, ...],
    arithmetic: tuple[str, ...],
    compile: tuple[str, ...],  # noqa: A002
    device: str,
    threads: int | None,
    seconds: float,
    rounds: int,
    largest_batch: int,
    json: Path | None,
    csv: Path | None,
    sweep: str | None,
    values: tuple[float, ...] | None,
    shards: Place | None,
    split: str,
    every: int,
    forwards: int,
    workers: int,
    out: Path | None,
) -> None:
    """Measure networks, by name or as trained in a RUN: latency at batch 1, throughput at the best batch, memory.

    Every figure is taken in a process of its own, on noise, from normalised images on the device to logits. Where an
    option takes a list by commas, there is a row for each combination.

    With --sweep, a trained network's knob is turned through its positions on the images of a split, and time, work
    and miou are measured at each: q of `percentile`; the steps of iterative and hourglass networks, which then stop
    early; the scale of several RUNs that were trained at different ones.
    """
    from segmodels.bench.case import cases, settings
    from segmodels.bench.rows import Plan
    from segmodels.compute.device import choose_device

    _check_given(ctx, sweep)
    axes = {"precision": precision, "layout": layout, "arithmetic": arithmetic, "compile": compile}
    chosen = settings(axes, str(choose_device(device)), threads)
    if not sweep:
        subjects = _subjects(targets, all, classes, options)
        groups = [cases(each, size or [SMALL if all else each.size], chosen) for each in subjects]
        _bench(groups, Plan(seconds, rounds, largest_batch), json, csv)
        return
    if not targets or shards is None or out is None:
        raise SegmodelsError(
            "--sweep turns a knob of a RUN on the images of --shards, and writes to --out: give all three"
        )
    if len(chosen) > 1:
        raise SegmodelsError("--sweep measures in one setting: give one --precision and one --arithmetic")
    _sweep(sweep, targets, values, shards, split, chosen[0], out, forwards=forwards, every=every, workers=workers)


def _bench(groups: Sequence[Sequence[Case]], plan: Plan, json: Path | None, csv: Path | None) -> None:
    """Print rows as they come, then write them."""
    from segmodels.bench.report import CSV, HEADER, JSON, line, write_csv, write_json
    from segmodels.bench.rows import bench as measure
    from segmodels.runs.results import check_file

    if json and json == csv:
        raise SegmodelsError("--json and --csv are two files: give each its own name")
    for option, path, kind in (("--json", json, JSON), ("--csv", csv, CSV)):
        if path:
            check_file(option, path, kind)
    rows = []
    click.echo(HEADER)
    for group in groups:
        for row in measure(group, plan):
            click.echo(line(row))
            rows.append(row)
    if rows[0].no_energy:
        click.echo(f"energy: not measured, {rows[0].no_energy}")
    if json:
        write_json(json, rows, plan)
    if csv:
        write_csv(csv, rows)


def _sweep(
    knob: str,
    runs: Sequence[str],
    values: Sequence[float] | None,
    shards: Place,
    split: str,
    setting: Setting,
    out: Path,
    *,
    forwards: int,
    every: int,
    workers: int,
) -> None:
    """Print and write the rows of a sweep."""
    import torch

    from segdata import ShardSet
    from segmodels.compute.device import arithmetic, choose_device
    from segmodels.inference.trained import load_trained
    from segmodels.knobs.point import points
    from segmodels.knobs.report import FILES, table, write_sweep
    from segmodels.knobs.sweep import sweep
    from segmodels.runs.results import check_out

    if setting.threads:
        torch.set_num_threads(setting.threads)
    device = choose_device(setting.device)
    with arithmetic(fast=setting.arithmetic == "fast"):
        segmenters = [replace(load_trained(Path(run), device), precision=setting.precision) for run in runs]
        positions, images = points(knob, segmenters, values), ShardSet(shards, split)
        check_out(out, FILES)
        shown = progress_bar(-(-len(images) // every))
        rows = sweep(positions, images, forwards=forwards, every=every, workers=workers, progress=shown)
        about = {"precision": setting.precision, "arithmetic": setting.arithmetic, "every": every}
        write_sweep(out, knob, rows, images, device, about)
    for line in table(knob, rows):
        click.echo(line)
    click.echo(f"{out}: sweep.json, sweep.csv and sweep.svg")


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


def _check_given(ctx: click.Context, sweep: str | None) -> None:
    """Raise SegmodelsError where an option was given that would be passed over."""
    for param in ctx.command.params:
        name = str(param.name)
        given = ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
        if given and name not in OF_BOTH and (name in OF_SWEEPS) != bool(sweep):
            raise SegmodelsError(f"{param.opts[0]} is {'not for' if sweep else 'for'} a --sweep")
