"""The page: templates filled with what was collected, everything inside, every text escaped.

A policy in its head lets it run its own scripts and no others, and load nothing: what a class or a run is called
can neither become code nor reach a network.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from segmodels.report.observe.observe import Observation, Sample, Shown
from segmodels.report.page import charts, words
from segmodels.report.page.figures import figures
from segmodels.report.page.finding import finding, step_gain
from segmodels.report.page.payload import board_payload
from segmodels.report.page.terms import TERMS
from segmodels.report.read.collect import Board, Collection

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
SCRIPTS = ("theme.js", "tables.js", "compare.js", "confusion.js", "charts.js")


@dataclass(frozen=True)
class Exhibits:
    """The pictures of a page."""

    shown: tuple[tuple[Shown, ...], ...]  # of each board
    observations: Mapping[str, Observation]  # of each run
    samples: tuple[tuple[Sample, ...], ...]  # of each dataset


def render(collection: Collection, exhibits: Exhibits) -> str:
    """The whole page."""
    boards, seen = collection.boards, exhibits.observations
    library, script = charts.library(), "\n".join(map(_asset, SCRIPTS))
    shown_charts = _charts(boards, seen)
    staged = [(board, row) for board in boards for row in board.results if seen[row.name].stages]
    return _environment().get_template("page.html.j2").render(
        boards=boards,
        datasets=collection.datasets,
        notes=collection.notes,
        painted=[dataset.name for dataset in collection.datasets if dataset.painted],
        shown=exhibits.shown,
        seen=seen,
        samples=exhibits.samples,
        staged=staged,
        sweeps=any(board.sweeps for board in boards),
        charts=shown_charts,
        contents=list(_contents(boards, staged=bool(staged))),
        terms=TERMS,
        payload={
            "boards": [board_payload(*each, seen) for each in zip(boards, exhibits.shown, strict=True)],
            "charts": shown_charts,
        },
        style=Markup(_asset("style.css")),
        library=Markup(library),
        script=Markup(script),
        policy=Markup(POLICY + _hashes(library, script)),
        version=version("segdata"),
    )  # fmt: skip


def _charts(boards: tuple[Board, ...], seen: Mapping[str, Observation]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, board in enumerate(boards):
        found |= figures(board, str(place), seen)
    return found


def _contents(boards: tuple[Board, ...], *, staged: bool) -> Iterator[tuple[str, str]]:
    """Anchor and title of every section."""
    yield "predictions", "Predictions"
    yield "leaderboard", "Leaderboard"
    yield "trade-off", "Quality against cost"
    yield "learning", "Learning curves"
    if any(row.steps for board in boards for row in board.results):
        yield "steps", "Steps"
    yield "classes", "Classes"
    yield "confusion", "Confusion"
    if staged:
        yield "stages", "Stages"
    yield "datasets", "Datasets"
    yield "provenance", "Provenance"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segmodels.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {word.__name__: word for word in (*words.WORDS, finding, step_gain)}
    return environment


def _asset(name: str) -> str:
    return (files("segmodels.report") / "templates" / name).read_text(encoding="utf-8")


def _hashes(*scripts: str) -> str:
    """How the policy names scripts: by their digests."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    return " ".join(f"'sha256-{digest}'" for digest in digests)
