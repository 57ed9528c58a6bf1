"""A street in a town: its cross-section, what is built beside it, who is on it."""

from segdata.synth.canvas.camera import Camera
from segdata.synth.canvas.cast import Cast
from segdata.synth.canvas.chance import Rng, child
from segdata.synth.canvas.light import Colour, draw_light
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material
from segdata.synth.places.crowd import add_crossing, add_parked, add_traffic, add_walkers
from segdata.synth.places.frontage import add_background, add_fronts, add_roadside
from segdata.synth.places.profile import LANE, Street, draw_street
from segdata.synth.things import ground
from segdata.synth.things.rig import paint_bonnet, paint_border


def draw_camera(rng: Rng, street: Street, height: int, width: int) -> Camera:
    """A car's windscreen camera in one of our lanes."""
    lane = int(rng.integers(1, street.lanes + 1))
    return Camera(
        height, width,
        focal=width * rng.uniform(0.95, 1.12),
        horizon=height * rng.uniform(0.39, 0.46),
        eye=rng.uniform(1.2, 1.4),
        offset=street.lane(lane) + rng.uniform(-0.4, 0.4),
        yaw=rng.normal(0, 0.03),
        bend=rng.normal(0, 0.0005),
        roll=rng.normal(0, 0.005),
    )  # fmt: skip


def paint_street(rng: Rng, number: int, height: int, width: int) -> Stage:
    """The whole frame: sky, ground, everything from far to near, the car's own bonnet and border, then
    texture and sensor noise."""
    street = draw_street(rng, number)
    light = draw_light(rng)
    stage = Stage(draw_camera(rng, street, height, width), light)
    ground.paint_sky(stage, child(rng))
    _paint_ground(stage, street, rng)
    cast = Cast(stage, rng)
    add_background(cast, street)
    for side in (street.left, street.right):
        add_fronts(cast, street, side)
        add_roadside(cast, street, side)
        add_walkers(cast, street, side)
        add_parked(cast, street, side)
    add_traffic(cast, street)
    add_crossing(cast, street)
    cast.paint()
    paint_bonnet(stage, rng)
    paint_border(stage, rng)
    stage.develop(rng)
    return stage


def _paint_ground(stage: Stage, street: Street, rng: Rng) -> None:
    """Strips of ground from the outside to the middle, markings, haze, shadows of houses."""
    grey = rng.uniform(84, 112)
    tar: Colour = (grey, grey + 1, grey + 3)
    bright = rng.uniform(136, 168)
    slab: Colour = (bright, bright * 0.975, bright * 0.94)
    grass: Colour = (rng.uniform(84, 112), rng.uniform(116, 132), rng.uniform(50, 66))
    green = street.kind in ("residential", "outskirts")
    outside = "terrain" if green else ("ground" if rng.random() < 0.25 else "sidewalk")
    ground.paint_band(stage, outside, -400, 400, grass if green else slab, Material.GRASS if green else Material.PAVING)
    for side in (street.left, street.right):
        edge = side.walk + side.sign * side.pavement
        if side.verge > 0.3 and not green:
            ground.paint_band(stage, "terrain", edge, side.front, grass, Material.GRASS)
        ground.paint_band(stage, "sidewalk", side.walk, edge, slab, Material.PAVING)
        stone = ground.band(side.walk, side.walk + side.sign * 0.18)
        stage.fill(stone, (168, 166, 160), Material.PAVING, depth=0)
        if side.parking:
            sett = (tar[0] * 1.12, tar[1] * 1.08, tar[2] * 1.04)
            ground.paint_band(stage, "parking", side.kerb, side.walk, sett, Material.PAVING)
    ground.paint_band(stage, "road", -street.half, street.half, tar, Material.ASPHALT)
    if street.crossing:
        ground.paint_band(stage, "road", -150, 150, tar, Material.ASPHALT, street.crossing, street.crossing + 7)
    _paint_middle(stage, street, tar, grass)
    ground.paint_patches(stage, rng, -street.half, street.half, tar, 7)
    if street.crossing or rng.random() < 0.3:
        ground.paint_zebra(stage, -street.half, street.half, (street.crossing or rng.uniform(12, 40)) - 4.4)
    ground.haze_ground(stage)
    sun = stage.light.sun
    reach = rng.uniform(3, 9)
    front = (street.left if sun < 0 else street.right).front
    if street.kind in ("town", "boulevard"):
        ground.shade_ground(stage, front, front - sun * reach, 0.9, 70, stage.light.shadow * 0.8)


def _paint_middle(stage: Stage, street: Street, tar: Colour, grass: Colour) -> None:
    if street.rails:
        ground.paint_band(stage, "rail track", -street.median, street.median, (124, 118, 112), Material.GRAVEL)
        for x in (-2.35, -0.9, 0.9, 2.35):
            stage.fill(ground.band(x - 0.05, x + 0.05), (70, 66, 64), depth=0)
    elif street.median:
        ground.paint_band(stage, "terrain", -street.median, street.median, grass, Material.GRASS)
    else:
        ground.paint_dashes(stage, 0.0, 3.0, 4.5 if street.kind != "outskirts" else 0.0)
    for side in (-1, 1):
        for k in range(1, street.lanes):
            ground.paint_dashes(stage, side * (street.median + LANE * k), 3.0, 6.0)
        if street.kind != "residential":
            ground.paint_dashes(stage, side * (street.half - 0.15), 1.0, 0.0, 0.11)
