"""`segmodels bench`: what networks cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segdata.base.files import resolved
from segdata.base.numbers import distinct
from segdata.base.numbers import size as one_size
from segdata.cli.command import Command
from segdata.cli.output import tell
from segdata.cli.parameters import COUNT, Number, Whole
from segmodels.cli.parameters import ANY_PATH, device_option, network_options, parse_list, threads_option
from segmodels.errors import SegmodelsError
from segmodels.networks import names
from segmodels.plugins import is_reference
from segmodels.spec import MOST_CLASSES

if TYPE_CHECKING:
    from segmodels.bench.case import Subject
    from segmodels.spec import Size

SECONDS = Number(0, 86400, "seconds")
SMALL = (128, 256)  # the size of --all: the smallest that every network takes at 1 : 2
OF_SWEEP = {"--sweep", "--values", "--shards", "--split", "--every", "--forwards", "--workers", "--out"}


class Bench(Command):
    """`bench` was two commands once: who types the other one is told its name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in OF_SWEEP:
                raise
            new = "segmodels sweep RUN --knob q --shards SHARDS --out DIR"
            raise click.UsageError(f"{error.option_name} belongs to another command: {new}") from None


def _sizes(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[Size, ...]:
    return parse_list(text, one_size) if text else ()


def _words(ctx: click.Context, param: click.Parameter, text: str) -> tuple[str, ...]:
    return parse_list(text, str)


def _targets(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Names, or runs, which are the same wherever a path to them begins and whether their weights are named."""
    try:
        distinct(texts, lambda text: text if _is_network(text) else str(weights_of(Path(text))))
    except ValueError as error:
        raise click.BadParameter(f"{' '.join(texts)!r} {error}.") from None
    return texts


def _is_network(text: str) -> bool:
    """Whether it names a network, and no path: of ours, or a reference."""
    return text in names() or (is_reference(text) and not Path(text).exists())


def weights_of(run: Path) -> Path:
    """Where the weights of a run lie, or of a weights file, however the path to it is spelt."""
    from segmodels.runs.run import Run

    return resolved(Run(run).weights if run.is_dir() else run)


@click.command(cls=Bench)
@click.argument("targets", nargs=-1, callback=_targets, metavar="[NETWORK|RUN]...")
@click.option("--all", is_flag=True, help="Measure every network of `segmodels list`.")
@click.option(
    "--classes",
    type=Whole(2, MOST_CLASSES),
    metavar="N",
    show_default="as many as the network's source has",
    help="Build networks by name for N classes.",
)
@click.option(
    "--size",
    metavar="HxW,…",
    callback=_sizes,
    show_default="that of the network's source; with --all 128x256",
    help="Measure at these heights and widths of the image.",
)
@network_options
@click.option(
    "--precision",
    metavar="fp32,bf16",
    callback=_words,
    default="fp32",
    show_default=True,
    help="Compute in float32, or in bfloat16 where autocast allows it.",
)
@click.option(
    "--layout",
    metavar="contiguous,channels_last",
    callback=_words,
    default="contiguous",
    show_default=True,
    help="Keep tensors in this memory layout.",
)
@click.option(
    "--arithmetic",
    metavar="reproducible,fast",
    callback=_words,
    default="reproducible",
    show_default=True,
    help="Use deterministic kernels, or allow TF32 and kernels chosen by timing.",
)
@click.option(
    "--compile",
    metavar="no,yes",
    callback=_words,
    default="no",
    show_default=True,
    help="Compile the network with torch.compile first.",
)
@device_option
@threads_option
@click.option("--seconds", type=SECONDS, default=1.0, show_default=True, help="Measure each figure for this long.")
@click.option(
    "--rounds",
    type=COUNT,
    default=1,
    show_default=True,
    help="Measure the latency this many times; in each round every setting has its turn.",
)
@click.option(
    "--largest-batch", type=COUNT, default=256, show_default=True, help="Try no batch that is larger than this."
)
@click.option("--json", type=ANY_PATH, metavar="FILE", help="Write the rows to this file as JSON.")
@click.option("--csv", type=ANY_PATH, metavar="FILE", help="Write the rows to this file as CSV.")
def bench(
    targets: tuple[str, ...],
    all: bool,  # noqa: A002  # as the option is called
    classes: int | None,
    size: tuple[Size, ...],
    options: dict[str, str],
    precision: tuple[str, ...],
    layout: tuple[str, ...],
    arithmetic: tuple[str, ...],
    compile: tuple[str, ...],  # noqa: A002
    device: str,
    threads: int | None,
    seconds: float,
    rounds: int,
    largest_batch: int,
    json: Path | None,
    csv: Path | None,
) -> None:
    """Measure networks, by name or as trained in a RUN: latency at batch 1, throughput at the best batch, memory.

    Every figure is taken in a process of its own, on noise, from normalised images on the device to logits. Where an
    option takes a list by commas, there is a row for each combination. What the knob of a trained network trades on
    real images is measured by `segmodels sweep`.
    """
    from segmodels.bench.case import cases, settings
    from segmodels.bench.report import CSV, HEADER, JSON, line, write_csv, write_json
    from segmodels.bench.rows import Plan
    from segmodels.bench.rows import bench as measure
    from segmodels.compute.device import choose_device, default_threads
    from segmodels.runs.results import check_file

    axes = {"precision": precision, "layout": layout, "arithmetic": arithmetic, "compile": compile}
    chosen = settings(axes, str(choose_device(device)), threads or default_threads())
    subjects = _subjects(targets, all, classes, options)
    groups = [cases(each, size or [SMALL if all else each.size], chosen) for each in subjects]
    if json and json == csv:
        raise SegmodelsError("--json and --csv are two files: give each its own name")
    for option, path, kind in (("--json", json, JSON), ("--csv", csv, CSV)):
        if path:
            check_file(option, path, kind)
    plan, rows = Plan(seconds, rounds, largest_batch), []
    tell(HEADER)
    for group in groups:
        for row in measure(group, plan):
            tell(line(row))
            rows.append(row)
    if count := rows[0].environment["device"].get("threads"):
        tell(f"CPU threads: {count}", err=True)
    if rows[0].no_energy:
        tell(f"energy: not measured, {rows[0].no_energy}")
    if json:
        write_json(json, rows, plan)
    if csv:
        write_csv(csv, rows)


def _subjects(targets: Sequence[str], everything: bool, classes: int | None, options: dict[str, str]) -> list[Subject]:
    """The networks that are meant. Raises SegmodelsError."""
    from segmodels.bench.case import named, trained

    if bool(targets) == everything:
        raise SegmodelsError("bench what? Name networks or runs, or give --all and name none")
    if everything and options:
        raise SegmodelsError("--all takes no --option: networks have different ones")
    runs = [target for target in targets if not _is_network(target) and Path(target).exists()]
    if runs and (classes or options):
        raise SegmodelsError(f"--classes and --option are for networks by name: {runs[0]} has its own")
    return [
        trained(Path(target)) if target in runs else named(target, classes, options)
        for target in (names() if everything else targets)
    ]
