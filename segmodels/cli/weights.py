"""`segmodels weights`: what a file of weights holds, and which networks begin with it."""

from __future__ import annotations

from pathlib import Path

import click

from segdata.cli.command import Command
from segdata.cli.output import tell
from segmodels.cli.parameters import ANY_PATH


@click.command(cls=Command)
@click.argument("file", type=ANY_PATH)
@click.option("--json", type=ANY_PATH, metavar="FILE", help="Write the answers also to this file, as JSON.")
def weights(file: Path, json: Path | None) -> None:
    """Say what FILE holds, and which networks start from it with `train --init`.

    FILE is a file of weights or the folder of a finished run. The command lines that are shown load all of the trunk,
    or all of the network. Nothing in the file is executed.
    """
    from segmodels.pretrained.holding import JSON, inspect, write_json
    from segmodels.runs.results import check_file

    if json:
        check_file("--json", json, JSON)
    holding = inspect(file)
    tell(*holding.lines)
    if json:
        write_json(json, holding)
