"""`segmodels train` and `segmodels verify`: make a run, and make it again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from segdata.cli.command import Command
from segdata.cli.parameters import COUNT
from segdata.stores.url import Place
from segmodels.cli.parameters import ANY_PATH, network_options, shard_set, share, workers_option
from segmodels.config.options import TRAIN_OPTIONS, Read
from segmodels.networks import spec


def _reader(read: Read) -> Callable[[click.Context, click.Parameter, str | None], object]:
    def callback(ctx: click.Context, param: click.Parameter, text: str | None) -> object:
        try:
            return None if text is None else read(text)
        except ValueError as error:
            raise click.BadParameter(f"{text!r} {error}") from None

    return callback


def train_options(command: Callable[..., None]) -> Callable[..., None]:
    """An option for every field of TrainConfig; what is not given is None."""
    for row in reversed(TRAIN_OPTIONS):
        if row.read is None:
            decorate = click.option(f"--{row.name}/--no-{row.name}", default=None, help=row.help)
        else:
            decorate = click.option(f"--{row.name}", metavar=row.metavar, callback=_reader(row.read), help=row.help)
        command = decorate(command)
    return command


@click.command(cls=Command)
@click.argument("network")
@click.option("--shards", type=shard_set, required=True, help="What `segdata prepare` wrote: a folder, or its URL.")
@click.option("--out", type=ANY_PATH, metavar="RUN", required=True, help="The run's folder.")
@click.option("--recipe", default="default", show_default=True, help="default, or published: the network's own.")
@network_options
@train_options
def train(network: str, recipe: str, options: dict[str, str], **given: Any) -> None:
    """Train a network from shards into a run folder.

    The same command again continues a killed run, and does nothing on a finished one. Values in brackets are
    the recipe `default`; an option overrides its recipe. Started by torchrun, all its processes share the work.
    """
    from segmodels.config.config import make_config
    from segmodels.runs.progress import Console
    from segmodels.training.train import train as run_training

    chosen = tuple(sorted(spec(network).parse(options).items()))
    outcome = run_training(make_config(network, recipe, given | {"options": chosen}), show=Console())
    if outcome.metrics:  # torchrun's other processes have none
        click.echo(f"{outcome.run.weights}: miou {share(outcome.metrics['miou'])} on val")


@click.command(cls=Command)
@click.argument("run", type=ANY_PATH)
@click.option("--shards", type=shard_set, help="Where the shards are now, if not where they were.")
@click.option("--steps", type=COUNT, default=8, show_default=True, help="Steps that are trained again.")
@workers_option
def verify(run: Path, shards: Place | None, steps: int, workers: int) -> None:
    """Check a finished run: train its first steps again, score its weights again, compare every bit.

    Names what differs: a shard, an option, a package's version. Exit status 1 if anything is not as it was.
    """
    from segmodels.runs.progress import Console
    from segmodels.training.verify import verify as check

    report = check(run, shards, steps, workers=workers, show=Console())
    for line in (*report.notes, *report.wrong):
        click.echo(line)
    click.echo(f"{run}: {'NOT reproduced' if report.wrong else 'reproduced'}")
    if report.wrong:
        sys.exit(1)
