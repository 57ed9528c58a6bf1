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
from typing import Any

from segdata.base.lock import locked
from segdata.base.processes import environment_set
from segdata.errors import SegdataError
from segdata.synth.frames import Frame, Member

DEFAULT_SIZES = {"cityscapes": (1024, 2048), "tas500": (620, 2026)}
SMALLEST = (48, 96)
MOST_FRAMES = 100_000
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
    from segdata.synth.layout import LOCK, Archives, Tree, check, claim, write_marker

    height, width = _checked(source, (train, val, test), size, seed, zips, nested, coarse)
    frames, counts = _plan(source, train, val, test, (height, width), seed, coarse)
    facts: dict[str, object] = {
        "painted": True, "source": source, "seed": seed, "size": [height, width], "counts": counts, "coarse": coarse,
        "layout": "zip" if zips else "nested" if nested else "tree",
    }  # fmt: skip
    check(out, _names, facts, replace=replace)  # before anything is touched, and once more under the lock
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / LOCK, f"segdata synth {source}"):
        claim(out, _names, facts, replace=replace)
        files = size_of_all = 0
        with Archives(out) if zips else Tree(out, nested) as sink:
            for done, members in enumerate(_painted(frames, workers), start=1):
                for member in members:
                    sink.write(member)
                    files, size_of_all = files + 1, size_of_all + len(member.data)
                if progress is not None:
                    progress(done, len(frames))
        write_marker(out, facts | {"complete": True})
    return Summary(source, out, counts, files, size_of_all)


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
    if source not in DEFAULT_SIZES:
        raise SegdataError(f"synth: no painter for {source!r}; there is one for {', '.join(DEFAULT_SIZES)}.")
    if min(counts) < 0 or sum(counts) == 0:
        raise SegdataError(f"synth: {counts} frames for train, val, test: each must be 0 or more, one of them 1.")
    if zips and nested:
        raise SegdataError("synth: nested is about unpacked trees, zips about packed ones: choose one of them.")
    if source != "cityscapes" and (nested or coarse):
        raise SegdataError(f"synth: {source} has neither a nested layout nor coarse labels; Cityscapes has both.")
    if seed < 0:
        raise SegdataError(f"synth: seed {seed}: it must be 0 or more.")
    height, width = size or DEFAULT_SIZES[source]
    if height > width:
        raise SegdataError(f"synth: {height}x{width} (HxW) is upright, streets lie: did you mean {width}x{height}?")
    if height < SMALLEST[0] or width < SMALLEST[1]:
        raise SegdataError(f"synth: {height}x{width} is too small to paint a street; the least is 48x96 (HxW).")
    return height, width


def _plan(
    source: str, train: int, val: int, test: int, size: tuple[int, int], seed: int, coarse: bool
) -> tuple[list[Frame], dict[str, int]]:
    """The frames, and how many there are of each split."""
    counts = _layout(source).splits(train, val, test, coarse)
    frames = [Frame(source, s, k, size, seed, coarse) for s, count in counts.items() for k in range(count)]
    return frames, counts


def _layout(source: str) -> Any:
    """The module that knows the dataset's names."""
    from segdata.synth import cityscapes, tas500

    return {"cityscapes": cityscapes, "tas500": tas500}[source]


def _names(facts: dict[str, Any]) -> set[str]:
    """The paths of a painting with these facts, below its root. Raises ValueError for more frames than are painted."""
    layout, counts = _layout(facts["source"]), facts["counts"]
    if not all(type(count) is int for count in counts.values()) or sum(counts.values()) > MOST_FRAMES:
        raise ValueError(f"{counts} frames")
    members = {
        member
        for split, count in counts.items()
        for number in range(count)
        for member in layout.names(split, number, facts["coarse"])
    }
    if facts["layout"] == "zip":
        return {f"{archive}.zip" for archive, _ in members}
    return {f"{archive}/{path}" if facts["layout"] == "nested" else path for archive, path in members}


def _painted(frames: list[Frame], workers: int) -> Iterator[list[Member]]:
    """The frames' files in order, painted here or by so many processes."""
    if workers <= 1:
        yield from map(paint_frame, frames)
        return
    with environment_set():
        pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread)
    with pool:
        waiting: deque[Future[list[Member]]] = deque()
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


def paint_frame(frame: Frame) -> list[Member]:
    """All files of one frame."""
    if frame.source == "cityscapes":
        from segdata.synth import cityscapes

        return cityscapes.paint_frame(frame)
    from segdata.synth import tas500

    return tas500.paint_frame(frame)
