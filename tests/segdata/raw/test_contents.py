"""Frames and label files of every format, rule and coding: the oracle's pixels and ids, or one finding."""

import base64
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segdata.errors import OptionError, TaxonomyError
from segdata.findings import SampleError
from segdata.labels.label import COLORS, IDS, Coding, Label
from segdata.raw.contents.frames import FrameReader, can_be_kept, range_table
from segdata.raw.contents.labelfiles import label_opener
from segdata.raw.member import Member
from segdata.raw.scene import AS_THEY_ARE, FrameRule

RNG = np.random.default_rng(18)
LABELS = (
    Label(0, "void", (0, 0, 0), "void"),
    Label(1, "road", (128, 64, 128), "flat"),
    Label(7, "car", (0, 0, 142), "vehicle"),
    Label(-1, "plate", (0, 0, 143), "vehicle"),
)
Pixels = NDArray[Any]
RGB = RNG.integers(0, 256, (9, 12, 3), np.uint8)
GREY, DEEP = RGB[..., 0].copy(), RNG.integers(0, 1 << 16, (9, 12), np.uint16)
CODES = RNG.choice(np.array([0, 1, 7], np.uint8), (9, 12))
DEEPER = RNG.integers(0, 1 << 16, (9, 12, 4), np.uint16)
COLOURED = np.zeros((256, 3), np.uint8)
COLOURED[[label.id for label in LABELS[:3]]] = [label.color for label in LABELS[:3]]
PALETTE, LABELME = Coding("palette"), Coding("labelme", background="void")


def written(folder: Path, name: str, content: Pixels | Image.Image | bytes | dict[str, Any], **options: Any) -> Member:
    """A file of the name's format, or of these bytes, or of JSON."""
    if isinstance(content, np.ndarray):
        content = Image.fromarray(content)
    if isinstance(content, Image.Image):
        content.save(folder / name, **options)
    else:
        (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return Member(name, folder, name)


def encoded(suffix: str, pixels: Pixels) -> bytes:
    """RGB or RGBA of 16 bits, which Pillow does not write."""
    return bytes(cv2.imencode(suffix, pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])[1].tobytes())


def told(call: Callable[[], object]) -> tuple[str, str]:
    """Code and text of the finding."""
    with pytest.raises(SampleError) as stopped:
        call()
    assert "\n" not in str(stopped.value)
    return stopped.value.finding.code, stopped.value.finding.found


# ---- frames -------------------------------------------------------------------------------------------------


def by_hand(value: int, low: int, high: int) -> int:
    """Exactly, of fractions: halves go up."""
    return math.floor(Fraction(255 * (value - low), high - low) + Fraction(1, 2))


@pytest.mark.parametrize("low, high", [(0, 4095), (0, 65535), (1000, 1255), (1, 3), (65534, 65535), (300, 4000)])
def test_ranges(low: int, high: int) -> None:
    """Every 16-bit value by its definition."""
    table = range_table(low, high)
    assert table[low : high + 1].tolist() == [by_hand(value, low, high) for value in range(low, high + 1)]
    assert len(table) == 1 << 16 and not table[:low].any() and (table[high:] == 255).all()


@pytest.mark.parametrize(
    "name, stored, rule, expected",
    [
        ("a.png", RGB, AS_THEY_ARE, RGB),
        ("a.TIFF", RGB, AS_THEY_ARE, RGB),
        ("a.png", GREY, FrameRule("grey"), np.dstack([GREY] * 3)),
        ("a.tif", GREY, FrameRule("grey"), np.dstack([GREY] * 3)),
        ("a.png", np.dstack([RGB, GREY]), FrameRule("rgba"), RGB),
        ("a.tif", np.dstack([RGB, GREY]), FrameRule("rgba"), RGB),
        ("a.png", DEEP, FrameRule("grey", (256, 40000)), np.dstack([range_table(256, 40000)[DEEP]] * 3)),
        (
            "a.png",
            encoded(".png", DEEPER[..., :3]),
            FrameRule("rgb", (5, 60000)),
            range_table(5, 60000)[DEEPER[..., :3]],
        ),
        ("a.tif", encoded(".tif", DEEPER), FrameRule("rgba", (5, 60000)), range_table(5, 60000)[DEEPER[..., :3]]),
        ("a.tif", DEEP, FrameRule("grey", (256, 40000)), np.dstack([range_table(256, 40000)[DEEP]] * 3)),
    ],
)
def test_frames_by_their_rule(name: str, stored: Pixels, rule: FrameRule, expected: Pixels, tmp_path: Path) -> None:
    """Grey three times, RGBA without its alpha, 16 bits by the range."""
    reader = FrameReader(rule)
    pixels = reader.pixels(reader.open(written(tmp_path, name, stored)))
    assert pixels.dtype == np.uint8 and np.array_equal(pixels, expected)


@pytest.mark.parametrize(
    "name, stored, rule, found",
    [
        ("a.png", GREY, AS_THEY_ARE, "an 8-bit grey PNG where 8-bit RGB is due. Where all frames are so, say it in the "
                                     "source file: `image: {channels: grey}`"),
        ("a.jpg", GREY, AS_THEY_ARE, "an 8-bit grey JPEG where 8-bit RGB is due"),
        ("a.webp", np.dstack([RGB, GREY]), AS_THEY_ARE, "an 8-bit RGBA WebP where 8-bit RGB is due"),
        ("a.png", DEEP, AS_THEY_ARE, "a 16-bit grey PNG where 8-bit RGB is due. Where all frames are so, say it in the "
                                     "source file: `image: {channels: grey, range: [0, 65535]}`"),
        ("a.png", Image.fromarray(RGB).quantize(8), AS_THEY_ARE, "a 4-bit palette PNG where 8-bit RGB is due. Save"),
        ("a.jpg", Image.fromarray(RGB).convert("CMYK"), AS_THEY_ARE, "an 8-bit CMYK JPEG where 8-bit RGB is due. Save"),
        ("a.tif", RGB.astype(np.float32)[..., 0], AS_THEY_ARE, "a TIFF whose samples are no whole numbers"),
        ("a.png", RGB, FrameRule("grey"), "an 8-bit RGB PNG where 8-bit grey is due. Where all frames are so, say it "
                                          "in the source file: `image: {channels: rgb}`"),
        ("a.jpg", RGB, FrameRule("rgb", (0, 4095)), "an 8-bit RGB JPEG where 16-bit RGB is due"),
    ],
)  # fmt: skip
def test_other_frames(name: str, stored: Any, rule: FrameRule, found: str, tmp_path: Path) -> None:
    """What a frame is, what the source says that it is, and what to do."""
    code, text = told(lambda: FrameReader(rule).open(written(tmp_path, name, stored)))
    assert code == "image-format" and text.startswith(found)


def test_names_that_do_not_fit(tmp_path: Path) -> None:
    """The suffix says the format, and the bytes must be of it."""
    jpeg = written(tmp_path, "a.jpg", RGB)
    for name, found in [
        ("a.PNG", "begins as a JPEG does, its name says PNG"),
        ("a.bmp", "the name of no picture that is read here: one ends in .png, .jpg,"),
    ]:
        code, text = told(lambda: FrameReader(AS_THEY_ARE).open(written(tmp_path, name, jpeg.read())))  # noqa: B023
        assert code == "bad-image" and text.startswith(found)


def test_which_frames_can_be_kept() -> None:
    """Those of one format whose bytes loaders read, by their names alone."""
    assert can_be_kept([]) and can_be_kept(["a.png", "b.PNG"]) and can_be_kept(["a.jpg", "b.jpeg", "c.JPG"])
    assert can_be_kept(["x/a.webp"]) and not can_be_kept(["a.tif", "b.tiff"])
    assert can_be_kept(["a.jpg", "b.bmp"])  # a finding tells of the second, as it does of all else that it may be
    with pytest.raises(OptionError, match=r"3 frames \.jpg and 1 frame \.png: .* Give --image-codec png"):
        can_be_kept(["a.jpg", "b.png", "c.jpg", "d.JPG"])


# ---- label files --------------------------------------------------------------------------------------------

INDEXED = Image.fromarray(CODES, "P")
INDEXED.putpalette(COLOURED.ravel().tolist())
INSTANCES = (CODES.astype(np.uint16) * 256 + RNG.integers(0, 256, CODES.shape)).astype(np.uint16)


@pytest.mark.parametrize(
    "name, stored, coding",
    [
        ("a.png", CODES, IDS),
        ("a.tif", CODES, IDS),
        ("a.png", CODES, PALETTE),
        ("a.png", INDEXED, PALETTE),
        ("a.png", COLOURED[CODES], COLORS),
        ("a.TIF", COLOURED[CODES], COLORS),
        ("a.png", INSTANCES, Coding("ids16")),
        ("a.tiff", INSTANCES, Coding("ids16")),
        ("a.png", CODES * np.uint16(1000) + np.uint16(999), Coding("ids16", divisor=1000)),
    ],
)
def test_label_pictures(name: str, stored: Any, coding: Coding, tmp_path: Path) -> None:
    """The same ids, whatever says them."""
    file = label_opener(coding, LABELS)(written(tmp_path, name, stored))
    assert file.size == (9, 12)
    assert file.ids().dtype == np.uint8 and np.array_equal(file.ids(), CODES)


@pytest.mark.parametrize(
    "name, stored, coding, code, found",
    [
        ("a.jpg", CODES, IDS, "label-format", "a JPEG, which may store other values than were painted. Export the lab"),
        ("a.webp", COLOURED[CODES], COLORS, "label-format", "a WebP, which may store other values"),
        (
            "a.png",
            INDEXED,
            IDS,
            "label-format",
            "an 8-bit palette PNG where 8-bit grey is due. `coding: palette` reads",
        ),
        (
            "a.tif",
            INSTANCES,
            IDS,
            "label-format",
            "a 16-bit grey TIFF where 8-bit grey is due. `coding: ids16` reads it",
        ),
        (
            "a.png",
            COLOURED[CODES],
            IDS,
            "label-format",
            "an 8-bit RGB PNG where 8-bit grey is due. `coding: colors` re",
        ),
        (
            "a.png",
            CODES,
            COLORS,
            "label-format",
            "an 8-bit grey PNG where 8-bit colours is due. `coding: ids` reads it",
        ),
        ("a.png", CODES, Coding("ids16"), "label-format", "an 8-bit grey PNG where 16-bit grey is due"),
        ("a.png", INSTANCES, Coding("ids16", divisor=1), "unknown-id", "no id is above 255. Is the divisor right?"),
        ("a.tif", RGB, COLORS, "unknown-color", "colour ("),
        ("a.tif", np.dstack([COLOURED[CODES], CODES]), COLORS, "label-format", "transparent pixels"),
        ("a.tif", CODES.astype(np.float32), IDS, "label-format", "a TIFF whose samples are no whole numbers"),
    ],
)
def test_label_pictures_of_another_coding(
    name: str, stored: Any, coding: Coding, code: str, found: str, tmp_path: Path
) -> None:
    """What the file is, and the coding that reads it."""
    got = told(lambda: label_opener(coding, LABELS)(written(tmp_path, name, stored)).ids())
    assert got[0] == code and found in got[1]


# ---- LabelMe ------------------------------------------------------------------------------------------------


def shape(label: str, kind: str | None, *points: tuple[float, float]) -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": [list(point) for point in points]}


def annotation(*shapes: dict[str, Any], **others: Any) -> dict[str, Any]:
    picture = base64.b64encode(b"the frame itself").decode()
    return {"version": "5.5.0", "imageHeight": 40, "imageWidth": 60, "imageData": picture, "shapes": shapes} | others


def mask_of(kind: str | None, points: list[list[float]]) -> NDArray[np.bool_]:
    """As labelme/utils/shape.py makes the mask of one shape."""
    mask = Image.new("L", (60, 40), 0)
    draw, corners = ImageDraw.Draw(mask), [tuple(point) for point in points]
    if kind == "circle":
        (x, y), (to_x, to_y) = corners
        radius = math.sqrt((x - to_x) ** 2 + (y - to_y) ** 2)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=1, fill=1)
    elif kind == "rectangle":
        draw.rectangle([tuple(np.min(points, axis=0)), tuple(np.max(points, axis=0))], outline=1, fill=1)
    else:
        draw.polygon(corners, outline=1, fill=1)
    return np.array(mask, bool)


def test_labelme(tmp_path: Path) -> None:
    """Pixel by pixel against the masks of LabelMe, in the order of the shapes, as its shapes_to_label puts them."""
    kinds = ["polygon", "rectangle", "circle", None]
    rows = []
    for i in range(48):
        count = 2 if i % 4 in {1, 2} else int(RNG.integers(3, 8))
        points = RNG.uniform(-8, 66, (count, 2)).round(i % 3)
        rows.append(shape(LABELS[i * 7 % 4].name, kinds[i % 4], *map(tuple, points.tolist())))
    for size in (48, 12, 3):
        expected = np.zeros((40, 60), np.uint8)
        for row in rows[:size]:
            if row["label"] != "plate":
                expected[mask_of(row["shape_type"], row["points"])] = {x.name: x.id for x in LABELS}[row["label"]]
        file = label_opener(LABELME, LABELS)(written(tmp_path, "a.json", annotation(*rows[:size])))
        assert file.size == (40, 60) and np.array_equal(file.ids(), expected) and 7 in expected


POINTS = ((1.0, 2.0), (30.5, 4.0), (20.0, 30.0))


@pytest.mark.parametrize(
    "document, found",
    [
        (annotation(shape("road", "linestrip", *POINTS)), "shape 0 (road) is a linestrip, expected polygon, rectangle, "
                                                          "circle. Draw it as a polygon"),
        (annotation(shape("dragon", "polygon", *POINTS)), "shape 0 has the label 'dragon', which the dataset does not"),
        (annotation(shape("car", "rectangle", *POINTS)), "shape 0 (car) is no rectangle of 2 points [x, y]"),
        (annotation(shape("car", None, *POINTS[:2])), "shape 0 (car) is no polygon of 3 points [x, y]"),
        (annotation(shape("car", "circle", (1, 1), (1e9, 1))), "shape 0 (car) is no circle of 2 points"),
        (annotation(shape("car", "circle", (1, 1), (1e6, 1))), "a circle with a radius of 999999 pixels, expected"),
        (annotation(imageHeight=None), "a height or width of None, expected pixels"),
        ({"imgHeight": 40, "imgWidth": 60, "objects": []}, "not imageHeight, imageWidth and shapes (KeyError"),
    ],
)  # fmt: skip
def test_other_files_than_labelme_writes(document: dict[str, Any], found: str, tmp_path: Path) -> None:
    """One line, with the number of the shape."""
    code, text = told(lambda: label_opener(LABELME, LABELS)(written(tmp_path, "a.json", document)))
    assert code == "bad-polygons" and text.startswith(found)


def test_a_background_that_is_no_label() -> None:
    """What no object covers needs an id."""
    for name in ("", "plate", "sky"):
        with pytest.raises(TaxonomyError, match=f"background {name!r} of outlines is no label that has an id"):
            label_opener(Coding("polygons", background=name), LABELS)


def test_background_of_polygons(tmp_path: Path) -> None:
    """The one that the coding names, not one that Cityscapes happens to have."""
    member = written(tmp_path, "a.json", {"imgHeight": 4, "imgWidth": 5, "objects": []})
    assert np.unique(label_opener(Coding("polygons", background="road"), LABELS)(member).ids()).tolist() == [1]
