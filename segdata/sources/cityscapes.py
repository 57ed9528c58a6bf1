"""Cityscapes (Cordts et al., CVPR 2016): leftImg8bit with gtFine, or with gtCoarse.

Labels are the shipped `_labelIds.png`: colours are not invertible (35 labels, 29 colours) and train ids are
not in the download. The label table is cityscapesScripts' own. The test split's labels are dummies.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from segdata.findings import Finding
from segdata.scene import Label, Listing, Lookalike, Official, Scene
from segdata.sources.pairing import official_keys, pair, require
from segdata.tree import Member, Tree

TRAIN_IDS = frozenset({*range(20), 255})  # 0 to 18; the rest is 255, or by some tools 19
ZIPS = {
    "leftImg8bit": "leftImg8bit_trainvaltest.zip",
    "leftImg8bit/train_extra": "leftImg8bit_trainextra.zip",
    "gtFine": "gtFine_trainvaltest.zip",
    "gtCoarse": "gtCoarse.zip",
}


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
    lookalikes = (Lookalike("train ids (labelTrainIds)", TRAIN_IDS, "Take the files that ship as *_labelIds.png."),)
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

    def listing(self, tree: Tree, split: str) -> Listing:
        """Images of the split paired with their label ids by `<city>_<sequence>_<frame>`."""
        images, findings = _keyed(self._folder(tree, "leftImg8bit", split), "leftImg8bit")
        if split in self.unlabelled_splits:
            return Listing(tuple(Scene(key, split, image) for key, image in sorted(images)), tuple(findings))
        kind = "gtCoarse" if self.coarse else "gtFine"
        labels, more = _keyed(self._folder(tree, kind, split), f"{kind}_labelIds")
        return pair(split, images, labels, findings=(*findings, *more))

    def _folder(self, tree: Tree, kind: str, split: str) -> list[Member]:
        folder = f"{kind}/{split}"
        return require(tree, "Cityscapes", folder, ZIPS.get(folder, ZIPS[kind]))


def _keyed(members: list[Member], suffix: str) -> tuple[list[tuple[str, Member]], list[Finding]]:
    """(key, member) of the files that end in `_<suffix>.png`; other PNGs that break the name rule are findings."""
    kind = suffix.split("_", maxsplit=1)[0]
    rule = re.compile(rf"([A-Za-z][A-Za-z\-]*_\d{{6}}_\d{{6}})_{suffix}\.png")
    known = re.compile(rf"[A-Za-z][A-Za-z\-]*_\d{{6}}_\d{{6}}_{kind}\w*\.(png|json)")
    keyed, findings = [], []
    for member in members:
        name = member.path.rpartition("/")[2]
        if match := rule.fullmatch(name):
            keyed.append((match[1], member))
        elif name.endswith(".png") and not known.fullmatch(name):
            findings.append(Finding("unexpected-name", member.path, f"not <city>_<sequence>_<frame>_{suffix}.png"))
    return keyed, findings
