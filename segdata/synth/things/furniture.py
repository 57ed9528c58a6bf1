"""What stands beside and over the street: poles, lamps, signals, signs, rails, bridges, bins."""

import math

import numpy as np

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material
from segdata.synth.things.buildings import lengthwise
from segdata.synth.things.shapes import disc, foot_shadow, frontal, lateral, limb, pick, upright

STEEL: Colour = (112, 116, 118)
BULBS: tuple[Colour, ...] = ((240, 40, 30), (250, 180, 30), (40, 220, 120))


def _bar(stage: Stage, ax: float, ay: float, bx: float, by: float, z: float, thick: float, colour: Colour) -> None:
    """A pole with a lit and a shaded half, at least most of a pixel thick."""
    thick = max(thick, 0.8 / stage.camera.pixels(1.0, z))
    stage.fill(upright(limb(ax, ay, bx, by, thick), 0, z), colour)
    if stage.camera.pixels(thick, z) > 3:
        shift = stage.light.sun * thick * 0.22
        stage.fill(upright(limb(ax + shift, ay, bx + shift, by, thick * 0.4), 0, z), colour, face=1.25)


def paint_pole(stage: Stage, rng: Rng, x: float, z: float, tall: float, label: str = "pole") -> None:
    """A plain post."""
    foot_shadow(stage, x, z, 0.2)
    with stage.annotate(label):
        _bar(stage, x, 0, x, tall, z, rng.uniform(0.09, 0.16), pick(rng, (STEEL, (84, 88, 86), (150, 150, 146))))


def paint_lamp(stage: Stage, rng: Rng, x: float, z: float, inward: int) -> None:
    """A street lamp whose arm reaches over the street."""
    tall, arm = rng.uniform(6.5, 8.5), rng.uniform(1.2, 2.2) * inward
    foot_shadow(stage, x, z, 0.25)
    with stage.annotate("pole"):
        _bar(stage, x, 0, x, tall, z, 0.17, STEEL)
        _bar(stage, x, tall - 0.1, x + arm, tall + 0.3, z, 0.10, STEEL)
        stage.fill(upright(disc(x + arm, tall + 0.25, 0.42, 0.13), 0, z), (196, 196, 186))


def paint_signal(stage: Stage, rng: Rng, x: float, z: float, inward: int) -> None:
    """A traffic light on its pole, sometimes with a second one over the lane."""
    lit = int(rng.integers(3))
    foot_shadow(stage, x, z, 0.25)
    arm = rng.uniform(2.4, 4.2) * inward if rng.random() < 0.5 else 0.0
    with stage.annotate("pole"):
        _bar(stage, x, 0, x, 5.6 if arm else 3.5, z, 0.16, (96, 100, 98))
        if arm:
            _bar(stage, x, 5.4, x + arm, 5.5, z, 0.12, (96, 100, 98))
    for cx, cy in [(x + 0.05 * inward, 2.9)] + ([(x + arm, 5.1)] if arm else []):
        with stage.annotate("traffic light"):
            stage.fill(upright(limb(cx, cy - 0.52, cx, cy + 0.52, 0.4), 0, z), (30, 32, 32))
            for k, (red, green, blue) in enumerate(BULBS):
                glow = 1.0 if k == lit else 0.25
                bulb = disc(cx, cy + 0.32 - 0.32 * k, 0.125)
                stage.fill(upright(bulb, 0, z), (red * glow, green * glow, blue * glow), depth=0)


def _board(kind: int, x: float, y: float, size: float) -> list[tuple[Reals, Colour]]:
    """A sign's layers from the back to the front."""
    triangle = np.array([(-1.0, -0.8), (1.0, -0.8), (0.0, 0.95)])
    square = np.array([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
    diamond = np.array([(0.0, -1.1), (1.1, 0.0), (0.0, 1.1), (-1.1, 0.0)])
    round_ = disc(0, 0, 1.0, corners=18)
    arrow = np.array([(-0.2, -0.6), (0.2, -0.6), (0.2, 0.1), (0.5, 0.1), (0.0, 0.7), (-0.5, 0.1), (-0.2, 0.1)])
    red, white, blue, yellow = (186, 28, 34), (234, 234, 230), (26, 78, 158), (238, 190, 40)
    layers: list[list[tuple[Reals, Colour]]] = [
        [(round_, red), (round_ * 0.74, white)],
        [(triangle, red), (triangle * 0.64 + (0, -0.06), white)],
        [(round_, white), (round_ * 0.94, blue), (arrow, white)],
        [(diamond, white), (diamond * 0.86, (40, 40, 40)), (diamond * 0.8, yellow)],
        [(square, white), (square * 0.92, blue), (arrow * 0.9, white)],
        [(round_, red), (np.array([(-0.7, -0.16), (0.7, -0.16), (0.7, 0.16), (-0.7, 0.16)]), white)],
    ]
    return [(shape * size + (x, y), colour) for shape, colour in layers[kind]]


def paint_sign(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """One or two boards on a post."""
    foot_shadow(stage, x, z, 0.18)
    size, tall = rng.uniform(0.30, 0.40), rng.uniform(2.3, 2.9)
    with stage.annotate("pole"):
        _bar(stage, x, 0, x, tall, z, 0.08, (150, 152, 152))
    boards = 2 if rng.random() < 0.3 else 1
    for k in range(boards):
        with stage.annotate("traffic sign"):
            for shape, colour in _board(int(rng.integers(6)), x, tall - 0.3 - k * 2.2 * size, size):
                stage.fill(upright(shape, 0, z), colour)


def paint_direction_board(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """A big blue or yellow board on two posts."""
    wide, low, high = rng.uniform(1.6, 2.6), 2.2, rng.uniform(3.4, 4.0)
    colour = pick(rng, ((26, 70, 140), (232, 190, 50), (228, 228, 222)))
    with stage.annotate("pole"):
        for dx in (-wide * 0.35, wide * 0.35):
            _bar(stage, x + dx, 0, x + dx, high, z, 0.12, STEEL)
    with stage.annotate("traffic sign"):
        stage.fill(frontal(x - wide / 2, x + wide / 2, low, high, z), colour)
        for y in np.linspace(low + 0.3, high - 0.35, 3).tolist():
            line = frontal(x - wide * 0.4, x + wide * rng.uniform(0.0, 0.35), y, y + 0.14, z)
            stage.fill(line, (240, 240, 240) if colour[2] > 100 and colour[0] < 100 else (40, 40, 40))


def paint_guard_rail(stage: Stage, _: Rng, x: float, z0: float, z1: float) -> None:
    """A steel rail on short posts."""
    plane = lengthwise(x)
    posts: Reals = np.arange(z0, z1, 4.0)
    face = stage.light_along(x)
    with stage.annotate("guard rail"):
        stage.fill(plane.rectangles(posts, posts * 0, 0.15, 0.6), (96, 98, 98))
        for low, high, shade in ((0.42, 0.75, 1.0), (0.55, 0.63, 0.62), (0.70, 0.75, 1.2)):
            stage.fill(lateral(x, z0, z1, low, high), (158, 162, 164), face=face * shade)


def paint_bridge(stage: Stage, rng: Rng, z: float, reach: float) -> None:
    """A deck over the street on two piers."""
    colour = pick(rng, ((150, 146, 138), (128, 124, 120), (140, 112, 92)))
    low, high = rng.uniform(4.8, 5.6), rng.uniform(6.6, 7.4)
    with stage.annotate("bridge"):
        stage.fill(frontal(-60, 60, low, high, z), colour, Material.PLASTER, face=0.8)
        stage.fill(
            [(-60, low, z), (60, low, z), (60, low, z + 9), (-60, low, z + 9)], colour, Material.PLASTER, face=0.35
        )
        stage.fill(frontal(-60, 60, high, high + 0.9, z), (84, 90, 92), face=0.9)
        for near, far in ((-reach, -reach - 1.4), (reach, reach + 1.4)):
            stage.fill(frontal(near, far, 0, low, z), colour, Material.PLASTER, face=0.66)


def paint_tunnel(stage: Stage, _: Rng, z: float, reach: float) -> None:
    """The dark mouth of a tunnel in a concrete front."""
    arch = np.array([(-reach, 0.0), (-reach, 3.8), (-reach * 0.7, 5.0), (reach * 0.7, 5.0), (reach, 3.8), (reach, 0.0)])
    with stage.annotate("wall"):
        stage.fill(
            frontal(-reach - 9, reach + 9, 0, 7.4, z),
            (148, 144, 136),
            Material.PLASTER,
            face=0.85,
        )
    with stage.annotate("tunnel"):
        stage.fill(upright(arch, 0, z), (44, 42, 40))
        stage.fill(upright(arch * (0.6, 0.7), 0, z), (20, 20, 20))


def paint_bin(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """A bin, a box or a bench: things nobody counts."""
    colour = pick(rng, ((52, 84, 56), (196, 120, 40), (70, 74, 80), (150, 40, 40)))
    wide, tall = rng.uniform(0.4, 0.9), rng.uniform(0.7, 1.2)
    foot_shadow(stage, x, z, wide * 0.6)
    with stage.annotate("static"):
        stage.fill(
            [(x - wide / 2, 0, z), (x + wide / 2, 0, z), (x + wide * 0.45, tall, z), (x - wide * 0.45, tall, z)], colour
        )
        stage.fill(upright(limb(x - wide * 0.5, tall, x + wide * 0.5, tall, 0.1), 0, z), colour, face=0.6)


def paint_pram(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """A pram: something that moves by itself tomorrow, `dynamic` today."""
    cloth = pick(rng, ((60, 60, 80), (150, 60, 60), (60, 110, 110)))
    foot_shadow(stage, x, z, 0.45)
    with stage.annotate("dynamic"):
        for dx in (-0.28, 0.28):
            stage.fill(upright(disc(x + dx, 0.16, 0.16), 0, z), (30, 30, 32))
        hood = np.stack(
            (x + 0.42 * np.cos(np.linspace(math.pi, 0, 9)), 0.62 + 0.45 * np.sin(np.linspace(math.pi, 0, 9))), axis=-1
        )
        stage.fill(upright(np.concatenate([hood, [(x + 0.3, 0.3), (x - 0.3, 0.3)]]), 0, z), cloth, Material.CLOTH)
        stage.fill(upright(limb(x + 0.35, 0.6, x + 0.7, 0.95, 0.05), 0, z), (40, 40, 42))
