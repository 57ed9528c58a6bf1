"""What commands write besides their last line."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from segdata.base.ownership import Kind, json_kind, write_result
from segdata.findings import Finding
from segdata.version import __version__

SARIF = json_kind("findings", "runs", where=lambda found: found["runs"][0]["tool"]["driver"]["name"] == "segdata")
LISTED = 20  # findings that are printed one by one


def report_findings(findings: Sequence[Finding], sarif: Path | None) -> None:
    """Findings on standard error, the first ones in full; all of them in the SARIF file."""
    for finding in findings[:LISTED]:
        tell(str(finding), err=True)
    if len(findings) > LISTED:
        tell(f"… and {len(findings) - LISTED} more findings (--sarif FILE lists all)", err=True)
    if sarif:
        from segdata.sarif import sarif as render

        write_result("--sarif", sarif, SARIF, render(findings, __version__))


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
