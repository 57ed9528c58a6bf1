"""`segdata list` and `segdata taxonomy`: what ships, and whether a taxonomy is complete."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from segdata.cli.command import Command
from segdata.cli.output import tell
from segdata.errors import SegdataError

if TYPE_CHECKING:
    from segdata.labels.label import Label
    from segdata.labels.taxonomy import Taxonomy


@click.command(cls=Command)
@click.argument("name")
@click.option(
    "--source", help="Check the taxonomy against this source only. [default: all sources that `segdata list` shows]"
)
def taxonomy(name: str, source: str | None) -> None:
    """The classes of a taxonomy (a name or a YAML file), and whether every raw label has its place."""
    from segdata.labels.taxonomy import load_taxonomy, problems_between
    from segdata.sources import SOURCES
    from segdata.sources import source as find

    found = load_taxonomy(name)
    candidates = [find(source)] if source else list(SOURCES.values())
    fits = [each for each in candidates if not problems_between(each.labels, found)]
    labels = (fits or candidates)[0].labels
    if fits or source:
        found = found.resolved(labels)
    _print_classes(found)
    if not fits and not source:
        raise SegdataError(f"{found.name} fits no source; --source NAME says what is missing.")
    if not fits:
        _print_gaps(found, labels)
        problems = "; ".join(problems_between(labels, found))
        raise SegdataError(f"{found.name} does not fit {source}: {problems}.")
    names = ", ".join(each.name for each in fits)
    tell(f"{found.name}: {len(found.classes)} classes, complete for {names}; {found.digest[:12]}")


def _print_classes(found: "Taxonomy") -> None:
    """One line for each class, and one for what is ignored."""
    tell(f"{found.name}: {found.description}")
    for i, row in enumerate(found.classes):
        score = "evaluated" if row.evaluated else "-"
        color = "{:3d} {:3d} {:3d}".format(*row.color)
        feeds = "everything else (rest)" if i == found.rest else ", ".join(row.feeds)
        tell(f"{i:4d} {row.name:22}{color}  {row.category:14}{score:11}{row.export:4d} <- {feeds}")
    if found.ignore:
        tell(f" 255 (ignored){'':45}<- {', '.join(found.ignore)}")


def _print_gaps(found: "Taxonomy", labels: "Sequence[Label]") -> None:
    """A table of the raw labels without a destination, and what to write."""
    from segdata.labels.taxonomy import gaps

    missing = gaps(labels, found)
    if not missing:
        return
    tell(f"raw labels without a destination: {len(missing)}")
    tell(f"{'id':>4} {'label':22}{'colour':>11}  category")
    for label in missing:
        color = "{:3d} {:3d} {:3d}".format(*label.color)
        tell(f"{label.id:4d} {label.name:22}{color}  {label.category}")
    ignored = ", ".join([*found.ignore, *(label.name for label in missing)])
    tell("What to write, one of these:")
    tell("  add each label to the `from` list of a class: from: [label, other label]")
    tell("  from: rest     (in one class: it takes all labels that are named nowhere else)")
    tell("  ignore: rest   (all labels that no class names are ignored)")
    tell(f"  ignore: [{ignored}]")


@click.command("list", cls=Command)
def list_() -> None:
    """The sources, divisions into splits, taxonomies and label tables that ship with segdata."""
    from segdata.labels.taxonomy import load_taxonomy, taxonomy_names
    from segdata.sources import SOURCES
    from segdata.sources.entrypoints import installed
    from segdata.sources.tables import table_names

    for source in SOURCES.values():
        tell(f"source    {source.name:20}{source.title}")
        tell(f"{'':30}{source.homepage}; licence: {source.licence}")
        classes = f"taxonomy {source.default_taxonomy}" if source.default_taxonomy else "each label is a class"
        tell(f"{'':30}splits {', '.join(source.splits)}; {classes}")
        for split, caution in source.cautions(source.splits).items():
            tell(f"{'':30}official {split}: {caution}")
        for name, division in source.divisions.items():
            tell(f"division  {name:20}of {source.name}, with --split-list {name}: {division.about}")
    for name in taxonomy_names():
        tell(f"taxonomy  {name:20}{load_taxonomy(name).description}")
    tables = [name for name in table_names() if name not in SOURCES]
    tell(f"labels    {'tables':20}{', '.join(tables)}")
    for name, points in installed().items():
        tell(f"{name}: of an installed package, {points[0].value}")
    tell(f"{len(SOURCES)} sources, {len(taxonomy_names())} taxonomies; your own dataset: segdata init FOLDER")
