"""`segmodels report`: one page about all runs, that works without a network, and the leaderboard as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segdata.base.canonical import pretty_json
from segdata.base.ownership import json_kind, marked, write_result
from segdata.requirements import need
from segmodels.errors import SegmodelsError
from segmodels.runs.results import check_out

if TYPE_CHECKING:
    from segmodels.report.read.collect import Collection, Folders

FILES = {
    "index.html": marked("a report", b'<meta name="generator" content="segmodels report">'),
    "results.json": json_kind("a leaderboard", "boards", "format"),
}
Progress = Callable[[Iterable[Any]], Iterable[Any]]


def report(folders: Folders, out: Path, images: int, progress: Progress = iter) -> Collection:
    """Write `out`/index.html and `out`/results.json, and return what is on the page.

    `images` of each split are shown, fewer where there are many runs. The same inputs give the same bytes. Raises
    SegmodelsError, before anything is written, where an input is damaged or does not belong to the others.
    """
    need("the report", "report", error=SegmodelsError)
    from segmodels.report.observe.budget import images_shown, map_width
    from segmodels.report.observe.observe import choose_images, observe, sample
    from segmodels.report.page.leaderboard import leaderboard
    from segmodels.report.page.page import Exhibits, render
    from segmodels.report.read.collect import collect

    collection = collect(folders)
    check_out(out, FILES)
    boards, runs = collection.boards, sum(len(board.results) for board in collection.boards)
    shown = tuple(choose_images(board, images_shown(images, runs)) for board in boards)
    width = map_width(sum(len(board.results) * len(images) for board, images in zip(boards, shown, strict=True)))
    work = [(board, row, images) for board, images in zip(boards, shown, strict=True) for row in board.results]
    observations = {
        row.name: observe(row, images, width=width, staged=row is board.staged) for board, row, images in progress(work)
    }
    exhibits = Exhibits(shown, observations, tuple(sample(dataset) for dataset in collection.datasets))
    page, results = render(collection, exhibits), leaderboard(collection.boards, observations)
    for name, content in (("results.json", pretty_json(results)), ("index.html", page.encode())):
        write_result("--out", out / name, FILES[name], content)
    return collection
