"""`segmodels train` and `segmodels verify`: make a run, and make it again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from segdata.cli.command import Command
from segdata.cli.output import tell
from segdata.cli.parameters import COUNT
from segdata.stores.url import Place
from segmodels.cli.parameters import ANY_PATH, network_options, shard_set, share, threads_option, workers_option
from segmodels.config.config import TrainConfig
from segmodels.config.options import Read, options_of
from segmodels.config.recipes import make_config
from segmodels.networks import spec


def train_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that the fields of TrainConfig declare; what is not given is None."""
    for each in reversed(options_of(TrainConfig)):
        if each.read is None:
            decorate = click.option(f"{each.flag}/{each.off}", default=None, help=each.text)
        else:
            read, required = _reader(each.read), each.required
            decorate = click.option(each.flag, metavar=each.metavar, callback=read, required=required, help=each.text)
        command = decorate(command)
    return command


def _reader(read: Read) -> Callable[[click.Context, click.Parameter, str | None], object]:
    def callback(ctx: click.Context, param: click.Parameter, text: str | None) -> object:
        try:
            return None if text is None else read(text)
        except ValueError as error:
            raise click.BadParameter(f"{text!r} {error}") from None

    return callback


@click.command(cls=Command)
@click.argument("network")
@network_options
@train_options
@click.option(
    "--no-init",
    is_flag=True,
    help="Start from random weights where --recipe published starts from a trunk that was trained on ImageNet.",
)
@threads_option
def train(
    network: str, recipe: str | None, options: dict[str, str], no_init: bool, threads: int | None, **given: Any
) -> None:
    """Train a network from shards into a run folder.

    The same command again continues a killed run, and does nothing on a finished one. Ctrl-C finishes the step under
    way, saves the run and ends; a second Ctrl-C gives that step up. The defaults below are those of `--recipe
    default`; an option that is given overrides its recipe. Started by torchrun, all its processes share the work. A
    killed run continues with the number of CPU threads that it began with, because the last bits of sums depend on it.

    The loss that is printed is the mean over the labelled pixels of the epoch so far. The loss in history.csv is the
    mean over its images, which is what the training minimises.
    """
    from segmodels.compute.device import default_threads
    from segmodels.compute.device import threads as computing_on
    from segmodels.runs.progress import Console
    from segmodels.training.train import train as run_training

    declared = spec(network)
    resolved = declared.parse(options)
    chosen = tuple((name, resolved[name]) for name in sorted(options))  # those given: a recipe may have others
    config = make_config(network, recipe, given | {"options": chosen}, no_init=no_init, declared=declared)
    with computing_on(threads or default_threads()):
        outcome = run_training(config, show=Console())
    if outcome.metrics:  # torchrun's other processes have none
        tell(f"{outcome.run.weights}: miou {share(outcome.metrics['miou'])} on val")


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
        tell(line)
    tell(f"{run}: {'NOT reproduced' if report.wrong else 'reproduced'}")
    if report.wrong:
        sys.exit(1)
