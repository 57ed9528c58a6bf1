"""The command `segmodels`: every command parses, calls one function and prints.

torch is imported inside the commands, so that `--help` is instant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segdata.errors import SegdataError
from segmodels.errors import SegmodelsError
from segmodels.networks import names, spec
from segmodels.options import TRAIN_OPTIONS, Read

if TYPE_CHECKING:
    from segmodels.spec import Geometry, Size

ANY_PATH = click.Path(path_type=Path)


def main() -> None:
    """The console script, and the one place where an error becomes a line and exit status 1."""
    try:
        cli()
    except (SegmodelsError, SegdataError) as error:
        click.echo(f"segmodels: {error}", err=True)
        sys.exit(1)


def parse_size(ctx: click.Context, param: click.Parameter, text: str | None) -> Size | None:
    """`256x512`: height, then width."""
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise click.BadParameter(f"{text!r} is not HxW, as in 256x512")
    return int(height), int(width)


def parse_assignments(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """`name=value`, any number of times: options that each network declares itself."""
    pairs = [text.partition("=") for text in texts]
    for name, equals, value in pairs:
        if not (name and equals):
            raise click.BadParameter(f"{name + value!r} is not name=value, as in width=16")
    return {name: value for name, _, value in pairs}


def parse_numbers(ctx: click.Context, param: click.Parameter, text: str) -> tuple[float, ...]:
    """`0.75,1,1.25`."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers, as 0.75,1,1.25") from None


network_options = click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    callback=parse_assignments,
    multiple=True,
    help="An option of the network; may be repeated.",
)


def view_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that shows images to a trained network."""
    options = (
        click.option("--flip", is_flag=True, help="Average with the mirrored image."),
        click.option(
            "--scales",
            metavar="S,S,…",
            callback=parse_numbers,
            default="1",
            show_default=True,
            help="Average over the image at these scales.",
        ),
        click.option("--window", metavar="HxW", callback=parse_size, help="Slide a window of this size over it."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="segdata")
def cli() -> None:
    """Train, evaluate and run segmentation networks from the shards that segdata writes."""


@cli.command("list")
def list_networks() -> None:
    """Name every network: parameters, GMAC, stride and size at its source's own setting."""
    from segmodels.summary import summarize

    line = "{:<22} {:<26} {:>11} {:>8} {:>6}  {:<16} {}"
    header = ("name", "family", "parameters", "GMAC", "stride", "at", "sizes")
    click.echo(line.format(*header))
    for name in names():
        declared = spec(name)
        classes, size = declared.example
        network = summarize(declared, classes, size, {})[0]
        geometry = declared.geometry({})
        click.echo(
            line.format(
                name,
                declared.family,
                f"{network.parameters:,}",
                f"{network.macs / 1e9:.2f}",
                geometry.stride,
                f"{size[0]}x{size[1]}, {classes}",
                _sizes(geometry),
            )
        )


@cli.command()
@click.argument("name")
@click.option("--classes", type=int, required=True, help="Number of target classes.")
@click.option("--size", metavar="HxW", callback=parse_size, required=True, help="Height and width of images.")
@network_options
@click.option("--depth", type=click.IntRange(0), default=2, show_default=True, help="Levels of modules shown.")
def summary(name: str, classes: int, size: Size, options: dict[str, str], depth: int) -> None:
    """Show what a network is made of, layer by layer, and the options that it takes.

    Parameters and multiply-accumulates of a layer include what is inside it.
    """
    from segmodels.summary import summarize

    declared = spec(name)
    chosen = declared.parse(options)
    layers = summarize(declared, classes, size, chosen)
    line = "{:<44} {:>5}  {:<32} {:>11} {:>16}"
    click.echo(line.format("layer", "calls", "output", "parameters", "MAC"))
    for path, kind, calls, shapes, parameters, macs in layers:
        level = path.count(".") + 1 if path else 0
        if level <= depth:
            title = "  " * level + f"{path or name} ({kind})"
            output = " ".join("x".join(map(str, shape)) for shape in shapes)
            click.echo(line.format(title, calls, output, f"{parameters:,}", f"{macs:,}"))
    click.echo(f"\n{declared.citation}\n{declared.source}\n")
    for key, option in declared.options.items():
        click.echo(f"--option {key}={_text(chosen[key])}  {option.help} ({option.expected})")


def _reader(read: Read) -> Callable[[click.Context, click.Parameter, str | None], object]:
    def callback(ctx: click.Context, param: click.Parameter, text: str | None) -> object:
        try:
            return None if text is None else read(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

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


@cli.command()
@click.argument("network")
@click.option("--shards", type=ANY_PATH, required=True, help="What `segdata prepare` wrote.")
@click.option("--out", type=ANY_PATH, metavar="RUN", required=True, help="The run's folder.")
@click.option("--recipe", default="default", show_default=True, help="default, or published: the network's own.")
@network_options
@train_options
def train(network: str, recipe: str, options: dict[str, str], **given: Any) -> None:
    """Train a network from shards into a run folder.

    The same command again continues a killed run, and does nothing on a finished one. Values in brackets are
    the recipe `default`; an option overrides its recipe. Started by torchrun, all its processes share the work.
    """
    from segmodels.config import make_config
    from segmodels.progress import Console
    from segmodels.train import train as run_training

    chosen = tuple(sorted(spec(network).parse(options).items()))
    outcome = run_training(make_config(network, recipe, given | {"options": chosen}), show=Console())
    if outcome.metrics:  # torchrun's other processes have none
        click.echo(f"{outcome.run.weights}: miou {_share(outcome.metrics['miou'])} on val")


@cli.command()
@click.argument("run", type=ANY_PATH)
@click.option("--shards", type=ANY_PATH, help="Where the shards are now, if not where they were.")
@click.option("--steps", type=click.IntRange(1), default=8, show_default=True, help="Steps that are trained again.")
@click.option("--workers", type=click.IntRange(0), default=2, show_default=True, help="Threads that read ahead.")
def verify(run: Path, shards: Path | None, steps: int, workers: int) -> None:
    """Check a finished run: train its first steps again, score its weights again, compare every bit.

    Names what differs: a shard, an option, a package's version. Exit status 1 if anything is not as it was.
    """
    from segmodels.progress import Console
    from segmodels.verify import verify as check

    report = check(run, shards, steps, workers=workers, show=Console())
    for line in (*report.notes, *report.wrong):
        click.echo(line)
    click.echo(f"{run}: {'NOT reproduced' if report.wrong else 'reproduced'}")
    if report.wrong:
        sys.exit(1)


@cli.command()
@click.argument("run", type=ANY_PATH)
@click.option("--shards", type=ANY_PATH, required=True, help="A shard folder of the run's taxonomy.")
@click.option("--out", type=ANY_PATH, help="Folder for metrics.json, classes.csv, images.csv and confusion.npy.")
@click.option("--split", default="val", show_default=True)
@view_options
@click.option("--official", is_flag=True, help="Run cityscapesScripts' own evaluator as well.")
@click.option(
    "--ground-truth",
    "truth",
    type=ANY_PATH,
    metavar="ROOT",
    help="For --official: the folder that holds gtFine. [default: rebuilt from the shards, without instances]",
)
@click.option("--submission", type=ANY_PATH, metavar="DIR", help="Write the files that Cityscapes' benchmark takes.")
@click.option("--workers", type=click.IntRange(0), default=2, show_default=True, help="Threads that read ahead.")
def evaluate(
    run: Path,
    shards: Path,
    out: Path | None,
    split: str,
    flip: bool,
    scales: tuple[float, ...],
    window: Size | None,
    device: str,
    official: bool,
    truth: Path | None,
    submission: Path | None,
    workers: int,
) -> None:
    """Score the network of RUN (a folder of `train`, or a weights file) on a split of SHARDS.

    Nothing of this changes RUN. The scores do not depend on --workers.
    """
    from segdata import ShardSet
    from segmodels.device import arithmetic, choose_device
    from segmodels.evaluate import Benchmark
    from segmodels.evaluate import evaluate as score
    from segmodels.trained import choose_views, load_trained

    if truth and not official:
        raise click.UsageError("--ground-truth is for --official")
    chosen = choose_device(device)
    with arithmetic(fast=False):
        segmenter = load_trained(run, chosen)
        split_shards = ShardSet(shards, split)
        views = choose_views(segmenter, flip=flip, scales=scales, window=window)
        benchmark = Benchmark(official, truth, submission)
        found = score(
            segmenter,
            split_shards,
            out,
            views,
            benchmark,
            workers=workers,
            progress=_progress(len(split_shards)),
        )
    if found:
        low, high = found["interval"]["miou"]["low"], found["interval"]["miou"]["high"]
        click.echo(
            f"{out}: miou {_share(found['miou'])} ({_share(low)} to {_share(high)}), "
            f"pixel accuracy {_share(found['pixel_accuracy'])} on {found['images']} images of {split}; "
            "all scores in metrics.json, classes.csv, images.csv and confusion.npy"
        )
    if found and official:
        averages = found["official"]
        difference = averages["largest_difference"]  # none where it is not a number: a class that only one side has
        click.echo(
            f"cityscapesScripts: classes {_share(averages['averageScoreClasses'])}, categories "
            f"{_share(averages['averageScoreCategories'])}; largest difference of a class to ours: {difference}; "
            "all it says in official.json"
        )
    if submission:
        click.echo(f"{submission}: {len(split_shards)} files for the benchmark")


@cli.command()
@click.argument("run", type=ANY_PATH)
@click.argument("images", type=ANY_PATH, nargs=-1, required=True)
@click.option("--out", type=ANY_PATH, required=True, help="Folder for the pictures.")
@click.option("--stages", is_flag=True, help="Also draw every stage, or refinement step, on the way to the answer.")
@view_options
def predict(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    stages: bool,
    flip: bool,
    scales: tuple[float, ...],
    window: Size | None,
    device: str,
) -> None:
    """Segment IMAGES, files or folders, of any size with the network of RUN.

    Of each: labels in the dataset's own ids, their colours, these over the image, and the confidence.
    """
    from segmodels.device import arithmetic, choose_device
    from segmodels.predict import find_images
    from segmodels.predict import predict as draw
    from segmodels.trained import choose_views, load_trained

    chosen = choose_device(device)
    with arithmetic(fast=False):
        segmenter = load_trained(run, chosen)
        views = choose_views(segmenter, flip=flip, scales=scales, window=window)
        found = find_images(images)
        draw(segmenter, found, out, views, stages=stages, progress=_progress(len(found)))
    kinds = "_labels, _color, _overlay and _confidence.png" + (", and every stage" if stages else "")
    click.echo(f"{out}: {len(found)} images as {kinds}")


@cli.command()
@click.argument("run", type=ANY_PATH)
@click.option("--out", type=ANY_PATH, required=True, help="FILE.pt2 (torch.export) or FILE.onnx.")
@click.option("--size", metavar="HxW", callback=parse_size, help="The images' size. [default: that of training]")
def export(run: Path, out: Path, size: Size | None) -> None:
    """Write the network of RUN as one file that needs no segmodels, and check that it computes the same."""
    import torch

    from segmodels.export import describe
    from segmodels.export import export as write
    from segmodels.trained import load_trained

    parity = write(load_trained(run, torch.device("cpu")), out, size)
    click.echo(f"{out}: {describe(parity)}")


def _progress(total: int) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A bar on a terminal."""
    from tqdm import tqdm

    return partial(tqdm, total=total, unit="image", disable=None)


def _share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _sizes(geometry: Geometry) -> str:
    if geometry.fixed_size:
        return f"multiples of {geometry.size_multiple}, fixed at build"
    return geometry.constraint.removeprefix("H and W must be ") or "any"


def _text(value: object) -> str:
    """An option's value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    main()
