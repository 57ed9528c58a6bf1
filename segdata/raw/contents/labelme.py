"""Annotations of LabelMe (its JSON, from version 3 on), painted as its own `shape_to_mask` does.

Polygons, rectangles and circles cover pixels; lines and points cover what LabelMe's options say, and masks are pictures
of their own: these are refused. A shape without a type is a polygon, as there.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from segdata.raw.contents.drawings import Corners, DrawingFormat, Shape, corners_of, undefined, whole

WIDEST = 1 << 16  # a circle's radius: Pillow's time grows with it, though the picture does not


def _parse(document: Any, ids: Mapping[str, int]) -> tuple[tuple[int, int], list[Shape]]:
    size = whole(document["imageHeight"]), whole(document["imageWidth"])
    painted = [_shape(number, row, ids) for number, row in enumerate(document["shapes"])]
    return size, [shape for shape in painted if shape]


def _shape(number: int, row: dict[str, object], ids: Mapping[str, int]) -> Shape | None:
    """What is painted; None of a label that has no id. Raises ValueError for what cannot be painted."""
    name, kind = str(row["label"]), str(row.get("shape_type") or "polygon")
    if name not in ids:
        raise undefined(f"shape {number}", name)
    if kind not in OUTLINES:
        raise ValueError(
            f"shape {number} ({name}) is a {kind[:40]}, expected {', '.join(OUTLINES)}. Draw it as a polygon"
        )
    corners, (fewest, outline) = corners_of(row["points"]), OUTLINES[kind]
    if corners is None or len(corners) < fewest or (kind != "polygon" and len(corners) != fewest):
        raise ValueError(f"shape {number} ({name}) is no {kind} of {fewest} points [x, y]")
    return None if ids[name] < 0 else outline(ids[name], corners)


def _polygon(code: int, corners: Corners) -> Shape:
    return Shape(code, "polygon", corners)


def _rectangle(code: int, corners: Corners) -> Shape:
    """Any two opposite corners; Pillow wants the upper left one first."""
    (x, y), (other_x, other_y) = corners
    return Shape(code, "rectangle", [(min(x, other_x), min(y, other_y)), (max(x, other_x), max(y, other_y))])


def _circle(code: int, corners: Corners) -> Shape:
    """By its centre and a point on it."""
    (x, y), (there_x, there_y) = corners
    radius = math.sqrt((x - there_x) ** 2 + (y - there_y) ** 2)
    if radius > WIDEST:
        raise ValueError(f"a circle with a radius of {radius:.0f} pixels, expected at most {WIDEST}")
    return Shape(code, "ellipse", [(x - radius, y - radius), (x + radius, y + radius)])


OUTLINES: Mapping[str, tuple[int, Callable[[int, Corners], Shape]]] = {  # by type: how many points, and what is drawn
    "polygon": (3, _polygon),
    "rectangle": (2, _rectangle),
    "circle": (2, _circle),
}
# 64 MiB: LabelMe writes the frame itself into the file, if nobody tells it not to
LABELME = DrawingFormat("imageHeight, imageWidth and shapes", 1 << 26, _parse)
