"""Whether a network's deeper stages predict better than its first: a paragraph computed from scores and sweeps."""

from __future__ import annotations

from itertools import pairwise

from segmodels.report.collect import Board
from segmodels.report.result import Result
from segmodels.report.sweep import Setting, Sweep
from segmodels.report.words import giga, plain, score, share


def finding(board: Board, result: Result) -> str:
    """In plain sentences; empty where a stage has no score.

    Up to a stage's answer a settled pixel keeps what it has, so the difference between two stages is made by the
    pixels that reached the deeper one, and by nothing else.
    """
    scores = [step.full for step in result.steps]
    known = [each for each in scores if each is not None]
    if len(known) < 2 or len(known) < len(scores):
        return ""
    parts = [_verdict(known), _weight(result, known[-1] - known[0])]
    parts += [_swept(sweep, result) for sweep in board.sweeps if sweep.knob == "q" and sweep.rows[0].run == result.name]
    return " ".join(part for part in parts if part)


def _verdict(scores: list[float]) -> str:
    best = max(range(len(scores)), key=lambda i: (scores[i], -i))
    listed = ", ".join(map(score, scores))
    if all(later > earlier for earlier, later in pairwise(scores)):
        said = "Deeper stages predict better here"
    elif best == 0:
        said = "Deeper stages do not predict better here"
    elif best == len(scores) - 1:
        said = "The last stage predicts best here, though not every stage is better than the one before"
    else:
        said = f"Deeper is not better throughout: stage {best + 1} predicts best here"
    return f"{said}: stopped after stage 1 to {len(scores)}, {_ABOUT} {listed}."


_ABOUT = "this network would score mIoU"


def _weight(result: Result, gain: float) -> str:
    """How much that is, against what is known of the score."""
    interval = result.intervals["miou"]
    if interval is None:
        return ""
    half = (interval.high - interval.low) / 2
    size = "less" if abs(gain) <= half else "more"
    return f"From the first to the last that is {gain:+.3f}, {size} than half the width of its interval, {half:.3f}" + (
        ": it may be chance." if size == "less" else "."
    )


def _swept(sweep: Sweep, result: Result) -> str:
    """What the knob does, from the least to the most that goes on."""
    rows = [row for row in sweep.rows if row.miou is not None]
    if len(rows) < 2:
        return ""
    low, high = rows[0], rows[-1]
    best = max(rows, key=lambda row: (row.miou or 0.0, -row.macs))
    return (
        f"In the sweep, q {low.value} sends {_deepest(low)} of the pixels into the last stage and scores "
        f"{score(low.miou)} for {giga(low.macs)} GMAC, q {high.value} {_deepest(high)} and {score(high.miou)} for "
        f"{giga(high.macs)} GMAC; the best, q {best.value}, scores {score(best.miou)} for {giga(best.macs)} GMAC."
    )


def _deepest(row: Setting) -> str:
    return share(row.shares[-1]) if row.shares else plain(None)
