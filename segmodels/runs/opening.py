"""Open a run's folder as its one writer: begin the run that it is for, or go on with it, and destroy no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segdata.base.canonical import canonical_json
from segdata.base.files import discard, parsing, temporary_of, unlink
from segdata.base.lock import locked
from segdata.base.ownership import check_home, is_ours, json_kind
from segdata.base.refusal import refusal
from segmodels.errors import SegmodelsError
from segmodels.runs.checkpoint import Weights, load_checkpoint, load_weights, misfit
from segmodels.runs.identity import changes, differences, environment, identity, short, with_threads
from segmodels.runs.progress import Show, silent
from segmodels.runs.run import CHECKPOINTS, Document, Run, write_document

_RUN = json_kind("a run", "config", "id")


@contextmanager
def open_run(path: Path, document: Document, *, replace: bool, show: Show = silent) -> Iterator[Run]:
    """Hold the folder of the run that `document` describes as its one writer; make it, or continue it.

    What it goes on under other than it began, so that its bytes are no longer promised, is said and noted.

    Raises SegmodelsError where the folder holds another run, unless that is to be replaced, and LockedError
    where somebody writes there.
    """
    run = Run(path)
    if run.finished and _is_same(run, document):
        yield run  # nothing is written, so that the folder may be read-only
        return
    _check_ours(run)
    check_home("--out", path, is_folder=True)
    try:
        run.last.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SegmodelsError(f"cannot write the run folder {refusal(error, path)}") from None
    with locked(path / ".lock", "segmodels train"):
        try:
            _check_same(run, document)
        except SegmodelsError:
            if not replace:
                raise
            _clear(run)
        if not run.finished:
            _begin(run, document, show)
        yield run


def _check_ours(run: Run) -> None:
    """Raise SegmodelsError where the folder, new or a run's, would have to share its names with other things.

    A run whose results were cleared away (as DVC does) is known by its checkpoints alone.
    """
    if run.about.exists() and not is_ours(run.about, _RUN):
        raise SegmodelsError(
            f"{run.about} is damaged, or not what `segmodels train` writes. Use another --out, or "
            "remove the folder if it is an old run"
        )
    names = {path.name for path in run.path.iterdir()} if run.path.is_dir() else set[str]()
    others = sorted(name for name in names - {CHECKPOINTS} if not name.startswith("."))
    if not run.about.exists() and run.weights.name in others:
        raise SegmodelsError(f"{run.path} holds weights, but not run.json that says which. Use another --out")
    if not run.about.exists() and others:
        raise SegmodelsError(
            f"{run.path} holds {', '.join(others[:3])}, and no run.json of `segmodels train`. "
            "Use another --out, which is empty or not there yet"
        )
    if run.path.exists() and not run.path.is_dir():
        raise SegmodelsError(f"{run.path} is a file. Use another --out")


def _is_same(run: Run, document: Document) -> bool:
    try:
        _check_same(run, document)
    except SegmodelsError:
        return False
    return True


def _check_same(run: Run, document: Document) -> None:
    """Raise SegmodelsError, naming what differs, where the folder belongs to another run, or run.json is damaged."""
    if not run.about.exists():
        if run.last.exists():
            load_checkpoint(run.last, document["id"])
        return
    found, plain = run.document(), json.loads(canonical_json(document))
    with parsing(f"{run.about}, config", SegmodelsError, "Use another --out, or --replace to start anew."):
        what = [*differences(identity(found), identity(plain))]
    if found["id"] != document["id"] and what:
        raise SegmodelsError(
            f"{run.path} holds another run: {'; '.join(what)}. Use another --out, or --replace to start anew"
        )
    for name in ("id", "config_digest", "shards", "taxonomy", "deterministic"):  # which the identity decides
        what += differences(found[name], plain[name], name)
    if not what and not run.finished and run.last.exists():  # which knows what the run began with
        what = changes(found, load_checkpoint(run.last, document["id"]).environment)
    if what:
        raise SegmodelsError(
            f"{run.about} was changed by hand, or is damaged: {'; '.join(what)}. Put back a copy of it; without one, "
            "remove all but the folder checkpoints, and the same command goes on from there (or --replace starts anew)"
        )


def _begin(run: Run, document: Document, show: Show) -> None:
    """Write run.json, or note in it that the run goes on under other versions or settings."""
    if run.metrics.exists():  # of a run that was finished: the mark goes first, and comes back last
        unlink(run.metrics)
    if not run.last.exists():
        if run.about.exists():
            show(f"{run.path}: what an earlier start trained was not saved yet: from step 1")
            document = with_threads(document, run.document())
        if not run.about.exists() or changes(run.document(), document):
            write_document(run.about, document)
        return
    if not run.about.exists():  # the checkpoints alone are left, which know what the run began with
        write_document(run.about, {**document, **load_checkpoint(run.last, document["id"]).environment})
    found = run.document()
    resumed, now = found.get("resumed", []), with_threads(document, found)
    if what := changes(resumed[-1] if resumed else found, now):
        write_document(run.about, found | {"resumed": [*resumed, environment(now)]})
        if found["deterministic"]:
            show(
                f"warning: {run.path} goes on under others than before: {'; '.join(what)}. That its weights are those "
                "of a run that was never killed (L1) is no longer promised; run.json says so (resumed)"
            )


def _clear(run: Run) -> None:
    """Remove what `train` wrote, and nothing else; what shows that a run is finished goes first."""
    for path in (*reversed(run.files), run.last, run.best, run.timing_so_far):
        unlink(path)
        discard(temporary_of(path))


def load_best(run: Run, document: Document, step: int, expected: Weights) -> Weights:
    """The best weights so far, those after step `step` by the history, on the CPU.

    Raises SegmodelsError where they are gone, damaged, another run's or another step's, or do not fit the network,
    whose tensors are `expected`. Those of older versions do not say their step.
    """
    try:
        weights, about = load_weights(run.best)
        if about.get("run") != document["id"]:
            raise SegmodelsError(f"{run.best} is of run {short(about.get('run'))}, this run is {document['id'][:12]}…")
        if about.get("step", step) != step:
            raise SegmodelsError(
                f"{run.best} holds the weights after step {short(about['step'])}, by the history step {step} is best"
            )
        if wrong := misfit(weights, expected):
            raise SegmodelsError(f"{run.best} does not fit the network: {wrong}")
    except SegmodelsError as error:
        raise SegmodelsError(f"{error}. Without the best weights the run cannot go on: {start_anew(run)}") from None
    return weights


def start_anew(run: Run) -> str:
    """What to do where a run's own files are not its own; --replace replaces another run's alone."""
    return f"put back a copy of {run.path}, or remove it, and the same command starts anew"
