"""Who is on the street: moving and parked vehicles, walkers, riders."""

import math

import numpy as np

from segdata.synth.canvas.cast import Cast
from segdata.synth.places.profile import BAY, Side, Street
from segdata.synth.things import furniture, people, vehicles
from segdata.synth.things.bodies import Pose


def add_traffic(cast: Cast, street: Street) -> None:
    """Each lane gets its queue; what is rare takes the place of a car in one of them."""
    rng = cast.rng
    due = [name for name in ("bus", "truck", "caravan", "motorcycle") if name in street.rare]
    lanes = [k for k in range(-street.lanes, street.lanes + 1) if k]
    for k in rng.permutation(lanes).tolist():
        z, turn = rng.uniform(9, 24), 0.0 if k > 0 else math.pi
        ours = abs(street.lane(k) - cast.stage.camera.offset) < 1.0
        z = max(z + 4.0 * ours, 14.0 if due else 0.0)
        while z < 130:
            kind = due.pop() if due else str(rng.choice(("car", "two", "truck", "bus"), p=(0.84, 0.12, 0.02, 0.02)))
            x = street.lane(k) + rng.normal(0, 0.18)
            z += _add_vehicle(cast, kind, Pose(x, z + 2.5, turn + rng.normal(0, 0.03))) + rng.gamma(2.0, 6.5)
    if "tram" in street.rare:
        z = rng.uniform(26, 42)
        cast.add(z + 8, vehicles.paint_tram, Pose(-1.6, z + 6.0, math.pi))


def _add_vehicle(cast: Cast, kind: str, pose: Pose) -> float:
    """Put one into its lane; the length it takes in metres."""
    rng = cast.rng
    if kind == "bus":
        cast.add(pose.z + 5, vehicles.paint_bus, Pose(pose.x, pose.z + 5, pose.turn))
        return 13.0
    if kind == "truck":
        cast.add(pose.z + 5, vehicles.paint_truck, Pose(pose.x, pose.z + 3.5, pose.turn))
        return 10.0
    if kind == "caravan":
        away = math.cos(pose.turn)
        cast.add(pose.z + 4, vehicles.paint_towed, Pose(pose.x, pose.z, pose.turn), "caravan")
        cast.add(pose.z + 5.5 * away, vehicles.paint_car, Pose(pose.x, pose.z + 5.2 * away, pose.turn))
        cast.add(pose.z + 16, vehicles.paint_towed, Pose(pose.x, pose.z + 14, pose.turn), "trailer")
        return 20.0
    if kind in ("two", "motorcycle"):
        motor = kind == "motorcycle" or rng.random() < 0.35
        slant = pose.turn + rng.uniform(-0.5, 0.5)
        cast.add(pose.z, people.paint_two_wheeler, Pose(pose.x + rng.uniform(0.2, 1.0), pose.z, slant), bool(motor))
        return 3.0
    cast.add(pose.z, vehicles.paint_car, pose)
    return 4.5


def add_parked(cast: Cast, street: Street, side: Side) -> None:
    """A row of parked cars where there is parking, and sometimes where there is not."""
    rng = cast.rng
    if not side.parking and rng.random() > 0.2:
        return
    x = side.kerb + side.sign * (BAY / 2 if side.parking else -0.9)
    z = rng.uniform(5, 14)
    if ("cargroup" in street.rare and side.sign > 0) or rng.random() < 0.10:
        start = rng.uniform(30, 42)
        cast.add(start + 16, vehicles.paint_car_group, x, start)
    while z < 95:
        free = street.crossing and street.crossing - 6 < z < street.crossing + 11
        if rng.random() < 0.78 and not free:
            turn = (0.0 if side.sign > 0 else math.pi) + rng.normal(0, 0.03)
            cast.add(z, vehicles.paint_car, Pose(x + rng.normal(0, 0.08), z, turn))
        elif not free and rng.random() < 0.3:
            cast.add(z, people.paint_parked, x + side.sign * 0.8, z)
        z += rng.uniform(5.0, 6.4)


def add_walkers(cast: Cast, street: Street, side: Side) -> None:
    """People on the sidewalk, alone and in small groups; bicycles leaning on something."""
    rng, walk, sign = cast.rng, side.walk, side.sign
    busy = {"town": 7, "residential": 3, "boulevard": 5, "outskirts": 1}[street.kind]
    for _ in range(int(rng.poisson(busy))):
        z = rng.uniform(7, 60) if rng.random() < 0.7 else rng.uniform(7, 25)
        x = walk + sign * rng.uniform(0.6, max(0.9, side.pavement - 0.3))
        for mate in range(1 if rng.random() < 0.7 else 2):
            cast.add(z, people.paint_person, x + 0.6 * mate, z + rng.uniform(-0.2, 0.2))
    for _ in range(int(rng.poisson(0.9 if street.kind != "outskirts" else 0.2))):
        z = rng.uniform(7, 35)
        cast.add(z, people.paint_parked, walk + sign * rng.uniform(0.5, 1.2), z)
    if rng.random() < 0.12:
        z = rng.uniform(8, 28)
        cast.add(z, furniture.paint_pram, walk + sign * 1.0, z)


def add_crossing(cast: Cast, street: Street) -> None:
    """Walkers on the crosswalk, and vehicles that cross ahead."""
    rng = cast.rng
    if not street.crossing:
        return
    for _ in range(int(rng.integers(0, 5))):
        z = street.crossing - rng.uniform(1.6, 4.0)
        cast.add(z, people.paint_person, rng.uniform(-street.half, street.half), z)
    for row, turn in ((2.0, math.pi / 2), (5.2, -math.pi / 2)):
        for x in np.arange(-22, 22, 9.0).tolist():
            if rng.random() < 0.22:
                z = street.crossing + row
                motion = Pose(x + rng.uniform(-2, 2), z, turn)
                if rng.random() < 0.75:
                    cast.add(z, vehicles.paint_car, motion)
                else:
                    cast.add(z, people.paint_two_wheeler, motion, bool(rng.random() < 0.3))
