"""Where an error becomes one line on standard error and an exit status: the end of both programs' commands."""

import io
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import click

from segdata.base.refusal import refusal
from segdata.cli.output import printable, tell
from segdata.errors import PlaceWarning, SegdataError
from segdata.requirements import check_system, explained


def run(group: click.Group, program: str, told: Callable[[Exception], str | None] = lambda error: None) -> NoReturn:
    """Run the command line: status 1 for an error of ours or of the system's, 2 for wrong usage, 130 for Ctrl-C.

    `told` says in one line what any other error means, or None where it is a fault of ours: that one is shown whole.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of fewer letters still shows every line
    warnings.showwarning = partial(_show_warning, program, warnings.showwarning)
    try:
        check_system()
        code = group.main(standalone_mode=False)
        if sys.stdout:  # None where it is closed
            sys.stdout.flush()
    except click.exceptions.Abort:
        code = _fail(program, "stopped. Run the same command again to go on.", 130)
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]  # final, but read by `show` alone
        error.show()
        code = error.exit_code
    except SegdataError as error:
        code = _fail(program, str(error), 1)
    except ModuleNotFoundError as error:
        line = explained(error, "this command")
        if line is None:
            raise
        code = _fail(program, str(line), 1)
    except BrokenPipeError as error:
        code = 1 if _read_no_more() else _fail(program, refusal(error), 1)
    except OSError as error:
        code = _fail(program, refusal(error), 1)
    except Exception as error:
        meaning = told(error)
        if meaning is None:
            raise
        code = _fail(program, meaning, 1)
    sys.exit(code or 0)


def _read_no_more() -> bool:
    """Whether somebody who reads our lines, such as `head`, has enough of them: what is left of them goes nowhere."""
    closed = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            closed = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return closed


def _show_warning(
    program: str, show: Any, message: Warning | str, category: type[Warning], *place: Any, **options: Any
) -> None:
    """Ours as one line; those of libraries as Python shows them."""
    if issubclass(category, PlaceWarning):
        tell(f"{program}: {message}.", err=True)
    else:
        show(message, category, *place, **options)


def _fail(program: str, message: str, code: int) -> int:
    tell(f"{program}: {message}", err=True)
    return code
