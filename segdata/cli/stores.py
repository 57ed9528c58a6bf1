"""`segdata publish` and `segdata revisions`: shard sets in object stores."""

from pathlib import Path

import click

from segdata.cli.command import Command
from segdata.cli.output import ProgressBar, tell
from segdata.cli.parameters import parse_url
from segdata.errors import SegdataError
from segdata.stores.url import Url


@click.command(cls=Command)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("url", type=parse_url)
@click.option(
    "--replace",
    is_flag=True,
    help="If URL holds another set, let this one take its place. Readers then no longer see the other one.",
)
def publish(folder: Path, url: Url, replace: bool) -> None:
    """Send a shard FOLDER to URL, an object store; readers see all of it, or the version before.

    The same command again sends only what is missing.
    """
    from segdata.publishing.upload import publish as send

    with ProgressBar("files") as progress:
        found = send(folder, url, progress, replace=replace)
    state = "" if found.changed else ", unchanged"
    state = f"; changed: {found.change}" if found.change else state
    tell(f"{url}: {found.sent} files sent, {found.copied} copied, {found.stood} there already{state}")


@click.command(cls=Command)
@click.argument("url", type=parse_url)
@click.option(
    "--remove",
    multiple=True,
    type=click.Choice(["older", "unfinished"]),
    help="Remove the older versions, or what unfinished uploads left. First make sure that nobody reads or uploads "
    "them. This option may be repeated.",
)
def revisions(url: Url, remove: tuple[str, ...]) -> None:
    """List the versions of the set at URL: current, older, and what unfinished uploads left."""
    from segdata.publishing.revisions import remove_revisions, revisions
    from segdata.stores.opening import open_store

    gone = {row.name for row in remove_revisions(url, set(remove))} if remove else set()
    rows = revisions(open_store(url))
    if not rows:
        raise SegdataError(f"{url}: no revisions. Publish a set there, or name the folder that holds its dataset.json.")
    for row in rows:
        tell(f"{row.name}  {row.state:10}  {len(row.files)} files, {row.size} bytes")
    tell(f"{url}: {len(rows)} revisions" + (f", {len(gone)} removed" if remove else ""))
