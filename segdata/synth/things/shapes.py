"""What many things are drawn with: colours to choose from, bars, discs, figures that stand upright, soft shadows."""

import math

import numpy as np

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage


def choose(rng: Rng, colours: tuple[Colour, ...]) -> Colour:
    """One of the colours."""
    return colours[int(rng.integers(len(colours)))]


def pick(rng: Rng, colours: tuple[Colour, ...], spread: float = 0.12) -> Colour:
    """One of the colours, a little lighter or darker."""
    red, green, blue = choose(rng, colours)
    gain = rng.uniform(1 - spread, 1 + spread)
    return red * gain, green * gain, blue * gain


def limb(ax: float, ay: float, bx: float, by: float, thick: float, thin: float | None = None) -> Reals:
    """(4, 2) a bar from a to b."""
    thin = thick if thin is None else thin
    dx, dy = bx - ax, by - ay
    length = math.hypot(dx, dy) or 1.0
    nx, ny = -dy / length / 2, dx / length / 2
    return np.array([
        (ax + nx * thick, ay + ny * thick), (bx + nx * thin, by + ny * thin),
        (bx - nx * thin, by - ny * thin), (ax - nx * thick, ay - ny * thick),
    ])  # fmt: skip


def disc(x: float, y: float, rx: float, ry: float | None = None, corners: int = 14) -> Reals:
    """(corners, 2) an ellipse."""
    angle = np.arange(corners) * (2 * math.pi / corners)
    return np.stack((x + rx * np.cos(angle), y + (rx if ry is None else ry) * np.sin(angle)), axis=-1)


def upright(points: Reals, x: float, z: float, turn: float = math.pi / 2) -> Reals:
    """(K, 2) of a flat figure to (K, 3) in the world; turn pi/2 stands across the view, 0 along it."""
    return in_plane(points, (x, z), (math.sin(turn), math.cos(turn)))


def in_plane(points: Reals, foot: tuple[float, float], along: tuple[float, float]) -> Reals:
    """(..., 2) metres along and up to (..., 3) in the world: the plane starts at `foot` (x, z) in direction `along`."""
    s, y = points[..., 0], points[..., 1]
    return np.stack((foot[0] + along[0] * s, y, foot[1] + along[1] * s), axis=-1)


def frontal(x0: float, x1: float, y0: float, y1: float, z: float) -> Reals:
    """(4, 3) an upright rectangle across the street, which faces the camera."""
    return np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], np.float64)


def lateral(x: float, z0: float, z1: float, y0: float, y1: float) -> Reals:
    """(4, 3) an upright rectangle along the street."""
    return np.array([(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)], np.float64)


def foot_shadow(stage: Stage, x: float, z: float, radius: float, strength: float = 0.4) -> None:
    """A soft dark spot where something stands."""
    spot = disc(0, 0, radius)
    world = np.stack((x + spot[:, 0], np.zeros(len(spot)), z + spot[:, 1]), axis=-1)
    stage.darken(world, strength, min(8.0, stage.camera.pixels(0.06, z)))
