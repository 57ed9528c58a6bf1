"""Polygon annotations of Cityscapes (`*_polygons.json`), by the rule of cityscapesScripts' json2labelImg.

Deleted objects are not painted, nor are labels without an id (licence plates); `cargroup` is painted as `car`, and the
other groups likewise.
"""

from collections.abc import Mapping
from typing import Any

from segdata.raw.contents.drawings import DrawingFormat, Shape, corners_of, undefined, whole


def _parse(document: Any, ids: Mapping[str, int]) -> tuple[tuple[int, int], list[Shape]]:
    size = whole(document["imgHeight"]), whole(document["imgWidth"])
    painted = [_shape(number, row, ids) for number, row in enumerate(document["objects"])]
    return size, [shape for shape in painted if shape]


def _shape(number: int, row: dict[str, object], ids: Mapping[str, int]) -> Shape | None:
    """What is painted of an object; None of one that is not. Raises ValueError for what cannot be painted."""
    name = str(row["label"])
    points = row["polygon"]
    if row.get("deleted"):
        return None
    if name not in ids and name.endswith("group"):
        name = name.removesuffix("group")
    if name not in ids:
        raise undefined(f"object {number}", name)
    if ids[name] < 0:
        return None
    corners = corners_of(points)
    if corners is None or len(corners) < 2:
        raise ValueError(f"object {number} ({name}) has no polygon of at least 2 corners [x, y]")
    return Shape(ids[name], "polygon", corners)


# 4 MiB: many times the longest file of the release
CITYSCAPES = DrawingFormat("imgHeight, imgWidth and objects", 1 << 22, _parse)
