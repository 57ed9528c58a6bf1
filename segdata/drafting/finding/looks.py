"""What a file holds, by its content: an image, or labels in one of the codings."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.documents.json import load_json
from segdata.errors import SegdataError
from segdata.labels.colors import Color, codes_of
from segdata.pictures import png
from segdata.pictures.chunks import GREY, GREY_ALPHA, PALETTE, RGBA
from segdata.raw.member import Member

IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "tif", "tiff"})
PICTURES = IMAGES | {"json"}
FEW_VALUES, FEW_COLORS = 80, 300  # of a picture of labels; a photo has more of both
FLAT = 0.8  # share of pixels like their left neighbour, in label pictures of many values
EVERY = 1 << 18  # pixels that are looked at to tell a photo from labels
NAMES = {  # for people
    "image": "images",
    "ids": "grey pictures of ids",
    "palette": "palette pictures",
    "colors": "pictures of few colours",
    "ids16": "16-bit pictures of few values",
    "polygons": "polygons as Cityscapes has them",
    "labelme": "polygons of LabelMe",
}


@dataclass(frozen=True)
class Look:
    """What one file is.

    kind: "image", a coding of CODINGS, or "other". size: (H, W). channels: rgb, grey or rgba. values: of labels, ids or
    colours as 0xRRGGBB, each (value, pixels, pixels on the frame's border); of polygons (name, objects, 0). colors:
    those of a palette whose indices occur. most: the largest sample of a 16-bit image.
    """

    kind: str
    size: tuple[int, int] = (0, 0)
    channels: str = "rgb"
    values: Sequence[tuple[Any, int, int]] = ()
    colors: Sequence[tuple[int, Color]] = ()
    most: int = 0


def look_at(member: Member) -> Look | None:
    """None of a file that is damaged or cannot be read."""
    suffix = member.path.rpartition(".")[2].lower()
    try:
        data = member.read()
        if suffix == "json":
            return _document(data)
        return _png(data) if suffix == "png" else _photo(data)
    except (SegdataError, OSError, ValueError, KeyError, TypeError, SyntaxError, RecursionError):
        return None


def _document(data: bytes) -> Look:
    """Raises ValueError for what is no JSON."""
    found = load_json(data)
    if not isinstance(found, dict):
        return Look("other")
    for kind, key, height, width in (
        ("polygons", "objects", "imgHeight", "imgWidth"),
        ("labelme", "shapes", "imageHeight", "imageWidth"),
    ):
        if isinstance(found.get(key), list) and isinstance(found.get(height), int):
            names = [str(row["label"]) for row in found[key] if isinstance(row, dict) and "label" in row]
            values = [(name, names.count(name), 0) for name in sorted(set(names))]
            return Look(kind, (found[height], found[width]), values=values)
    return Look("other")


def _photo(data: bytes) -> Look:
    """JPEG, WebP or TIFF: the header alone. Raises what Pillow raises."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        channels = {"L": "grey", "I;16": "grey", "RGBA": "rgba"}.get(picture.mode, "rgb")
        most = int(np.asarray(picture).max()) if picture.mode.startswith("I;16") else 0
        return Look("image", (picture.height, picture.width), channels, most=most)


def _png(data: bytes) -> Look:
    header, chunks = png.inspect(data)
    pixels = png.decode(data)
    size, deep = (header.height, header.width), header.bit_depth == 16
    if header.color_type == PALETTE:
        look = _labels("palette", size, pixels)
        palette = next((body for kind, body in chunks if kind == b"PLTE"), b"")
        used = [value for value, _, _ in look.values if 3 * value + 2 < len(palette)]
        colors = [(i, (palette[3 * i], palette[3 * i + 1], palette[3 * i + 2])) for i in used]
        return Look("palette", size, values=look.values, colors=colors)
    if header.color_type == GREY:
        if _is_flat(pixels, FEW_VALUES if not deep else 2000):
            return _labels("ids16" if deep else "ids", size, pixels) if header.bit_depth >= 8 else Look("other", size)
        return Look("image", size, "grey", most=int(pixels.max()) if deep else 0)
    channels = "rgba" if header.color_type == RGBA else "rgb"
    if header.color_type == GREY_ALPHA or deep:
        return Look("image" if deep else "other", size, channels, most=int(pixels.max()) if deep else 0)
    codes = codes_of(pixels[..., :3])
    return _labels("colors", size, codes) if _is_flat(codes, FEW_COLORS) else Look("image", size, channels)


def _is_flat(values: NDArray[Any], few: int) -> bool:
    """Whether these are labels (H, W): few values, or many that lie in wide areas."""
    step = max(1, int((values.size / EVERY) ** 0.5))
    count = len(_counted(values[::step, ::step])[0])
    if count <= few and count <= values.size / 8:
        return True
    return count <= 256 and values.shape[1] > 1 and bool((values[:, 1:] == values[:, :-1]).mean() >= FLAT)


def _labels(kind: str, size: tuple[int, int], values: NDArray[Any]) -> Look:
    """Counts of values (H, W), of all pixels and of those on the frame's border."""
    found, counts = _counted(values)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    edge = dict(zip(*(each.tolist() for each in np.unique(border, return_counts=True)), strict=True))
    rows = [(value, count, edge.get(value, 0)) for value, count in zip(found.tolist(), counts.tolist(), strict=True)]
    return Look(kind, size, values=rows)


def _counted(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The values that occur, and how often; of small numbers without sorting them."""
    if values.dtype.itemsize > 2:
        return np.unique(values, return_counts=True)
    counts = np.bincount(values.ravel())
    found = np.flatnonzero(counts)
    return found, counts[found]
