"""Cars, vans, trucks, buses, trams, caravans, trailers."""

import math
from collections.abc import Sequence

import numpy as np

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage
from segdata.synth.things.bodies import BUS, CAB, CARAVAN, CARGO, CARS, HATCH, TRAILER, TRAM, Body, Pose
from segdata.synth.things.shapes import disc, pick

GLASS: Colour = (44, 54, 62)
TYRE: Colour = (26, 26, 28)
PAINTS: tuple[Colour, ...] = (
    (28, 29, 32), (70, 72, 76), (168, 170, 172), (226, 227, 226), (126, 24, 26),
    (28, 50, 104), (92, 100, 112), (46, 70, 62), (196, 148, 40), (120, 106, 88),
)  # fmt: skip
STRIPES: tuple[Colour, ...] = ((190, 40, 40), (40, 90, 170), (230, 180, 40), (30, 130, 90))
TOWED: dict[str, tuple[Body, tuple[Colour, ...]]] = {
    "caravan": (CARAVAN, ((226, 224, 216),)),
    "trailer": (TRAILER, ((120, 124, 128), (60, 84, 120))),
}


def _place(pose: Pose, body: Body, points: Reals) -> Reals:
    """(..., 3) of s, across, y on the vehicle to world metres."""
    s, across, y = points[..., 0] - body.length / 2, points[..., 1], points[..., 2]
    across = across * np.where(y > body.waist, 1 - 0.18 * np.minimum((y - body.waist) / 0.4, 1), 1)
    sin, cos = math.sin(pose.turn), math.cos(pose.turn)
    return np.stack((pose.x + s * sin + across * cos, y, pose.z + s * cos - across * sin), axis=-1)


def _end(pose: Pose, body: Body, s: float, left: float, right: float, low: float, high: float) -> Reals:
    """(4, 3) an upright rectangle across the vehicle at s, in world metres."""
    return _place(pose, body, np.array([(s, left, low), (s, right, low), (s, right, high), (s, left, high)]))


def vehicle_shadow(stage: Stage, pose: Pose, body: Body) -> None:
    """The dark patch between the wheels: what makes a vehicle stand on the ground."""
    half, length = body.width / 2 + 0.12, body.length
    foot = np.array([(-0.15, -half, 0), (length + 0.15, -half, 0), (length + 0.15, half, 0), (-0.15, half, 0)])
    soft = stage.camera.pixels(0.12, pose.z)
    stage.darken(_place(pose, body, foot), 0.55, min(soft, 12))


def paint_body(stage: Stage, pose: Pose, body: Body, paint: Colour, stripe: Colour | None = None) -> None:
    """Fill all faces that look at the camera, far ones first, with wheels, windows and lights."""
    eye = np.array((stage.camera.offset, stage.camera.eye, 0.0))
    half = body.width / 2
    fine = stage.camera.pixels(body.length, pose.z) > 14
    sides = [side for side in (-1, 1) if _looks_at(eye, pose, (0.0, side), half)]
    for side in sides:
        _paint_side(stage, pose, body, paint, side * half, fine, stripe)
    start, end = np.array(body.profile[:-1]), np.array(body.profile[1:])  # (K, 2) s, y of each piece
    rim = np.stack((start, end, end, start), axis=1)  # (K, 4, 2)
    across = np.broadcast_to(np.array((-half, -half, half, half)), rim.shape[:2])
    quads = _place(pose, body, np.stack((rim[..., 0], across, rim[..., 1]), axis=-1))  # (K, 4, 3)
    step = end - start
    normal = np.stack((-step[:, 1], step[:, 0]), axis=1) / np.hypot(*step.T)[:, None]  # along s, up
    outward = np.stack((normal[:, 0] * math.sin(pose.turn), normal[:, 1], normal[:, 0] * math.cos(pose.turn)), 1)
    middle = quads.mean(1)
    seen = ((eye - middle) * outward).sum(1) > 0
    for k in np.argsort(-middle[:, 2], kind="stable").tolist():
        if not seen[k]:
            continue
        face = 0.80 + 0.35 * max(0.0, float(normal[k, 1]))
        stage.fill(quads[k], paint, face=face)
        if k in body.glass:
            stage.fill(middle[k] + (quads[k] - middle[k]) * (1 - 0.10), GLASS, face=face + 0.15)
    if fine:
        _paint_end(stage, pose, body, eye)


def _looks_at(eye: Reals, pose: Pose, normal: tuple[float, float], reach: float) -> bool:
    """Whether a face with this normal (along s, across) shows itself to the camera."""
    sin, cos = math.sin(pose.turn), math.cos(pose.turn)
    nx, nz = normal[0] * sin + normal[1] * cos, normal[0] * cos - normal[1] * sin
    return bool(nx * (eye[0] - pose.x - nx * reach) + nz * (eye[2] - pose.z - nz * reach) > 0)


def _paint_side(
    stage: Stage, pose: Pose, body: Body, paint: Colour, across: float, fine: bool, stripe: Colour | None
) -> None:
    """One flank with its windows and wheels; `across` is where it lies, to the right of the middle."""

    def place(points: Sequence[tuple[float, float]] | Reals) -> Reals:  # (..., 2) s, y to world metres
        s, y = np.moveaxis(np.asarray(points), -1, 0)
        return _place(pose, body, np.stack((s, np.full_like(s, across), y), axis=-1))

    face = stage.light.side(1 if math.cos(pose.turn) * across > 0 else -1) * 0.92
    stage.fill(place(body.profile), paint, face=face)
    low = min(y for _, y in body.profile)
    if fine:
        sill = ((0.1, low), (0.1, low + 0.14), (body.length - 0.1, low + 0.14), (body.length - 0.1, low))
        stage.fill(place(sill), paint, face=face * 0.55)
        if stripe is not None:
            stage.fill(place(((0.0, 0.75), (0.0, 1.0), (body.length, 1.0), (body.length, 0.75))), stripe, face=face)
    if body.windows:
        stage.fill(place(np.array(body.windows)), GLASS, face=0.9 + 0.25 * face)
    if body.wheels:
        stage.fill(place(np.stack([disc(s, body.radius, body.radius) for s in body.wheels])), TYRE)
        if fine:
            hubs = np.stack([disc(s, body.radius, body.radius * 0.58) for s in body.wheels])
            stage.fill(place(hubs), (120, 122, 126), face=face)


def _paint_end(stage: Stage, pose: Pose, body: Body, eye: Reals) -> None:
    """Tail lights or head lights on the end that looks at us, and the tyres below it."""
    rear = _looks_at(eye, pose, (-1.0, 0.0), body.length / 2)
    if not rear and not _looks_at(eye, pose, (1.0, 0.0), body.length / 2):
        return
    s = -0.01 if rear else body.length + 0.01
    low = min(y for _, y in body.profile)
    height = 0.82 if body.length < 6 else 1.0
    y0, half = height - (0.16 if rear else 0.28), body.width / 2
    size = 0.16 if rear else 0.11
    for side in (-1, 1):
        lamp = _end(pose, body, s, side * (half - 0.04), side * (half - 0.34), y0, y0 + size)
        stage.fill(lamp, (168, 22, 20) if rear else (236, 236, 220), depth=0)
        if body.wheels:
            stage.fill(_end(pose, body, s, side * (half - 0.05), side * (half - 0.28), 0, low), TYRE)
    stage.fill(_end(pose, body, s, -half + 0.02, half - 0.02, low, low + 0.16), (48, 48, 50))


def paint_vehicle(
    stage: Stage, pose: Pose, body: Body, paint: Colour, label: str, stripe: Colour | None = None
) -> None:
    """A vehicle with its shadow."""
    vehicle_shadow(stage, pose, body)
    with stage.annotate(label, whole=True):
        paint_body(stage, pose, body, paint, stripe)


def paint_car(stage: Stage, rng: Rng, pose: Pose) -> None:
    """A car and, near enough, its licence plate (an object of its own, over the car)."""
    body, paint = CARS[int(rng.choice(3, p=(0.5, 0.36, 0.14)))], pick(rng, PAINTS)
    if not stage.sees(pose.x, pose.z, body.length):
        return
    paint_vehicle(stage, pose, body, paint, "car")
    if stage.camera.pixels(0.5, pose.z) > 9 and abs(math.sin(pose.turn)) < 0.5:
        s, y = (-0.03, 0.52) if math.cos(pose.turn) > 0 else (body.length + 0.03, 0.42)
        with stage.annotate("license plate"):
            stage.fill(_end(pose, body, s, -0.26, 0.26, y, y + 0.12), (228, 228, 220))


def paint_car_group(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """Cars too close to each other for an annotator to tell them apart: one polygon `cargroup`."""
    with stage.annotate("cargroup"):
        for k in reversed(range(4)):
            pose = Pose(x + rng.normal(0, 0.1), z + 4.6 * k, 0.0)
            paint_body(stage, pose, HATCH, pick(rng, PAINTS))


def paint_towed(stage: Stage, rng: Rng, pose: Pose, label: str) -> None:
    """A caravan or a trailer."""
    body, paints = TOWED[label]
    if stage.sees(pose.x, pose.z, body.length):
        paint_vehicle(stage, pose, body, pick(rng, paints), label)


def paint_bus(stage: Stage, rng: Rng, pose: Pose) -> None:
    """A bus in a town's colours, with a stripe."""
    paint = pick(rng, ((206, 196, 176), (190, 60, 44), (226, 190, 70), (200, 204, 206)))
    paint_vehicle(stage, pose, BUS, paint, "bus", pick(rng, STRIPES))


def paint_tram(stage: Stage, rng: Rng, pose: Pose) -> None:
    """A tram whose front is at the pose: `train`."""
    paint = pick(rng, ((214, 208, 196), (196, 66, 52), (226, 196, 84), (96, 140, 170)))
    middle = Pose(pose.x, pose.z + TRAM.length / 2, pose.turn)
    paint_vehicle(stage, middle, TRAM, paint, "train", pick(rng, STRIPES))


def paint_truck(stage: Stage, rng: Rng, pose: Pose) -> None:
    """A cab in front of a cargo box."""
    cargo, cab = pick(rng, ((206, 206, 200), (60, 90, 140), (150, 60, 50), (180, 160, 110))), pick(rng, PAINTS)
    gap = CARGO.length / 2 + CAB.length / 2 + 0.15
    parts = sorted([(pose.ahead(gap), CAB, cab), (pose, CARGO, cargo)], key=lambda part: -part[0].z)
    for where, body, _ in parts:
        vehicle_shadow(stage, where, body)
    with stage.annotate("truck", whole=True):
        for where, body, paint in parts:
            paint_body(stage, where, body, paint)
