"""Houses with floors, windows and shops; walls, fences, guard rails, bridges, tunnels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material
from segdata.synth.things.shapes import frontal, in_plane, lateral, pick

FACADES: tuple[Colour, ...] = (
    (196, 180, 150), (172, 146, 112), (150, 150, 146), (206, 200, 188), (156, 104, 82),
    (132, 120, 108), (186, 160, 128), (168, 176, 178), (122, 84, 70), (210, 190, 140),
)  # fmt: skip
ROOFS: tuple[Colour, ...] = ((120, 66, 52), (92, 84, 80), (70, 70, 76), (136, 86, 64))
PANES: tuple[Colour, ...] = ((40, 46, 54), (62, 72, 82), (96, 110, 124))
SIGNS: tuple[Colour, ...] = ((150, 40, 36), (36, 70, 120), (214, 180, 60), (40, 100, 64), (220, 220, 214), (60, 60, 64))


@dataclass(frozen=True)
class Facade:
    """A vertical plane: origin at its foot, metres along `along` and upwards."""

    foot: tuple[float, float]  # x, z of the start
    along: tuple[float, float]  # unit vector in x, z
    length: float
    height: float

    def points(self, flat: Reals) -> Reals:
        """(..., 2) of along, up to (..., 3) world."""
        return in_plane(flat, self.foot, self.along)

    def strip(self, low: float, high: float) -> Reals:
        """(4, 3) the whole length between two heights."""
        return self.points(np.array([(0, low), (self.length, low), (self.length, high), (0, high)]))

    def rectangles(self, start: Reals, low: Reals, wide: float, tall: float) -> Reals:
        """(N, 4, 3) equal rectangles at (start, low)."""
        corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float64)
        return self.points(np.stack((start, low), axis=-1)[:, None] + corners)


def lengthwise(x: float) -> Facade:
    """The plane along the street at x, whose length is z: for what stands there in a row."""
    return Facade((x, 0.0), (0.0, 1.0), 0, 0)


def paint_wall_of_house(stage: Stage, rng: Rng, facade: Facade, colour: Colour, face: float, shop: bool) -> None:
    """One facade: plaster, plinth, shop fronts, rows of windows, cornice."""
    whole = facade.strip(0, facade.height)
    stage.fill(whole, colour, Material.PLASTER, face=face)
    if stage.extent(whole) < 6:
        return
    first = 4.0 if shop else 1.1
    floors, columns = int((facade.height - first - 0.4) / 3.1), int((facade.length - 0.8) / 2.4)
    if floors < 1 or columns < 1:
        return
    pitch = facade.length / columns
    wide, tall = min(1.25, pitch * 0.55), rng.uniform(1.5, 1.9)
    start, low = np.meshgrid((np.arange(columns) + 0.5) * pitch - wide / 2, first + 0.7 + np.arange(floors) * 3.1)
    start, low = start.ravel(), low.ravel()
    visible = _wide_enough(stage, facade, start, wide, 1.3)
    start, low = start[visible], low[visible]
    frame = (232.0, 230.0, 224.0) if rng.random() < 0.6 else (96.0, 86.0, 78.0)
    framed = _wide_enough(stage, facade, start, wide, 4.0)
    stage.fill(facade.rectangles(start[framed] - 0.12, low[framed] - 0.12, wide + 0.24, tall + 0.24), frame, face=face)
    lamps, dark = stage.light.lamps, 1 - stage.light.lamps
    kind = rng.choice(4, len(start), p=(0.5 * dark, 0.3 * dark, 0.2 * dark, lamps))
    for k, pane in enumerate((*PANES, (250.0, 214.0, 140.0))):
        chosen = kind == k
        stage.fill(facade.rectangles(start[chosen], low[chosen], wide, tall), pane, face=1.0 if k == 3 else face)
    stage.fill(facade.rectangles(start[framed] + wide / 2 - 0.04, low[framed], 0.08, tall), frame, face=face * 0.9)
    stage.fill(facade.rectangles(start[framed] - 0.2, low[framed] - 0.28, wide + 0.4, 0.14), colour, face=face * 0.7)
    _paint_foot(stage, rng, facade, colour, face, shop)
    stage.fill(facade.strip(facade.height - 0.35, facade.height), colour, face=face * 0.78)


def _wide_enough(stage: Stage, facade: Facade, start: Reals, wide: float, pixels: float) -> NDArray[np.bool_]:
    """Which of the rectangles take at least so many pixels across."""
    ends = np.stack((np.stack((start, start * 0), -1), np.stack((start + wide, start * 0), -1)))
    columns = stage.camera.project(facade.points(ends))[..., 0]
    return np.asarray(np.abs(columns[1] - columns[0]) >= pixels)


def _paint_foot(stage: Stage, rng: Rng, facade: Facade, colour: Colour, face: float, shop: bool) -> None:
    """A plinth with a door, or with shop windows and their signs."""
    stage.fill(facade.strip(0, 0.7), colour, face=face * 0.62)
    if not shop:
        door = rng.uniform(0.3, 0.6) * facade.length
        stage.fill(facade.rectangles(np.array([door]), np.array([0.1]), 1.3, 2.3), (84, 62, 48), face=face)
        return
    count = max(1, int(facade.length / 4.5))
    pitch = facade.length / count
    start = np.arange(count) * pitch + 0.4
    stage.fill(facade.rectangles(start, start * 0 + 0.5, pitch - 0.8, 2.5), (46, 52, 58), face=face)
    lit = rng.random(count) < 0.4
    stage.fill(facade.rectangles(start[lit] + 0.3, start[lit] * 0 + 0.8, pitch * 0.3, 1.7), (150, 140, 112), face=face)
    stage.fill(facade.rectangles(start, start * 0 + 3.1, pitch - 0.8, 0.65), pick(rng, SIGNS), face=face)


def paint_building(
    stage: Stage, rng: Rng, side: int, x: float, z0: float, z1: float, height: float, shop: bool
) -> None:
    """A house on the left (-1) or right (+1) of the street with its front at x from z0 to z1."""
    colour, roof = pick(rng, FACADES), pick(rng, ROOFS)
    deep = 11.0 * side
    ridge = rng.uniform(1.8, 3.6)
    with stage.annotate("building"):
        slope = np.array(
            [(x, height, z0), (x, height, z1), (x + deep / 2, height + ridge, z1), (x + deep / 2, height + ridge, z0)]
        )
        stage.fill(slope, roof, Material.PLASTER, face=0.95)
        gable = np.array([(x, height, z0), (x + deep, height, z0), (x + deep / 2, height + ridge, z0)])
        stage.fill(gable, colour, Material.PLASTER, face=0.72)
        end = Facade((x, z0), (float(side), 0.0), abs(deep), height)
        paint_wall_of_house(stage, rng, end, colour, 0.74, False)
        front = Facade((x, z0), (0.0, 1.0), z1 - z0, height)
        paint_wall_of_house(stage, rng, front, colour, stage.light.side(-side) * 0.96, shop)


def paint_cross_house(stage: Stage, rng: Rng, x0: float, x1: float, z: float, height: float) -> None:
    """A house whose front faces the camera."""
    roof, colour = pick(rng, ROOFS), pick(rng, FACADES)
    with stage.annotate("building"):
        inset = min(1.5, (x1 - x0) / 5)
        top = np.array(
            [(x0 - 0.3, height, z), (x1 + 0.3, height, z), (x1 - inset, height + 2.6, z), (x0 + inset, height + 2.6, z)]
        )
        stage.fill(top, roof, Material.PLASTER)
        paint_wall_of_house(stage, rng, Facade((x0, z), (1.0, 0.0), x1 - x0, height), colour, 0.86, False)


def paint_wall(stage: Stage, rng: Rng, x: float, z0: float, z1: float, tall: float) -> None:
    """A free-standing wall along the street with a coping."""
    colour = pick(rng, ((150, 142, 130), (128, 96, 80), (164, 164, 160)))
    face = stage.light_along(x) * 0.9
    with stage.annotate("wall"):
        stage.fill(lateral(x, z0, z1, 0, tall), colour, Material.PLASTER, face=face)
        stage.fill(frontal(x, x + 0.3, 0, tall, z0), colour, Material.PLASTER, face=0.75)
        stage.fill(lateral(x, z0, z1, tall, tall + 0.12), colour, face=face * 1.15)
        joints: Reals = np.arange(z0 + 2, z1, 2.0)
        near = joints[[stage.camera.pixels(0.1, z) > 1.0 for z in joints.tolist()]]
        bars = lengthwise(x).rectangles(near, near * 0, 0.08, tall)
        stage.fill(bars, colour, Material.PLASTER, face=face * 0.72)


def paint_fence(stage: Stage, rng: Rng, x: float, z0: float, z1: float, tall: float) -> None:
    """Posts, two rails and pickets; the annotation fills the gaps as annotators do."""
    colour = pick(rng, ((70, 74, 72), (134, 104, 76), (50, 70, 56), (190, 190, 186)))
    plane = lengthwise(x)
    pickets: Reals = np.arange(z0, z1, 0.22)
    pickets = pickets[_wide_enough(stage, plane, pickets, 0.07, 0.5)]
    posts: Reals = np.arange(z0, z1, 2.4)
    with stage.annotate("fence"):
        stage.veil(lateral(x, z0, z1, 0, tall), colour, 0.3)
    stage.fill(plane.rectangles(pickets, pickets * 0 + 0.05, 0.07, tall - 0.1), colour)
    stage.fill(plane.rectangles(posts, posts * 0, 0.12, tall + 0.08), colour, face=0.8)
    for y in (0.2, tall - 0.18):
        stage.fill(lateral(x, z0, z1, y, y + 0.07), colour, face=1.1)
