"""Cityscapes (Cordts et al., CVPR 2016): leftImg8bit with gtFine, or with gtCoarse.

Labels are the shipped `_labelIds.png`: colours are not invertible (35 labels, 29 colours) and train ids are
not in the download. The label table is cityscapesScripts' own. The test split's labels are dummies.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from segdata.labels.label import Label, Lookalike
from segdata.raw.scene import Folder, Official
from segdata.sources.official import official_keys

TRAIN_IDS = frozenset({*range(20), 255})  # 0 to 18; the rest is 255, or by some tools 19
ZIPS = {
    "leftImg8bit": "leftImg8bit_trainvaltest.zip",
    "leftImg8bit/train_extra": "leftImg8bit_trainextra.zip",
    "gtFine": "gtFine_trainvaltest.zip",
    "gtCoarse": "gtCoarse.zip",
}
FRAME = r"[A-Za-z][A-Za-z\-]*_\d{6}_\d{6}"
# Exact names: a folder that only begins like one of these may hold frames or labels that were moved there.
PACKAGES = (  # of the publishers and of those who add to Cityscapes, by their top folders
    *("leftImg16bit", "rightImg8bit", "rightImg16bit", "disparity", "camera", "vehicle", "gtFinePanopticParts"),
    *("gtFine_panopticParts", "gtBbox3d", "gtBboxCityPersons", "gtBbox_cityPersons", "gtBboxValidated"),
    *(f"{sequence}_sequence" for sequence in ("leftImg8bit", "rightImg8bit", "disparity", "camera")),
    *("vehicle_sequence", "timestamp_sequence", "leftImg8bit_blurred", "leftImg8bit_rain", "depth_rain"),
    *(f"leftImg8bit_{weather}{how}" for weather in ("foggy", "transmittance") for how in ("", "DBF")),
)
OTHERS = re.compile(  # other splits and packages, and what cityscapesScripts write
    r"(leftImg8bit|gtFine|gtCoarse)/(train|train_extra|val|test|demoVideo)/|"
    r"gtFine/cityscapes_panoptic_(train|val|test)(_trainId)?(/|\.json$)|"
    rf"({'|'.join(PACKAGES)})(_trainvaltest|_trainval|_trainextra)?/|evaluationResults/"  # or named as the zips are
)
BESIDE = r"(color|instanceIds|labelTrainIds|instanceTrainIds)\.(?i:png)|polygons\.json"  # TrainIds: their scripts'


@dataclass(frozen=True)
class Cityscapes:
    """The fine annotation by default; `coarse` takes gtCoarse, which has a further split, train_extra."""

    coarse: bool = False

    @property
    def name(self) -> str:
        return "cityscapes-coarse" if self.coarse else "cityscapes"

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "train_extra", "val") if self.coarse else ("train", "val", "test")

    @property
    def default_splits(self) -> tuple[str, ...]:
        return ("train", "train_extra", "val") if self.coarse else ("train", "val")

    unlabelled_splits = frozenset({"test"})
    default_taxonomy = "cityscapes-20"
    palette_labels = False
    # Vegetation, sky and car: a quarter of the pixels. Train ids end at 18; of ids that are shifted by one, traffic
    # sign, terrain and rider, or terrain, person and truck, would have these values: 2 %.
    landmarks = frozenset({21, 23, 26})
    lookalikes = (
        Lookalike(
            "train ids (labelTrainIds)",
            TRAIN_IDS,
            "Take the files that ship as *_labelIds.png.",
            landmarks=frozenset({8, 10, 13}),
        ),
    )
    licence = "Cityscapes Dataset License Agreement (non-commercial; no redistribution of the frames)"

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        from cityscapesscripts.helpers.labels import labels

        return tuple(Label(row.id, row.name, tuple(row.color), row.category) for row in labels)

    @cached_property
    def official(self) -> Mapping[str, Official]:
        found = {split: official_keys(f"cityscapes_{split}.txt") for split in ("train", "val", "test")}
        counts = {split: Official(len(keys), keys) for split, keys in found.items()}
        if self.coarse:
            counts["train_extra"] = Official(19_998)
        return MappingProxyType(counts)

    others = OTHERS

    @cached_property
    def folders(self) -> tuple[Folder, ...]:
        kind = "gtCoarse" if self.coarse else "gtFine"
        return tuple(
            _folder(top, split, role)
            for split in self.splits
            for top, role in (("leftImg8bit", "image"), (kind, "labels"))
            if role == "image" or split not in self.unlabelled_splits
        )


def _folder(top: str, split: str, role: str) -> Folder:
    path = f"{top}/{split}"
    suffix, beside = (top, r"(?!)") if role == "image" else (f"{top}_labelIds", rf"{FRAME}_{top}_({BESIDE})")
    return Folder(
        path,
        split,
        role,
        name=re.compile(rf"({FRAME})_{suffix}\.(?i:png)"),
        rule=f"<city>_<sequence>_<frame>_{suffix}.png",
        package=ZIPS.get(path, ZIPS[top]),
        beside=re.compile(beside),
    )
