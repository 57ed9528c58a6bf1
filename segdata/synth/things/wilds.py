"""What an off-road scene has and a street has not: animals, hay bales, puddles, patches nobody could name."""

import numpy as np

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material
from segdata.synth.things.bodies import BUS, CARS, Pose
from segdata.synth.things.ground import band
from segdata.synth.things.nature import foliage
from segdata.synth.things.shapes import disc, foot_shadow, frontal, limb, pick, upright
from segdata.synth.things.vehicles import PAINTS, paint_vehicle

COATS: tuple[Colour, ...] = ((124, 86, 54), (72, 52, 40), (196, 188, 178), (150, 112, 74))


def paint_animal(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """A four-legged animal, from a dog to a horse."""
    size, way = rng.uniform(0.6, 1.5), rng.choice((-1, 1))
    coat = pick(rng, COATS)
    foot_shadow(stage, x, z, 0.5 * size)

    def part(points: Reals, face: float = 1.0) -> None:
        stage.fill(upright(points * (way * size, size), x, z), coat, Material.CLOTH, face=face)

    with stage.annotate("animal"):
        for leg, face in ((-0.38, 0.7), (0.34, 0.7), (-0.30, 0.9), (0.42, 0.9)):
            part(limb(leg, 0.55, leg + rng.uniform(-0.08, 0.08), 0.0, 0.11, 0.07), face)
        part(disc(0.0, 0.72, 0.52, 0.24))
        part(limb(-0.5, 0.8, -0.62, 0.5, 0.06, 0.03), 0.8)
        part(limb(0.40, 0.78, 0.66, 1.12, 0.26, 0.15))
        part(limb(0.60, 1.16, 0.90, 1.02, 0.17, 0.09))
        part(limb(0.62, 1.18, 0.60, 1.32, 0.06, 0.02), 0.85)


def paint_object(stage: Stage, rng: Rng, x: float, z: float) -> None:
    """A hay bale, a barrel or a heap of stones: `misc. object`."""
    kind, size = int(rng.integers(3)), rng.uniform(0.5, 0.9)
    foot_shadow(stage, x, z, size)
    with stage.annotate("misc. object"):
        if kind == 0:
            stage.fill(upright(disc(x, size, size * 1.1, size, 20), 0, z), (188, 160, 92), Material.BLADES)
            stage.fill(upright(disc(x, size, size * 0.7, size * 0.64, 16), 0, z), (168, 140, 78), Material.BLADES)
        elif kind == 1:
            colour = pick(rng, ((40, 80, 140), (170, 60, 40), (190, 150, 50)))
            wide = size * 0.8
            stage.fill(frontal(x - wide / 2, x + wide / 2, 0, 1.0, z), colour)
            stage.fill(upright(limb(x - wide / 2, 0.5, x + wide / 2, 0.5, 0.06), 0, z), colour, face=0.7)
        else:
            for _ in range(7):
                stone = disc(x + rng.uniform(-size, size), rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.45), corners=7)
                stage.fill(upright(stone, 0, z), (140, 136, 130), Material.PLASTER, face=rng.uniform(0.7, 1.1))


def paint_puddles(stage: Stage, rng: Rng, half: float, surface: str) -> None:
    """Water in the ruts mirrors the sky; it counts as the track it lies on."""
    if surface == "sand" or rng.random() > 0.4:
        return
    for _ in range(int(rng.integers(1, 5))):
        x, z = rng.choice((-0.8, 0.8)) + rng.uniform(-0.2, 0.2), rng.uniform(7, 30)
        shape = foliage(rng, 0, 0, rng.uniform(0.2, min(0.6, half / 3)), rng.uniform(0.8, 2.2), 20)
        pool = np.stack((x + shape[:, 0], np.zeros(len(shape)), z + shape[:, 1]), -1)
        red, green, blue = stage.light.sky_low
        stage.fill(pool, (red * 0.75, green * 0.76, blue * 0.8), depth=0)


def paint_undefined(stage: Stage, rng: Rng) -> None:
    """A blurred dark patch that the annotators left `undefined`."""
    height, width = stage.camera.height, stage.camera.width
    x, y = rng.uniform(0.15, 0.85) * width, stage.camera.horizon + rng.uniform(0.0, 0.2) * height
    shape = foliage(rng, x, y, rng.uniform(0.02, 0.08) * width, rng.uniform(0.04, 0.10) * height, 24)
    with stage.annotate("undefined"):
        stage.fill_pixels(shape[None], stage.light.colour((96, 92, 84), 0.8, 60), Material.PLAIN)


def paint_car(stage: Stage, rng: Rng, pose: Pose) -> None:
    """A car on the track, without an outline for its plate."""
    body = CARS[int(rng.integers(3))]
    if stage.sees(pose.x, pose.z, body.length):
        paint_vehicle(stage, pose, body, pick(rng, PAINTS), "car")


def paint_bus(stage: Stage, rng: Rng, pose: Pose) -> None:
    """A bus that stands in the fields."""
    paint = pick(rng, ((200, 60, 44), (226, 190, 70), (200, 204, 206)))
    paint_vehicle(stage, pose, BUS, paint, "bus", (240, 240, 236))


def paint_stand(stage: Stage, _: Rng, inner: float, outer: float, green: Colour) -> None:
    """The ground below high grass, so that the stands' feet run along the track without steps."""
    near, far = band(inner, outer, 0.85, 30.0), band(inner, outer, 30.0, 100.0)
    with stage.annotate("high grass"):
        stage.fill(far, green, Material.LEAF_FAR, face=0.85, depth=50)
        stage.fill(near, green, Material.BLADES, face=0.8, depth=15)
