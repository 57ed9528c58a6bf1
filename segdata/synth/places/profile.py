"""The cross-section of a street: what lies beside what, in metres from its middle."""

from dataclasses import dataclass

from segdata.synth.canvas.chance import Rng, draw_rare

KINDS = ("town", "residential", "boulevard", "outskirts")
RARE = ("bus", "truck", "tram", "caravan", "cargroup", "bridge", "motorcycle", "tunnel")
BAY = 2.2  # metres; how wide parking along the kerb is
LANE = 3.25  # metres


@dataclass(frozen=True)
class Side:
    """One side of a street from the kerb outwards; all x are metres to the right of the street's middle."""

    sign: int  # -1: left, +1: right
    kerb: float  # x
    parking: bool
    pavement: float  # width of the sidewalk
    verge: float  # width of the grass between the sidewalk and the house fronts

    @property
    def walk(self) -> float:
        """x where the sidewalk begins."""
        return self.kerb + self.sign * BAY * self.parking

    @property
    def front(self) -> float:
        """x of the house fronts."""
        return self.kerb + self.sign * (BAY * self.parking + self.pavement + self.verge)


@dataclass(frozen=True)
class Street:
    """The cross-section; we drive on the right."""

    kind: str
    half: float  # from the middle to a kerb
    lanes: int  # lanes in our direction; the other direction has as many
    left: Side
    right: Side
    median: float  # half the width of a strip in the middle
    rails: bool
    crossing: float  # depth of a crossing street; 0 is none
    rare: frozenset[str]

    def lane(self, number: int) -> float:
        """x of the middle of a lane: 1, 2, .. ours from the median outwards, -1, -2, .. the others'."""
        sign = 1 if number > 0 else -1
        return sign * (self.median + LANE * (abs(number) - 0.5))


def draw_street(rng: Rng, number: int) -> Street:
    """A cross-section; `number` decides which rare thing this frame has for certain."""
    rare = draw_rare(rng, number, RARE, 0.05)
    kind = KINDS[int(rng.choice(4, p=(0.42, 0.26, 0.20, 0.12)))]
    if "tunnel" in rare:
        kind = "outskirts"
    lanes = 2 if kind == "boulevard" or (kind == "outskirts" and rng.random() < 0.5) else 1
    rails = "tram" in rare or (kind in ("town", "boulevard") and rng.random() < 0.12)
    median = 3.2 if rails else (rng.uniform(1.0, 2.4) if kind == "boulevard" else 0.0)
    half = median + LANE * lanes + rng.uniform(0.0, 0.6)
    garden, avenue, field = rng.uniform(2, 6), rng.uniform(0, 3.5), rng.uniform(3, 9)
    verge = {"town": 0.0, "residential": garden, "boulevard": avenue, "outskirts": field}[kind]
    parks = kind != "outskirts"
    parking = bool(parks and rng.random() < 0.6), bool(parks and rng.random() < 0.65)
    pavement = rng.uniform(1.8, 3.8), rng.uniform(1.8, 3.8)
    return Street(
        kind, half, lanes,
        Side(-1, -half, parking[0], pavement[0], verge),
        Side(1, half, parking[1], pavement[1], verge * rng.uniform(0.5, 1.2)),
        median, rails,
        rng.uniform(16, 42) if kind != "outskirts" and rng.random() < 0.45 else 0.0,
        rare,
    )  # fmt: skip
