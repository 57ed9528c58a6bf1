"""The command `segdata`: every command parses, calls one function and prints.

Heavy imports wait until a command needs them.
"""

import sys
from typing import NoReturn

import click

from segdata import __version__
from segdata.cli.catalogue import list_, taxonomy
from segdata.cli.convert import prepare, synth
from segdata.cli.folders import diff, show, stats, verify
from segdata.cli.stores import publish, revisions
from segdata.errors import SegdataError


def main() -> NoReturn:
    """Entry point: an error of ours is one line on standard error and exit status 1."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _fail("stopped. Run the same command again to go on.", 130)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SegdataError as error:
        code = _fail(str(error), 1)
    except OSError as error:
        code = _fail(f"{error.filename or 'the system'}: {error.strerror or error}.", 1)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> int:
    click.echo("segdata: " + message.replace("\n", "\\n"), err=True)  # of a path, say: an error is one line
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="segdata")
def cli() -> None:
    """Street-scene datasets to sharded webdatasets: same inputs, same bytes."""


for command in (list_, taxonomy, synth, prepare, verify, stats, show, diff, publish, revisions):
    cli.add_command(command)
