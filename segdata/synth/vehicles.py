"""Cars, vans, trucks, buses, trams, caravans, trailers: side profiles swept over a width."""

import math
from dataclasses import dataclass

import numpy as np

from segdata.synth.camera import Reals
from segdata.synth.light import Colour
from segdata.synth.stage import Stage
from segdata.synth.texture import Material

GLASS: Colour = (44, 54, 62)
TYRE: Colour = (26, 26, 28)
PAINTS: tuple[Colour, ...] = (
    (28, 29, 32), (70, 72, 76), (168, 170, 172), (226, 227, 226), (126, 24, 26),
    (28, 50, 104), (92, 100, 112), (46, 70, 62), (196, 148, 40), (120, 106, 88),
)  # fmt: skip


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


def _box(length: float, foot: float, top: float, panes: int, low: float, high: float) -> Body:
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
    return Body(profile, windows if panes > 0 else (), (), 2.5, glass=(1, 5))


def _axled(body: Body, wheels: tuple[float, ...], width: float, radius: float) -> Body:
    return Body(body.profile, body.windows, wheels, width, radius, body.waist, body.glass)


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
BUS = _axled(_box(11.8, 0.30, 3.05, 7, 1.15, 2.45), (3.1, 9.3), 2.55, 0.48)
TRAM = _axled(_box(26.0, 0.35, 3.35, 13, 1.2, 2.6), (), 2.4, 0.4)
CARGO = _axled(_box(6.4, 0.85, 3.5, 0, 1.6, 3.3), (1.0, 2.1), 2.5, 0.5)
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


def _place(pose: Pose, body: Body, points: Reals) -> Reals:
    """(..., 3) of s, across, y on the vehicle to world metres."""
    s, across, y = points[..., 0] - body.length / 2, points[..., 1], points[..., 2]
    across = across * np.where(y > body.waist, 1 - 0.18 * np.minimum((y - body.waist) / 0.4, 1), 1)
    sin, cos = math.sin(pose.turn), math.cos(pose.turn)
    return np.stack((pose.x + s * sin + across * cos, y, pose.z + s * cos - across * sin), axis=-1)


def _flat(points: list[tuple[float, float]] | tuple[tuple[float, float], ...], across: float) -> Reals:
    return np.array([(s, across, y) for s, y in points])


def _ring(s: float, y: float, radius: float, across: float, corners: int = 14) -> Reals:
    angle = np.arange(corners) * (2 * math.pi / corners)
    return np.stack((s + radius * np.cos(angle), np.full(corners, across), y + radius * np.sin(angle)), axis=-1)


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
            stage.fill(_shrunk(quads[k], 0.10), GLASS, face=face + 0.15)
    if fine:
        _paint_end(stage, pose, body, eye)


def _looks_at(eye: Reals, pose: Pose, normal: tuple[float, float], reach: float) -> bool:
    """Whether a face with this normal (along s, across) shows itself to the camera."""
    sin, cos = math.sin(pose.turn), math.cos(pose.turn)
    nx, nz = normal[0] * sin + normal[1] * cos, normal[0] * cos - normal[1] * sin
    return bool(nx * (eye[0] - pose.x - nx * reach) + nz * (eye[2] - pose.z - nz * reach) > 0)


def _shrunk(quad: Reals, by: float) -> Reals:
    middle = quad.mean(0)
    return np.asarray(middle + (quad - middle) * (1 - by))


def _paint_side(
    stage: Stage, pose: Pose, body: Body, paint: Colour, across: float, fine: bool, stripe: Colour | None
) -> None:
    world_facing = math.cos(pose.turn) * across
    face = stage.light.side(1 if world_facing > 0 else -1) * 0.92
    stage.fill(_place(pose, body, _flat(body.profile, across)), paint, face=face)
    low = min(y for _, y in body.profile)
    if fine:
        sill = ((0.1, low), (0.1, low + 0.14), (body.length - 0.1, low + 0.14), (body.length - 0.1, low))
        stage.fill(_place(pose, body, _flat(sill, across)), paint, face=face * 0.55)
        if stripe is not None:
            band = ((0.0, 0.75), (0.0, 1.0), (body.length, 1.0), (body.length, 0.75))
            stage.fill(_place(pose, body, _flat(band, across)), stripe, face=face)
    if body.windows:
        panes = np.stack([_flat(window, across) for window in body.windows])
        stage.fill(_place(pose, body, panes), GLASS, face=0.9 + 0.25 * face)
    if body.wheels:
        tyres = np.stack([_ring(s, body.radius, body.radius, across) for s in body.wheels])
        stage.fill(_place(pose, body, tyres), TYRE)
        if fine:
            hubs = np.stack([_ring(s, body.radius, body.radius * 0.58, across) for s in body.wheels])
            stage.fill(_place(pose, body, hubs), (120, 122, 126), face=face)


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
        lamp = np.array([(s, side * (half - 0.04), y0), (s, side * (half - 0.34), y0),
                         (s, side * (half - 0.34), y0 + size), (s, side * (half - 0.04), y0 + size)])  # fmt: skip
        stage.fill(_place(pose, body, lamp), (168, 22, 20) if rear else (236, 236, 220), depth=0)
        tyre = np.array([(s, side * (half - 0.05), 0), (s, side * (half - 0.28), 0),
                         (s, side * (half - 0.28), low), (s, side * (half - 0.05), low)])  # fmt: skip
        if body.wheels:
            stage.fill(_place(pose, body, tyre), TYRE)
    bumper = np.array(
        [
            (s, -half + 0.02, low),
            (s, half - 0.02, low),
            (s, half - 0.02, low + 0.16),
            (s, -half + 0.02, low + 0.16),
        ]
    )
    stage.fill(_place(pose, body, bumper), (48, 48, 50))


def plate(pose: Pose, body: Body, rear: bool) -> Reals:
    """(4, 3) the licence plate's corners in the world."""
    s, y = (-0.03, 0.52) if rear else (body.length + 0.03, 0.42)
    return _place(pose, body, np.array([(s, -0.26, y), (s, 0.26, y), (s, 0.26, y + 0.12), (s, -0.26, y + 0.12)]))


def paint_car(stage: Stage, pose: Pose, body: Body, paint: Colour, label: str = "car", *, plated: bool = True) -> None:
    """A car with its shadow and, near enough, its licence plate (an object of its own, over the car)."""
    if not stage.sees(pose.x, pose.z, body.length):
        return
    vehicle_shadow(stage, pose, body)
    with stage.annotate(label, whole=True):
        paint_body(stage, pose, body, paint)
    rear = math.cos(pose.turn) > 0
    if plated and label == "car" and stage.camera.pixels(0.5, pose.z) > 9 and abs(math.sin(pose.turn)) < 0.5:
        with stage.annotate("license plate"):
            stage.fill(plate(pose, body, rear), (228, 228, 220), Material.PLAIN)


def paint_bus(stage: Stage, pose: Pose, paint: Colour, stripe: Colour, label: str = "bus") -> None:
    """A bus, or with the label `train` a tram."""
    body = TRAM if label == "train" else BUS
    vehicle_shadow(stage, pose, body)
    with stage.annotate(label, whole=True):
        paint_body(stage, pose, body, paint, stripe)


def paint_truck(stage: Stage, pose: Pose, cab: Colour, cargo: Colour) -> None:
    """A cab in front of a cargo box."""
    gap = CARGO.length / 2 + CAB.length / 2 + 0.15
    front = Pose(pose.x + gap * math.sin(pose.turn), pose.z + gap * math.cos(pose.turn), pose.turn)
    parts = [(front, CAB, cab), (pose, CARGO, cargo)]
    parts.sort(key=lambda part: -part[0].z)
    for where, body, _ in parts:
        vehicle_shadow(stage, where, body)
    with stage.annotate("truck", whole=True):
        for where, body, paint in parts:
            paint_body(stage, where, body, paint)
