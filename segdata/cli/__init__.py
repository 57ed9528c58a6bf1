"""The command `segdata`: every command parses, calls one function and prints.

Heavy imports wait until a command needs them.
"""

from typing import NoReturn

import click

from segdata.cli.catalogue import list_, taxonomy
from segdata.cli.command import Group
from segdata.cli.entry import run
from segdata.cli.folders import diff, show, stats, unpack, verify
from segdata.cli.prepare import prepare
from segdata.cli.sources import check, init
from segdata.cli.stores import publish, revisions
from segdata.cli.synth import synth
from segdata.version import __version__


def main() -> NoReturn:
    """Entry point."""
    run(cli, "segdata")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="segdata")
def cli() -> None:
    """Street-scene datasets to sharded webdatasets: same inputs, same bytes."""


for command in (
    *(list_, taxonomy, synth, init, check, prepare),
    *(verify, stats, show, diff, unpack, publish, revisions),
):
    cli.add_command(command)
