"""`segmodels report`: all runs on one page."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from segdata.cli.command import Command
from segdata.cli.output import tell
from segdata.cli.parameters import COUNT
from segmodels.cli.parameters import ANY_PATH


@click.command(cls=Command)
@click.option("--runs", type=ANY_PATH, required=True, help="Read the runs in this folder, or this one run.")
@click.option(
    "--scores",
    type=ANY_PATH,
    required=True,
    help="Read what `evaluate` wrote: for each run a folder of its name, or the folder of the only run.",
)
@click.option(
    "--stats",
    type=ANY_PATH,
    required=True,
    help="Read what `segdata stats` wrote: for each shard set a JSON file of its name, or the file of the only one.",
)
@click.option("--shards", type=ANY_PATH, required=True, help="Read the shard sets in this folder, or this one set.")
@click.option("--bench", type=ANY_PATH, help="Read what `sweep` and `bench` wrote: for each run a folder of its name.")
@click.option("--out", type=ANY_PATH, required=True, help="Write index.html and results.json into this folder.")
@click.option("--images", type=COUNT, default=4, show_default=True, help="Show this many images of each split.")
def report(runs: Path, scores: Path, stats: Path, shards: Path, bench: Path | None, out: Path, images: int) -> None:
    """Show all runs on one page: leaderboard, curves, predictions beside ground truth, datasets, provenance.

    The page is one file that works without a network. A run without scores is left out, and said to be.
    """
    from tqdm import tqdm

    from segmodels.compute.device import arithmetic
    from segmodels.report import report as write
    from segmodels.report.read.collect import Folders

    with arithmetic(fast=False):
        folders, progress = Folders(runs, scores, stats, shards, bench), partial(tqdm, unit="network", disable=None)
        found = write(folders, out, images, progress)
    rows = sum(len(board.rows) for board in found.boards)
    trained = sum(len(board.results) for board in found.boards)
    of_seeds = f" ({trained} runs)" if trained > rows else ""
    left_out = f", {len(found.notes)} left out (the page says why)" if found.notes else ""
    tell(
        f"{out / 'index.html'}: {rows} networks{of_seeds} on {len(found.datasets)} sets{left_out}; "
        "the leaderboard as data in results.json"
    )
