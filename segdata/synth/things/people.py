"""Persons on foot, and riders with their bicycles and motorcycles."""

import math

import numpy as np

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material
from segdata.synth.things.bodies import Pose
from segdata.synth.things.shapes import disc, foot_shadow, limb, pick, upright

SKIN: tuple[Colour, ...] = ((232, 190, 160), (206, 158, 124), (150, 104, 76), (98, 66, 48))
CLOTHES: tuple[Colour, ...] = (
    (36, 40, 52), (62, 66, 74), (148, 34, 38), (40, 76, 124), (196, 188, 172), (88, 96, 70),
    (190, 120, 50), (116, 72, 104), (226, 226, 222), (50, 110, 104),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((34, 38, 50), (48, 60, 92), (70, 64, 58), (28, 28, 30), (120, 110, 94))


def paint_person(stage: Stage, rng: Rng, x: float, z: float, label: str = "person") -> None:
    """Somebody walking or standing, seen from any side."""
    tall = rng.uniform(1.55, 1.92) * (0.68 if rng.random() < 0.07 else 1.0)
    step = rng.uniform(-0.22, 0.22) * tall
    coat, legs, skin = pick(rng, CLOTHES), pick(rng, TROUSERS), pick(rng, SKIN, 0.05)
    hair = pick(rng, ((40, 30, 24), (90, 62, 36), (150, 126, 90), (110, 108, 106)))
    side = stage.light.side(1 if rng.random() < 0.5 else -1)
    lean = rng.uniform(-0.03, 0.03) * tall
    if not stage.sees(x, z, 0.4):
        return
    fine = stage.camera.pixels(tall, z) > 16

    def part(points: Reals, colour: Colour, face: float = 1.0) -> None:
        stage.fill(upright(points * tall if points.size else points, x, z), colour, Material.CLOTH, face=face * side)

    foot_shadow(stage, x, z, 0.32)
    s, lean = step / tall, lean / tall
    with stage.annotate(label, whole=True):
        for sign, face in ((-1, 0.82), (1, 1.0)):
            hip, toe = sign * 0.035 + lean, sign * (0.04 + s)
            part(limb(hip, 0.50, toe, 0.03, 0.105, 0.065), legs, face)
            if fine:
                part(limb(toe - 0.02, 0.018, toe + 0.06, 0.018, 0.036), (30, 28, 28))
        part(limb(-0.13 + lean, 0.78, -0.14 - s * 0.8, 0.46, 0.06, 0.05), coat, 0.75)
        hem = 0.40 if rng.random() < 0.35 else 0.48
        half = np.array([(0.09, hem), (0.115, 0.62), (0.135, 0.80), (0.05, 0.86)])
        torso = np.concatenate([half * (-1, 1), half[::-1]])
        torso[:, 0] += lean
        part(torso, coat)
        part(limb(0.13 + lean, 0.79, 0.14 + s * 0.8, 0.46, 0.06, 0.05), coat, 0.9)
        if rng.random() < 0.3:
            part(disc(0.15 + lean, 0.52, 0.06, 0.09), pick(rng, CLOTHES))
        part(limb(lean, 0.84, lean, 0.90, 0.06), skin, 0.85)
        part(disc(lean, 0.93, 0.052, 0.068), skin)
        if fine:
            part(disc(lean, 0.955, 0.056, 0.05), hair)


def paint_bicycle(stage: Stage, rng: Rng, pose: Pose) -> None:
    """Two wheels, a frame, a saddle and handlebars; the gaps show what is behind."""
    paint = pick(rng, ((150, 30, 30), (30, 60, 120), (36, 36, 38), (40, 110, 80), (190, 190, 188)))
    x, z, turn = pose.x, pose.z, pose.turn

    def part(points: Reals, colour: Colour) -> None:
        stage.fill(upright(points, x, z, turn), colour)

    foot_shadow(stage, x, z, 0.5, 0.3)
    with stage.annotate("bicycle", whole=True):
        for s in (-0.52, 0.52):
            part(_tyre(s, 0.34, 0.34, 0.065), (32, 32, 34))
        if stage.camera.pixels(1.7, z) > 22:
            for s in (-0.52, 0.52):
                part(disc(s, 0.34, 0.05), (110, 110, 112))
        for bar in ((-0.52, 0.34, -0.12, 0.34), (-0.12, 0.34, -0.25, 0.85), (-0.22, 0.78, 0.36, 0.84),
                    (-0.12, 0.34, 0.38, 0.76), (-0.52, 0.34, -0.22, 0.74), (0.52, 0.34, 0.36, 0.98)):  # fmt: skip
            part(limb(*bar, 0.055), paint)
        part(limb(-0.40, 0.90, -0.14, 0.90, 0.08), (24, 24, 24))
        part(limb(0.24, 1.0, 0.42, 0.98, 0.06), (40, 40, 42))
        across = np.array([(-0.27, 0.98), (0.27, 0.98), (0.27, 1.04), (-0.27, 1.04)])
        bars = pose.ahead(0.36)
        stage.fill(upright(across, bars.x, bars.z, turn + math.pi / 2), (40, 40, 42))


def _tyre(s: float, y: float, radius: float, thick: float) -> Reals:
    """(K, 2) a ring as one polygon with a seam."""
    outer, inner = disc(s, y, radius, corners=18), disc(s, y, radius - thick, corners=18)
    return np.concatenate([outer, outer[:1], inner[:1], inner[:0:-1], inner[:1]])


def paint_motorcycle(stage: Stage, rng: Rng, pose: Pose) -> None:
    """Fat wheels, engine, tank and seat."""
    paint = pick(rng, ((160, 24, 24), (26, 26, 28), (36, 60, 130), (200, 200, 200)))
    x, z, turn = pose.x, pose.z, pose.turn
    foot_shadow(stage, x, z, 0.7, 0.45)
    with stage.annotate("motorcycle", whole=True):
        for thick in (-0.09, 0.09):
            dx = thick * math.cos(turn)
            for s in (-0.68, 0.68):
                stage.fill(upright(_tyre(s, 0.32, 0.32, 0.14), x + dx, z, turn), (28, 28, 30))
                stage.fill(upright(disc(s, 0.32, 0.10), x + dx, z, turn), (120, 120, 124))
            engine = np.array([(-0.40, 0.28), (-0.45, 0.55), (0.3, 0.6), (0.42, 0.3)])
            stage.fill(upright(engine, x + dx, z, turn), (70, 70, 74))
            body = np.array(
                [(-0.85, 0.82), (-0.5, 0.62), (0.35, 0.58), (0.5, 0.8), (0.32, 1.0), (0.0, 1.0), (-0.2, 0.84)]
            )
            stage.fill(upright(body, x + dx, z, turn), paint, face=1.0 if thick > 0 else 0.7)
            stage.fill(upright(limb(-0.8, 0.86, -0.1, 0.86, 0.1), x + dx, z, turn), (24, 24, 24))
            stage.fill(upright(limb(0.68, 0.32, 0.42, 1.08, 0.07), x + dx, z, turn), (130, 130, 134))
        across = np.array([(-0.36, 1.05), (0.36, 1.05), (0.36, 1.12), (-0.36, 1.12)])
        bars = pose.ahead(0.4)
        stage.fill(upright(across, bars.x, bars.z, turn + math.pi / 2), (40, 40, 42))
        away = math.cos(turn) > 0
        lamp = pose.ahead(-0.85 if away else 0.72)
        stage.fill(upright(disc(0, 0.82, 0.09, 0.07), lamp.x, lamp.z), (180, 20, 20) if away else (240, 240, 220))


def paint_rider(stage: Stage, rng: Rng, pose: Pose, motor: bool) -> None:
    """Somebody in the saddle: paint it after the two-wheeler at the same place."""
    x, z, turn = pose.x, pose.z, pose.turn
    coat, legs, skin = pick(rng, CLOTHES), pick(rng, TROUSERS), pick(rng, SKIN, 0.05)
    cap = pick(rng, ((30, 30, 32), (200, 200, 200), (170, 40, 40), (60, 44, 30)))
    seat, hand = (-0.25, 0.92 if motor else 0.96), (0.36, 1.08)
    neck = (0.0 if motor else -0.02, 1.46)

    def part(points: Reals, colour: Colour, shift: float = 0.0, face: float = 1.0) -> None:
        world = upright(points, x + shift * math.cos(turn), z - shift * math.sin(turn), turn)
        stage.fill(world, colour, Material.CLOTH, face=face, depth=z)

    with stage.annotate("rider", whole=True):
        for shift, knee, foot in ((-0.12, (0.18, 0.72), (-0.02, 0.18)), (0.12, (0.22, 0.84), (0.02, 0.40))):
            part(limb(*seat, *knee, 0.17, 0.13), legs, shift, 0.9)
            part(limb(*knee, *foot, 0.13, 0.09), legs, shift, 0.9)
            part(limb(foot[0] - 0.05, foot[1], foot[0] + 0.18, foot[1] - 0.02, 0.08), (28, 28, 30), shift)
        facing = turn + math.pi / 2 if abs(math.sin(turn)) < 0.7 else turn
        torso = np.array(
            [(-0.17, seat[1] - 0.05), (-0.21, 1.30), (-0.12, 1.44), (0.12, 1.44), (0.21, 1.30), (0.17, seat[1] - 0.05)]
        )
        middle = pose.ahead((seat[0] + neck[0]) / 2)
        part(limb(seat[0], seat[1] - 0.08, neck[0], neck[1], 0.30, 0.26), coat)
        stage.fill(upright(torso, middle.x, middle.z, facing), coat, Material.CLOTH, depth=z)
        for shift in (-0.22, 0.22):
            part(limb(neck[0], 1.38, *hand, 0.10, 0.08), coat, shift, 0.85)
        head = pose.ahead(neck[0] + 0.06)
        stage.fill(upright(disc(0, 1.60, 0.10, 0.14), head.x, head.z), cap if motor else skin, Material.CLOTH)
        stage.fill(upright(disc(0, 1.60 + 0.05, 0.115, 0.09), head.x, head.z), cap, Material.CLOTH)


def paint_two_wheeler(stage: Stage, rng: Rng, pose: Pose, motor: bool) -> None:
    """A bicycle or a motorcycle with its rider."""
    (paint_motorcycle if motor else paint_bicycle)(stage, rng, pose)
    paint_rider(stage, rng, pose, motor)


def paint_parked(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """A bicycle, now and then a motorcycle, that leans on something."""
    pose = Pose(x, z, rng.uniform(0.5, math.pi - 0.5))
    (paint_motorcycle if rng.random() < 0.18 else paint_bicycle)(stage, rng, pose)
