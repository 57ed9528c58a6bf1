"""`segdata prepare`: a dataset to a shard folder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segdata.base.files import resolved
from segdata.base.numbers import MOST
from segdata.base.ownership import check_file
from segdata.cli.command import Command
from segdata.cli.output import SARIF, ProgressBar, findings_told, report_findings, sarif_option, say, tell
from segdata.cli.parameters import ANY_PATH, COUNT, SEED, WORKERS, Number, Whole, parse_size
from segdata.errors import OptionError
from segdata.stores.url import Url, place

if TYPE_CHECKING:
    from segdata.making.job import Job

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
DATASET = (  # which dataset, in which splits, as which classes, at which sizes: of `prepare` and of `check`
    click.option(
        "--root", required=True, type=place, help="Where the downloaded dataset is: a folder, a zip, a tar, or a URL."
    ),
    click.option(
        "--taxonomy",
        help="The target classes: a name that `segdata list` shows, or a YAML file. [default: the source's own "
        "taxonomy, for "
        "example cityscapes-20]",
    ),
    click.option(
        "--split",
        "splits",
        multiple=True,
        help="A split to convert. This option may be repeated. [default: the source's usual splits, as far as they are "
        "there; `segdata list` shows the names]",
    ),
    click.option(
        "--split-list",
        "split_lists",
        multiple=True,
        metavar="SPLIT=FILE",
        help="Make the splits from your own lists instead of the official splits, for example train=train.txt. FILE "
        "names one frame a line, from any official split, by its key or its file name. This option may be repeated, "
        "once for each split. Frames that no list names are left out. Instead of SPLIT=FILE, the name of a division "
        "that ships with segdata gives the lists of all its splits, for example by-drive of CamVid (`segdata list` "
        "shows the names). [default: the official splits]",
    ),
    click.option(
        "--split-share",
        "split_shares",
        multiple=True,
        metavar="SPLIT=NUMBER",
        help="Make the splits at random: SPLIT gets this share of the labelled frames of all official splits, for "
        "example train=0.8. This option may be repeated, once for each split; frames that no share needs are left "
        "out. Frames of one group (a drive, a clip) are never in two splits. With --split-list, the shares are of "
        "the frames that belong to no group of a listed frame. [default: the official splits]",
    ),
    click.option(
        "--fold",
        metavar="NUMBER/COUNT",
        help="Make the splits of one fold of a cross-validation, for example 2/5: the groups of frames are divided "
        "into COUNT folds, fold NUMBER is val and all others are train. Every labelled frame is in val of exactly "
        "one fold. [default: the official splits]",
    ),
    click.option(
        "--split-seed",
        type=SEED,
        help="The seed of the random order of the groups for --split-share and --fold. It does not change the order of "
        "samples in the shards, as --seed does. [default: 0]",
    ),
    click.option(
        "--scale",
        "scales",
        multiple=True,
        type=click.Choice(["1", "2", "4", "8"]),
        default=["1"],
        help="Make targets with 1/S of the height and of the width, S being this number. This option may be repeated. "
        "[default: 1]",
    ),
    click.option(
        "--size",
        type=parse_size,
        metavar="HxW",
        help="Resize images and labels to this height and width, for example 512x1024. [default: the size that they "
        "have]",
    ),
    click.option(
        "--turn",
        is_flag=True,
        help="Allow a --size that is upright although the frames are wider than high, or the reverse.",
    ),
    click.option(
        "--pad",
        "fit",
        flag_value="pad",
        default="",
        help="Make height and width multiples of the largest scale by adding pixels at the bottom and the right: "
        "black ones to images, ignored ones (255) to labels.",
    ),
    click.option(
        "--crop",
        "fit",
        flag_value="crop",
        help="Make height and width multiples of the largest scale by removing pixels at the bottom and the right.",
    ),
    click.option(
        "--coarse",
        is_flag=True,
        help="Cityscapes only: use the coarse labels (gtCoarse, with the split train_extra) instead of the fine ones.",
    ),
    click.option(
        "--labels",
        default="ids",
        show_default=True,
        metavar="NAME",
        help="What the labels are made of: the usual label files of the source (ids), or other ones that its source "
        "file names under other_annotations. Cityscapes has `polygons`: its files *_polygons.json, which are drawn "
        "as cityscapesScripts draws them.",
    ),
)


def dataset_options(command: Decorated) -> Decorated:
    """The options of DATASET, in their order."""
    for option in reversed(DATASET):
        command = option(command)
    return command


def job_of(source: str, coarse: bool, options: dict[str, Any]) -> "Job":
    """What the values of the options ask for. Raises UsageError for those that do not fit each other."""
    from segdata.making.job import make_job

    scales = tuple(map(int, options["scales"]))
    try:
        if coarse and source != "cityscapes":
            raise OptionError(f"--coarse is for cityscapes, this is {source}.")
        return make_job(f"{source}-coarse" if coarse else source, **{**options, "scales": scales})
    except OptionError as error:
        raise click.UsageError(str(error)) from None


@click.command(cls=Command)
@click.argument("source")
@dataset_options
@click.option(
    "--out",
    required=True,
    type=place,
    help="The folder or the URL (such as s3://bucket/set) of the shards. It must be new or empty, or hold an earlier "
    "version of the same set.",
)
@click.option(
    "--name",
    help="The name of the set. The name of every shard begins with it. [default: the taxonomy's name, for example "
    "cityscapes-20]",
)
@click.option(
    "--rule",
    type=click.Choice(["majority", "stride", "coverage"]),
    default="majority",
    show_default=True,
    help="How a cell of S by S label pixels becomes one pixel of a target. `majority` takes the class with most "
    "pixels, "
    "`stride` takes the top left pixel, `coverage` stores how many pixels each class has.",
)
@click.option(
    "--image-codec",
    type=click.Choice(["keep", "png", "jpeg", "webp"]),
    help="How images are stored. `keep` stores the bytes of the source files, where these are PNG, JPEG or WebP; `png` "
    "and `webp` lose nothing, `jpeg` does. "
    "[default: keep, or png where --size, --pad or --crop is given, or frames are TIFF, grey, RGBA or of 16 bits]",
)
@click.option(
    "--jpeg-quality", type=Whole(1, 100), help="The quality of --image-codec jpeg, from 1 to 100. [default: 95]"
)
@click.option(
    "--samples-per-shard", type=COUNT, default=64, show_default=True, help="How many samples a shard has at most."
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="The seed of the random order in which samples are distributed over the shards.",
)
@click.option(
    "--workers",
    type=WORKERS,
    envvar="SEGDATA_WORKERS",
    help="How many shards are made at the same time. [default: the number of processors of this machine, or of the "
    "Ray cluster]",
)
@click.option(
    "--engine",
    type=click.Choice(["serial", "local", "ray"]),
    envvar="SEGDATA_ENGINE",
    default="local",
    show_default=True,
    help="Where the work is done: in this process (serial), in several processes of this machine (local), or on a "
    "Ray cluster (ray).",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="The address of a running Ray cluster, or `auto` to find one. [default: the variable RAY_ADDRESS; where "
    "it is not set, a new cluster is started on this machine]",
)
@click.option(
    "--timeout",
    type=Number(0, MOST, "seconds", above=True),
    metavar="SECONDS",
    envvar="SEGDATA_TIMEOUT",
    help="How long a shard may take. After this time it is given to another worker. [default: 30 seconds for each "
    "sample of the shard]",
)
@click.option(
    "--replace",
    is_flag=True,
    help="If --out holds another set (of other classes, options, frames, or another source), delete that set.",
)
@click.option(
    "--work-dir",
    type=ANY_PATH,
    help="A folder for unfinished work, which gets a folder of its own in it. [default: the folder that holds --out]",
)
@click.option(
    "--for",
    "readers",
    multiple=True,
    type=click.Choice(["energon"]),
    help="Write also the files that this loader needs beside the shards. Other loaders need nothing more.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "quarantine"]),
    default="fail",
    show_default=True,
    help="What happens if a file has an error. `fail` makes no set; `quarantine` leaves the sample out, but never "
    "a whole split.",
)
@click.option(
    "--full-check",
    is_flag=True,
    help="Decode every image, also those whose bytes are only copied, to find damaged pixels.",
)
@sarif_option
def prepare(source: str, coarse: bool, sarif: Path | None, **options: Any) -> None:
    """Convert SOURCE to a shard folder, here or in a store.

    SOURCE is a dataset that `segdata list` shows, or your own source file (see `segdata init`).
    """
    from segdata.making.interop import path_note
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
    job = job_of(source, coarse, options)
    with findings_told(sarif), ProgressBar("samples") as progress, ProgressBar("files") as sending:
        if isinstance(out, Url):
            published = prepare_to(out, job, progress, sending, say, keep=keep)
            result, change, changed = published[0], published[1].change, published[1].changed
        else:
            result = run(job, progress, say)
            change, changed = result.change, result.changed
    report_findings(result.findings, sarif)
    for split, origin in result.origins.items():
        tell(f"{split}: {origin}", err=True)
    samples = ", ".join(f"{split} {count}" for split, count in result.samples.items())
    reused = f" ({result.reused} stood already)" if result.reused else ""
    state = "" if changed else ", unchanged"
    state = f"; changed: {change}" if change else state
    left = f", {result.left_out} left out (listed in dataset.json)" if result.left_out else ""
    tell(f"{out}: {samples} samples in {result.shards} shards{reused}{left}{state}")
