"""The command `segmodels`: every command parses, calls one function and prints.

torch is imported inside the commands, so that `--help` is instant.
"""

import sys
from typing import NoReturn

import click

from segdata.errors import SegdataError
from segmodels.cli.bench import bench
from segmodels.cli.calibrate import calibrate
from segmodels.cli.networks import list_networks, summary
from segmodels.cli.report import report
from segmodels.cli.train import train, verify
from segmodels.cli.use import evaluate, export, predict


def main() -> NoReturn:
    """Entry point: an error of ours, or of the system's, is one line on standard error and exit status 1."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _fail("stopped. Run the same command again.", 130)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SegdataError as error:
        code = _fail(str(error), 1)
    except OSError as error:
        code = _fail(f"{error.filename or 'the system'}: {error.strerror or error}.", 1)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> int:
    click.echo("segmodels: " + message.replace("\n", "\\n"), err=True)  # of a path, say: an error is one line
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="segdata")
def cli() -> None:
    """Train, evaluate and run segmentation networks from the shards that segdata writes."""


for command in (list_networks, summary, train, verify, evaluate, predict, export, bench, calibrate, report):
    cli.add_command(command)
