"""Shares of a run: those of the milestones of a schedule, and what an epoch or a step is as a share."""

from collections.abc import Sequence
from itertools import pairwise

from segmodels.config.options import Bound

SHARE_OF_RUN = Bound(0, 1, "a share of the run")
FACTOR = Bound(0, 1000, "times --lr", above=True)  # of a milestone
Milestones = tuple[tuple[float, float], ...]  # (share of the run, factor from there on)


def wanted_of_milestones(milestones: Milestones, schedule: str, epochs: int | None, steps: int | None) -> str:
    """What was expected instead of these; nothing where they are right."""
    shares = [share for share, _ in milestones]
    if not all(0 <= share < 1 for share in shares):
        return f"shares of the run from 0 to below 1{as_share(shares, epochs, steps)}"
    if not all(one < other for one, other in pairwise(shares)):
        return "shares of the run in ascending order, none twice"
    if not all(FACTOR.holds(factor) for _, factor in milestones):
        return f"factors {FACTOR}"
    return "" if bool(shares) == (schedule == "step") else "some for the schedule step only"


def as_share(values: Sequence[float], epochs: int | None, steps: int | None) -> str:
    """What to give where the first value out of 0 … 1 was meant as an epoch, or a step."""
    unit, whole = ("epoch", epochs) if epochs else ("step", steps)
    meant = next((value for value in values if not 0 <= value <= 1), None)
    if meant is None or not whole or not 1 < meant <= whole:
        return ""
    return f"; {unit} {meant:g} of {whole} is {meant / whole:.3g}"
