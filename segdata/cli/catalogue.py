"""`segdata list` and `segdata taxonomy`: what ships, and whether a taxonomy is complete."""

import click

from segdata.cli.command import Command
from segdata.errors import SegdataError


@click.command(cls=Command)
@click.argument("name")
@click.option(
    "--source", help="Check the taxonomy against this source only. [default: all sources that `segdata list` shows]"
)
def taxonomy(name: str, source: str | None) -> None:
    """The classes of a taxonomy (a name or a YAML file), and whether every raw label has its place."""
    from segdata.errors import TaxonomyError
    from segdata.labels.taxonomy import LabelMap, load_taxonomy
    from segdata.sources import SOURCES
    from segdata.sources import source as find

    found = load_taxonomy(name)
    click.echo(f"{found.name}: {found.description}")
    for i, row in enumerate(found.classes):
        score = "evaluated" if row.evaluated else "-"
        color = "{:3d} {:3d} {:3d}".format(*row.color)
        click.echo(f"{i:4d} {row.name:22}{color}  {row.category:14}{score:11}{row.export:4d} <- {', '.join(row.feeds)}")
    if found.ignore:
        click.echo(f" 255 (ignored){'':45}<- {', '.join(found.ignore)}")
    if source:
        LabelMap.between(find(source).labels, found)
        fits = [source]
    else:
        fits = []
        for candidate in SOURCES.values():
            try:
                LabelMap.between(candidate.labels, found)
                fits.append(candidate.name)
            except TaxonomyError:
                continue
    if not fits:
        raise SegdataError(f"{found.name} fits no source; --source NAME says what is missing.")
    click.echo(f"{found.name}: {len(found.classes)} classes, complete for {', '.join(fits)}; {found.digest[:12]}")


@click.command("list", cls=Command)
def list_() -> None:
    """The sources and taxonomies that ship with segdata."""
    from segdata.labels.taxonomy import load_taxonomy, taxonomy_names
    from segdata.sources import SOURCES

    for source in SOURCES.values():
        click.echo(f"source    {source.name:20}splits {', '.join(source.splits)}; taxonomy {source.default_taxonomy}")
    for name in taxonomy_names():
        click.echo(f"taxonomy  {name:20}{load_taxonomy(name).description}")
    click.echo(f"{len(SOURCES)} sources, {len(taxonomy_names())} taxonomies")
