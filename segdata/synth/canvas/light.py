"""Light and weather of one frame: sky, sun, haze, tint."""

import math
from dataclasses import dataclass, replace

import numpy as np

from segdata.synth.canvas.chance import Rng

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """How bright, from which side and through how much air everything is seen."""

    sky_top: Colour
    sky_low: Colour
    tint: Colour  # factors on red, green, blue
    shadow: float  # 0: none (overcast) .. 1: black
    clear: float  # metres over which haze swallows 63 % of a colour
    clouds: float  # 0: clear sky .. 1: covered
    wet: float = 0.0  # how much sky the road mirrors
    lamps: float = 0.0  # share of windows lit
    sun: int = 1  # -1: from the left, +1: from the right

    def colour(self, colour: Colour, face: float = 1.0, depth: float = 0.0) -> Colour:
        """A surface's own colour as seen at `depth` metres; `face` is how much light falls on it."""
        air = 1 - math.exp(-depth / self.clear)
        lit = (c * face * t for c, t in zip(colour, self.tint, strict=True))
        red, green, blue = (
            min(255.0, own * (1 - air) + haze * air) for own, haze in zip(lit, self.sky_low, strict=True)
        )
        return red, green, blue

    def side(self, facing: int) -> float:
        """Light on a wall that faces left (-1) or right (+1)."""
        return 1.0 + 0.45 * self.shadow * (1 if facing == self.sun else -1)


WEATHERS: tuple[tuple[float, Light], ...] = (
    (0.30, Light((78, 130, 205), (196, 214, 230), (1.06, 1.03, 0.96), 0.55, 420, 0.35)),
    (0.35, Light((176, 184, 192), (222, 225, 226), (0.90, 0.93, 0.94), 0.14, 300, 0.9)),
    (0.12, Light((184, 190, 194), (204, 208, 210), (0.88, 0.91, 0.92), 0.08, 85, 1.0)),
    (0.12, Light((74, 96, 150), (246, 196, 140), (0.86, 0.72, 0.62), 0.40, 260, 0.5, 0.0, 0.25)),
    (0.11, Light((120, 128, 138), (168, 174, 180), (0.70, 0.74, 0.78), 0.06, 160, 1.0, 0.5, 0.15)),
)


def draw_light(rng: Rng) -> Light:
    """A weather by its share, with its own sun side and a little variation of brightness and range."""
    shares = np.array([share for share, _ in WEATHERS])
    light = WEATHERS[int(rng.choice(len(WEATHERS), p=shares / shares.sum()))][1]
    gain = rng.uniform(0.86, 1.12)
    red, green, blue = (gain * t * rng.uniform(0.97, 1.03) for t in light.tint)
    return replace(
        light, tint=(red, green, blue), clear=light.clear * rng.uniform(0.7, 1.4), sun=int(rng.choice((-1, 1)))
    )
