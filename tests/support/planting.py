"""Folders that nobody planned for, with the pairs that are in them; and what `prepare` makes of their drafts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from segdata.drafting.draft import Draft
from segdata.drafting.text import OPEN, source_text
from segdata.making.survey import look
from segdata.raw.tree import open_tree
from segdata.sources.file import read_source
from segdata.sources.tables import label_table

SHAPE = (24, 40)
Array = np.ndarray
RUGD = [label.color for label in label_table("rugd")]


def photo(seed: int, suffix: str, channels: int = 3) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (*SHAPE, channels), np.uint8)
    return saved(Image.fromarray(noise[..., 0] if channels == 1 else noise), suffix)


def codes(seed: int, values: list[int]) -> Array:
    """(H, W): blocks of the values, each of which occurs."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(np.resize(values, (SHAPE[0] // 4) * (SHAPE[1] // 4))).reshape(SHAPE[0] // 4, SHAPE[1] // 4)
    return np.asarray(np.kron(cells, np.ones((4, 4), int)))


def ids(seed: int, values: list[int]) -> bytes:
    return saved(Image.fromarray(codes(seed, values).astype(np.uint8)), "png")


def deep(seed: int, values: list[int]) -> bytes:
    return saved(Image.fromarray((codes(seed, values) * 256).astype(np.uint16)), "png")


def colors(seed: int, table: list[tuple[int, int, int]]) -> bytes:
    return saved(Image.fromarray(np.array(table, np.uint8)[codes(seed, list(range(len(table))))]), "png")


def palette(seed: int, values: list[int], table: dict[int, tuple[int, int, int]]) -> bytes:
    picture = Image.fromarray(codes(seed, values).astype(np.uint8), "P")
    picture.putpalette([part for i in range(256) for part in table.get(i, (0, 0, 0))])
    return saved(picture, "png")


def saved(picture: Image.Image, suffix: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
    return file.getvalue()


@dataclass
class Planted:
    """Files by path; pairs: (image, labels) by key."""

    files: dict[str, bytes] = field(default_factory=dict)
    pairs: dict[str, tuple[str, str]] = field(default_factory=dict)

    def pair(self, key: str, image: str, label: str, holds: Callable[[int], bytes]) -> None:
        self.files[image] = photo(len(self.files), "png" if image.lower().endswith("png") else "jpg")
        self.files[label] = holds(len(self.files))
        self.pairs[key] = (image, label)

    def write(self, root: Path) -> Path:
        for path, data in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        return root


def drives() -> Planted:
    """JPEG with colour masks in drive folders, whose frames have the same numbers."""
    found = Planted()
    for drive in ("drive_01", "drive_02", "drive_3"):
        for i in range(4):
            found.pair(
                f"{drive}_{i:04d}",
                f"{drive}/images/{i:04d}.jpg",
                f"{drive}/masks/{i:04d}.png",
                lambda seed: colors(seed, [(9, 0, 0), (0, 200, 0), (0, 0, 77)]),
            )
    return found


def flat() -> Planted:
    """One folder, both PNG, masks by their suffix, and names of words."""
    found = Planted()
    for name in ("park", "old_town", "old_town_road", "bridge"):
        found.pair(name, f"{name}.png", f"{name}_mask.png", lambda seed: ids(seed, [0, 7, 9, 30]))
    return found


def heads() -> Planted:
    """One folder, both PNG, told by what begins their names."""
    found = Planted()
    for i in range(5):
        found.pair(f"{i:03d}", f"data/img_{i:03d}.png", f"data/mask_{i:03d}.png", lambda seed: ids(seed, [1, 2, 3]))
    return found


def rugd() -> Planted:
    """Names that repeat the folder, and a known table of colours."""
    found = Planted()
    for place in ("creek", "trail-3"):
        for i in range(4):
            name = f"{place}/{place}_{i:05d}.png"
            found.pair(
                f"{place}_{i:05d}",
                f"RUGD_frames/{name}",
                f"RUGD_annotations/{name}",
                lambda seed: colors(seed, RUGD[1:25]),
            )
    return found


def middle() -> Planted:
    """A word in the middle of the name, as A2D2 has it."""
    found = Planted()
    for drive in ("20180807_145028", "20180925_101535"):
        for i in range(3):
            stamp = drive.replace("_", "")
            image, label = (f"{stamp}_{word}_frontcenter_{i:09d}.png" for word in ("camera", "label"))
            found.pair(
                f"{drive}_{stamp}_frontcenter_{i:09d}",
                f"{drive}/camera/cam_front_center/{image}",
                f"{drive}/label/cam_front_center/{label}",
                lambda seed: colors(seed, RUGD[:6]),
            )
    return found


def several() -> Planted:
    """Ids, colours, instances and polygons of the same frames, in split folders, as Cityscapes and GOOSE have them."""
    found = Planted()
    for split, first in (("train", 0), ("validation", 3)):
        for drive in ("2022-07_hills", "2022-09_city"):
            for i in range(first, first + 3):
                stem = f"{split}/{drive}/{drive}__{i:04d}_{1658494234334310308 + i + 7 * len(drive)}"
                label = f"labels/{stem}_labelids.png"
                key = stem.rpartition("/")[2]
                found.pair(key, f"images/{stem}_windshield_vis.png", label, lambda seed: ids(seed, [0, 4, 200]))
                found.files[f"labels/{stem}_color.png"] = colors(i, RUGD[:6])
                found.files[f"labels/{stem}_instanceids.png"] = deep(i, [1, 2, 3])
    return found


def mapillary() -> Planted:
    """Palette labels, 16-bit instances, splits without labels."""
    found = Planted()
    table = {label.id: label.color for label in label_table("mapillary-vistas-1.2")}
    for split, names in (("training", ("_1Gn_xkw7sa", "-0bd4")), ("validation", ("QQ_ab", "zz-top_x"))):
        for name in names:
            label = f"{split}/v1.2/labels/{name}.png"
            found.pair(
                name if name[0].isalnum() else f"x{name}",
                f"{split}/images/{name}.jpg",
                label,
                lambda seed: palette(seed, [0, 13, 15, 27, 65], table),
            )
            found.files[f"{split}/v1.2/instances/{name}.png"] = deep(1, [13, 15])
    found.files["testing/images/abc.jpg"] = photo(1, "jpg")
    return found


def repeated() -> Planted:
    """Frames of two splits with the same names: a key needs the split."""
    found = Planted()
    for split in ("train", "val"):
        for i in range(3):
            found.pair(f"{split}_{i}", f"{split}/rgb/{i}.png", f"{split}/gt/{i}.png", lambda seed: ids(seed, [0, 5]))
    return found


def mixed() -> Planted:
    """JPEG and PNG frames, suffixes in capitals, names that no key may have."""
    found = Planted()
    for i, suffix in enumerate(("jpg", "PNG", "JPG", "png")):
        found.pair(
            f"a-b-{i}-x", f"images/a b.{i}+x.{suffix}", f"annotations/a b.{i}+x.png", lambda seed: ids(seed, [0, 5])
        )
    return found


def labelme() -> Planted:
    """Polygons beside the frames."""
    found = Planted()
    shape = {"label": "road", "points": [[0, 0], [9, 0], [9, 9]], "shape_type": "polygon"}
    document = {"shapes": [shape, {**shape, "label": "car"}], "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]}
    for i in range(4):
        found.pair(f"f{i}", f"f{i}.jpg", f"f{i}.json", lambda seed: json.dumps(document).encode())
    return found


def gathered() -> Planted:
    """Frames in folders of drives, labels all in one."""
    found = Planted()
    for drive in ("north", "south"):
        for i in range(3):
            name = f"{drive[0]}{i:03d}"
            found.pair(name, f"frames/{drive}/{name}.jpg", f"labels/{name}_L.png", lambda seed: ids(seed, [0, 5]))
    return found


def beside() -> Planted:
    """Labels of two codings in folders beside the frames, as RELLIS-3D has them: the others are told by `others`."""
    found = Planted()
    for drive in ("00000", "00001"):
        for i in range(3):
            stem = f"frame{i:06d}-{1581624652 + i}_{750 - i}"
            image, label = f"set/{drive}/node/{stem}.jpg", f"set/{drive}/node_label_id/{stem}.png"
            found.pair(f"{drive}_{stem}", image, label, lambda seed: ids(seed, [0, 3, 33]))
            found.files[f"set/{drive}/node_label_color/{stem}.png"] = colors(i, RUGD[:6])
    return found


def voc() -> Planted:
    """A VOC with lists, palette labels of classes and of objects."""
    found = Planted()
    table = {label.id: label.color for label in label_table("pascal-voc")}
    for i in range(6):
        name, top = f"2007_{i:06d}", "VOCdevkit/VOC2012"
        label = f"{top}/SegmentationClass/{name}.png"
        found.pair(name, f"{top}/JPEGImages/{name}.jpg", label, lambda seed: palette(seed, [0, 7, 15, 255], table))
        found.files[f"{top}/SegmentationObject/{name}.png"] = palette(i, [0, 1, 2, 255], table)
        found.files[f"{top}/Annotations/{name}.xml"] = b"<annotation/>"
    for split, numbers in {"train": range(4), "val": range(4, 6), "trainval": range(6)}.items():
        lines = "".join(f"2007_{i:06d}\n" for i in numbers)
        found.files[f"VOCdevkit/VOC2012/ImageSets/Segmentation/{split}.txt"] = lines.encode()
    return found


MET = {
    each.__name__: each
    for each in (drives, flat, heads, rugd, middle, several, mapillary, repeated, mixed, labelme, gathered, beside, voc)
}


def filled_in(text: str) -> str:
    """The draft as somebody might complete it, each unknown with a name of its own."""
    parts = text.split(f'"{OPEN}"')
    text = "".join(f"{part}x{i}" for i, part in enumerate(parts[:-1])) + parts[-1]
    return text.replace(f"licence: {OPEN}", "licence: ours")


def surveyed(draft: Draft, root: Path, home: Path) -> dict[str, tuple[str, str]]:
    """key -> (image, labels) of all frames that `prepare` would take by the completed draft."""
    lists = {split: f"{split}.txt" for split in draft.lists}
    for split, name in lists.items():
        (home / name).write_text("\n".join(draft.lists[split]))
    text = source_text(draft, str(root), "draft.yaml", lists)
    source = read_source(filled_in(text).encode(), "draft.yaml", home)
    survey = look(source, open_tree(root), ())
    assert not survey.errors, [str(finding) for finding in survey.errors]
    scenes = [scene for several in survey.scenes.values() for scene in several]
    return {scene.key: (scene.image.path, scene.labels.path if scene.labels else "") for scene in scenes}
