"""Both sides of a street: house fronts, gardens, walls, trees, poles, lamps, signs, and what closes the view."""

import numpy as np

from segdata.synth.canvas.cast import Cast
from segdata.synth.places.profile import BAY, Side, Street
from segdata.synth.things import buildings, furniture, nature

LAST = 150.0  # metres; how far houses are built


def add_background(cast: Cast, street: Street) -> None:
    """Forest and far houses where the street ends, perhaps a bridge or a tunnel."""
    rng = cast.rng
    cast.add(400, nature.paint_treeline, 205, rng.uniform(7, 15), "vegetation", -320, 320)
    x = -120.0
    while x < 120 and street.kind != "outskirts":
        wide, z = rng.uniform(10, 22), rng.uniform(152, 185)
        if rng.random() < 0.62:
            cast.add(z + 100, buildings.paint_cross_house, x, x + wide, z, rng.uniform(7, 17))
        x += wide + rng.uniform(0, 12)
    if "bridge" in street.rare:
        z = rng.uniform(45, 95)
        cast.add(z, furniture.paint_bridge, z, street.half + 4)
    if "tunnel" in street.rare:
        cast.add(118, furniture.paint_tunnel, 118, street.half + 1)


def add_fronts(cast: Cast, street: Street, side: Side) -> None:
    """Houses wall to wall, houses in gardens, or fields, depending on the kind of street."""
    rng, x, sign = cast.rng, side.front, side.sign
    z = rng.uniform(-14, 0)
    tall = {"town": 15.0, "residential": 8.5, "boulevard": 16.0, "outskirts": 7.0}[street.kind]
    while z < LAST:
        long = rng.uniform(10, 22)
        if street.crossing and z < street.crossing + 8.5 and z + long > street.crossing - 1.5:
            long = street.crossing - 1.5 - z
            if long < 5:
                z = street.crossing + 8.5
                continue
        height = tall * rng.uniform(0.75, 1.3)
        if street.kind in ("town", "boulevard"):
            if rng.random() < 0.93:
                shop = bool(rng.random() < 0.55)
                cast.add(z + long, buildings.paint_building, sign, x, z, z + long, height, shop)
            else:
                for gap in np.arange(z + 2, z + long, 4.0).tolist():  # trees between houses
                    cast.add(gap, nature.paint_tree, x + sign * rng.uniform(2, 7), gap)
            z += long + (rng.uniform(2, 6) if rng.random() < 0.10 else 0.0)
        else:
            if rng.random() < (0.85 if street.kind == "residential" else 0.12):
                back = x + sign * rng.uniform(3, 7)
                cast.add(z + long, buildings.paint_building, sign, back, z, z + min(long, 13), height, False)
            _add_border(cast, street, side, z, z + long)
            z += long + rng.uniform(1, 7)


def _add_border(cast: Cast, street: Street, side: Side, z0: float, z1: float) -> None:
    """What separates a garden or a field from the street."""
    rng, x, sign = cast.rng, side.front, side.sign
    kind = rng.choice(5, p=(0.30, 0.24, 0.18, 0.14, 0.14))
    near = max(z0, 2.0)
    if z1 - near < 2:
        return
    if street.kind == "outskirts" and kind in (1, 2):
        cast.add(z1, furniture.paint_guard_rail, side.kerb + sign * 0.5, near, z1)
    elif kind == 0:
        cast.add(z1, nature.paint_hedge, x, near, z1, rng.uniform(0.9, 2.0))
    elif kind in (1, 4):
        cast.add(z1, buildings.paint_fence, x, near, z1, rng.uniform(0.9, 1.7))
    elif kind == 2:
        cast.add(z1, buildings.paint_wall, x, near, z1, rng.uniform(0.9, 2.2))
    for z in np.arange(max(z0, 5), z1, 5.0).tolist():
        if rng.random() < 0.55:
            cast.add(z, nature.paint_tree, x + sign * rng.uniform(1.5, 9), z)
        if rng.random() < 0.5:
            wide = rng.uniform(1.2, 2.8)
            cast.add(z + 1, nature.paint_bush, x + sign * rng.uniform(1, 4), z, wide, wide * rng.uniform(0.6, 0.9))


def add_roadside(cast: Cast, street: Street, side: Side) -> None:
    """Lamps and trees in a row, signals at a crossing, signs, posts, bins."""
    rng, sign = cast.rng, side.sign
    walk = side.kerb + sign * (BAY * side.parking + 0.45)
    edge = walk + sign * max(0.3, side.pavement - 0.9)
    if rng.random() < 0.75:
        for z in np.arange(rng.uniform(9, 24), 120, rng.uniform(22, 32)).tolist():
            cast.add(z, furniture.paint_lamp, walk, z, -sign)
    rows = {"town": 0.25, "residential": 0.4, "boulevard": 0.95, "outskirts": 0.35}[street.kind]
    if rng.random() < rows:
        for z in np.arange(rng.uniform(8, 16), 110, rng.uniform(8, 14)).tolist():
            if rng.random() < 0.85:
                cast.add(z, nature.paint_tree, walk + sign * 0.4, z + rng.uniform(-1, 1))
    if street.crossing:
        z = street.crossing - 4.8
        cast.add(z, furniture.paint_signal, walk, z, -sign)
        if rng.random() < 0.6:
            cast.add(z + 14, furniture.paint_signal, walk, z + 14, -sign)
    for _ in range(int(rng.integers(1, 4))):
        z = rng.uniform(9, 55)
        cast.add(z, furniture.paint_sign, walk + sign * rng.uniform(0, 0.4), z)
    for _ in range(int(rng.integers(0, 4))):
        z = rng.uniform(7, 45)
        cast.add(z, furniture.paint_pole, walk, z, rng.uniform(0.9, 1.2) if rng.random() < 0.6 else rng.uniform(3, 7))
    for _ in range(int(rng.integers(0, 3))):
        z = rng.uniform(8, 40)
        cast.add(z, furniture.paint_bin, edge, z)
    if rng.random() < 0.25:
        z = rng.uniform(22, 60)
        cast.add(z, furniture.paint_direction_board, walk + sign * 1.0, z)
    if rng.random() < 0.12:
        z = rng.uniform(10, 30)
        cast.add(z, furniture.paint_pole, edge, z, rng.uniform(2, 4), "polegroup")
