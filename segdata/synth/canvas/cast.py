"""Everything that stands in a scene, painted from far to near."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec

from segdata.synth.canvas.chance import Rng, child
from segdata.synth.canvas.stage import Stage

P = ParamSpec("P")


@dataclass
class Cast:
    """Collects painters with their distance; each gets random numbers of its own, so that how finely one
    thing is painted (which depends on the size of the picture) changes nothing about the next."""

    stage: Stage
    rng: Rng
    _items: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def add(
        self, depth: float, painter: Callable[Concatenate[Stage, Rng, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Paint this at `depth` metres: for what runs along the street, the distance of its far end."""
        own = child(self.rng)
        self._items.append((depth, lambda: painter(self.stage, own, *args, **kwargs)))

    def paint(self) -> None:
        for _, paint in sorted(self._items, key=lambda item: -item[0]):
            paint()
