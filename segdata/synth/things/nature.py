"""What grows: trees, bushes, hedges, grass edges, distant forest."""

import math

import numpy as np

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material
from segdata.synth.things.shapes import choose, foot_shadow, frontal, limb, upright

GREENS: tuple[Colour, ...] = ((58, 84, 34), (74, 98, 40), (46, 74, 38), (92, 106, 48), (66, 80, 46))


def foliage(rng: Rng, x: float, y: float, rx: float, ry: float, corners: int = 40) -> Reals:
    """(corners, 2) a leafy outline: an ellipse with lumps and tufts."""
    angle = np.arange(corners) * (2 * math.pi / corners)
    waves = np.array((2, 3, 5, 7))[:, None]
    lumps = (rng.uniform(0.02, 0.10, (4, 1)) * np.sin(waves * angle + rng.uniform(0, 2 * math.pi, (4, 1)))).sum(0)
    radius = 1 + lumps + rng.uniform(-0.06, 0.06, corners)
    return np.stack((x + rx * radius * np.cos(angle), y + ry * radius * np.sin(angle)), axis=-1)


def _tuft(stage: Stage, rng: Rng, x: float, y: float, z: float, rx: float, ry: float, green: Colour) -> None:
    """A crown's body, its lit lumps and its dark ones."""
    fine = stage.camera.pixels(rx, z) > 6
    stage.fill(upright(foliage(rng, x, y, rx, ry), 0, z), green, Material.LEAF, face=0.82)
    for _ in range(9 if fine else 0):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0.05, 0.62))
        dx, dy, size = reach * rx * math.cos(angle), reach * ry * math.sin(angle), rng.uniform(0.16, 0.36)
        towards = stage.light.sun * dx / rx * 0.5 + dy / ry
        lump = foliage(rng, x + dx * 0.85, y + dy * 0.85, rx * size, ry * size, 18)
        stage.fill(upright(lump, 0, z), green, Material.LEAF, face=1.0 + 0.30 * towards)


def paint_tree(
    stage: Stage, rng: Rng, x: float, z: float, *, labels: tuple[str, str] = ("vegetation", "vegetation")
) -> None:
    """Trunk, some branches and a crown; `labels` are the crown's and the trunk's."""
    tall, reach = rng.uniform(6, 12), rng.uniform(1.8, 3.4)
    if not stage.sees(x, z, reach + 0.6):
        return
    clear = rng.uniform(0.22, 0.38) * tall  # height below the crown
    thick = rng.uniform(0.22, 0.5)
    green = choose(rng, GREENS)
    bark = (74 * rng.uniform(0.8, 1.3), 62.0, 50.0)
    foot_shadow(stage, x, z, 0.6, 0.35)
    trunk = limb(x, -0.05, x + rng.uniform(-0.2, 0.2), clear + 0.8, thick, thick * 0.7)
    lean = rng.uniform(-0.4, 0.4)
    with stage.annotate(labels[1]):
        stage.fill(upright(trunk, 0, z), bark, Material.PLASTER, face=0.9)
        lit = limb(x + stage.light.sun * thick * 0.25, 0, x + stage.light.sun * thick * 0.2, clear, thick * 0.3)
        stage.fill(upright(lit, 0, z), bark, Material.PLASTER, face=1.1)
        if stage.camera.pixels(thick, z) > 3:
            for side in (-1, 1):
                branch = limb(x, clear, x + side * reach * 0.4, clear + 1.6, thick * 0.4, 0.06)
                stage.fill(upright(branch, 0, z), bark, Material.PLASTER, face=0.8)
    with stage.annotate(labels[0]):
        _tuft(stage, rng, x + lean, (clear + tall) / 2, z, reach, (tall - clear) / 2, green)


def paint_bush(stage: Stage, rng: Rng, x: float, z: float, wide: float, tall: float, label: str = "vegetation") -> None:
    """A bush that stands on the ground."""
    green = choose(rng, GREENS)
    if not stage.sees(x, z, wide / 2):
        return
    foot_shadow(stage, x, z, wide * 0.5, 0.3)
    with stage.annotate(label):
        _tuft(stage, rng, x, tall * 0.46, z, wide / 2, tall * 0.54, green)


def paint_hedge(stage: Stage, rng: Rng, x: float, z0: float, z1: float, tall: float) -> None:
    """A hedge along the street."""
    green = choose(rng, GREENS)
    z = np.linspace(z1, z0, max(4, int((z1 - z0) / 1.2)))
    top = tall * (1 + rng.uniform(-0.10, 0.10, len(z)))
    upper = np.stack((np.full_like(z, x), top, z), axis=-1)
    lower = np.stack((np.full_like(z, x), np.zeros_like(z), z), axis=-1)
    with stage.annotate("vegetation"):
        for k in range(len(z) - 1):
            quad = np.stack((upper[k], upper[k + 1], lower[k + 1], lower[k]))
            stage.fill(quad, green, Material.LEAF, face=0.9 + rng.uniform(-0.08, 0.08))
        stage.fill(frontal(x - 0.5, x + 0.5, 0, top[-1], z0), green, Material.LEAF, face=0.8)


def paint_treeline(stage: Stage, rng: Rng, z: float, tall: float, label: str, x0: float, x1: float) -> None:
    """A distant edge of forest between x0 and x1."""
    count = max(6, int((x1 - x0) / (tall * 0.22)))
    x = np.linspace(x0, x1, count)
    drift = np.cumsum(rng.normal(0, 0.08, count))
    top = tall * np.clip(1 + drift - drift.mean() + rng.uniform(-0.21, 0.21, count), 0.45, 1.8)
    top *= np.clip(np.minimum(x - x0, x1 - x) / tall, 0.12, 1) ** 0.6  # no forest ends as a wall
    green = choose(rng, GREENS)
    outline = [(x1, -0.2), (x0, -0.2), *zip(x.tolist(), top.tolist(), strict=True)]
    with stage.annotate(label):
        stage.fill(upright(np.array(outline), 0, z), green, Material.LEAF, face=0.72)
        for _ in range(count if stage.camera.pixels(tall * 0.2, z) > 5 else 0):
            k = int(rng.integers(count))
            size = tall * rng.uniform(0.10, 0.22)
            y = max(size, (top[k] - size) * rng.uniform(0.35, 1.0))
            lump = foliage(rng, x[k] + rng.uniform(-1, 1) * tall * 0.1, y, size, size * 1.2, 14)
            stage.fill(upright(lump, 0, z), green, Material.LEAF, face=rng.uniform(0.62, 1.08))


def paint_tall_grass(
    stage: Stage, rng: Rng, x: float, z: float, wide: float, tall: float, green: Colour, label: str
) -> None:
    """A stand of high grass, seen from the front, with a ragged top."""
    if not stage.sees(x, z, wide / 2):
        return
    count = max(8, int(wide / 0.16))
    left = np.linspace(x - wide / 2, x + wide / 2, count)
    shape = np.sin(np.linspace(0.12, math.pi - 0.12, count)) ** 0.4
    top = tall * shape * (1 + rng.uniform(-0.30, 0.22, count))
    outline = [(x + wide / 2, -0.02), (x - wide / 2, -0.02), *zip(left.tolist(), top.tolist(), strict=True)]
    with stage.annotate(label):
        stage.fill(upright(np.array(outline), 0, z), green, Material.BLADES, face=0.9)
        if stage.camera.pixels(0.1, z) > 1.2:
            for _ in range(count // 2):
                k = int(rng.integers(count))
                blade = limb(left[k], 0.0, left[k] + rng.uniform(-0.12, 0.12), top[k] * 0.97, 0.06, 0.015)
                stage.fill(upright(blade, 0, z), green, Material.BLADES, face=rng.uniform(0.75, 1.3))
