"""Whether a network's deeper stages, or later steps, predict better than its first: computed from scores and sweeps."""

from __future__ import annotations

from itertools import pairwise

from segmodels.report.page.words import giga, plain, score, share
from segmodels.report.read.collect import Board
from segmodels.report.read.result import Result
from segmodels.report.read.sweep import Sweep, Turned
from segmodels.scoring.intervals import Difference, paired


def finding(board: Board, result: Result) -> str:
    """In plain sentences; empty where a stage has no score.

    Up to a stage's answer a settled pixel keeps what it has, so the difference between two stages is made by the
    pixels that reached the deeper one, and by nothing else.
    """
    scores = [step.full for step in result.steps]
    known = [each for each in scores if each is not None]
    if len(known) < 2 or len(known) < len(scores):
        return ""
    sweeps = [each for each in board.sweeps if each.knob == "q" and each.rows[0].run == result.name]
    return " ".join([_verdict(known, result), *filter(None, map(_swept, sweeps))])


def _verdict(scores: list[float], result: Result) -> str:
    """Settled only where the interval of the paired difference of last and first stage excludes 0."""
    best = max(range(len(scores)), key=lambda i: (scores[i], -i))
    reason, gain = _unknown(result), _gain(result)
    if gain is None or not gain.settled:
        said = "It is not settled whether deeper stages predict better here"
    elif all(later > earlier for earlier, later in pairwise(scores)):
        said = "Deeper stages predict better here"
    elif best == len(scores) - 1:
        said = "The last stage predicts best here, though not every stage is better than the one before"
    elif best == 0:
        said = "Deeper stages do not predict better here"
    else:
        said = f"Deeper is not better throughout: stage {best + 1} predicts best here"
    listed = ", ".join(map(score, scores))
    text = f"{said}: stopped after stage 1 to {len(scores)}, this network would score mIoU {listed}."
    if gain is None:
        return f"{text} From first to last that is {scores[-1] - scores[0]:+.3f}, without an interval: {reason}."
    return (
        f"{text} From first to last that is {gain.difference:+.3f}, on the same images, with the 95 % interval "
        f"{gain.low:+.3f} to {gain.high:+.3f}. This speaks of this run alone, not of other seeds."
    )


def step_gain(result: Result) -> str:
    """How much more the last step scores than the first, as a phrase; empty where a score is undefined."""
    first, last = result.steps[0].full, result.steps[-1].full
    if first is None or last is None:
        return ""
    gain = _gain(result)
    if gain is None:
        return f"last less first {last - first:+.3f}, no interval: {_unknown(result)}"
    return f"last less first {gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"


def _gain(result: Result) -> Difference | None:
    """The last stage's mIoU less the first's; None where that has no interval."""
    if _unknown(result) or result.step_confusions is None:
        return None
    evaluated = [row.evaluated for row in result.taxonomy.classes]
    return paired(result.step_confusions[-1], result.step_confusions[0], result.groups, evaluated)


def _unknown(result: Result) -> str:
    """Why the difference of two stages has no interval; empty where it has."""
    if result.no_interval:
        return result.no_interval
    return "the matrices of the stages were not kept. Score again" if result.step_confusions is None else ""


def _swept(sweep: Sweep) -> str:
    """What the knob does, from the least to the most that goes on."""
    rows = [row for row in sweep.rows if row.miou is not None]
    if len(rows) < 2:
        return ""
    low, high = rows[0], rows[-1]
    best = max(rows, key=lambda row: (row.miou or 0.0, -row.macs))
    return (
        f"In the sweep, whose scores have no intervals, q {low.value} sends {_deepest(low)} of the pixels into the "
        f"last stage and scores {score(low.miou)} for {giga(low.macs)} GMAC, q {high.value} {_deepest(high)} and "
        f"{score(high.miou)} for {giga(high.macs)} GMAC; the best, q {best.value}, scores {score(best.miou)} for "
        f"{giga(best.macs)} GMAC."
    )


def _deepest(row: Turned) -> str:
    return share(row.shares[-1]) if row.shares else plain(None)
