"""Who is on the street: moving and parked vehicles, walkers, riders."""

import math

import numpy as np

from segdata.synth import furniture, people, vehicles
from segdata.synth.cast import Cast, Rng
from segdata.synth.light import Colour
from segdata.synth.profile import Street
from segdata.synth.stage import Stage
from segdata.synth.vehicles import Pose

STRIPES: tuple[Colour, ...] = ((190, 40, 40), (40, 90, 170), (230, 180, 40), (30, 130, 90))


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
        cast.add(z + 8, _paint_tram, Pose(-1.6, z + 6.0, math.pi))


def _add_vehicle(cast: Cast, kind: str, pose: Pose) -> float:
    """Put one into its lane; the length it takes in metres."""
    rng = cast.rng
    if kind == "bus":
        cast.add(pose.z + 5, _paint_bus, Pose(pose.x, pose.z + 5, pose.turn))
        return 13.0
    if kind == "truck":
        cast.add(pose.z + 5, _paint_truck, Pose(pose.x, pose.z + 3.5, pose.turn))
        return 10.0
    if kind == "caravan":
        away = math.cos(pose.turn)
        label = ("caravan", "trailer")
        cast.add(pose.z + 4, _paint_towed, Pose(pose.x, pose.z, pose.turn), label[0])
        cast.add(pose.z + 5.5 * away, _paint_any_car, Pose(pose.x, pose.z + 5.2 * away, pose.turn))
        cast.add(pose.z + 16, _paint_towed, Pose(pose.x, pose.z + 14, pose.turn), label[1])
        return 20.0
    if kind in ("two", "motorcycle"):
        motor = kind == "motorcycle" or rng.random() < 0.35
        slant = pose.turn + rng.uniform(-0.5, 0.5)
        cast.add(pose.z, _paint_two_wheeler, Pose(pose.x + rng.uniform(0.2, 1.0), pose.z, slant), bool(motor))
        return 3.0
    cast.add(pose.z, _paint_any_car, pose)
    return 4.5


def add_parked(cast: Cast, street: Street, side: int) -> None:
    """A row of parked cars where there is parking, and sometimes where there is not."""
    rng = cast.rng
    k = 0 if side < 0 else 1
    if not street.parking[k] and rng.random() > 0.2:
        return
    kerb = street.left if side < 0 else street.right
    x = kerb + side * (1.1 if street.parking[k] else -0.9)
    z = rng.uniform(5, 14)
    if ("cargroup" in street.rare and side > 0) or rng.random() < 0.10:
        start = rng.uniform(30, 42)
        cast.add(start + 16, _paint_car_group, x, start)
    while z < 95:
        free = street.crossing and street.crossing - 6 < z < street.crossing + 11
        if rng.random() < 0.78 and not free:
            turn = (0.0 if side > 0 else math.pi) + rng.normal(0, 0.03)
            cast.add(z, _paint_any_car, Pose(x + rng.normal(0, 0.08), z, turn))
        elif not free and rng.random() < 0.3:
            cast.add(z, _paint_parked_bike, x + side * 0.8, z)
        z += rng.uniform(5.0, 6.4)


def add_walkers(cast: Cast, street: Street, side: int) -> None:
    """People on the sidewalk, alone and in small groups; bicycles leaning on something."""
    rng = cast.rng
    k = 0 if side < 0 else 1
    kerb = street.left if side < 0 else street.right
    walk = kerb + side * 2.2 * street.parking[k]
    busy = {"town": 7, "residential": 3, "boulevard": 5, "outskirts": 1}[street.kind]
    for _ in range(int(rng.poisson(busy))):
        z = rng.uniform(7, 60) if rng.random() < 0.7 else rng.uniform(7, 25)
        x = walk + side * rng.uniform(0.6, max(0.9, street.pavement[k] - 0.3))
        for mate in range(1 if rng.random() < 0.7 else 2):
            cast.add(z, people.paint_person, x + 0.6 * mate, z + rng.uniform(-0.2, 0.2))
    for _ in range(int(rng.poisson(0.9 if street.kind != "outskirts" else 0.2))):
        z = rng.uniform(7, 35)
        cast.add(z, _paint_parked_bike, walk + side * rng.uniform(0.5, 1.2), z)
    if rng.random() < 0.12:
        z = rng.uniform(8, 28)
        cast.add(z, furniture.paint_pram, walk + side * 1.0, z)


def add_crossing(cast: Cast, street: Street) -> None:
    """Walkers on the crosswalk, and vehicles that cross ahead."""
    rng = cast.rng
    if not street.crossing:
        return
    for _ in range(int(rng.integers(0, 5))):
        z = street.crossing - rng.uniform(1.6, 4.0)
        cast.add(z, people.paint_person, rng.uniform(street.left, street.right), z)
    for row, turn in ((2.0, math.pi / 2), (5.2, -math.pi / 2)):
        for x in np.arange(-22, 22, 9.0).tolist():
            if rng.random() < 0.22:
                z = street.crossing + row
                motion = Pose(x + rng.uniform(-2, 2), z, turn)
                if rng.random() < 0.75:
                    cast.add(z, _paint_any_car, motion)
                else:
                    cast.add(z, _paint_two_wheeler, motion, bool(rng.random() < 0.3))


def _paint_any_car(stage: Stage, rng: Rng, pose: Pose) -> None:
    body = (vehicles.HATCH, vehicles.SEDAN, vehicles.VAN)[int(rng.choice(3, p=(0.5, 0.36, 0.14)))]
    vehicles.paint_car(stage, pose, body, people.pick(rng, vehicles.PAINTS))


def _paint_bus(stage: Stage, rng: Rng, pose: Pose) -> None:
    paint = people.pick(rng, ((206, 196, 176), (190, 60, 44), (226, 190, 70), (200, 204, 206)))
    vehicles.paint_bus(stage, pose, paint, people.pick(rng, STRIPES))


def _paint_tram(stage: Stage, rng: Rng, pose: Pose) -> None:
    paint = people.pick(rng, ((214, 208, 196), (196, 66, 52), (226, 196, 84), (96, 140, 170)))
    middle = Pose(pose.x, pose.z + vehicles.TRAM.length / 2, pose.turn)
    vehicles.paint_bus(stage, middle, paint, people.pick(rng, STRIPES), "train")


def _paint_truck(stage: Stage, rng: Rng, pose: Pose) -> None:
    cargo = people.pick(rng, ((206, 206, 200), (60, 90, 140), (150, 60, 50), (180, 160, 110)))
    vehicles.paint_truck(stage, pose, people.pick(rng, vehicles.PAINTS), cargo)


def _paint_towed(stage: Stage, rng: Rng, pose: Pose, label: str) -> None:
    body = vehicles.CARAVAN if label == "caravan" else vehicles.TRAILER
    paint = people.pick(rng, ((226, 224, 216),) if label == "caravan" else ((120, 124, 128), (60, 84, 120)))
    vehicles.paint_car(stage, pose, body, paint, label)


def _paint_two_wheeler(stage: Stage, rng: Rng, pose: Pose, motor: bool) -> None:
    (people.paint_motorcycle if motor else people.paint_bicycle)(stage, rng, pose.x, pose.z, pose.turn)
    people.paint_rider(stage, rng, pose.x, pose.z, pose.turn, motor)


def _paint_parked_bike(stage: Stage, rng: Rng, x: float, z: float) -> None:
    turn = rng.uniform(0.5, math.pi - 0.5)
    (people.paint_motorcycle if rng.random() < 0.18 else people.paint_bicycle)(stage, rng, x, z, turn)


def _paint_car_group(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """Cars too close to each other for an annotator to tell them apart: one polygon `cargroup`."""
    with stage.annotate("cargroup"):
        for k in reversed(range(4)):
            pose = Pose(x + rng.normal(0, 0.1), z + 4.6 * k, 0.0)
            vehicles.paint_body(stage, pose, vehicles.HATCH, people.pick(rng, vehicles.PAINTS))
