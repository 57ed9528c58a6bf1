"""`segdata prepare` and `segdata synth`: where shard folders come from."""

from pathlib import Path
from typing import Any

import click

from segdata.base.files import resolved
from segdata.base.numbers import MOST
from segdata.base.ownership import check_file
from segdata.cli.command import Command
from segdata.cli.output import SARIF, report_findings, say
from segdata.cli.parameters import ANY_PATH, COUNT, SEED, WORKERS, Number, Whole, parse_size
from segdata.cli.progress import Progress
from segdata.errors import OptionError
from segdata.stores.url import Url, place

SPLIT_SIZES = {"train": 8, "val": 4, "test": 2}  # of painted data


@click.command(cls=Command)
@click.argument("source")
@click.option("--root", required=True, type=place, help="The dataset as downloaded: a folder, its zips, or a URL.")
@click.option(
    "--out", required=True, type=place, help="The shard folder, or s3://…: new, empty, or the same set from before."
)
@click.option("--taxonomy", help="A name from `segdata list`, or a YAML file. [default: the source's]")
@click.option("--name", help="Name of the set, the first part of every shard's name. [default: the taxonomy's]")
@click.option("--split", "splits", multiple=True, help="May be repeated. [default: all that are labelled]")
@click.option(
    "--scale",
    "scales",
    multiple=True,
    type=click.Choice(["1", "2", "4", "8"]),
    default=["1"],
    help="Make targets with 1/S of the height and the width. May be repeated. [default: 1]",
)
@click.option(
    "--rule",
    type=click.Choice(["majority", "stride", "coverage"]),
    default="majority",
    show_default=True,
    help="How a target follows from the labels: the class with most pixels of a cell, its first pixel, or all counts.",
)
@click.option("--size", type=parse_size, metavar="HxW", help="Resize images and labels: height, then width.")
@click.option(
    "--turn",
    is_flag=True,
    help="Allow a --size that is higher than wide for frames that are wider than high, or the reverse.",
)
@click.option(
    "--pad", "fit", flag_value="pad", default="", help="Pad to a multiple of the largest scale (image 0, label 255)."
)
@click.option("--crop", "fit", flag_value="crop", help="Crop to a multiple of the largest scale (bottom, right).")
@click.option(
    "--image-codec",
    type=click.Choice(["keep", "png", "jpeg", "webp"]),
    help="`keep` passes the file's bytes through. [default: keep, png where the size changes]",
)
@click.option("--jpeg-quality", type=Whole(1, 100), help="Of --image-codec jpeg. [default: 95]")
@click.option("--samples-per-shard", type=COUNT, default=64, show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the permutation that fills the shards.")
@click.option("--coarse", is_flag=True, help="Cityscapes: gtCoarse with train_extra instead of gtFine.")
@click.option(
    "--workers",
    type=WORKERS,
    envvar="SEGDATA_WORKERS",
    help="Shards that are made at once. [default: all processors of the machine, or of the cluster]",
)
@click.option(
    "--engine",
    type=click.Choice(["serial", "local", "ray"]),
    envvar="SEGDATA_ENGINE",
    default="local",
    show_default=True,
    help="This process, processes of this machine, or a Ray cluster.",
)
@click.option(
    "--address", metavar="HOST:PORT", help="Of a Ray cluster that runs, or auto. [default: RAY_ADDRESS, else a new one]"
)
@click.option(
    "--timeout",
    type=Number(0, MOST, "seconds", above=True),
    metavar="SECONDS",
    envvar="SEGDATA_TIMEOUT",
    help="What a shard may take before another worker gets it. [default: 30 for each of its samples]",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Allow --out to hold another set (other classes, options, source, frames): it is deleted.",
)
@click.option(
    "--work-dir", type=ANY_PATH, help="Unfinished work gets a folder of its own in here. [default: beside --out]"
)
@click.option(
    "--for", "readers", multiple=True, type=click.Choice(["energon"]), help="Add the files that this loader insists on."
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "quarantine"]),
    default="fail",
    show_default=True,
    help="What an error in a file does: stop all, or leave its sample out (never a whole split).",
)
@click.option("--full-check", is_flag=True, help="Decode every image, even one that passes through.")
@click.option("--sarif", type=ANY_PATH, help="Write the findings to this file as SARIF 2.1.0 as well.")
def prepare(source: str, coarse: bool, sarif: Path | None, **options: Any) -> None:
    """Convert SOURCE (see `segdata list`) to a shard folder, here or in a store."""
    from segdata.findings import FindingsError
    from segdata.making.interop import path_note
    from segdata.making.job import make_job
    from segdata.making.prepare import prepare as run

    out, keep = options["out"], bool(options["work_dir"])
    if isinstance(out, Url):
        from segdata.publishing.upload import prepare_to, stage

        options |= {"out": stage(out, options["work_dir"]) / "set", "work_dir": None}
    check_file("--sarif", sarif, SARIF)
    if sarif and isinstance(out, Path) and resolved(sarif).is_relative_to(resolved(out)):
        raise click.UsageError(f"--sarif {sarif} lies in --out, in which only the set does.")
    if isinstance(out, Path) and (note := path_note(resolved(out))):
        say(note)
    scales = tuple(map(int, options.pop("scales")))
    try:
        job = make_job(f"{source}-coarse" if coarse else source, scales=scales, **options)
    except OptionError as error:
        raise click.UsageError(str(error)) from None
    try:
        with Progress("samples") as progress, Progress("files") as sending:
            if isinstance(out, Url):
                published = prepare_to(out, job, progress, sending, say, keep=keep)
                result, change = published[0], published[1].change
            else:
                result = run(job, progress, say)
                change = result.change
    except FindingsError as error:
        report_findings(error.findings, sarif)
        raise
    report_findings(result.findings, sarif)
    for split, origin in result.origins.items():
        click.echo(f"{split}: {origin}", err=True)
    samples = ", ".join(f"{split} {count}" for split, count in result.samples.items())
    reused = f" ({result.reused} stood already)" if result.reused else ""
    state = "" if result.changed else ", unchanged"
    state = f"; changed: {change}" if change else state
    left = f", {result.left_out} left out (listed in dataset.json)" if result.left_out else ""
    click.echo(f"{out}: {samples} samples in {result.shards} shards{reused}{left}{state}")


@click.command(cls=Command)
@click.argument("source", type=click.Choice(["cityscapes", "tas500"]))
@click.option(
    "--out", required=True, type=ANY_PATH, help="A folder that is new, empty, or painted by this command before."
)
@click.option("--replace", is_flag=True, help="Allow --out to hold a painting with other options: it is deleted.")
@click.option("--train", type=Whole(0, MOST), default=SPLIT_SIZES["train"], show_default=True)
@click.option("--val", type=Whole(0, MOST), default=SPLIT_SIZES["val"], show_default=True)
@click.option("--test", type=Whole(0, MOST), default=SPLIT_SIZES["test"], show_default=True)
@click.option("--size", type=parse_size, metavar="HxW", help="[default: the real size, 1024x2048 or 620x2026]")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--workers", type=WORKERS, envvar="SEGDATA_WORKERS", help="[default: all processors]")
@click.option("--zip", "zips", is_flag=True, help="As the zips that people download.")
@click.option("--nested", is_flag=True, help="Cityscapes: with the extra *_trainvaltest/ level.")
@click.option("--coarse", is_flag=True, help="Cityscapes: gtCoarse and train_extra besides.")
def synth(source: str, **options: Any) -> None:
    """Paint a small dataset in SOURCE's exact layout, so that everything runs without licensed data."""
    from segdata.engines import default_workers
    from segdata.synth import paint

    options["workers"] = options["workers"] or default_workers()
    out = options.pop("out")
    with Progress("frames") as progress:
        summary = paint(source, out, progress=progress, **options)
    click.echo(f"{out}: {summary}")
