"""`segmodels list` and `segmodels summary`: what networks there are, and what they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from segdata.base.numbers import MOST
from segdata.cli.command import Command
from segdata.cli.output import tell
from segdata.cli.parameters import Whole
from segmodels.adapters import PREFIXES
from segmodels.cli.parameters import network_options, parse_size
from segmodels.networks import spec
from segmodels.plugins.reference import installed
from segmodels.spec import MOST_CLASSES

if TYPE_CHECKING:
    from segmodels.spec import Geometry, Size


@click.command("list", cls=Command)
def list_networks() -> None:
    """Name every network: parameters, GMAC, stride and size at its source's own setting."""
    from segmodels.bench.facts import every_network

    line = "{:<22} {:<26} {:>11} {:>8} {:>6}  {:<16} {}"
    header = ("name", "family", "parameters", "GMAC", "stride", "at", "sizes")
    tell(line.format(*header))
    for network in every_network():
        (height, width), geometry = network.size, network.geometry
        tell(
            line.format(
                network.name,
                network.family,
                f"{network.parameters:,}",
                f"{network.macs / 1e9:.2f}",
                geometry.stride,
                f"{height}x{width}, {network.classes}",
                _sizes(geometry),
            )
        )
    for name, points in installed().items():
        tell(f"{name}: of an installed package, {points[0].value}")
    libraries = ", ".join(f"{each}:…" for each in PREFIXES)
    tell(f"Others: FILE.py:NAME, package.module:NAME, and those of other libraries: {libraries} (docs/networks.md).")


@click.command(cls=Command)
@click.argument("name")
@click.option("--classes", type=Whole(1, MOST_CLASSES), required=True, help="Build the network for this many classes.")
@click.option(
    "--size", metavar="HxW", callback=parse_size, required=True, help="Build it for images of this height and width."
)
@network_options
@click.option("--depth", type=Whole(0, MOST), default=2, show_default=True, help="Show modules down to this level.")
def summary(name: str, classes: int, size: Size, options: dict[str, str], depth: int) -> None:
    """Show what a network is made of, layer by layer, and the options that it takes.

    Parameters and multiply-accumulates of a layer include what is inside it.
    """
    from segmodels.bench.summary import summarize

    declared = spec(name)
    chosen = declared.parse(options)
    layers = summarize(declared, classes, size, chosen)
    line = "{:<44} {:>5}  {:<32} {:>11} {:>16}"
    tell(line.format("layer", "calls", "output", "parameters", "MAC"))
    for path, kind, calls, shapes, parameters, macs in layers:
        level = path.count(".") + 1 if path else 0
        if level <= depth:
            title = "  " * level + f"{path or name} ({kind})"
            output = " ".join("x".join(map(str, shape)) for shape in shapes)
            tell(line.format(title, calls, output, f"{parameters:,}", f"{macs:,}"))
    tell("", *filter(None, (declared.citation, declared.source)), "")
    for key, option in declared.options.items():
        tell(f"--option {key}={_text(chosen[key])}  {option.help} ({option.expected})")


def _sizes(geometry: Geometry) -> str:
    if geometry.fixed_size:
        return f"multiples of {geometry.size_multiple}, fixed at build"
    return geometry.constraint.removeprefix("H and W must be ") or "any"


def _text(value: object) -> str:
    """An option's value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
