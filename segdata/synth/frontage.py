"""Both sides of a street: house fronts, gardens, walls, trees, poles, lamps, signs, and what closes the view."""

import numpy as np

from segdata.synth import buildings, furniture, nature
from segdata.synth.cast import Cast
from segdata.synth.profile import Street

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
        cast.add(z, furniture.paint_bridge, z, street.right + 4)
    if "tunnel" in street.rare:
        cast.add(118, furniture.paint_tunnel, 118, street.right + 1)


def add_fronts(cast: Cast, street: Street, side: int) -> None:
    """Houses wall to wall, houses in gardens, or fields, depending on the kind of street."""
    rng, x = cast.rng, street.front(side)
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
                cast.add(z + long, buildings.paint_building, side, x, z, z + long, height, shop)
            else:
                _add_green(cast, x, side, z, z + long)
            z += long + (rng.uniform(2, 6) if rng.random() < 0.10 else 0.0)
        else:
            if rng.random() < (0.85 if street.kind == "residential" else 0.12):
                back = x + side * rng.uniform(3, 7)
                cast.add(z + long, buildings.paint_building, side, back, z, z + min(long, 13), height, False)
            _add_border(cast, street, x, side, z, z + long)
            z += long + rng.uniform(1, 7)


def _add_green(cast: Cast, x: float, side: int, z0: float, z1: float) -> None:
    """A gap between houses that trees fill."""
    rng = cast.rng
    for z in np.arange(z0 + 2, z1, 4.0).tolist():
        cast.add(z, nature.paint_tree, x + side * rng.uniform(2, 7), z)


def _add_border(cast: Cast, street: Street, x: float, side: int, z0: float, z1: float) -> None:
    """What separates a garden or a field from the street."""
    rng = cast.rng
    kind = rng.choice(5, p=(0.30, 0.24, 0.18, 0.14, 0.14))
    near = max(z0, 2.0)
    if z1 - near < 2:
        return
    if street.kind == "outskirts" and kind in (1, 2):
        edge = (street.right if side > 0 else street.left) + side * 0.5
        cast.add(z1, furniture.paint_guard_rail, edge, near, z1)
    elif kind == 0:
        cast.add(z1, nature.paint_hedge, x, near, z1, rng.uniform(0.9, 2.0))
    elif kind in (1, 4):
        cast.add(z1, buildings.paint_fence, x, near, z1, rng.uniform(0.9, 1.7))
    elif kind == 2:
        cast.add(z1, buildings.paint_wall, x, near, z1, rng.uniform(0.9, 2.2))
    for z in np.arange(max(z0, 5), z1, 5.0).tolist():
        if rng.random() < 0.55:
            cast.add(z, nature.paint_tree, x + side * rng.uniform(1.5, 9), z)
        if rng.random() < 0.5:
            wide = rng.uniform(1.2, 2.8)
            cast.add(
                z + 1,
                nature.paint_bush,
                x + side * rng.uniform(1, 4),
                z,
                wide,
                wide * rng.uniform(0.6, 0.9),
            )


def add_roadside(cast: Cast, street: Street, side: int) -> None:
    """Lamps and trees in a row, signals at a crossing, signs, posts, bins."""
    rng = cast.rng
    k = 0 if side < 0 else 1
    kerb = street.left if side < 0 else street.right
    walk = kerb + side * (2.2 * street.parking[k] + 0.45)
    edge = walk + side * max(0.3, street.pavement[k] - 0.9)
    if rng.random() < 0.75:
        for z in np.arange(rng.uniform(9, 24), 120, rng.uniform(22, 32)).tolist():
            cast.add(z, furniture.paint_lamp, walk, z, -side)
    rows = {"town": 0.25, "residential": 0.4, "boulevard": 0.95, "outskirts": 0.35}[street.kind]
    if rng.random() < rows:
        for z in np.arange(rng.uniform(8, 16), 110, rng.uniform(8, 14)).tolist():
            if rng.random() < 0.85:
                cast.add(z, nature.paint_tree, walk + side * 0.4, z + rng.uniform(-1, 1))
    if street.crossing:
        z = street.crossing - 4.8
        cast.add(z, furniture.paint_signal, walk, z, -side)
        if rng.random() < 0.6:
            cast.add(z + 14, furniture.paint_signal, walk, z + 14, -side)
    for _ in range(int(rng.integers(1, 4))):
        z = rng.uniform(9, 55)
        cast.add(z, furniture.paint_sign, walk + side * rng.uniform(0, 0.4), z)
    for _ in range(int(rng.integers(0, 4))):
        z = rng.uniform(7, 45)
        cast.add(z, furniture.paint_pole, walk, z, rng.uniform(0.9, 1.2) if rng.random() < 0.6 else rng.uniform(3, 7))
    for _ in range(int(rng.integers(0, 3))):
        z = rng.uniform(8, 40)
        cast.add(z, furniture.paint_bin, edge, z)
    if rng.random() < 0.25:
        z = rng.uniform(22, 60)
        cast.add(z, furniture.paint_direction_board, walk + side * 1.0, z)
    if rng.random() < 0.12:
        z = rng.uniform(10, 30)
        cast.add(z, furniture.paint_pole, edge, z, rng.uniform(2, 4), "polegroup")
