"""Cityscapes (Cordts et al., CVPR 2016): leftImg8bit with gtFine, or with gtCoarse.

Labels are the shipped `_labelIds.png`: colours are not invertible (35 labels, 29 colours) and train ids are
not in the download. On request the shipped polygons are drawn instead. The label table is cityscapesScripts' own. The
test split's labels are dummies.
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
SEQUENCE = re.compile(r"([A-Za-z][A-Za-z\-]*_\d{6})_(\d{6})")
# Frames of a minute, 17 a second. Most sequences have one labelled frame, but eight are whole drives: frankfurt_000001
# is 83 minutes long and has 217 of val's 500 frames. As one group it would leave five that count as independent.
MINUTE = 17 * 60
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
KINDS = ("labelIds.png", "color.png", "instanceIds.png", "polygons.json")  # of an annotation
MADE = ("labelTrainIds.png", "instanceTrainIds.png")  # by cityscapesScripts, of the polygons
LABEL_IDS = "segdata needs the ids of *_labelIds.png. Take them from {package}"
INSTEAD = {  # what to do where there are only these
    "polygons.json": "Give --labels polygons, which draws them as cityscapesScripts does, or take {package}",
    "labelTrainIds.png": f"Train ids have lost 15 of the 34 classes: {LABEL_IDS}",
    "color.png": f"Colours are no ids, for several labels share one: {LABEL_IDS}",
    "instanceIds.png": LABEL_IDS,
    "labelIds.png": "Leave --labels polygons out, or take {package}",
}


@dataclass(frozen=True)
class Cityscapes:
    """The fine annotation by default; `coarse` takes gtCoarse, which has a further split, train_extra. The same set
    with `polygons` has the same name: what its labels were made of is an option of the conversion."""

    coarse: bool = False
    polygons: bool = False  # labels are drawn from these

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

    def group(self, key: str) -> str:
        """City and sequence; a sequence that is a whole drive is cut into minutes."""
        found = SEQUENCE.fullmatch(key)
        return f"{found[1]}/{int(found[2]) // MINUTE}" if found else key

    others = OTHERS

    @cached_property
    def folders(self) -> tuple[Folder, ...]:
        kind = "gtCoarse" if self.coarse else "gtFine"
        return tuple(
            _folder(top, split, role, "polygons.json" if self.polygons else "labelIds.png")
            for split in self.splits
            for top, role in (("leftImg8bit", "image"), (kind, "labels"))
            if role == "image" or split not in self.unlabelled_splits
        )


def _folder(top: str, split: str, role: str, kind: str) -> Folder:
    """Of images, or of the labels of one of KINDS."""
    path = f"{top}/{split}"
    package = ZIPS.get(path, ZIPS[top])
    others = [_any_case(each) for each in (*KINDS, *MADE) if each != kind]
    suffix, beside = (
        (f"{top}.png", r"(?!)") if role == "image" else (f"{top}_{kind}", rf"{FRAME}_{top}_({'|'.join(others)})")
    )
    return Folder(
        path,
        split,
        role,
        name=re.compile(rf"({FRAME})_{_any_case(suffix)}"),
        rule=f"<city>_<sequence>_<frame>_{suffix}",
        package=package,
        beside=re.compile(beside),
        instead={each: advice.format(package=package) for each, advice in INSTEAD.items()},
    )


def _any_case(name: str) -> str:
    """A pattern of the name, its suffix in capitals or not."""
    stem, dot, suffix = name.partition(".")
    return re.escape(stem) + rf"(?i:\{dot}{suffix})"
