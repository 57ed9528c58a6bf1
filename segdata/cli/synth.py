"""`segdata synth`: painted datasets."""

from typing import Any

import click

from segdata.base.numbers import MOST
from segdata.cli.command import Command
from segdata.cli.output import ProgressBar, tell
from segdata.cli.parameters import ANY_PATH, SEED, WORKERS, Whole, parse_size

SPLIT_SIZES = {"train": 8, "val": 4, "test": 2}  # of painted data


@click.command(cls=Command)
@click.argument("source", type=click.Choice(["cityscapes", "tas500"]))
@click.option(
    "--out",
    required=True,
    type=ANY_PATH,
    help="The folder of the painted dataset. It must be new or empty, or painted by this command.",
)
@click.option(
    "--replace", is_flag=True, help="If --out holds a dataset that was painted with other options, delete that dataset."
)
@click.option(
    "--train",
    type=Whole(0, MOST),
    default=SPLIT_SIZES["train"],
    show_default=True,
    help="How many frames the training split has.",
)
@click.option(
    "--val",
    type=Whole(0, MOST),
    default=SPLIT_SIZES["val"],
    show_default=True,
    help="How many frames the validation split has.",
)
@click.option(
    "--test",
    type=Whole(0, MOST),
    default=SPLIT_SIZES["test"],
    show_default=True,
    help="How many frames the test split has.",
)
@click.option(
    "--size",
    type=parse_size,
    metavar="HxW",
    help="Height and width of the frames. [default: the size of the real dataset, 1024x2048 for cityscapes and "
    "620x2026 for tas500]",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="The seed of all that is painted. Other seeds give other pictures.",
)
@click.option(
    "--workers",
    type=WORKERS,
    envvar="SEGDATA_WORKERS",
    help="How many frames are painted at the same time. [default: the number of processors]",
)
@click.option("--zip", "zips", is_flag=True, help="Write the zips that people download, instead of folders.")
@click.option(
    "--nested",
    is_flag=True,
    help="Cityscapes only: put every folder into one more folder, such as gtFine_trainvaltest/, as some unpackers do.",
)
@click.option(
    "--coarse",
    is_flag=True,
    help="Cityscapes only: paint also the coarse labels (gtCoarse, with the split train_extra).",
)
def synth(source: str, **options: Any) -> None:
    """Paint a small dataset in SOURCE's exact layout, so that everything runs without licensed data."""
    from segdata.engines import default_workers
    from segdata.synth import paint

    options["workers"] = options["workers"] or default_workers()
    out = options.pop("out")
    with ProgressBar("frames") as progress:
        summary = paint(source, out, progress=progress, **options)
    tell(f"{out}: {summary}")
