"""`segmodels calibrate`: q from a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from segdata.base.numbers import MOST
from segdata.cli.command import Command
from segdata.cli.output import tell
from segdata.cli.parameters import COUNT, Number
from segmodels.cli.parameters import (
    ANY_PATH,
    computing,
    device_option,
    progress_bar,
    shard_set,
    threads_option,
    workers_option,
)
from segmodels.errors import SegmodelsError

if TYPE_CHECKING:
    from segdata.stores.url import Place

SHARE, MILLISECONDS = Number(0, 1, "a share", above=True), Number(0, MOST, "milliseconds", above=True)


@click.command(cls=Command)
@click.argument("run", type=ANY_PATH)
@click.option("--shards", type=shard_set, required=True, help="Read the images from these shards (a folder or a URL).")
@click.option("--split", default="val", show_default=True, help="Take the images of this split.")
@click.option(
    "--budget",
    type=SHARE,
    metavar="SHARE",
    help="Spend at most this share of the multiply-accumulates of q = 1.",
)
@click.option(
    "--latency",
    type=MILLISECONDS,
    metavar="MS",
    help="Spend at most these milliseconds an image (median, on this device), instead of --budget.",
)
@click.option(
    "--out",
    type=ANY_PATH,
    metavar="FILE",
    required=True,
    help="Write this file, which --q of evaluate and predict takes.",
)
@click.option("--every", type=COUNT, default=1, show_default=True, metavar="N", help="Take only each N-th image.")
@click.option(
    "--forwards", type=COUNT, default=20, show_default=True, help="For --latency, time at least this many forwards."
)
@device_option
@threads_option
@workers_option
def calibrate(
    run: Path,
    shards: Place,
    split: str,
    budget: float | None,
    latency: float | None,
    out: Path,
    every: int,
    forwards: int,
    device: str,
    threads: int | None,
    workers: int,
) -> None:
    """Find the q of each class with which the `percentile` network of RUN is best within a budget.

    The q is chosen on a split, and never worse there than one q for all classes within the same budget. Judge it on
    another split.
    """
    from segdata import ShardSet
    from segmodels.calibration.calibrate import Budget
    from segmodels.calibration.calibrate import calibrate as find
    from segmodels.calibration.report import table, write_calibration
    from segmodels.compute.device import choose_device
    from segmodels.inference.trained import load_trained
    from segmodels.knobs.quantiles import CALIBRATION
    from segmodels.runs.results import check_file

    if (budget is None) == (latency is None):
        raise SegmodelsError("calibrate to what? Give --budget SHARE or --latency MS, one of them")
    check_file("--out", out, CALIBRATION)
    chosen = choose_device(device)
    with computing(chosen, threads):
        segmenter, images = load_trained(run, chosen), ShardSet(shards, split)
        limit = Budget(budget, latency)
        count = forwards if latency else 1
        shown = progress_bar(-(-len(images) // every))
        found = find(segmenter, images, limit, forwards=count, every=every, workers=workers, progress=shown)
        write_calibration(out, found, limit, segmenter, images, every=every)
    for line in table(found):
        tell(line)
    tell(f"{out}: within {limit.text}, on {found.found.row.images} images of {split}")
