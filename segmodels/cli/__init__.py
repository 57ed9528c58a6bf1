"""The command `segmodels`: every command parses, calls one function and prints.

torch is imported inside the commands, so that `--help` is instant.
"""

import sys
from typing import NoReturn

import click

from segdata.cli.command import Group
from segdata.cli.entry import run
from segmodels.cli.bench import bench
from segmodels.cli.calibrate import calibrate
from segmodels.cli.networks import check, list_networks, summary
from segmodels.cli.report import report
from segmodels.cli.sweep import sweep
from segmodels.cli.train import train, verify
from segmodels.cli.use import evaluate, export, predict
from segmodels.cli.weights import weights
from segmodels.compute.processors import wait_passively


def main() -> NoReturn:
    """Entry point."""
    wait_passively()
    run(cli, "segmodels", _of_a_plug_in)


def _of_a_plug_in(error: Exception) -> str | None:
    """An error in the file of a user's own network, in one line: it is theirs to read, and no fault of segmodels."""
    plugins = sys.modules.get("segmodels.plugins.run")
    said = plugins.own_error(error) if plugins else None
    return said and f"the network's own code ends with {said}"


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="segdata")
def cli() -> None:
    """Train, evaluate and run segmentation networks from the shards that segdata writes."""


NETWORKS, RUNS = (list_networks, summary, check, weights), (train, verify, evaluate, predict, export)
for command in (*NETWORKS, *RUNS, bench, sweep, calibrate, report):
    cli.add_command(command)
