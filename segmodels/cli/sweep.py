"""`segmodels sweep`: what the knobs of trained networks trade, on real images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segdata.base.numbers import distinct
from segdata.cli.command import Command
from segdata.cli.output import tell
from segdata.cli.parameters import COUNT
from segmodels.cli.bench import weights_of
from segmodels.cli.parameters import (
    ANY_PATH,
    computing,
    device_option,
    parse_numbers,
    progress_bar,
    shard_set,
    threads_option,
    workers_option,
)

if TYPE_CHECKING:
    from segdata.stores.url import Place

KNOBS = ("q", "steps", "scale")  # as the networks declare them; they stand here so that `--help` needs no torch


def _runs(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[Path, ...]:
    """Runs, each once: the same wherever a path to it begins and whether its weights are named."""
    try:
        distinct(texts, lambda text: str(weights_of(Path(text))))
    except ValueError as error:
        raise click.BadParameter(f"{' '.join(texts)!r} {error}.") from None
    return tuple(map(Path, texts))


def _values(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    return None if text is None else parse_numbers(ctx, param, text)


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, callback=_runs, metavar="RUN...")
@click.option("--knob", type=click.Choice(KNOBS), required=True, help="Turn this knob of the network.")
@click.option(
    "--values",
    metavar="V,V,…",
    callback=_values,
    show_default="q from 0 to 1 in steps of 0.1; every number of iterations",
    help="Put the knob at these positions.",
)
@click.option("--shards", type=shard_set, required=True, help="Read the images from these shards (a folder or a URL).")
@click.option("--split", default="val", show_default=True, help="Take the images of this split.")
@click.option("--every", type=COUNT, default=1, show_default=True, metavar="N", help="Take only each N-th image.")
@click.option(
    "--forwards", type=COUNT, default=20, show_default=True, help="Time at least this many forwards at each position."
)
@click.option(
    "--out", type=ANY_PATH, required=True, metavar="DIR", help="Write sweep.json, sweep.csv and sweep.svg here."
)
@click.option(
    "--precision",
    type=click.Choice(("fp32", "bf16")),
    default="fp32",
    show_default=True,
    help="Compute in float32, or in bfloat16 where autocast allows it.",
)
@click.option(
    "--arithmetic",
    type=click.Choice(("reproducible", "fast")),
    default="reproducible",
    show_default=True,
    help="Use deterministic kernels, or allow TF32 and kernels chosen by timing.",
)
@device_option
@threads_option
@workers_option
def sweep(
    runs: tuple[Path, ...],
    knob: str,
    values: tuple[float, ...] | None,
    shards: Place,
    split: str,
    every: int,
    forwards: int,
    out: Path,
    precision: str,
    arithmetic: str,
    device: str,
    threads: int | None,
    workers: int,
) -> None:
    """Turn a knob of the trained network of RUN, and measure time, work and mIoU at each of its positions.

    The images are real ones, of a split. The knob q of `percentile` is the share of the pixels that each stage hands
    on. With steps, an iterative or hourglass network stops early, after so many iterations. With scale, several RUNs
    that were trained at different strides are put side by side.
    """
    from segdata import ShardSet
    from segmodels.compute.device import choose_device
    from segmodels.inference.trained import load_trained
    from segmodels.knobs.point import points
    from segmodels.knobs.sweep import sweep as measure
    from segmodels.knobs.sweep_report import FILES, table, write_sweep
    from segmodels.runs.results import check_out

    chosen = choose_device(device)
    with computing(chosen, threads, fast=arithmetic == "fast"):
        segmenters = [replace(load_trained(run, chosen), precision=precision) for run in runs]
        positions, images = points(knob, segmenters, values), ShardSet(shards, split)
        check_out(out, FILES)
        shown = progress_bar(-(-len(images) // every))
        rows = measure(positions, images, forwards=forwards, every=every, workers=workers, progress=shown)
        about = {"precision": precision, "arithmetic": arithmetic, "every": every}
        write_sweep(out, knob, rows, images, chosen, about)
    for line in table(knob, rows):
        tell(line)
    tell(f"{out}: sweep.json, sweep.csv and sweep.svg")
