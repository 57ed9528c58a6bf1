"""A contact sheet of a shard set: each row an image, its targets at every scale laid over it, and the legend."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segdata.base.arrays import U8
from segdata.base.ownership import PICTURE, write_result
from segdata.labels.taxonomy import IGNORE, Taxonomy
from segdata.pictures.marked import png_bytes
from segdata.reading.shardset import Record, ShardSet

CELL_WIDTH, GAP, LINE = 480, 8, 22
OPACITY = 0.55
_FONT = ImageFont.load_default(size=14)


def show(shards: ShardSet, out: Path, count: int) -> int:
    """Write the sheet as PNG; returns how many samples it shows. They are spread evenly over the split."""
    count = min(count, len(shards))
    picked = [len(shards) * i // count for i in range(count)]
    rows = [_row(shards.read(i), shards.taxonomy) for i in picked]
    width = max(row.shape[1] for row in rows)
    legend = _legend(shards.taxonomy, width)
    sheet = np.concatenate([_widened(part, width) for part in [*rows, legend]])
    write_result("--out", out, PICTURE, png_bytes(sheet))
    return count


def overlay(image: U8, target: U8, taxonomy: Taxonomy) -> U8:
    """Image (H, W, 3) with the target's colours over it, its cells as large as they are; ignored stays clear."""
    ids = cv2.resize(target, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colors = taxonomy.palette[ids]
    mixed = (image * (1 - OPACITY) + colors * OPACITY + 0.5).astype(np.uint8)
    return np.where((ids == IGNORE)[..., None], image, mixed)


def most_covered(counts: U8) -> U8:
    """Coverage counts (K+1, h, w) to ids (h, w): the majority, ties to the smallest, ignored last."""
    ids = counts.argmax(axis=0).astype(np.uint8)
    return np.where(ids == counts.shape[0] - 1, IGNORE, ids).astype(np.uint8)


def _row(record: Record, taxonomy: Taxonomy) -> U8:
    height = round(record.image.shape[0] * CELL_WIDTH / record.image.shape[1])
    pictures = [(record.key, record.image)]
    for scale, target in record.targets.items():
        ids = most_covered(target) if target.ndim == 3 else target
        pictures.append((f"target x{scale}  {ids.shape[0]}x{ids.shape[1]}", overlay(record.image, ids, taxonomy)))
    cells = [
        _titled(title, np.asarray(cv2.resize(picture, (CELL_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8))
        for title, picture in pictures
    ]
    return np.concatenate(cells, axis=1)


def _titled(title: str, picture: U8) -> U8:
    canvas = Image.new("RGB", (picture.shape[1] + GAP, picture.shape[0] + LINE + GAP), "white")
    canvas.paste(Image.fromarray(picture), (GAP // 2, LINE))
    ImageDraw.Draw(canvas).text((GAP // 2 + 2, 3), title, "black", _FONT)
    return np.asarray(canvas)


def _legend(taxonomy: Taxonomy, width: int) -> U8:
    columns = max(1, width // 220)
    rows = -(-len(taxonomy.classes) // columns)
    canvas = Image.new("RGB", (width, rows * LINE + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for i, row in enumerate(taxonomy.classes):
        x, y = (i % columns) * 220 + GAP, (i // columns) * LINE + 2
        draw.rectangle((x, y, x + 26, y + 16), fill=row.color, outline="black")
        draw.text((x + 34, y), f"{i} {row.name}", "black", _FONT)
    return np.asarray(canvas)


def _widened(picture: U8, width: int) -> U8:
    return np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
