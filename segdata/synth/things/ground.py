"""Sky above and ground below: what everything else stands in front of and on."""

import numpy as np

from segdata.synth.canvas.camera import Reals
from segdata.synth.canvas.chance import Rng
from segdata.synth.canvas.light import Colour
from segdata.synth.canvas.stage import Stage
from segdata.synth.canvas.texture import Material, blend, cloud

FOOT = 0.85  # metres; nearer ground lies below every picture
FAR = 230.0  # metres; where streets end in haze
PAINT: Colour = (214, 214, 208)


def paint_sky(stage: Stage, rng: Rng) -> None:
    """A gradient from the zenith to the horizon with soft clouds."""
    camera, light = stage.camera, stage.light
    tilt = abs(camera.roll) * camera.width / 2
    bottom = min(camera.height, int(camera.horizon + 0.04 * camera.height + tilt) + 2)
    frame = np.array([[(-9, -9), (camera.width + 9, -9), (camera.width + 9, bottom), (-9, bottom)]], np.float64)
    with stage.annotate("sky"):
        stage.fill_pixels(frame, light.sky_low, Material.SKY)
    share = np.clip(np.linspace(0, 1, bottom) ** 1.3, 0, 1)[:, None]
    ramp = (np.array(light.sky_top) * (1 - share) + np.array(light.sky_low) * share).astype(np.float32)  # (rows, 3)
    lumps = sum(
        weight * (cloud(rng, bottom, camera.width, cell * camera.height).astype(np.float32) - 128)
        for weight, cell in ((0.6, 0.30), (0.3, 0.12), (0.15, 0.04))
    )
    cover = np.clip((np.asarray(lumps) / 60 + 2 * light.clouds - 1.0), 0, 1)[..., None] * 0.75
    white = np.minimum(255, np.array(light.sky_low, np.float32) * (1.06 - 0.10 * light.clouds))
    stage.image[:bottom] = ramp[:, None] + (white - ramp[:, None]) * cover


def band(x0: float, x1: float, z0: float = FOOT, z1: float = FAR) -> Reals:
    """(K, 3) a strip of ground along the street, cornered finely enough to follow its bend.

    No corner lies so far outside the view that a tilted camera would swing it across the picture."""
    z = np.geomspace(z0, z1, 14)
    view = 8 + 2.6 * z
    corners = [np.stack((np.clip(x, -view, view), np.zeros_like(z), z), axis=-1) for x in (x0, x1)]
    return np.concatenate([corners[0], corners[1][::-1]])


def paint_band(
    stage: Stage,
    label: str,
    x0: float,
    x1: float,
    colour: Colour,
    material: Material,
    z0: float = 0.85,
    z1: float = FAR,
) -> None:
    """A strip of ground as an object of its own; haze comes later, row by row (`haze_ground`)."""
    with stage.annotate(label):
        stage.fill(band(x0, x1, z0, z1), colour, material, depth=0)


def paint_dashes(stage: Stage, x: float, dash: float, gap: float, wide: float = 0.14) -> None:
    """A lane marking; no gap means a solid line."""
    if gap <= 0:
        stage.fill(band(x - wide / 2, x + wide / 2, 0.85, 140), PAINT, Material.ASPHALT, depth=0)
        return
    starts = np.arange(1.0, 110.0, dash + gap)
    shape = np.array([(-wide / 2, 0, 0), (wide / 2, 0, 0), (wide / 2, 0, dash), (-wide / 2, 0, dash)])
    stage.fill(shape + np.stack((starts * 0 + x, starts * 0, starts), -1)[:, None], PAINT, Material.ASPHALT, depth=0)


def paint_zebra(stage: Stage, x0: float, x1: float, z: float, deep: float = 3.2) -> None:
    """A crosswalk."""
    starts = np.arange(x0 + 0.3, x1 - 0.4, 1.0)
    shape = np.array([(0, 0, z), (0.5, 0, z), (0.5, 0, z + deep), (0, 0, z + deep)])
    stage.fill(shape + np.stack((starts, starts * 0, starts * 0), -1)[:, None], PAINT, Material.ASPHALT, depth=0)


def paint_patches(stage: Stage, rng: Rng, x0: float, x1: float, colour: Colour, count: int) -> None:
    """Repairs, cracks and manhole covers in a road."""
    for _ in range(count):
        x, z = rng.uniform(x0, x1), rng.uniform(5, 45)
        kind, wide = rng.random(), rng.uniform(0.5, 1.6)
        if kind < 0.3:
            angle = np.arange(12) * (np.pi / 6)
            cover = np.stack((x + 0.33 * np.cos(angle), angle * 0, z + 0.33 * np.sin(angle)), -1)
            stage.fill(cover, (70, 68, 66), Material.ASPHALT, depth=0)
        elif kind < 0.65:
            long = rng.uniform(1.5, 6.0)
            quad = [(x - wide, 0, z), (x + wide, 0, z), (x + wide, 0, z + long), (x - wide, 0, z + long)]
            stage.fill(quad, colour, Material.ASPHALT, face=rng.uniform(0.78, 1.12), depth=0)
        else:
            path = x + np.cumsum(rng.normal(0, 0.18, 9))
            steps = z + np.arange(9) * 0.8
            left = np.stack((path, path * 0, steps), -1)
            right = np.stack((path + 0.05, path * 0, steps), -1)
            stage.fill(np.concatenate([left, right[::-1]]), (60, 60, 60), Material.ASPHALT, depth=0)


def haze_ground(stage: Stage) -> None:
    """Blend the ground into the haze by its distance, row by row; a wet road mirrors some sky, too."""
    camera, light = stage.camera, stage.light
    top = max(0, min(camera.height - 1, int(camera.horizon)))
    depth = camera.depth_of_rows()[top:]
    air = 1 - np.exp(-np.minimum(depth, 1e4) / light.clear)
    gloss = (
        light.wet * 0.5 * np.clip(1 - (camera.height - 1 - np.arange(top, camera.height)) / (camera.height * 0.6), 0, 1)
    )
    cover = np.maximum(air, gloss[::-1] * 0.5)[:, None, None]
    view = stage.image[top:]
    mixed = blend(view, light.sky_low, cover)
    np.copyto(view, mixed, where=(stage.material[top:] != Material.SKY)[..., None])


def shade_ground(stage: Stage, x0: float, x1: float, z0: float, z1: float, strength: float) -> None:
    """A house's shadow on the street."""
    stage.darken(band(x0, x1, max(z0, 0.9), z1), strength, stage.camera.height / 500)
