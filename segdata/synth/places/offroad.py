"""A track across the country: ruts, grass, forest, now and then a farm, a fence, somebody on the way."""

import math

import numpy as np

from segdata.synth.canvas.camera import Camera
from segdata.synth.canvas.cast import Cast
from segdata.synth.canvas.chance import Rng, child, draw_rare
from segdata.synth.canvas.light import Colour, draw_light
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material
from segdata.synth.things import buildings, furniture, ground, nature, people, wilds
from segdata.synth.things.bodies import Pose
from segdata.synth.things.rig import paint_bonnet

RARE = ("person", "car", "animal", "bus", "undefined", "wall", "sand", "farm")
SURFACES: dict[str, tuple[Colour, Material]] = {
    "gravel": ((146, 138, 124), Material.GRAVEL),
    "soil": ((126, 98, 70), Material.SOIL),
    "asphalt": ((112, 112, 112), Material.ASPHALT),
    "sand": ((204, 180, 132), Material.SOIL),
}
MEADOW: Colour = (112, 134, 62)


def draw_camera(rng: Rng, height: int, width: int) -> Camera:
    """A camera on the roof of an off-road car, with a wide view."""
    return Camera(
        height, width,
        focal=width * rng.uniform(0.62, 0.74),
        horizon=height * rng.uniform(0.33, 0.42),
        eye=rng.uniform(1.8, 2.2),
        offset=rng.uniform(-0.5, 0.5),
        yaw=rng.normal(0, 0.05),
        bend=rng.normal(0, 0.0022),
        roll=rng.normal(0, 0.012),
    )  # fmt: skip


def paint_offroad(rng: Rng, number: int, height: int, width: int) -> Stage:
    """The whole frame, from the sky to the bonnet."""
    rare = draw_rare(rng, number, RARE, 0.06)
    light = draw_light(rng)
    stage = Stage(draw_camera(rng, height, width), light)
    ground.paint_sky(stage, child(rng))
    half = rng.uniform(1.5, 2.1)
    _paint_ground(stage, rng, half, rare)
    cast = Cast(stage, rng)
    _add_distance(cast, rare)
    for side in (-1, 1):
        _add_wayside(cast, side, half, rare)
    _add_visitors(cast, half, rare)
    cast.paint()
    if "undefined" in rare:
        wilds.paint_undefined(stage, rng)
    paint_bonnet(stage, rng, share=0.075)
    stage.develop(rng)
    return stage


def _paint_ground(stage: Stage, rng: Rng, half: float, rare: frozenset[str]) -> None:
    """Meadow, fields, and the track with its ruts."""
    names = list(SURFACES)
    surface = "sand" if "sand" in rare else names[int(rng.choice(3, p=(0.42, 0.22, 0.36)))]
    colour, material = SURFACES[surface]
    gain = rng.uniform(0.85, 1.15)
    meadow = (MEADOW[0] * gain * rng.uniform(0.85, 1.25), MEADOW[1] * gain, MEADOW[2] * gain)
    ground.paint_band(stage, "low grass", -600, 600, meadow, Material.GRASS)
    for side in (-1, 1):
        _paint_field(stage, rng, side, rng.uniform(6, 18))
    tint = (colour[0] * gain, colour[1] * gain, colour[2] * gain)
    if surface == "asphalt":
        verge = SURFACES["gravel"]
        ground.paint_band(stage, "gravel", -half - 1.0, half + 1.0, verge[0], verge[1])
        ground.paint_band(stage, "asphalt", -half - 0.5, half + 0.5, tint, material)
    else:
        ground.paint_band(stage, surface, -half, half, tint, material)
        for x in (-0.8, 0.8):
            stage.fill(ground.band(x - 0.3, x + 0.3, 0.85, 120), tint, material, face=0.86, depth=0)
        if rng.random() < 0.6:
            ground.paint_band(stage, "low grass", -0.38, 0.38, meadow, Material.GRASS)
    wilds.paint_puddles(stage, rng, half, surface)
    ground.haze_ground(stage)
    sun = stage.light.sun
    if rng.random() < 0.5:
        near, far = sorted((sun * half, sun * (half + 30)))
        ground.shade_ground(
            stage, near - sun * rng.uniform(0, 2.5), far, rng.uniform(8, 20), 80, stage.light.shadow * 0.6
        )


def _paint_field(stage: Stage, rng: Rng, side: int, start: float) -> None:
    """Beside the meadow: a ploughed field, a crop, or just more meadow."""
    kind = rng.random()
    near, far = sorted((side * start, side * 400))
    if kind < 0.18:
        ground.paint_band(stage, "soil", near, far, (118, 92, 68), Material.SOIL, 9.0)
    elif kind < 0.42:
        crop = ((176, 156, 88), (120, 128, 56), (98, 124, 70))[int(rng.integers(3))]
        ground.paint_band(stage, "misc. vegetation", near, far, crop, Material.GRASS, 8.0)


def _add_distance(cast: Cast, rare: frozenset[str]) -> None:
    """Forest on the horizon in two rows, houses before it."""
    rng = cast.rng
    cast.add(500, nature.paint_treeline, 225, rng.uniform(14, 26), "forest", -600, 600)
    for _ in range(int(rng.integers(1, 4))):
        x, z, wide = rng.uniform(-120, 60), rng.uniform(70, 150), rng.uniform(40, 140)
        if abs(x + wide / 2) > wide / 2 + 5:
            cast.add(z + 40, nature.paint_treeline, z, rng.uniform(9, 17), "forest", x, x + wide)
    if "farm" in rare or rng.random() < 0.4:
        for _ in range(int(rng.integers(1, 4))):
            side = int(rng.choice((-1, 1)))
            x, z = side * rng.uniform(9, 45), rng.uniform(45, 120)
            left, right = sorted((x, x + side * rng.uniform(9, 18)))
            cast.add(z, buildings.paint_cross_house, left, right, z, rng.uniform(4, 8))


def _add_wayside(cast: Cast, side: int, half: float, rare: frozenset[str]) -> None:
    """One side of the track: forest edge, trees and bushes, high grass, fence, wall, posts and heaps."""
    rng = cast.rng
    wooded = rng.random() < 0.36
    for z in np.arange(rng.uniform(8, 16), 110, rng.uniform(5, 9) if wooded else rng.uniform(22, 50)).tolist():
        x = side * (half + rng.uniform(3.0, 7.0 if wooded else 22.0))
        labels = ("forest", "tree trunk") if wooded and z > 28 else ("tree crown", "tree trunk")
        cast.add(z, nature.paint_tree, x, z, labels=labels)
    if wooded:
        for z in np.arange(24, 110, 14.0).tolist():
            x0, x1 = sorted((side * (half + 8.0), side * (half + 60.0)))
            cast.add(z + 6, nature.paint_treeline, z + 6, rng.uniform(8, 13), "forest", x0, x1)
    if rng.random() < 0.72:
        _add_high_grass(cast, side, half)
    for z in rng.uniform(8, 60, int(rng.poisson(3))).tolist():
        wide = rng.uniform(1.2, 3.4)
        cast.add(
            z, nature.paint_bush, side * (half + rng.uniform(2, 9)), z, wide, wide * rng.uniform(0.5, 0.85), "bush"
        )
    edge = side * (half + rng.uniform(1.6, 4.5))
    if rng.random() < 0.28:
        start = rng.uniform(6, 20)
        cast.add(start + 60, buildings.paint_fence, edge, start, start + 60, rng.uniform(0.9, 1.3))
    if "wall" in rare:
        start = rng.uniform(10, 30)
        cast.add(start + 22, buildings.paint_wall, edge, start, start + 22, rng.uniform(0.9, 1.8))
    if rng.random() < 0.35:
        for z in np.arange(rng.uniform(10, 30), 120, rng.uniform(18, 34)).tolist():
            cast.add(z, furniture.paint_pole, side * (half + 2.5), z, rng.uniform(1.0, 6.5))
    if rng.random() < 0.18:
        z = rng.uniform(9, 40)
        cast.add(z, furniture.paint_sign, side * (half + 1.2), z)
    for z in rng.uniform(8, 45, int(rng.poisson(0.35))).tolist():
        cast.add(z, wilds.paint_object, side * (half + rng.uniform(1.5, 6)), z)


def _add_high_grass(cast: Cast, side: int, half: float) -> None:
    """Stands of high grass, one behind the other, from the track outwards."""
    rng = cast.rng
    deep, tall = rng.uniform(1.5, 8.0), rng.uniform(0.45, 1.0)
    gain = rng.uniform(0.85, 1.2)
    straw = rng.random() < 0.35
    green = (158 * gain, 142 * gain, 84 * gain) if straw else (96 * gain, 124 * gain, 54 * gain)
    near = half + rng.uniform(0.4, 2.0)
    inner, outer = sorted((side * near, side * (near + deep)))
    cast.add(150, wilds.paint_stand, inner, outer, green)
    for z in np.geomspace(5, 90, 30).tolist():
        wide = deep * rng.uniform(0.8, 1.0)
        x = side * (near + wide / 2 + rng.uniform(0.0, 0.4))
        cast.add(z, nature.paint_tall_grass, x, z, wide, tall * rng.uniform(0.85, 1.15), green, "high grass")


def _add_visitors(cast: Cast, half: float, rare: frozenset[str]) -> None:
    """People, animals and vehicles, where they are due."""
    rng = cast.rng
    for _ in range(int(rng.integers(1, 4)) if "person" in rare else 0):
        z = rng.uniform(9, 30)
        cast.add(z, people.paint_person, rng.choice((-1, 1)) * rng.uniform(0.6, half + 1.5), z)
    for _ in range(int(rng.integers(1, 4)) if "animal" in rare else 0):
        z = rng.uniform(10, 28)
        cast.add(z, wilds.paint_animal, rng.choice((-1, 1)) * rng.uniform(0.5, half + 6), z)
    if "car" in rare or rng.random() < 0.12:
        z, away = rng.uniform(13, 40), rng.random() < 0.5
        cast.add(z, wilds.paint_car, Pose(rng.uniform(-1.0, 1.6), z, 0.0 if away else math.pi))
    if "bus" in rare:
        z = rng.uniform(24, 45)
        cast.add(
            z + 5,
            wilds.paint_bus,
            Pose(float(rng.choice((-1, 1))) * (half + rng.uniform(2, 6)), z + 5, rng.uniform(0.3, 1.0)),
        )
