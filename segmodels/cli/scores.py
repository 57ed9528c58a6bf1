"""What `evaluate` prints of a scoresheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from segmodels.cli.parameters import share

if TYPE_CHECKING:
    from segmodels.scoring.scoresheet import Rows

COLUMN = "{:20.20} {:>14} {:>8} {:>8} {:>9}"


def class_table(rows: Rows) -> Iterator[str]:
    """The lines of a table of the evaluated classes, from the rows of classes.csv."""
    yield COLUMN.format("class", "pixels", "IoU", "recall", "precision")
    for _, name, _, pixels, *scores in rows:
        yield COLUMN.format(name, f"{pixels:,}", *("-" if each is None else f"{each:.4f}" for each in scores))


def scores_line(document: Mapping[str, Any]) -> str:
    """What comes first of all scores, with its interval (95 %), or why it has none."""
    return (
        f"miou {share(document['miou'])} ({_interval(document)}), "
        f"pixel accuracy {share(document['pixel_accuracy'])} on {document['images']} images of "
        f"{document['shards']['split']}{_listed(document)}"
    )


def _listed(document: Mapping[str, Any]) -> str:
    return f", as listed, out of {document['frames']['of']}" if "frames" in document else ""


def _interval(document: Mapping[str, Any]) -> str:
    if document["interval"] is None:
        return f"no interval: {document['interval_reason']}"
    ends = document["interval"]["miou"]
    return f"{share(ends['low'])} to {share(ends['high'])}"


def official_line(averages: Mapping[str, Any]) -> str:
    """What cityscapesScripts says; a class that only one side has makes the difference `None`."""
    return (
        f"cityscapesScripts: classes {share(averages['averageScoreClasses'])}, categories "
        f"{share(averages['averageScoreCategories'])}; largest difference of a class to ours: "
        f"{averages['largest_difference']}"
    )
