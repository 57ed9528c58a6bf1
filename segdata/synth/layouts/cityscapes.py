"""Painted streets in the layout of Cityscapes: leftImg8bit, gtFine, gtCoarse, as the dataset's own tools
(https://github.com/mcordts/cityscapesScripts) describe and draw them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from cityscapesscripts.helpers.labels import id2label, name2label
from numpy.typing import NDArray

from segdata.synth.canvas.stage import Outline
from segdata.synth.canvas.texture import U8
from segdata.synth.layouts.annotation import photograph, png, rasterise
from segdata.synth.layouts.frames import Frame
from segdata.synth.places.street import paint_street

SIZE = (1024, 2048)
COARSE_SPLITS = {"train_extra": "train"}
# Names of no place on earth, so that nobody takes a painted frame for a real one. The second city of
# each split holds long sequences, whose frames have other numbers than 19.
CITIES = {
    "train": ("farbstadt", "malerdorf"),
    "val": ("pinselheim", "lackhausen"),
    "test": ("kreidenau", "rasterburg"),
    "train_extra": ("skizzenau", "kohlestrich"),
}
TEST_LABELS = ("ego vehicle", "rectification border", "out of roi")


def stem(split: str, number: int) -> str:
    """City, sequence and frame of the `number`-th frame of a split, whatever the split's size."""
    city, (sequence, long) = CITIES[split][number % 2], divmod(number // 2, 50)
    if number % 2 == 0:
        return f"{city}_{number // 2:06d}_000019"
    return f"{city}_{sequence:06d}_{294 + 301 * long + 37 * long % 23:06d}"


def names(split: str, number: int, coarse: bool) -> Iterator[tuple[str, str]]:
    """Archive and path of every file of a frame."""
    name = stem(split, number)
    city, extra = name.partition("_")[0], split == "train_extra"
    archive = "leftImg8bit_trainextra" if extra else "leftImg8bit_trainvaltest"
    yield archive, f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png"
    kinds = [] if extra else [("gtFine", "gtFine_trainvaltest")]
    kinds += [("gtCoarse", "gtCoarse")] if coarse and split != "test" else []
    for kind, archive in kinds:
        for suffix in ("color.png", "instanceIds.png", "labelIds.png", "polygons.json"):
            yield archive, f"{kind}/{split}/{city}/{name}_{kind}_{suffix}"


def contents(frame: Frame) -> Iterator[bytes]:
    """The bytes of these files, in the order of `names`: the image, its fine labels, its coarse ones."""
    stage = paint_street(frame.rng(), frame.number, *frame.size)
    yield photograph(stage.image)
    outlines = _specials(stage.outlines, frame)
    if frame.split == "test":
        outlines = [outline for outline in outlines if outline.label in TEST_LABELS]
    if frame.split != "train_extra":
        yield from _annotations(outlines, frame.size)
    if frame.coarse and frame.split != "test":
        yield from _annotations(list(_coarse(outlines, *frame.size)), frame.size)


def _annotations(outlines: Sequence[Outline], size: tuple[int, int]) -> Iterator[bytes]:
    """Four files: colours, instance ids, label ids, polygons."""
    seen = drawn(outlines)
    index = rasterise(seen, *size)
    ids, instances = tables(seen)
    label_ids = ids[index]
    colours = np.zeros((256, 4), np.uint8)  # RGBA of each id
    for number, label in id2label.items():
        if number >= 0:
            colours[number] = (*label.color, 255)
    yield photograph(np.take(colours.view(np.uint32)[:, 0], label_ids)[..., None].view(np.uint8))
    yield png(instances[index])
    yield png(label_ids)
    yield polygons(outlines, size).encode()


def drawn(outlines: Iterable[Outline]) -> list[Outline]:
    """What the official tools draw: neither deleted objects nor labels without an id (licence plates)."""
    return [o for o in outlines if not o.deleted and (o.label not in name2label or name2label[o.label].id >= 0)]


def tables(outlines: Iterable[Outline]) -> tuple[U8, NDArray[np.uint16]]:
    """Label id and instance id of each drawn outline, position 0 being the background: as json2instanceImg
    counts, each object of a class with instances gets the next number, seen or not; groups get none."""
    ids, instances, count = [0], [0], Counter[str]()
    for outline in outlines:
        known = outline.label in name2label
        label = name2label[outline.label if known else outline.label.removesuffix("group")]
        ids.append(label.id)
        counted = label.hasInstances and known
        instances.append(1000 * label.id + count[label.name] if counted else label.id)
        count[label.name] += counted
    return np.array(ids, np.uint8), np.array(instances, np.uint16)


def polygons(outlines: Iterable[Outline], size: tuple[int, int]) -> str:
    """The annotation file: objects in painter's order."""
    objects = [
        {"label": outline.label, "polygon": outline.polygon.tolist()} | ({"deleted": 1} if outline.deleted else {})
        for outline in outlines
    ]
    return json.dumps({"imgHeight": size[0], "imgWidth": size[1], "objects": objects}, sort_keys=True)


def _specials(outlines: list[Outline], frame: Frame) -> list[Outline]:
    """What real annotations have besides the visible: a deleted object, an instance that nobody sees."""
    rng, (height, width) = frame.rng("specials"), frame.size
    result = list(outlines)
    if frame.number % 3 == 0:
        x, y = rng.integers(width // 4, width // 2), rng.integers(height // 4, height // 2)
        box = np.array([(x, y), (x + width // 9, y), (x + width // 9, y + height // 7), (x, y + height // 7)], np.int32)
        result.insert(len(result) // 2, Outline("person", box, deleted=True))
    if frame.number % 3 == 1:
        result = _with_hidden_car(result, height, width)
    return result


def _with_hidden_car(outlines: list[Outline], height: int, width: int) -> list[Outline]:
    """A car fully behind the largest vehicle, so that the numbers of the cars seen have a gap."""
    vehicles = [k for k, o in enumerate(outlines) if o.label in ("car", "bus", "truck") and not o.deleted]
    if not vehicles:
        return outlines
    k = max(vehicles, key=lambda k: cv2.contourArea(outlines[k].polygon))
    middle = outlines[k].polygon.mean(0)
    hidden = np.rint(middle + 0.4 * (outlines[k].polygon - middle)).astype(np.int32)
    result = [*outlines[:k], Outline("car", hidden), *outlines[k:]]
    before = drawn(result[: k + 1])
    visible = (rasterise(drawn(result), height, width) == len(before)).any()
    return outlines if visible else result


def _coarse(outlines: Sequence[Outline], height: int, width: int) -> Iterator[Outline]:
    """A few rough polygons well inside the visible parts of the larger objects."""
    seen = drawn(outlines)
    index = rasterise(seen, height, width)
    margin = np.ones((max(2, height // 100),) * 2, np.uint8)
    merged = {k: outline.label for k, outline in enumerate(seen, start=1)}
    for label in dict.fromkeys(merged.values()):
        members = [k for k, name in merged.items() if name == label]
        single = label in name2label and name2label[label].hasInstances
        for group in [[k] for k in members] if single else [members]:
            members_of = np.zeros(len(seen) + 1, np.uint8)
            members_of[group] = 1
            inner = cv2.erode(members_of[index], margin)
            found, _ = cv2.findContours(inner, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            for contour in found:
                rough = cv2.approxPolyDP(contour, height / 130, True)[:, 0].astype(np.int32)
                if len(rough) >= 3 and cv2.contourArea(rough) > height * width / 1500:
                    yield Outline(label, rough)
