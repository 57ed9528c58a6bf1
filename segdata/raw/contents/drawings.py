"""Label files that list the outlines of objects, as JSON: read, and drawn to raw ids.

Objects are painted in their order, later ones over earlier ones, by Pillow, as the tools that define these formats do.
Pixels that no object covers have the id of the coding's background. Labels without an id are not painted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segdata.base.arrays import U8
from segdata.base.canonical import digest_source
from segdata.documents.json import load_json
from segdata.errors import TaxonomyError
from segdata.findings import SampleError
from segdata.labels.label import Label
from segdata.raw.contents.picture import problem, read_whole
from segdata.raw.member import Member

FARTHEST = 1 << 20  # of a coordinate: beyond it, Pillow's own numbers overflow
Corners = list[tuple[float, float]]  # (x, y)


@dataclass(frozen=True)
class Shape:
    """One object to paint: `kind` is a polygon, a rectangle by two opposite corners, or the ellipse in one."""

    code: int
    kind: str
    corners: Corners


@dataclass(frozen=True)
class DrawingFormat:
    """How one tool writes its files. `due` names what they hold, `most` their bytes at most.

    parse(document, ids by the names of labels) gives (H, W) and what is painted, in order. It raises ValueError for
    what cannot be painted, and any exception for what is not there.
    """

    due: str
    most: int
    parse: Callable[[Any, Mapping[str, int]], tuple[tuple[int, int], Iterable[Shape]]]


@dataclass(frozen=True)
class Drawing:
    """A file whose JSON is whole: the size of the picture (H, W), and what is painted, in order."""

    member: Member
    digest: str
    size: tuple[int, int]
    background: int
    shapes: tuple[Shape, ...]

    def ids(self) -> U8:
        """Raw ids (H, W). The size is known to be that of the image, so that it is bounded."""
        from PIL import Image, ImageDraw

        picture = Image.new("L", self.size[::-1], self.background)
        drawer = ImageDraw.Draw(picture)
        paint = {"polygon": drawer.polygon, "rectangle": drawer.rectangle, "ellipse": drawer.ellipse}
        for shape in self.shapes:
            paint[shape.kind](shape.corners, fill=shape.code)
        return np.array(picture, np.uint8)

    def problem(self, code: str, found: str) -> SampleError:
        return problem(code, self.member, found)


class DrawingReader:
    """Opens the files of one format, by a dataset's table. Raises TaxonomyError for a background that is no label."""

    def __init__(self, form: DrawingFormat, labels: Sequence[Label], background: str) -> None:
        self.form = form
        self.ids = {label.name: label.id for label in labels}
        if self.ids.get(background, -1) < 0:
            raise TaxonomyError(f"background {background!r} of outlines is no label that has an id.")
        self.background = self.ids[background]

    def open(self, member: Member) -> Drawing:
        """Raises SampleError with the finding that keeps the file from being used."""
        data = read_whole(member)
        if len(data) > self.form.most:
            raise problem(
                "too-large", member, f"{len(data)} bytes, expected at most {self.form.most} of a polygon file"
            )
        try:
            size, shapes = self.form.parse(load_json(data), self.ids)
            shapes = tuple(shapes)
        except ValueError as error:
            raise problem("bad-polygons", member, " ".join(str(error).split())[:200]) from None
        except Exception as error:  # whatever is not where it is due: a key, a list, a number, or nested too deeply
            found = f"not {self.form.due} ({type(error).__name__}: {error})"
            raise problem("bad-polygons", member, found) from None
        return Drawing(member, digest_source(data), size, self.background, shapes)


# ---- what both formats hold ---------------------------------------------------------------------------------


def undefined(what: str, name: str) -> ValueError:
    """That an object, named by `what`, has a label that is not in the table."""
    return ValueError(f"{what} has the label {name[:40]!r}, which the dataset does not define")


def corners_of(points: object) -> Corners | None:
    """Pairs of numbers that Pillow can draw; None where they are not all that."""
    if not isinstance(points, list) or not all(map(_is_corner, points)):
        return None
    return [(point[0], point[1]) for point in points]


def whole(value: object) -> int:
    """A height or width. Raises ValueError."""
    if type(value) is not int or value < 1:
        raise ValueError(f"a height or width of {str(value)[:40]}, expected pixels")
    return value


def _is_corner(corner: object) -> bool:
    return (
        isinstance(corner, list)
        and len(corner) >= 2
        and all(type(value) in {int, float} and abs(value) <= FARTHEST for value in corner[:2])
    )
