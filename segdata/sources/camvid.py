"""CamVid (Brostow, Fauqueur, Cipolla 2009) in the layout and size that the SegNet tutorial made common.

Its frames are of four drives, one frame a second but for val, and its official splits share drives. The official val
is one clip of 6.7 seconds (101 frames at 15 Hz) out of the training drive 0016E5, between training frames 1.3 s before
and 1.0 s after it: consecutive val frames have the same label in 95 % of their pixels. Of the 233 test frames 62
continue the drive 0001TP, which begins with training frames. The division `by-drive` has no drive in two splits.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from segdata.labels.label import Label, Lookalike
from segdata.raw.scene import Folder, Official

PNG = re.compile(r"(.+)\.(?i:png)")  # .PNG as cameras and Windows tools write it

FRAME = re.compile(r"(.+)_f?(\d{5,6})")  # <drive>_<number of the frame in the video>, 30 a second
# Video frames of a block, 20 s. Labelled frames are 1 s apart: with a predictor from colour and place, the influence of
# a frame on mIoU correlates with that of its neighbour at 0.45 to 0.8, and at 0.2 on average 5 s on; its standard error
# from blocks grows up to blocks of 10 s in four of five drives, in 0001TP up to 15 s. In simulated drives of such
# correlation, intervals of nominal 95 % cover 87 to 92 % with blocks of 10 s, and 92 to 94 % with these.
BLOCK = 600

ANNOTATIONS = "the SegNet tutorial's annotations (ids 0 to 11; the colours *_L.png of the original CamVid are none)"
INSTEAD = {
    "L.png": "These are colours of the original CamVid, with 32 classes. segdata reads the ids 0 to 11 of the SegNet "
    "tutorial's CamVid folder: place its annotations there, with its images, which are smaller",
}
LABELS = (
    Label(0, "sky", (128, 128, 128), "sky"),
    Label(1, "building", (128, 0, 0), "construction"),
    Label(2, "pole", (192, 192, 128), "object"),
    Label(3, "road", (128, 64, 128), "flat"),
    Label(4, "pavement", (60, 40, 222), "flat"),
    Label(5, "tree", (128, 128, 0), "nature"),
    Label(6, "sign symbol", (192, 128, 128), "object"),
    Label(7, "fence", (64, 64, 128), "construction"),
    Label(8, "car", (64, 0, 128), "vehicle"),
    Label(9, "pedestrian", (64, 64, 0), "human"),
    Label(10, "bicyclist", (0, 128, 192), "human"),
    Label(11, "unlabelled", (0, 0, 0), "void"),
)
VAL = (
    "all 101 frames are one clip of 6.7 seconds of the drive 0016E5, whose other frames are training frames: its score "
    "says little about unseen streets"
)
TEST = "62 of the 233 frames continue the drive 0001TP, whose first 62 frames are training frames"


class CamVid:
    """CamVid/{train,val,test}/*.png beside CamVid/{train,val,test}annot/*.png, all three splits labelled."""

    name = "camvid"
    labels = LABELS
    splits = ("train", "val", "test")
    default_splits = splits
    unlabelled_splits: frozenset[str] = frozenset()
    default_taxonomy = "camvid-11"
    palette_labels = False
    landmarks = frozenset({3, 8})  # road and car: a third of the pixels, 7 % at least of any frame; pole and fence: 2 %
    lookalikes: tuple[Lookalike, ...] = ()
    licence = "CamVid: for research use (University of Cambridge)"
    official: Mapping[str, Official] = MappingProxyType(
        {
            "train": Official(367),
            "val": Official(101, caution=VAL),
            "test": Official(233, caution=TEST),
        }
    )

    folders = tuple(
        Folder(path, split, role, PNG, "<name>.png", package, instead={} if role == "image" else INSTEAD)
        for split in splits
        for path, role, package in (
            (split, "image", "the SegNet tutorial's CamVid folder"),
            (f"{split}annot", "labels", ANNOTATIONS),
        )
    )

    def group(self, key: str) -> str:
        """The drive, cut into blocks of 20 seconds. The official val split, 6.7 s of one drive, is one."""
        found = FRAME.fullmatch(key)
        return f"{found[1]}/{int(found[2]) // BLOCK}" if found else key

    others = re.compile(r"(701_StillsRaw_full|LabeledApproved_full)/")  # the frames as Cambridge publishes them
