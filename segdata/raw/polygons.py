"""Polygon annotations of Cityscapes (`*_polygons.json`) to raw ids, by the rule of cityscapesScripts' json2labelImg.

Objects are painted in their order, later ones over earlier ones, by Pillow, as there. Pixels that no object covers are
`unlabeled`. Deleted objects are not painted, nor are labels without an id (licence plates); `cargroup` is painted as
`car`, and the other groups likewise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segdata.base.arrays import U8
from segdata.base.canonical import digest_source
from segdata.documents.json import load_json
from segdata.errors import LinkError, SourceError, TooLargeError
from segdata.findings import Finding, SampleError
from segdata.labels.label import Label
from segdata.raw.member import Member

MAX_BYTES = 1 << 22  # 4 MiB: many times the longest of the release
FARTHEST = 1 << 20  # of a coordinate: beyond it, Pillow's own numbers overflow
BACKGROUND = "unlabeled"
Polygon = tuple[int, list[tuple[float, float]]]  # id and corners (x, y)


@dataclass(frozen=True)
class PolygonFile:
    """A file whose JSON is whole: the size of the picture (H, W), and what is painted, in order."""

    member: Member
    digest: str
    size: tuple[int, int]
    background: int
    polygons: tuple[Polygon, ...]

    def ids(self) -> U8:
        """Raw ids (H, W). The size is known to be that of the image, so that it is bounded."""
        from PIL import Image, ImageDraw

        picture = Image.new("L", self.size[::-1], self.background)
        drawer = ImageDraw.Draw(picture)
        for code, corners in self.polygons:
            drawer.polygon(corners, fill=code)
        return np.array(picture, np.uint8)

    def problem(self, code: str, found: str) -> SampleError:
        return SampleError(Finding(code, self.member.path, found))


def open_polygons(member: Member, labels: Sequence[Label]) -> PolygonFile:
    """Raises SampleError with the finding that keeps the file from being used."""

    def wrong(code: str, found: str) -> SampleError:
        return SampleError(Finding(code, member.path, found))

    try:
        data = member.read()
    except SourceError as error:
        code = {TooLargeError: "too-large", LinkError: "bad-link"}.get(type(error), "unreadable")
        raise wrong(code, str(error).removeprefix(f"{member.where}: ")) from error
    if not data:
        raise wrong("empty-file", "0 bytes")
    if len(data) > MAX_BYTES:
        raise wrong("too-large", f"{len(data)} bytes, expected at most {MAX_BYTES} of a polygon file")
    ids = {label.name: label.id for label in labels}
    try:
        document = load_json(data)
        size = _whole(document["imgHeight"]), _whole(document["imgWidth"])
        painted = [_polygon(number, row, ids) for number, row in enumerate(document["objects"])]
    except ValueError as error:
        raise wrong("bad-polygons", " ".join(str(error).split())[:200]) from None
    except Exception as error:  # whatever is not where it is due: a key, a list, a number, or nested too deeply
        raise wrong("bad-polygons", f"not imgHeight, imgWidth and objects ({type(error).__name__}: {error})") from None
    polygons = tuple(each for each in painted if each)
    return PolygonFile(member, digest_source(data), size, ids[BACKGROUND], polygons)


def _polygon(number: int, row: dict[str, object], ids: dict[str, int]) -> Polygon | None:
    """What is painted of an object; None of one that is not. Raises ValueError for what cannot be painted."""
    name = str(row["label"])
    corners = row["polygon"]
    if row.get("deleted"):
        return None
    if name not in ids and name.endswith("group"):
        name = name.removesuffix("group")
    if name not in ids:
        raise ValueError(f"object {number} has the label {name[:40]!r}, which the dataset does not define")
    if ids[name] < 0:
        return None
    if not isinstance(corners, list) or len(corners) < 2 or not all(map(_is_corner, corners)):
        raise ValueError(f"object {number} ({name}) has no polygon of at least 2 corners [x, y]")
    return ids[name], [(corner[0], corner[1]) for corner in corners]


def _is_corner(corner: object) -> bool:
    return (
        isinstance(corner, list)
        and len(corner) >= 2
        and all(type(value) in {int, float} and abs(value) <= FARTHEST for value in corner[:2])
    )


def _whole(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"a height or width of {str(value)[:40]}, expected pixels")
    return value
