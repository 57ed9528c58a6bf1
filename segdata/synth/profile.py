"""The cross-section of a street: what lies beside what, in metres from its middle."""

from dataclasses import dataclass

from segdata.synth.cast import Rng

KINDS = ("town", "residential", "boulevard", "outskirts")
# Every eighth frame has each of these for certain, the others only now and then.
RARE = ("bus", "truck", "tram", "caravan", "cargroup", "bridge", "motorcycle", "tunnel")


@dataclass(frozen=True)
class Street:
    """The cross-section: metres to the right of the street's middle, where we drive on the right."""

    kind: str
    left: float  # kerb on the left (negative)
    right: float
    lanes: int  # lanes in our direction; the other direction has as many
    parking: tuple[bool, bool]  # left, right
    pavement: tuple[float, float]  # widths of the sidewalks
    verge: tuple[float, float]  # widths of grass between sidewalk and front
    median: float  # half the width of a strip in the middle
    rails: bool
    crossing: float  # depth of a crossing street; 0 is none
    rare: frozenset[str]

    def front(self, side: int) -> float:
        """x of the house fronts."""
        k = 0 if side < 0 else 1
        kerb = self.left if side < 0 else self.right
        return kerb + side * (2.2 * self.parking[k] + self.pavement[k] + self.verge[k])

    def lane(self, number: int) -> float:
        """x of the middle of a lane: 1, 2, .. ours from the median outwards, -1, -2, .. the others'."""
        sign = 1 if number > 0 else -1
        return sign * (self.median + 3.25 * (abs(number) - 0.5))


def draw_street(rng: Rng, number: int) -> Street:
    """A cross-section; `number` decides which rare thing this frame has for certain."""
    rare = frozenset(name for k, name in enumerate(RARE) if number % len(RARE) == k or rng.random() < 0.05)
    kind = KINDS[int(rng.choice(4, p=(0.42, 0.26, 0.20, 0.12)))]
    if "tunnel" in rare:
        kind = "outskirts"
    lanes = 2 if kind == "boulevard" or (kind == "outskirts" and rng.random() < 0.5) else 1
    rails = "tram" in rare or (kind in ("town", "boulevard") and rng.random() < 0.12)
    median = 3.2 if rails else (rng.uniform(1.0, 2.4) if kind == "boulevard" else 0.0)
    half = median + 3.25 * lanes + rng.uniform(0.0, 0.6)
    parks = kind != "outskirts"
    verge = {
        "town": 0.0,
        "residential": rng.uniform(2, 6),
        "boulevard": rng.uniform(0, 3.5),
        "outskirts": rng.uniform(3, 9),
    }
    return Street(
        kind, -half, half, lanes,
        (bool(parks and rng.random() < 0.6), bool(parks and rng.random() < 0.65)),
        (rng.uniform(1.8, 3.8), rng.uniform(1.8, 3.8)),
        (verge[kind], verge[kind] * rng.uniform(0.5, 1.2)),
        median, rails,
        rng.uniform(16, 42) if kind != "outskirts" and rng.random() < 0.45 else 0.0,
        rare,
    )  # fmt: skip
