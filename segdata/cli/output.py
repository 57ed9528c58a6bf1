"""What commands write besides their last line, and how far long work is."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from segdata.base.ownership import Kind, json_kind, write_result
from segdata.cli.parameters import ANY_PATH
from segdata.errors import SourceError
from segdata.findings import Finding, FindingsError
from segdata.version import __version__

SARIF = json_kind("findings", "runs", where=lambda found: found["runs"][0]["tool"]["driver"]["name"] == "segdata")
sarif_option = click.option("--sarif", type=ANY_PATH, help="Write the findings also to this file, as SARIF 2.1.0.")
LISTED = 20  # findings that are printed one by one


def report_findings(findings: Sequence[Finding], sarif: Path | None) -> None:
    """Findings on standard error, the first ones in full; all of them in the SARIF file."""
    for finding in findings[:LISTED]:
        tell(str(finding), err=True)
    if len(findings) > LISTED:
        tell(f"… and {len(findings) - LISTED} more findings (--sarif FILE lists all)", err=True)
    write_sarif(findings, sarif)


def write_sarif(findings: Sequence[Finding], sarif: Path | None) -> None:
    """Where a file is asked for."""
    if sarif:
        from segdata.sarif import sarif as render

        write_result("--sarif", sarif, SARIF, render(findings, __version__))


@contextmanager
def findings_told(sarif: Path | None) -> Iterator[None]:
    """The findings of an error that comes from inside are told before it goes on."""
    try:
        yield
    except FindingsError as error:
        report_findings(error.findings, sarif)
        raise
    except SourceError as error:
        write_sarif(error.findings, sarif)  # the message tells them
        raise


def write_json(path: Path, kind: Kind, document: object) -> None:
    """For people and programs; with the folders above it."""
    write_result("--json", path, kind, (json.dumps(document, sort_keys=True, indent=1) + "\n").encode())


def say(line: str) -> None:
    """What is out of the ordinary, on standard error."""
    tell(f"segdata: {line}.", err=True)


def tell(*lines: str, err: bool = False) -> None:
    """Print lines, each of which stays one line whatever the names in it hold."""
    for line in lines:
        click.echo(printable(line), err=err)


def printable(text: str) -> str:
    """Control characters as Python writes them, such as \\n: they could end the line, or colour or clear the terminal.

    So are the bytes of a file's name that are no UTF-8.
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class ProgressBar:
    """A bar on a terminal, a plain line every tenth elsewhere: called with (done, total)."""

    def __init__(self, unit: str) -> None:
        self.unit, self.tenth = unit, 0
        self.bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        return self._update

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def _update(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            if self.bar is None:
                from tqdm import tqdm

                self.bar = tqdm(total=total, unit=self.unit, leave=False)
            self.bar.update(done - self.bar.n)
        elif total and done * 10 // total > self.tenth:
            self.tenth = done * 10 // total
            print(f"{done}/{total} {self.unit}", file=sys.stderr, flush=True)
