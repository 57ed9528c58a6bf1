"""What a car's own camera always sees: its bonnet, the rectified border, the edge of the picture."""

import numpy as np

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material


def paint_bonnet(stage: Stage, rng: Rng, share: float = 0.085) -> None:
    """The bonnet along the lower edge, about `share` of the height in the middle, with the sky in it."""
    height, width = stage.camera.height, stage.camera.width
    top = height * (1 - share * rng.uniform(0.9, 1.1))
    x = np.linspace(-0.02, 1.02, 21)
    arch = top + height * share * 0.55 * np.abs(2 * x - 1) ** 2.6
    edge = np.stack((x * width, arch), axis=-1)
    paint = rng.uniform(22, 44)
    with stage.annotate("ego vehicle"):
        stage.fill_pixels(_closed(edge, height), (paint, paint, paint * 1.1), Material.PLAIN)
    low = np.array(stage.light.sky_low)
    for k in range(7):
        gleam = (low * 0.05 * k + paint * (1 - 0.05 * k)).tolist()
        shine = arch + height * share * (0.06 + 0.09 * k) + 0.06 * k * height * share * np.abs(2 * x - 1) ** 2
        shape = _closed(np.stack((x * width, shine), axis=-1), height)
        stage.fill_pixels(shape, (gleam[0], gleam[1], gleam[2]), Material.PLAIN)


def _closed(edge: Reals, bottom: float) -> Reals:
    corners = np.array([(edge[-1, 0], bottom + 9), (edge[0, 0], bottom + 9)])
    return np.asarray(np.concatenate([edge, corners])[None])


def paint_border(stage: Stage, rng: Rng) -> None:
    """Black slivers left of and below the rectified picture, and the ring outside the region of interest."""
    height, width = stage.camera.height, stage.camera.width
    unit = height / 1024
    black: Colour = (0.0, 0.0, 0.0)
    y = np.linspace(-0.01, 1.01, 9)
    lean = unit * rng.uniform(12, 20) * (0.6 + 0.4 * (2 * y - 1) ** 2)
    left = np.concatenate([np.stack((lean, y * height), -1), [(-9, height + 9), (-9, -9)]])
    x = np.linspace(-0.01, 1.01, 9)
    rise = height - unit * rng.uniform(12, 20) * (0.6 + 0.4 * (2 * x - 1) ** 2)
    below = np.concatenate([np.stack((x * width, rise), -1), [(width + 9, height + 9), (-9, height + 9)]])
    for sliver in (left, below):
        with stage.annotate("rectification border"):
            stage.fill_pixels(sliver[None], black, Material.BLACK)
    ring = max(1, round(5 * unit)) - 1
    low, right, bottom = ring, width - 1 - ring, height - 1 - ring
    outer = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1), (0, 0)]
    inner = [(low, low), (low, bottom), (right, bottom), (right, low), (low, low)]
    stage.outline("out of roi", [*outer, *inner])
