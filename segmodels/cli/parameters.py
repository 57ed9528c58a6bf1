"""What several commands share: how values are parsed and shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segdata.base.numbers import MOST_WORKERS, distinct, number, numbers, parts, whole
from segdata.cli.output import ProgressBar, tell
from segdata.cli.parameters import Whole
from segdata.cli.parameters import parse_size as one_size
from segdata.stores.url import Place, place

if TYPE_CHECKING:
    import torch

    from segmodels.spec import Size

T = TypeVar("T")

ANY_PATH = click.Path(path_type=Path)
workers_option = click.option(
    "--workers", type=Whole(0, MOST_WORKERS), default=2, show_default=True, help="Read ahead with this many threads."
)


def shard_set(text: str) -> Place:
    """A shard folder, or a URL: s3://bucket/set, https://host/set."""
    return place(text)


def parse_size(ctx: click.Context, param: click.Parameter, text: str | None) -> Size | None:
    """`256x512`: height, then width."""
    if text is None:
        return None
    return one_size(text)


def parse_assignments(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """`name=value`, any number of times: options that each network declares itself."""
    pairs = [text.partition("=") for text in texts]
    for name, equals, value in pairs:
        if not (name and equals):
            raise click.BadParameter(f"{name + value!r} is not name=value, as in width=16")
    found: dict[str, str] = {}
    for name, _, value in pairs:
        if name in found:
            raise click.BadParameter(f"{name} is given twice: {found[name]}, then {value}. Give it once.")
        found[name] = value
    return found


def parse_numbers(ctx: click.Context, param: click.Parameter, text: str) -> tuple[float, ...]:
    """`0.75,1,1.25`."""
    try:
        numbers(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}. Expected a list of numbers, as 0.75,1,1.25") from None
    return parse_list(text, number)


def parse_list(text: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """The values between commas, at least one; one that stands there twice would count, or be measured, twice."""
    if not text:
        raise click.BadParameter("nothing, expected a value, or several by commas.")
    try:
        return distinct(parts(text), read)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}.") from None


network_options = click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    callback=parse_assignments,
    multiple=True,
    help="Set an option of the network. This option may be repeated.",
)


device_option = click.option(
    "--device", default="auto", show_default=True, help="Compute on this device: auto, cpu, cuda or cuda:N."
)


threads_option = click.option(
    "--threads",
    type=Whole(1, MOST_WORKERS),
    metavar="N",
    show_default="the processors that this process may use",
    help="Compute with N threads of the CPU.",
)


@contextmanager
def computing(device: torch.device, threads: int | None, *, fast: bool = False) -> Iterator[None]:
    """Inside: the arithmetic, and so many threads of the CPU, or the default number. It is told in the end."""
    from segmodels.compute.device import arithmetic, default_threads
    from segmodels.compute.device import threads as computing_on

    count = threads or default_threads()
    with arithmetic(fast=fast), computing_on(count):
        yield
    if device.type == "cpu":
        tell(f"CPU threads: {count}", err=True)


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
        device_option,
        threads_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def progress_bar(total: int) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A bar on a terminal, plain lines elsewhere."""

    def shown(items: Iterable[Any]) -> Iterator[Any]:
        with ProgressBar("images") as update:
            for done, item in enumerate(items, start=1):
                yield item
                update(done, total)

    return shown


def parse_levels(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """`4095`, or `64:4095`: the values of a deep image that become black and white."""
    if text is None:
        return None
    low, colon, high = text.rpartition(":")
    try:
        levels = whole(low) if colon else 0, whole(high)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}. Expected HIGH or LOW:HIGH, as 4095 or 64:4095") from None
    if not 0 <= levels[0] < levels[1] <= 65535:
        raise click.BadParameter(f"{text!r}, expected LOW below HIGH, both from 0 to 65535, as 4095 or 64:4095")
    return levels


def share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
