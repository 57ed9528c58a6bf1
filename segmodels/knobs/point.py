"""The positions of a knob: how a trained network is brought to each, and what it then computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from segmodels.bench.summary import count_macs
from segmodels.compute.device import autocast
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.prediction import Prediction
from segmodels.spec import Knob, Position, Size

SCALE = "scale"  # the knob of several runs: one is at work after the other


class Work(NamedTuple):
    """What a forward of one image computed."""

    macs: int  # really executed
    full_macs: int  # with the knob where everything is computed
    reached: tuple[int, ...] = ()  # pixels that reached each stage, where the network has stages


@dataclass(frozen=True)
class Point:
    """One position of a knob."""

    value: float
    segmenter: Segmenter  # points may share one
    turn: Callable[[], None]  # brings the network there
    work: Callable[[Prediction, Size], Work]  # of what it said about an image of this size, while there


def points(knob: str, segmenters: Sequence[Segmenter], values: Sequence[float] | None) -> list[Point]:
    """The positions of a knob that the networks declare, or of SCALE: `values`, or else all that are worth a look.

    Raises SegmodelsError.
    """
    if knob == SCALE:
        if values is not None:
            raise SegmodelsError("--knob scale takes no --values: the scales are those of the runs")
        return scale_points(segmenters)
    if len(segmenters) > 1:
        raise SegmodelsError(f"--knob {knob} turns a knob of one run, found {len(segmenters)}. Sweep them one by one")
    return knob_points(segmenters[0], segmenters[0].declared.knob(knob, f"--knob {knob}"), values)


def knob_points(segmenter: Segmenter, knob: Knob, values: Sequence[Position] | None) -> list[Point]:
    """None: all that are worth a look. Of one number a class the point's value is the mean.

    Raises SegmodelsError where the knob has no such position.
    """
    network, stages = segmenter.network, segmenter.declared.stages
    positions = knob.positions(network)
    typed = {position: position for position in positions}  # 3 for the 3.0 of a command line
    wanted = positions if values is None else [typed.get(value, value) for value in values]
    for position in wanted:
        knob.turn(network, position)

    @cache
    def macs(position: Position, size: Size) -> int:
        """Where they do not depend on the image."""
        before = knob.now(network)
        knob.turn(network, position)
        counted = count_macs(network, size)
        knob.turn(network, before)
        return counted

    def point(position: Position) -> Point:
        def work(prediction: Prediction, size: Size) -> Work:
            full = macs(positions[-1], size)
            reached = prediction.extras[stages.reached].sum(dim=(0, 2, 3)).tolist() if stages else ()
            if knob.executed is None:
                return Work(macs(position, size), full, tuple(reached))
            with autocast(segmenter.device, segmenter.precision):  # which decides, too, what is executed how
                return Work(knob.executed(network, prediction), full, tuple(reached))

        return Point(_mean(position), segmenter, lambda: knob.turn(network, position), work)

    return [point(position) for position in wanted]


def scale_points(segmenters: Sequence[Segmenter]) -> list[Point]:
    """Networks at several scales of the image, each as it was trained; any network can be one of them.

    Raises SegmodelsError where two have the same scale.
    """
    scales = [segmenter.geometry.stride for segmenter in segmenters]
    if twice := [scale for scale in scales if scales.count(scale) > 1]:
        raise SegmodelsError(f"--knob scale: several of the runs are at x{twice[0]}, expected one run a scale")

    def point(segmenter: Segmenter) -> Point:
        count = cache(lambda size: count_macs(segmenter.network, size))

        def work(prediction: Prediction, size: Size) -> Work:
            return Work(count(size), count(size))

        return Point(segmenter.geometry.stride, segmenter, lambda: None, work)

    return [point(segmenter) for segmenter in segmenters]


def _mean(position: Position) -> float:
    return sum(position) / len(position) if isinstance(position, tuple) else position
