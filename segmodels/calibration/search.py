"""The q of each class that a model likes best within an allowance of work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

from segmodels.calibration.model import Estimate, Model, Q

FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PRICES = 6  # that are tried, by halves
DEAREST = 2.0  # mIoU for the full compute: at this price hardly anything is bought
PASSES = 3  # over the classes at one price, at most
STEPS = (0.2, 0.1, 0.05, 0.02, 0.01)
GAIN = 1e-5  # of mIoU: less is not worth a move
TRIED = 5  # pairs of moves, the most promising ones


class Found(NamedTuple):
    """A q and what the model says of it."""

    q: Q
    estimate: Estimate


class Move(NamedTuple):
    """The q of one class, a step up or down."""

    number: int  # the class
    q: float
    found: Found  # what comes of it alone


Ask = Callable[[Q], Found]


def search(model: Model, allowed: float) -> Found:
    """Two searches, the better counts: by moves in ever smaller steps from the best uniform q, and from what is best
    by fifths where work has a price.

    In the model's eyes the result is never worse than the best uniform q, and takes no more than `allowed` unless that
    one does.
    """
    ask = cache(lambda q: Found(q, model(q)))
    uniform = priced = ask(model.uniform(allowed))
    for found in _by_price(model, ask, uniform.q, allowed):
        priced = found if found.estimate.work <= allowed and _pays(priced.estimate, found.estimate) else priced
    both = [_moved_on(model, ask, each, allowed) for each in (uniform, priced)]
    return max(both, key=lambda each: each.estimate.miou)


def _by_price(model: Model, ask: Ask, start: Q, allowed: float) -> Iterator[Found]:
    """Where work has a price each class can choose for itself, and jump over what small moves do not cross.

    The prices close in on the one at which the allowance is spent.
    """
    low, high = 0.0, DEAREST
    for _ in range(PRICES):
        price = (low + high) / 2
        found = _settled(model, ask, start, price)
        yield found
        low, high = (price, high) if found.estimate.work > allowed else (low, price)


def _settled(model: Model, ask: Ask, q: Q, price: float) -> Found:
    """From q on, one class after the other takes the fifth that is worth most, until none changes."""
    best = ask(q)
    for _ in range(PASSES):
        before = best
        for number in model.winning:
            tried = (ask((*best.q[:number], fifth, *best.q[number + 1 :])) for fifth in FIFTHS)
            best = max([best, *tried], key=lambda each: each.estimate.miou - price * each.estimate.work)
        if best == before:
            break
    return best


def _moved_on(model: Model, ask: Ask, best: Found, allowed: float) -> Found:
    """As far as moves pay."""
    for step in STEPS:
        while better := _improved(model, ask, best, allowed, step):
            best = better
    return best


def _improved(model: Model, ask: Ask, best: Found, allowed: float, step: float) -> Found | None:
    """The best next q, None where no move of this step pays. A move is of one class, or of two that trade work."""
    moves = list(_moves(model, ask, best, step))

    def hoped(pair: tuple[Move, Move]) -> Estimate:
        """As if moves did not touch each other: what really comes of a pair is seen before it is taken."""
        one, other, now = pair[0].found.estimate, pair[1].found.estimate, best.estimate
        return Estimate(one.miou + other.miou - now.miou, one.work + other.work - now.work, now.shares)

    pairs = [pair for pair in combinations(moves, 2) if pair[0].number != pair[1].number]
    pairs = [pair for pair in pairs if hoped(pair).work <= allowed and _pays(best.estimate, hoped(pair))]
    promising = sorted(pairs, key=lambda pair: hoped(pair).miou, reverse=True)[:TRIED]
    tried = [*(move.found for move in moves), *(ask(_moved(best.q, pair)) for pair in promising)]
    fitting = [each for each in tried if each.estimate.work <= allowed and _pays(best.estimate, each.estimate)]
    return max(fitting, key=lambda each: (each.estimate.miou, -each.estimate.work), default=None)


def _moves(model: Model, ask: Ask, best: Found, step: float) -> Iterator[Move]:
    for number in model.winning:
        for change in (-step, step):
            q = min(1.0, max(0.0, round(best.q[number] + change, 2)))
            if q != best.q[number]:
                yield Move(number, q, ask((*best.q[:number], q, *best.q[number + 1 :])))


def _moved(q: Q, moves: Sequence[Move]) -> Q:
    changed = {move.number: move.q for move in moves}
    return tuple(changed.get(number, each) for number, each in enumerate(q))


def _pays(before: Estimate, after: Estimate) -> bool:
    """More mIoU, or as much for less work."""
    gain = after.miou - before.miou
    return gain > GAIN or (gain >= 0 and after.work < before.work)
