"""Numbers and names as the page writes them: the templates' filters."""

from __future__ import annotations

from collections.abc import Sequence

from segmodels.report.read.collect import Board
from segmodels.report.read.datasets import Dataset, SplitCounts
from segmodels.report.read.result import Result
from segmodels.report.read.rows import Row
from segmodels.scoring.intervals import Interval, too_few_seeds

NONE = "\N{EN DASH}"
LEVELS = 10  # of a heat map, besides 0
MARGIN = 0.02  # of the axis that intervals are drawn on, beyond them


def score(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    """Without its sign, as a heat map has room for."""
    return NONE if value is None else f"{100 * value:.0f}"


def interval(value: Interval | None) -> str:
    return NONE if value is None else f"{value.low:.3f}{NONE}{value.high:.3f}"


def count(value: int) -> str:
    return f"{value:,}"


def share(value: float) -> str:
    """Of the whole: 12 %, 0.4 %; what is there, but hardly, says so."""
    hundredths = 100 * value
    if 0 < hundredths < 0.01:
        return "< 0.01 %"
    return f"{hundredths:.0f} %" if hundredths >= 10 or not hundredths else f"{hundredths:.2g} %"


def giga(value: float) -> str:
    """Three digits of billions."""
    return f"{value / 1e9:.3g}" if value < 1e12 else f"{value / 1e9:,.0f}"


def rate(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(value: Sequence[int]) -> str:
    return "\N{MULTIPLICATION SIGN}".join(map(str, value))


def plain(value: object) -> str:
    """A value of a configuration."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def sortable(value: float | None) -> str:
    """What a column is sorted by; nothing where it is undefined."""
    return "" if value is None else repr(value)


def level(value: float | None) -> str:
    """Class of a heat map's cell: h0 … h10, of a share or score from 0 to 1."""
    return "undefined" if value is None else f"h{round(LEVELS * min(max(value, 0.0), 1.0))}"


def place(value: float, low: float, high: float) -> str:
    """Where a value lies between the ends of an axis, in percent."""
    return f"{100 * (value - low) / (high - low):.2f}%"


def axis(board: Board) -> tuple[float, float]:
    """The ends of the axis that all intervals of a board are drawn on."""
    found = [each for row in board.rows if (each := row.intervals["miou"])]
    low, high = min((each.low for each in found), default=0.0), max((each.high for each in found), default=1.0)
    return max(0.0, low - MARGIN), min(1.0, high + MARGIN)


def last_miou(result: Result) -> float | None:
    """Of the last validation while it was trained."""
    return next((epoch.miou for epoch in reversed(result.history) if epoch.miou is not None), None)


def labelled(dataset: Dataset) -> tuple[SplitCounts, ...]:
    """The splits in which classes were counted."""
    return tuple(split for split in dataset.splits if split.classes)


def bar(value: float, dataset: Dataset) -> str:
    """A share's bar: the longest of a dataset is 100 %."""
    longest = max((row.share for split in labelled(dataset) for row in split.classes), default=0.0)
    return f"{100 * value / (longest or 1.0):.2f}%"


def chip(dataset: Dataset, position: int) -> str:
    """A class' colour; of what is ignored, none."""
    classes = dataset.taxonomy.classes
    return f"rgb{classes[position].color}" if position < len(classes) else "transparent"


def evaluated(dataset: Dataset, position: int) -> bool:
    """Whether a class counts in mIoU."""
    return position < len(dataset.taxonomy.classes) and dataset.taxonomy.classes[position].evaluated


def summary(board: Board) -> str:
    """What a board says, in a sentence."""
    best, ranking = board.rows[0], board.ranking
    where = f"On {board.dataset.name} ({count(best.first.images)} images of {board.part})"
    if len(board.rows) == 1:
        return f"{where} {best.name} reaches {_reached(best)}."
    if ranking.not_ranked:
        return f"{where} {best.name} has the highest score, {_reached(best)}. But {ranking.not_ranked}."
    best = next(row for row in board.rows if not too_few_seeds(len(row.runs)))
    tied = ranking.ranks[best.name].tied
    if not tied:
        return f"{where} {best.name} is best, with {_reached(best)}."
    others = "one other network" if len(tied) == 1 else f"{len(tied)} other networks"
    return f"{where} {best.name} comes first with {_reached(best)}, but is not ranked against {others}."


def _reached(row: Row) -> str:
    ends = row.intervals["miou"]
    known = "" if ends is None else f" ({interval(ends)})"
    return f"mIoU {score(row.scores['miou'])}{known}{seeds(row)}"


def seeds(row: Row) -> str:
    """Of several seeds how many, and how far apart they are."""
    spread = row.spread["miou"]
    if len(row.runs) == 1:
        return ""
    return f", mean of {len(row.runs)} seeds" + ("" if spread is None else f" with standard deviation {spread:.3f}")


def unranked(row: Row) -> str:
    """Why a row has no rank beside rows that have one; empty where it has."""
    return too_few_seeds(len(row.runs))


WORDS = (
    score, percent, interval, count, share, giga, rate, duration, size, plain, sortable, level, place, axis,
    last_miou, labelled, bar, chip, evaluated, summary, seeds, unranked,
)  # fmt: skip
