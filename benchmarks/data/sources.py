"""How long it takes to pair the files of a dataset of one's own, to draft its source file, and to list its folder.

    python benchmarks/data/sources.py                  # 50,000 pairs of names, then 5,000 pairs of tiny files: a minute
    python benchmarks/data/sources.py --rounds 9

All take turns, and each ratio is the median over the rounds of the ratio within a round. Pairing works on names alone;
`init` opens a sample of the files.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from segdata.cli.script import Parser
from segdata.drafting.draft import draft_source
from segdata.raw.listing import list_split
from segdata.raw.member import Member
from segdata.raw.tree import Contents, open_tree
from segdata.raw.used import Shelf
from segdata.sources import SOURCES
from segdata.sources.file import read_source
from segdata.splits.membership import by_split

OWN = b"""\
name: drives
labels: cityscapes
image: "{drive}/rgb/{frame}.png"
annotation: "{drive}/gt/{frame}.png"
fields: {frame: '[0-9]+'}
group: "{drive}"
splits: {train: {share: 0.8}, val: {share: 0.2}}
"""
DRIVES, FRAMES = 50, 1000  # of the names
FEW = 100  # frames of a drive of the files


def paint(root: Path) -> None:
    """Tiny files, all alike: what they hold is of no matter here."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 96, 3), np.uint8)).save(root / "image.jpg")
    Image.fromarray(rng.integers(0, 5, (64, 96), np.uint8)).save(root / "label.png")
    image, label = (root / "image.jpg").read_bytes(), (root / "label.png").read_bytes()
    for drive in range(DRIVES):
        for kind, suffix, data in (("rgb", "jpg", image), ("gt", "png", label)):
            home = root / "files" / f"drive_{drive:02d}" / kind
            home.mkdir(parents=True)
            for frame in range(FEW):
                (home / f"{frame:05d}.{suffix}").write_bytes(data)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def listed(root: Path) -> list[str]:
    """Every file below, as the system lists it."""
    return [entry.path for folder, _, _ in os.walk(root) for entry in os.scandir(folder)]


def pair_own(home: Path) -> None:
    source = read_source(OWN, "drives.yaml", home)
    members = [
        Member(f"drive_{drive}/{kind}/{frame:05d}.png", home, "x")
        for drive in range(DRIVES)
        for kind in ("rgb", "gt")
        for frame in range(FRAMES)
    ]
    shelf = Shelf({"": [Contents(home, False, members)]}, source.folders, source.folders)
    listing = list_split(source.name, open_tree(home), source.folders, shelf)
    assert sum(len(of_split.scenes) for _, of_split in by_split(source, "train and val", listing)) == DRIVES * FRAMES


def pair_cityscapes(home: Path) -> None:
    source = SOURCES["cityscapes"]
    folders = [folder for folder in source.folders if folder.pool == "train"]
    contents = {
        folder.path: [
            Member(f"{folder.path}/bonn/bonn_{drive:06d}_{frame:06d}_{ending}", home, "x")
            for drive in range(DRIVES)
            for frame in range(FRAMES)
        ]
        for folder, ending in zip(folders, ("leftImg8bit.png", "gtFine_labelIds.png"), strict=True)
    }
    shelf = Shelf({path: [Contents(home, False, members)] for path, members in contents.items()}, folders, folders)
    assert len(list_split(source.name, open_tree(home), folders, shelf).scenes) == DRIVES * FRAMES


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        paint(home)
        files = home / "files"
        count = len([path for path in listed(files) if Path(path).is_file()])
        works: dict[str, Callable[[], object]] = {
            f"list {count:,} files": lambda: listed(files),
            f"draft the source file of these ({count:,})": lambda: draft_source(files),
            f"pair {2 * DRIVES * FRAMES:,} names of one's own dataset": lambda: pair_own(home),
            f"pair {2 * DRIVES * FRAMES:,} names of Cityscapes": lambda: pair_cityscapes(home),
        }
        times = {name: list[float]() for name in works}
        for _ in range(options.rounds):
            for name, work in works.items():
                times[name].append(seconds(work))
    base = next(iter(times.values()))
    for name, found in times.items():
        ratio = statistics.median(one / other for one, other in zip(found, base, strict=True))
        print(f"{name:55}{statistics.median(found):8.2f} s{ratio:10.1f} times the listing")


if __name__ == "__main__":
    main()
