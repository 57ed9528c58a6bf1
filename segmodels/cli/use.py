"""`segmodels evaluate`, `predict` and `export`: put a trained network to use."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segdata.cli.command import Command
from segdata.cli.output import tell
from segmodels.cli.parameters import (
    ANY_PATH,
    computing,
    parse_levels,
    parse_size,
    progress_bar,
    shard_set,
    view_options,
    workers_option,
)
from segmodels.cli.scores import class_table, official_line, scores_line

if TYPE_CHECKING:
    from segdata.stores.url import Place
    from segmodels.spec import Size


@click.command(cls=Command)
@click.argument("run", type=ANY_PATH)
@click.option(
    "--shards", type=shard_set, required=True, help="Score on these shards of the run's taxonomy (a folder or a URL)."
)
@click.option(
    "--out",
    type=ANY_PATH,
    help="Also write metrics.json, classes.csv, images.csv and confusion.npy into this folder; of a network with "
    "several steps steps.npy too.",
)
@click.option("--split", default="val", show_default=True, help="Take the images of this split.")
@click.option(
    "--frames",
    metavar="FILE",
    help="Score only the frames of the split that this file lists, one a line, by key or file name, as in a list of "
    "`segdata prepare --split-list`. [default: all frames of the split]",
)
@view_options
@click.option(
    "--q",
    metavar="Q|Q,Q,…|FILE",
    help="Set q of `percentile`: one number, one for each class, or a file of `segmodels calibrate`.",
)
@click.option("--official", is_flag=True, help="Run cityscapesScripts' own evaluator as well.")
@click.option(
    "--ground-truth",
    "truth",
    type=ANY_PATH,
    metavar="ROOT",
    show_default="rebuilt from the shards, without instances",
    help="Give --official the ground truth of this folder, which holds gtFine.",
)
@click.option(
    "--submission",
    type=ANY_PATH,
    metavar="DIR",
    help="Write the files that the benchmark of Cityscapes takes into this folder.",
)
@workers_option
def evaluate(
    run: Path,
    shards: Place,
    out: Path | None,
    split: str,
    frames: str | None,
    flip: bool,
    scales: tuple[float, ...],
    window: Size | None,
    device: str,
    threads: int | None,
    q: str | None,
    official: bool,
    truth: Path | None,
    submission: Path | None,
    workers: int,
) -> None:
    """Score the network of RUN (a folder of `train`, or a weights file) on a split of SHARDS.

    It prints a table of the classes and the most important scores. --out also writes all scores, to files. The
    interval (95 %) says how far the score is known on other images of this kind. Frames of one clip count together.
    There is no interval for fewer than 50 images, or for clips that count as fewer than 8.
    Nothing of this changes RUN. The scores do not depend on --workers. On another processor, GPU or number of CPU
    threads single pixels may be taken for other classes, where two are as likely.
    """
    from segdata import ShardSet
    from segdata.reading.listed import listed
    from segmodels.compute.device import choose_device
    from segmodels.inference.trained import choose_views, load_trained
    from segmodels.knobs.quantiles import with_q
    from segmodels.scoring.evaluate import Benchmark
    from segmodels.scoring.evaluate import evaluate as score

    if truth and not official:
        raise click.UsageError("--ground-truth is for --official")
    if frames and submission:
        raise click.UsageError("--submission takes all frames of the split, --frames some of them: give one of both")
    chosen = choose_device(device)
    with computing(chosen, threads):
        segmenter = with_q(load_trained(run, chosen), q)
        split_shards = ShardSet(shards, split)
        chosen_frames = listed(split_shards, frames) if frames else None
        count = len(chosen_frames.places) if chosen_frames else len(split_shards)
        views = choose_views(segmenter, flip=flip, scales=scales, window=window)
        benchmark = Benchmark(official, truth, submission)
        sheet = score(
            segmenter,
            split_shards,
            out,
            views,
            benchmark,
            frames=chosen_frames,
            workers=workers,
            progress=progress_bar(count),
        )
    if sheet:
        files = "; all scores in metrics.json, classes.csv, images.csv and confusion.npy" if out else ""
        tell(*class_table(sheet.classes), f"{out or run}: {scores_line(sheet.document)}{files}")
    if sheet and official:
        tell(official_line(sheet.document["official"]) + ("; all it says in official.json" if out else ""))
    if submission:
        tell(f"{submission}: {len(split_shards)} files for the benchmark")


@click.command(cls=Command)
@click.argument("run", type=ANY_PATH)
@click.argument("images", type=ANY_PATH, nargs=-1, required=True)
@click.option("--out", type=ANY_PATH, required=True, help="Write the pictures into this folder.")
@click.option("--stages", is_flag=True, help="Also draw every stage, or every iteration, on the way to the answer.")
@view_options
@click.option(
    "--q",
    metavar="Q|Q,Q,…|FILE",
    help="Set q of `percentile`: one number, one for each class, or a file of `segmodels calibrate`.",
)
@click.option(
    "--range",
    "levels",
    metavar="HIGH|LOW:HIGH",
    callback=parse_levels,
    show_default="0:65535",
    help="Of images with 16 bits a channel, take these values as black and white: 4095 for 12 bits.",
)
def predict(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    stages: bool,
    flip: bool,
    scales: tuple[float, ...],
    window: Size | None,
    device: str,
    threads: int | None,
    q: str | None,
    levels: tuple[int, int] | None,
) -> None:
    """Segment IMAGES, files or whole folders, of any size with the network of RUN.

    Of each: labels in the dataset's own ids, their colours, these over the image, and the confidence. A photo whose
    camera noted that it lies on its side is turned upright first, and so are the pictures of it.

    Links to folders are followed. Pictures of an earlier `predict` and files that systems leave in folders are left
    out. An image that cannot be read does not stop the others: it is named at the end, and the exit status is 1.
    Very large images need --window, which takes less than 1.5 GB for 100 megapixels; without it the network takes
    memory for the whole image at once, and an image for which there is not enough is refused.
    """
    from segmodels.compute.device import choose_device
    from segmodels.errors import SegmodelsError
    from segmodels.inference.find import find_images
    from segmodels.inference.predict import predict as draw
    from segmodels.inference.trained import choose_views, load_trained
    from segmodels.knobs.quantiles import with_q

    chosen = choose_device(device)
    with computing(chosen, threads):
        segmenter = with_q(load_trained(run, chosen), q)
        views = choose_views(segmenter, flip=flip, scales=scales, window=window)
        found = find_images(images, out)
        tell(*found.left_out(), err=True)
        failed = found.refused + draw(
            segmenter,
            found.images,
            out,
            views,
            stages=stages,
            levels=levels,
            progress=progress_bar(len(found.images)),
            say=partial(tell, err=True),
        )
    written = len(found.images) - (len(failed) - len(found.refused))
    kinds = "_labels, _color, _overlay and _confidence.png" + (", and every stage" if stages else "")
    if written:
        tell(f"{out}: {written} images as {kinds}")
    if len(failed) > 1:
        tell(*failed, err=True)
        raise SegmodelsError(f"{len(failed)} files or folders could not be predicted. They are named above")
    if failed:
        raise SegmodelsError(failed[0])


@click.command(cls=Command)
@click.argument("run", type=ANY_PATH)
@click.option("--out", type=ANY_PATH, required=True, help="Write this file: FILE.pt2 (torch.export) or FILE.onnx.")
@click.option(
    "--size",
    metavar="HxW",
    callback=parse_size,
    show_default="the size that the network was built for: --crop of its training, or the images' own",
    help="Export for images of this size. The size is printed.",
)
def export(run: Path, out: Path, size: Size | None) -> None:
    """Write the network of RUN as one file that needs no segmodels, and check that it computes the same."""
    import torch

    from segmodels.inference.export import describe, size_of
    from segmodels.inference.export import export as write
    from segmodels.inference.trained import load_trained

    segmenter = load_trained(run, torch.device("cpu"))
    height, width = size_of(segmenter, size)
    parity = write(segmenter, out, size)
    tell(f"{out}: {describe(parity)}; for images of {height}x{width}")
