"""Paint demo datasets in the exact layouts of the real ones, so that everything runs without licensed data.

A frame is a pure function of (source, seed, split, number, size): neither how many others there are nor
how many workers paint changes a byte.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from segdata.base.lock import locked
from segdata.base.processes import environment_set
from segdata.errors import SegdataError
from segdata.synth.layouts.datasets import LAYOUTS
from segdata.synth.layouts.files import LOCK, archives, check, claim, folders, write_marker
from segdata.synth.layouts.frames import Frame, PaintedFile

SMALLEST = (48, 96)
AHEAD = 3  # frames in flight per worker: bounds memory


@dataclass(frozen=True)
class Summary:
    """What was painted."""

    source: str
    root: Path
    counts: dict[str, int]  # frames by split
    files: int
    bytes: int

    def __str__(self) -> str:
        frames = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        return f"painted {self.source} frames ({frames}): {self.files} files, {self.bytes / 1e6:.1f} MB"


def paint(
    source: str,
    out: Path,
    *,
    train: int,
    val: int,
    test: int,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    workers: int = 1,
    zips: bool = False,
    nested: bool = False,
    coarse: bool = False,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Paint a dataset into `out`: `size` is (height, width), by default the real one's.

    Raises SegdataError where `out` holds anything but an earlier painting: one with other options needs `replace`.
    """
    height, width = _checked(source, (train, val, test), size, seed, zips, nested, coarse)
    counts = {"train": train, "val": val, "test": test}
    if coarse:
        counts |= {split: counts[other] for split, other in LAYOUTS[source].COARSE_SPLITS.items()}
    frames = [Frame(source, s, k, (height, width), seed, coarse) for s, count in counts.items() for k in range(count)]
    facts: dict[str, object] = {
        "painted": True, "source": source, "seed": seed, "size": [height, width], "counts": counts, "coarse": coarse,
        "layout": "zip" if zips else "nested" if nested else "tree",
    }  # fmt: skip
    check(out, facts, replace=replace)  # before anything is touched, and once more under the lock
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / LOCK, f"segdata synth {source}"):
        claim(out, facts, replace=replace)
        count = size_of_all = 0
        with archives(out) if zips else folders(out, nested) as write:
            for done, files in enumerate(_painted(frames, workers), start=1):
                for file in files:
                    write(file)
                    count, size_of_all = count + 1, size_of_all + len(file.data)
                if progress is not None:
                    progress(done, len(frames))
        write_marker(out, facts | {"complete": True})
    return Summary(source, out, counts, count, size_of_all)


def _checked(
    source: str,
    counts: tuple[int, int, int],
    size: tuple[int, int] | None,
    seed: int,
    zips: bool,
    nested: bool,
    coarse: bool,
) -> tuple[int, int]:
    """The size, after everything that can be wrong with the options has been looked at."""
    if source not in LAYOUTS:
        raise SegdataError(f"synth: no painter for {source!r}; there is one for {', '.join(LAYOUTS)}.")
    if min(counts) < 0 or sum(counts) == 0:
        raise SegdataError(f"synth: {counts} frames for train, val, test: each must be 0 or more, one of them 1.")
    if zips and nested:
        raise SegdataError("synth: nested is about unpacked trees, zips about packed ones: choose one of them.")
    if not LAYOUTS[source].COARSE_SPLITS and (nested or coarse):
        raise SegdataError(f"synth: {source} has neither a nested layout nor coarse labels; Cityscapes has both.")
    if seed < 0:
        raise SegdataError(f"synth: seed {seed}: it must be 0 or more.")
    height, width = size or LAYOUTS[source].SIZE
    if height > width:
        raise SegdataError(f"synth: {height}x{width} (HxW) is upright, streets lie: did you mean {width}x{height}?")
    if height < SMALLEST[0] or width < SMALLEST[1]:
        raise SegdataError(f"synth: {height}x{width} is too small to paint a street; the least is 48x96 (HxW).")
    return height, width


def _painted(frames: list[Frame], workers: int) -> Iterator[list[PaintedFile]]:
    """The frames' files in order, painted here or by so many processes."""
    if workers <= 1:
        yield from map(paint_frame, frames)
        return
    with environment_set():
        pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread)
    with pool:
        waiting: deque[Future[list[PaintedFile]]] = deque()
        for frame in frames:
            with environment_set():  # a process is started when a frame comes that no idle one can take
                waiting.append(pool.submit(paint_frame, frame))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _one_thread() -> None:
    """Workers share the cores already: OpenCV's own threads would only get into each other's way. Ctrl-C is the
    driver's."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    cv2.setNumThreads(1)


def paint_frame(frame: Frame) -> list[PaintedFile]:
    """All files of one frame."""
    layout = LAYOUTS[frame.source]
    names = layout.names(frame.split, frame.number, frame.coarse)
    return [PaintedFile(*name, data) for name, data in zip(names, layout.contents(frame), strict=True)]
