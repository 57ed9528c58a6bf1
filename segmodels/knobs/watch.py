"""A network that is watched: how long its forwards take, and what they compute."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from segmodels.bench.clock import clocked
from segmodels.knobs.point import Work
from segmodels.prediction import Prediction
from segmodels.spec import Size


class Watch(nn.Module):
    """Stands in for a network. An image that is seen through windows is several forwards: their sums are kept."""

    def __init__(self, network: nn.Module, work: Callable[[Prediction, Size], Work]) -> None:
        super().__init__()
        self.network, self.work = network, work
        self.ms, self.seen = 0.0, list[tuple[Prediction, Size]]()

    def forward(self, image: Tensor) -> Prediction:
        prediction, ms = clocked(lambda: self.network(image), image.device)
        self.ms += ms
        self.seen.append((prediction, (image.shape[2], image.shape[3])))
        result: Prediction = prediction
        return result

    def done(self) -> list[Work]:
        """What each forward computed; counted only now, outside of what others may time."""
        return [self.work(prediction, size) for prediction, size in self.seen]
