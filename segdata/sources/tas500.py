"""TAS500 v1.1 (Metzger, Mortimer, Wuensche, ICPR 2020): off-road scenes, flat folders of 19-digit names.

Id-coded labels come first. Five training frames of the release have colour-coded labels with colours
outside the table while their id-coded ones are fine, so colours are only the fallback.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

from segdata.labels.label import Label, Lookalike
from segdata.raw.scene import Folder, Official
from segdata.sources.official import official_keys

PNG = re.compile(r"(.+)\.(?i:png)")  # .PNG as cameras and Windows tools write it
TIME = re.compile(r"\d{19}")  # nanoseconds since 1970
MINUTE = 60 * 10**9
ROLES = {"": "image", "_labels_ids": "labels", "_labels": "colors"}  # by what a folder's name has after its split's
# id, name, colour, category. The release has no separate train ids; 255 (undefined) is its "no label".
LABELS = (
    Label(0, "asphalt", (192, 192, 192), "terrain"),
    Label(1, "gravel", (105, 105, 105), "terrain"),
    Label(2, "soil", (160, 82, 45), "terrain"),
    Label(3, "sand", (244, 164, 96), "terrain"),
    Label(4, "bush", (60, 179, 113), "vegetation"),
    Label(5, "forest", (34, 139, 34), "vegetation"),
    Label(6, "low grass", (154, 205, 50), "vegetation"),
    Label(7, "high grass", (0, 128, 0), "vegetation"),
    Label(8, "misc. vegetation", (0, 100, 0), "vegetation"),
    Label(9, "tree crown", (0, 250, 154), "vegetation"),
    Label(10, "tree trunk", (139, 69, 19), "vegetation"),
    Label(11, "building", (1, 51, 73), "construction"),
    Label(12, "fence", (190, 153, 153), "construction"),
    Label(13, "wall", (0, 132, 111), "construction"),
    Label(14, "car", (0, 0, 142), "vehicle"),
    Label(15, "bus", (0, 60, 100), "vehicle"),
    Label(16, "sky", (135, 206, 250), "sky"),
    Label(17, "misc. object", (128, 0, 128), "object"),
    Label(18, "pole", (153, 153, 153), "object"),
    Label(19, "traffic sign", (255, 255, 0), "object"),
    Label(20, "person", (220, 20, 60), "human"),
    Label(21, "animal", (255, 182, 193), "animal"),
    Label(22, "ego vehicle", (220, 220, 220), "void"),
    Label(255, "undefined", (0, 0, 0), "undefined"),
)


class TAS500:
    """train and val are labelled; test (100 frames) has no labels of any kind."""

    name = "tas500"
    labels = LABELS
    splits = ("train", "val", "test")
    default_splits = ("train", "val")
    unlabelled_splits = frozenset({"test"})
    default_taxonomy = "tas500-10"
    palette_labels = True  # no public record says whether the release uses grey or palette files
    landmarks = frozenset({16, 22})  # sky and ego vehicle: 15 % of the pixels; bus, misc. object, animal: 0.7 %
    lookalikes: tuple[Lookalike, ...] = ()
    licence = "CC BY-NC-SA 3.0 (as recorded by public indexes of the dataset; confirm on its page)"

    @cached_property
    def official(self) -> Mapping[str, Official]:
        keys = {split: official_keys(f"tas500_v1.1_{split}.txt") for split in ("train", "val")}
        counts = {split: Official(len(names), names) for split, names in keys.items()}
        return MappingProxyType({**counts, "test": Official(100)})

    folders = tuple(
        Folder(f"{split}{suffix}", split, role, PNG, "<19 digits>.png", "tas500v1.1.zip")
        for split in ("train", "val", "test")
        for suffix, role in ROLES.items()
        if role == "image" or split != "test"
    )

    def group(self, key: str) -> str:
        """The minute in which the frame was taken: names are times, and nothing in them names a drive.

        The splits were drawn from the same drives (val's frames lie between train's, some seconds away), so an interval
        speaks of other minutes of these drives, not of other places.
        """
        return str(int(key) // MINUTE) if TIME.fullmatch(key) else key

    others = re.compile(r"(?!)")
