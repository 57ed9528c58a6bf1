"""The knobs: what can be turned on a trained network, and what it then computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from segmodels.bench.summary import count_macs
from segmodels.compute.device import autocast
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.knobs.quantiles import percentile
from segmodels.networks.hourglass import Tas500Net
from segmodels.networks.percentile.macs import executed_macs
from segmodels.networks.percentile.network import PercentileNet
from segmodels.prediction import Prediction
from segmodels.spec import Size


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


KNOBS = ("q", "steps", "scale")
TENTHS = tuple(tenth / 10 for tenth in range(11))


def points(knob: str, segmenters: Sequence[Segmenter], values: Sequence[float] | None) -> list[Point]:
    """The positions of one of KNOBS, `values` or else all there is to see. Raises SegmodelsError."""
    if knob == "scale":
        if values is not None:
            raise SegmodelsError("--knob scale takes no --values: the scales are those of the runs")
        return scale_points(segmenters)
    if len(segmenters) > 1:
        raise SegmodelsError(f"--knob {knob} turns a knob of one run, found {len(segmenters)}. Sweep them one by one")
    return q_points(segmenters[0], values or TENTHS) if knob == "q" else step_points(segmenters[0], values)


def q_points(segmenter: Segmenter, values: Sequence[float | tuple[float, ...]]) -> list[Point]:
    """`percentile`: the share of each class that goes on. Of one q a class the point's value is the mean.

    Raises SegmodelsError where the network has no q, or a value is none.
    """
    network = percentile(segmenter, "--knob q")
    for value in values:
        network.set_q(value)
    dense = cache(lambda size: count_macs(network, size))

    def work(prediction: Prediction, size: Size) -> Work:
        masks = prediction.extras["masks"]  # (1, 3, H, W)
        reached = tuple(masks.sum(dim=(0, 2, 3)).tolist())
        with autocast(segmenter.device, segmenter.precision):  # which decides, too, what `auto` puts on tiles
            return Work(int(executed_macs(network, masks).sum()), dense(size), reached)

    return [Point(_mean(value), segmenter, _setter(network, value), work) for value in values]


def step_points(segmenter: Segmenter, values: Sequence[float] | None) -> list[Point]:
    """Iterative and hourglass networks, stopped after so many steps; None: after each.

    Raises SegmodelsError where the network has no steps, or not as many.
    """
    network = segmenter.network
    if not isinstance(network, Tas500Net) or network.steps == 1:
        raise SegmodelsError(f"--knob steps: {segmenter.name} does not refine its answer step by step")
    wanted = range(1, network.steps + 1) if values is None else values
    if wrong := [value for value in wanted if value not in range(1, network.steps + 1)]:
        raise SegmodelsError(f"--values has {wrong[0]:g}, expected whole numbers from 1 to {network.steps}, its steps")

    def point(steps: int) -> Point:
        def turn() -> None:
            network.stop_after = steps

        def work(prediction: Prediction, size: Size) -> Work:
            return Work(count(steps, size), count(network.steps, size))

        return Point(steps, segmenter, turn, work)

    @cache
    def count(steps: int, size: Size) -> int:
        before, network.stop_after = network.stop_after, steps
        macs = count_macs(network, size)
        network.stop_after = before
        return macs

    return [point(int(steps)) for steps in wanted]


def scale_points(segmenters: Sequence[Segmenter]) -> list[Point]:
    """Networks at several scales of the image, each as it was trained; any network can be one of them.

    Raises SegmodelsError where two have the same scale.
    """
    scales = [segmenter.geometry.stride for segmenter in segmenters]
    if twice := [scale for scale in scales if scales.count(scale) > 1]:
        raise SegmodelsError(f"--knob scale: several of the runs are at x{twice[0]}, expected one run a scale")
    return [_scale_point(segmenter) for segmenter in segmenters]


def _scale_point(segmenter: Segmenter) -> Point:
    count = cache(lambda size: count_macs(segmenter.network, size))

    def work(prediction: Prediction, size: Size) -> Work:
        return Work(count(size), count(size))

    return Point(segmenter.geometry.stride, segmenter, lambda: None, work)


def _setter(network: PercentileNet, q: float | tuple[float, ...]) -> Callable[[], None]:
    return lambda: network.set_q(q)


def _mean(q: float | tuple[float, ...]) -> float:
    return sum(q) / len(q) if isinstance(q, tuple) else q
