"""The scores that stand behind the leaderboard's switch, and what they mean."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """A column."""

    name: str  # in metrics.json
    title: str
    meaning: str
    own_stride: bool = False  # against the target of the network's own stride, not of x1


TERMS = (
    Term("pixel_accuracy", "Pixel accuracy", "Share of the pixels of evaluated classes that were found."),
    Term("mean_accuracy", "Mean accuracy", "Mean over the evaluated classes of the share of their pixels found."),
    Term("frequency_weighted_iou", "Weighted IoU", "IoU of the classes weighted by their pixels (Long et al. 2015)."),
    Term("miou_with_misc", "mIoU with misc", "mIoU with every class evaluated, misc and undefined included."),
    Term("miou_fixed", "mIoU, all K", "Mean over all classes, absent ones counting 0, as ClusterNet was evaluated."),
    Term("micro_iou", "Micro IoU", "ΣTP / Σ(TP + FP + FN), mean over the images: the dilated U-Net's author's mIoU."),
    Term("miou_present", "mIoU, present", "Of each image over the classes in its truth, then the mean: FCN's author."),
    Term("miou", "mIoU, own stride", "mIoU where the network answers, against that target: the TAS500 family's.", True),
)
