"""From flat colours to a photograph's look: surface texture, lens, sensor noise."""

from enum import IntEnum
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.synth.canvas.camera import Camera
from segdata.synth.canvas.chance import Rng

U8 = NDArray[np.uint8]


class Material(IntEnum):
    """What a surface is made of, as far as its texture is concerned."""

    SKY = 0
    PLAIN = 1
    ASPHALT = 2
    PAVING = 3
    GRASS = 4
    GRAVEL = 5
    SOIL = 6
    PLASTER = 7
    LEAF = 8
    BLADES = 9
    CLOTH = 10
    BLACK = 11
    LEAF_FAR = 12


# Contrast in 1/128 of the colour per standard deviation of each noise field.
# lying on the ground: fine, tiles, patches | in the picture: fine, leaves, coarse
CONTRAST: dict[Material, tuple[int, int, int, int, int, int]] = {
    Material.SKY: (0, 0, 0, 0, 0, 1),
    Material.PLAIN: (0, 0, 0, 1, 0, 2),
    Material.ASPHALT: (7, 0, 6, 2, 0, 3),
    Material.PAVING: (3, 11, 4, 2, 0, 3),
    Material.GRASS: (10, 0, 10, 2, 3, 4),
    Material.GRAVEL: (16, 0, 7, 4, 0, 3),
    Material.SOIL: (10, 0, 12, 3, 0, 3),
    Material.PLASTER: (0, 0, 0, 2, 1, 5),
    Material.LEAF: (0, 0, 0, 4, 14, 9),
    Material.BLADES: (0, 0, 0, 5, 11, 8),
    Material.CLOTH: (0, 0, 0, 2, 3, 2),
    Material.BLACK: (0, 0, 0, 0, 0, 0),
    Material.LEAF_FAR: (0, 0, 0, 3, 6, 5),
}
NORMAL = np.array([NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)])
NOISE = 0.42  # grey levels; full-size PNGs then take 2.1 to 2.3 MB as those of Cityscapes do
TILE = 256  # pixels of the repeated ground pattern


def _bell(rng: Rng, height: int, width: int, sigma: float) -> U8:
    """(height, width) normal noise around 128."""
    table = np.clip(np.rint(128 + sigma * NORMAL), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.frombuffer(rng.bytes(height * width), np.uint8).reshape(height, width), table))


def cloud(rng: Rng, height: int, width: int, cell: float) -> U8:
    """(height, width) smooth noise around 128, deviation about 32, whose lumps are `cell` pixels wide."""
    if cell <= 1.5:
        return _bell(rng, height, width, 32)
    small = _bell(rng, int(height / cell) + 2, int(width / cell) + 2, 50)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _seamless(rng: Rng, cell: int) -> U8:
    """(TILE, TILE) smooth noise that continues at its own opposite edge."""
    small = cv2.copyMakeBorder(_bell(rng, TILE // cell, TILE // cell, 50), 2, 2, 2, 2, cv2.BORDER_WRAP)
    large = cv2.resize(small, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[2 * cell : 2 * cell + TILE, 2 * cell : 2 * cell + TILE], np.uint8)


def _ground_fields(rng: Rng, camera: Camera) -> U8:
    """(rows below the horizon, W, 3): fine grain, tiles and patches lying on the ground in perspective."""
    tiles = _bell(rng, 8, 8, 22).repeat(TILE // 8, 0).repeat(TILE // 8, 1)
    tiles[:: TILE // 8] = tiles[:, :: TILE // 8] = 40
    pattern = cv2.merge((_seamless(rng, 2), tiles, _seamless(rng, 32)))
    top = min(max(int(camera.horizon) + 1, 0), camera.height - 1)
    z = camera.depth_of_rows()[top:, None].astype(np.float32)
    drift = np.float32(camera.offset) - z * np.float32(camera.yaw) - z * z * np.float32(camera.bend)
    across = (np.arange(camera.width, dtype=np.float32) - np.float32(camera.width / 2))[None]
    per_metre = np.float32(TILE / 4)  # the pattern repeats every four metres: half-metre tiles
    columns = across * (z * per_metre / np.float32(camera.focal)) + drift * per_metre
    columns -= np.floor(columns * np.float32(1 / TILE)) * np.float32(TILE)
    rows = np.broadcast_to(z * per_metre % np.float32(TILE), columns.shape)
    flat = cv2.remap(pattern, columns, np.ascontiguousarray(rows), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    # A pattern finer than the pixels would only flicker: let it fade where tiles shrink below some pixels.
    sharp = np.clip(camera.focal * camera.eye / np.maximum(z, 1) ** 2 / 12, 0, 1)[:, :, None]
    full = np.full((camera.height, camera.width, 3), 128, np.uint8)
    full[top:] = blend(np.asarray(flat, np.uint8), (128.0, 128.0, 128.0), 1 - sharp)
    return full


def blend(image: U8, colour: tuple[float, float, float], cover: NDArray[np.floating]) -> U8:
    """Mix a colour over an image; `cover` (rows, 1, 1), 0..1, is the colour's share in each row."""
    share = np.rint(255 * cover[:, :, 0]).astype(np.uint8)
    keep = np.broadcast_to((255 - share)[:, :, None], image.shape)
    add = np.rint(np.array(colour) * cover).astype(np.uint8)
    kept = cv2.multiply(image, np.ascontiguousarray(keep), scale=1 / 255)
    return np.asarray(cv2.add(kept, np.ascontiguousarray(np.broadcast_to(add, image.shape))), np.uint8)


def texture(image: U8, material: U8, camera: Camera, rng: Rng) -> U8:
    """Multiply each surface by its material's grain."""
    height, width = material.shape
    unit = height / 1024
    ground = cv2.split(_ground_fields(rng, camera))
    fine = cloud(rng, height, width, 2 * unit)
    leaves = cloud(rng, height, width, max(1.0, 7 * unit))
    coarse = cloud(rng, height, width, max(2.0, 90 * unit))
    gain = np.full((height, width), 128, np.int16)
    weights = np.zeros((256, 6), np.uint8)
    for kind, row in CONTRAST.items():
        weights[kind] = row
    for k, field in enumerate((*ground, fine, leaves, coarse)):
        contrast = cv2.LUT(material, np.ascontiguousarray(weights[:, k]))
        centred = np.subtract(field, 128, dtype=np.int16)
        gain += np.asarray(cv2.multiply(centred, contrast, scale=1 / 32, dtype=cv2.CV_16S), np.int16)
    factor = np.clip(gain, 0, 255).astype(np.uint8)
    return np.asarray(cv2.multiply(image, cv2.merge((factor, factor, factor)), scale=1 / 128), np.uint8)


def expose(image: U8, rng: Rng) -> U8:
    """Lens and sensor: a slight blur, darker corners, noise (a third of it coloured)."""
    height, width = image.shape[:2]
    soft = cv2.GaussianBlur(image, (3, 3), 0.7)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    fall = np.rint(255 * (1 - 0.12 * (x * x + y * y) ** 2 / 4)).astype(np.uint8)
    soft = cv2.multiply(soft, cv2.merge((fall, fall, fall)), scale=1 / 255)
    grey = _bell(rng, height, width, NOISE)
    colour = _bell(rng, height, 3 * width, NOISE * 0.45).reshape(height, width, 3)
    grain = cv2.add(cv2.merge((grey, grey, grey)), colour, dtype=cv2.CV_16S)
    return np.asarray(cv2.add(soft, np.subtract(grain, 256, dtype=np.int16), dtype=cv2.CV_8U), np.uint8)
