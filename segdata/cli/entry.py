"""Where an error becomes one line on standard error and an exit status: the end of both programs' commands."""

import sys
import warnings
from functools import partial
from typing import Any, NoReturn

import click

from segdata.base.refusal import refusal
from segdata.errors import PlaceWarning, SegdataError


def run(group: click.Group, program: str) -> NoReturn:
    """Run the command line: status 1 for an error of ours or of the system's, 2 for wrong usage, 130 for Ctrl-C."""
    warnings.showwarning = partial(_show_warning, program, warnings.showwarning)
    try:
        code = group.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _fail(program, "stopped. Run the same command again to go on.", 130)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SegdataError as error:
        code = _fail(program, str(error), 1)
    except OSError as error:
        code = _fail(program, refusal(error), 1)
    sys.exit(code or 0)


def _show_warning(
    program: str, show: Any, message: Warning | str, category: type[Warning], *place: Any, **options: Any
) -> None:
    """Ours as one line; those of libraries as Python shows them."""
    if issubclass(category, PlaceWarning):
        click.echo(f"{program}: {message}.", err=True)
    else:
        show(message, category, *place, **options)


def _fail(program: str, message: str, code: int) -> int:
    line = message.replace("\n", "\\n")  # as a path may have it
    click.echo(f"{program}: {line}", err=True)
    return code
