"""What commands write besides their last line."""

from collections.abc import Sequence
from pathlib import Path

import click

from segdata import __version__
from segdata.findings import Finding

LISTED = 20  # findings that are printed one by one


def report_findings(findings: Sequence[Finding], sarif: Path | None) -> None:
    """Findings on standard error, the first ones in full; all of them in the SARIF file."""
    for finding in findings[:LISTED]:
        click.echo(str(finding), err=True)
    if len(findings) > LISTED:
        click.echo(f"… and {len(findings) - LISTED} more findings (--sarif FILE lists all)", err=True)
    if sarif:
        from segdata.sarif import sarif as render

        write_text(sarif, render(findings, __version__).decode())


def write_text(path: Path, text: str) -> None:
    """With the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
