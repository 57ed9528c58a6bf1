"""The picture while it is painted: surfaces in metres go in, pixels and outlines come out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from segdata.synth.canvas.camera import Camera, Reals
from segdata.synth.canvas.chance import Rng, child
from segdata.synth.canvas.light import Colour, Light
from segdata.synth.canvas.texture import U8, Material, expose, texture

I32 = NDArray[np.int32]
SUBPIXEL = 4  # bits after the point of the coordinates that OpenCV gets


@dataclass(frozen=True)
class Outline:
    """One annotated object, as an annotator would click it: a label and whole pixels."""

    label: str
    polygon: I32  # (K, 2) column, row; K >= 3
    deleted: bool = False


class Stage:
    """Painter's algorithm: whatever is filled later covers what was there; `outlines` keeps that order."""

    def __init__(self, camera: Camera, light: Light) -> None:
        self.camera, self.light = camera, light
        self.image: U8 = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.material: U8 = np.zeros((camera.height, camera.width), np.uint8)
        self.outlines: list[Outline] = []
        self._parts: list[I32] | None = None

    def sees(self, x: float, z: float, reach: float) -> bool:
        """Whether something `reach` metres wide to both sides of (x, z) can show in the picture at all."""
        column = float(self.camera.project(np.array((x, 0.0, z)))[0])
        margin = self.camera.pixels(reach, z)
        return margin > 0.25 and -margin < column < self.camera.width + margin

    def extent(self, world: Reals) -> float:
        """Width in pixels of what a polygon shows in the picture; 0 where it lies outside."""
        columns = np.clip(self.camera.project(world)[..., 0], 0, self.camera.width)
        return float(columns.max() - columns.min())

    def light_along(self, x: float) -> float:
        """Light on the visible face of what runs along the street at x."""
        return self.light.side(-1 if x > self.camera.offset else 1)

    def fill(
        self,
        world: ArrayLike,
        colour: Colour,
        material: Material = Material.PLAIN,
        *,
        face: float = 1.0,
        depth: float | None = None,
    ) -> None:
        """Fill one polygon (K, 3) or many (N, K, 3) of one colour; its mean depth decides the haze."""
        polygons = np.asarray(world, np.float64)
        polygons = polygons[None] if polygons.ndim == 2 else polygons
        if polygons.size:
            far = float(polygons[..., 2].sum()) * 3 / polygons.size if depth is None else depth
            if material in (Material.LEAF, Material.BLADES) and far > min(60.0, 0.25 * self.light.clear):
                material = Material.LEAF_FAR
            self.fill_pixels(self.camera.project(polygons), self.light.colour(colour, face, far), material)

    def fill_pixels(self, polygons: Reals, colour: Colour, material: Material) -> None:
        """The same in pixels (N, K, 2) and with the colour as it shall appear."""
        fixed = self._fixed(polygons)
        shapes = list(fixed)
        cv2.fillPoly(self.image, shapes, colour, cv2.LINE_AA, SUBPIXEL)
        cv2.fillPoly(self.material, shapes, (int(material),), cv2.LINE_8, SUBPIXEL)
        if self._parts is not None:
            self._parts += shapes

    def veil(self, world: ArrayLike, colour: Colour, cover: float) -> None:
        """A see-through surface: mix `cover` of its colour over what lies behind, and count it as filled."""
        polygon = self.camera.project(np.asarray(world, np.float64))
        fixed = self._fixed(polygon)
        box = self._box([fixed], 1)
        if box is None:
            return
        left, top, right, bottom = box
        view = self.image[top:bottom, left:right]
        over = view.copy()
        depth = float(np.asarray(world)[..., 2].mean())
        points = fixed - (np.array([left, top], np.int32) << SUBPIXEL)
        cv2.fillPoly(over, [points], self.light.colour(colour, 1.0, depth), cv2.LINE_AA, SUBPIXEL)
        cv2.addWeighted(over, cover, view, 1 - cover, 0, view)
        if self._parts is not None:
            self._parts.append(fixed)

    def darken(self, world: ArrayLike, strength: float, soft: float = 0.0) -> None:
        """A shadow: multiply what lies under a polygon; `soft` pixels blur its edge."""
        polygon = self.camera.project(np.asarray(world, np.float64))
        margin = int(3 * soft) + 2
        box = self._box([np.rint(polygon * (1 << SUBPIXEL)).astype(np.int32)], margin)
        if box is None or strength <= 0:
            return
        left, top, right, bottom = box
        mask = np.full((bottom - top, right - left), 255, np.uint8)
        points = np.rint((polygon - (left, top)) * (1 << SUBPIXEL)).astype(np.int32)
        cv2.fillPoly(mask, [points], (255 * (1 - strength),), cv2.LINE_AA, SUBPIXEL)
        if soft >= 0.5:
            mask = cv2.blur(mask, (int(2 * soft) + 1,) * 2)  # type: ignore[assignment]
        view = self.image[top:bottom, left:right]
        cv2.multiply(view, cv2.merge((mask, mask, mask)), view, 1 / 255)

    @contextmanager
    def annotate(self, label: str, *, whole: bool = False) -> Iterator[None]:
        """All that is filled inside becomes one object; `whole` keeps the largest piece only (instances)."""
        self._parts = []
        yield
        parts, self._parts = self._parts, None
        self.outlines += [Outline(label, polygon) for polygon in self._contours(parts, whole)]

    def outline(self, label: str, polygon: Sequence[tuple[int, int]], *, deleted: bool = False) -> None:
        """Annotate without painting."""
        self.outlines.append(Outline(label, np.array(polygon, np.int32), deleted))

    def develop(self, rng: Rng) -> None:
        """When all is painted: from flat colours to a photograph, by texture, lens and sensor."""
        self.image = texture(self.image, self.material, self.camera, child(rng))
        self.image = expose(self.image, child(rng))

    def _contours(self, parts: list[I32], whole: bool) -> list[I32]:
        """Outlines of what is visible of the parts, with no more corners than somebody would click."""
        box = self._box(parts, 1)
        if box is None:
            return []
        left, top, right, bottom = box
        mask = np.zeros((bottom - top, right - left), np.uint8)
        for part in parts:
            cv2.fillPoly(mask, [part - (np.array([left, top], np.int32) << SUBPIXEL)], (1,), cv2.LINE_8, SUBPIXEL)
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
        if whole and found:
            found = [max(found, key=cv2.contourArea)]
        polygons = [cv2.approxPolyDP(contour, max(0.5, self.camera.height / 800), True)[:, 0] for contour in found]
        return [  # at least three corners: a pole one pixel wide has two
            np.concatenate([polygon, np.repeat(polygon[-1:], max(0, 3 - len(polygon)), axis=0)]).astype(np.int32)
            for polygon in polygons
        ]

    def _fixed(self, pixels: Reals) -> I32:
        """OpenCV's coordinates: whole numbers of 1/16 pixel, none absurdly far outside."""
        limit = 8.0 * self.camera.width
        inside = np.minimum(np.maximum(pixels, -limit), limit)
        return np.asarray(np.rint(inside * (1 << SUBPIXEL)), np.int32)

    def _box(self, parts: Sequence[I32], margin: int) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of what is visible of the parts."""
        if not parts:
            return None
        corners = np.concatenate(parts)
        low, high = corners.min(0) >> SUBPIXEL, corners.max(0) >> SUBPIXEL
        left, top = np.maximum(low - margin, 0).tolist()
        right, bottom = np.minimum(high + margin + 1, (self.camera.width, self.camera.height)).tolist()
        return (left, top, right, bottom) if left < right and top < bottom else None
