"""Shapes of vehicles: side profiles that are swept over a width, and how a vehicle stands in the world."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Body:
    """A vehicle's shape: metres from the rear bumper (s) and above ground (y)."""

    profile: tuple[tuple[float, float], ...]  # from the rear's foot over the roof to the nose's foot
    windows: tuple[tuple[tuple[float, float], ...], ...]  # polygons on the side
    wheels: tuple[float, ...]  # s of the axles
    width: float
    radius: float = 0.32
    waist: float = 99.0  # above this height the body is narrower
    glass: tuple[int, ...] = ()  # which pieces of the profile are windscreens

    @property
    def length(self) -> float:
        return max(s for s, _ in self.profile)


def _box(
    length: float,
    foot: float,
    top: float,
    panes: int,
    low: float,
    high: float,
    wheels: tuple[float, ...],
    width: float,
    radius: float,
) -> Body:
    """A bus-like body with `panes` windows a side between heights `low` and `high`."""
    edges = np.linspace(0.25, length - 0.35, panes + 1)
    windows = tuple(
        ((a + 0.06, low), (a + 0.06, high), (b - 0.06, high), (b - 0.06, low))
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    )
    profile = (
        (0.0, foot), (0.0, low), (0.06, high), (0.18, top), (length - 0.25, top),
        (length - 0.06, high + 0.1), (length, low - 0.25), (length, foot),
    )  # fmt: skip
    return Body(profile, windows if panes > 0 else (), wheels, width, radius, glass=(1, 5))


SEDAN = Body(
    ((0.0, 0.30), (0.0, 0.72), (0.12, 0.98), (0.72, 1.02), (1.35, 1.42), (2.3, 1.44), (3.15, 1.0), (4.3, 0.84),
     (4.5, 0.6), (4.5, 0.28)),
    (((0.95, 1.03), (1.42, 1.35), (1.82, 1.37), (1.82, 1.03)), ((1.9, 1.03), (1.9, 1.37), (2.28, 1.37), (2.9, 1.03))),
    (0.85, 3.6), 1.8, 0.32, 1.03, (3, 5),
)  # fmt: skip
HATCH = Body(
    ((0.0, 0.30), (0.0, 0.78), (0.14, 0.98), (0.5, 1.46), (1.2, 1.52), (2.1, 1.48), (2.95, 1.02), (3.8, 0.86),
     (3.98, 0.6), (3.98, 0.28)),
    (((0.5, 1.04), (0.74, 1.4), (1.5, 1.42), (1.5, 1.04)), ((1.58, 1.04), (1.58, 1.42), (2.08, 1.4), (2.7, 1.04))),
    (0.72, 3.15), 1.76, 0.32, 1.04, (2, 5),
)  # fmt: skip
VAN = Body(
    ((0.0, 0.32), (0.0, 1.05), (0.1, 1.75), (0.25, 1.95), (3.6, 1.95), (4.4, 1.15), (5.0, 0.98), (5.1, 0.6),
     (5.1, 0.3)),
    (((3.0, 1.15), (3.0, 1.75), (3.6, 1.75), (4.15, 1.15)), ((1.4, 1.15), (1.4, 1.75), (2.85, 1.75), (2.85, 1.15))),
    (0.95, 4.1), 1.95, 0.34, 1.3, (1, 4),
)  # fmt: skip
CARS = (HATCH, SEDAN, VAN)
BUS = _box(11.8, 0.30, 3.05, 7, 1.15, 2.45, (3.1, 9.3), 2.55, 0.48)
TRAM = _box(26.0, 0.35, 3.35, 13, 1.2, 2.6, (), 2.4, 0.4)
CARGO = _box(6.4, 0.85, 3.5, 0, 1.6, 3.3, (1.0, 2.1), 2.5, 0.5)
CAB = Body(
    ((0.0, 0.5), (0.0, 2.7), (0.3, 2.9), (1.5, 2.85), (1.95, 1.6), (2.05, 0.9), (2.05, 0.4)),
    (((0.7, 1.55), (0.7, 2.4), (1.35, 2.4), (1.65, 1.55)),), (1.2,), 2.4, 0.5, glass=(3,),
)  # fmt: skip
CARAVAN = Body(
    ((0.0, 0.45), (-0.0, 1.2), (0.12, 2.2), (0.5, 2.55), (4.3, 2.55), (4.7, 1.5), (4.6, 0.45)),
    (((0.6, 1.35), (0.6, 2.05), (1.6, 2.05), (1.6, 1.35)), ((2.6, 1.35), (2.6, 2.05), (3.9, 2.05), (3.9, 1.35))),
    (2.3,), 2.2, 0.3, glass=(1,),
)  # fmt: skip
TRAILER = Body(((0.0, 0.5), (0.0, 1.25), (0.1, 1.5), (2.5, 1.5), (2.6, 1.25), (2.6, 0.5)), (), (1.3,), 1.7, 0.28)


@dataclass(frozen=True)
class Pose:
    """Where a vehicle stands: x, z of its middle in metres; turn 0 drives away, pi comes towards us."""

    x: float
    z: float
    turn: float = 0.0

    def ahead(self, metres: float) -> "Pose":
        """So far further on in its own direction."""
        return Pose(self.x + metres * math.sin(self.turn), self.z + metres * math.cos(self.turn), self.turn)
