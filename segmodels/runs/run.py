"""Run: the folder of one training, and to which training it belongs.

run.json says what is trained, on what and with what; it is written first. metrics.json is written last: a
folder that has it is finished. Only `train` writes here, one process at a time.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segdata import ShardSet
from segdata.base.canonical import canonical_json, digest_bytes, digest_file, pretty_json
from segdata.base.files import discard, parsing, regular, temporary_of, unlink, write_file
from segdata.base.lock import locked
from segdata.base.numbers import MOST_WORKERS
from segdata.base.ownership import check_home, is_ours, json_kind
from segmodels.config.config import TrainConfig, config_from_document, decisive, run_id
from segmodels.documents import check_types, read_json
from segmodels.errors import SegmodelsError
from segmodels.runs.checkpoint import LARGEST, Weights, load_checkpoint, load_weights, misfit
from segmodels.runs.document import About, Results
from segmodels.runs.environment import describe_environment
from segmodels.runs.progress import Show, silent
from segmodels.spec import Size

FORMAT = 1
CHECKPOINTS = "checkpoints"
_RUN = json_kind("a run", "config", "id")
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """The folder's files by their names."""

    path: Path

    @property
    def about(self) -> Path:
        return self.path / "run.json"

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def timing(self) -> Path:
        return self.path / "timing.json"

    @property
    def last(self) -> Path:
        """The checkpoint that an unfinished run goes on from."""
        return self.path / CHECKPOINTS / "last.pt"

    @property
    def timing_so_far(self) -> Path:
        """timing.json of an unfinished run, beside what it goes on from: whoever clears away results leaves both."""
        return self.path / CHECKPOINTS / "timing.json"

    @property
    def best(self) -> Path:
        """The weights with the best validation score so far, as model.safetensors has them."""
        return self.path / CHECKPOINTS / "best.safetensors"

    @property
    def files(self) -> tuple[Path, ...]:
        return self.about, self.weights, self.history, self.timing, self.metrics

    @property
    def results_by_name(self) -> dict[str, Path]:
        """The results of which run.json has the digest of each, under this name."""
        return {"model": self.weights, "history": self.history, "metrics": self.metrics}

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return all(path.is_file() for path in self.files)

    def document(self) -> dict[str, Any]:
        """run.json, which holds what `About` says. Raises SegmodelsError where there is none, or another version's."""
        document = read_document(self.about)
        if document.get("format") != FORMAT:
            raise SegmodelsError(
                f"{self.path}: a run of another version (format {document.get('format')}, this is {FORMAT}). "
                "Use another --out, or --replace to start anew"
            )
        with parsing(self.about, SegmodelsError, "Train again."):
            check_types(document, About)
            if not 0 < document["device"].get("threads", 1) <= MOST_WORKERS:
                raise ValueError(f"{document['device']['threads']} threads")
        return document

    def results(self) -> dict[str, Any]:
        """metrics.json of a finished run. Raises SegmodelsError."""
        check_results(self, "metrics")
        document = read_document(self.metrics)
        with parsing(self.metrics, SegmodelsError, "Train again."):
            check_types(document, Results)
        return document

    def config(self) -> TrainConfig:
        """The resolved configuration, as it was trained."""
        with parsing(f"{self.about}, config", SegmodelsError, "Train again."):
            return config_from_document(self.document()["config"])


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
        raise SegmodelsError(f"cannot write the run folder {path}: {error.strerror}") from None
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


def describe(config: TrainConfig, shards: ShardSet, device: torch.device, ranks: int = 1) -> dict[str, Any]:
    """run.json as it stands from the start."""
    manifest = shards.manifest
    init = None if config.init is None else digest_init(config.init)
    return {
        "format": FORMAT,
        "id": run_id(config, shards.digest, init),
        "config": config.document(),
        "config_digest": config.digest,
        "init": init,
        "shards": {
            "digest": shards.digest,
            "name": manifest.name,
            "files": {row.name: row.sha256 for split in manifest.splits for row in manifest.shards(split)},
        },
        "taxonomy": shards.taxonomy.document(),
        "deterministic": not config.fast,
        "ranks": ranks,
        **describe_environment(device),
    }


def about_weights(document: Document, size: Size, step: int) -> dict[str, Any]:
    """What a weights file says about itself: all that its use needs, and how it came about. No time, no path."""
    config = document["config"]
    return {
        "network": config["network"],
        "options": dict(config["options"]),
        "size": size,
        "mean": config["mean"],
        "std": config["std"],
        "taxonomy": document["taxonomy"],
        "run": document["id"],
        "step": step,
        "training": decisive(config),
    }


def altered(run: Run, *names: str) -> Iterator[Path]:
    """Which of these results of a finished run are not as training wrote them, so far as run.json has their digests."""
    recorded = read_document(run.about)
    for name in names or run.results_by_name:
        path = run.results_by_name[name]
        if name in recorded and _digest(path) != recorded[name]:
            yield path


def check_results(run: Run, *names: str) -> None:
    """Raise SegmodelsError for the first of these results, or of all, that is not as training wrote it."""
    for path in altered(run, *names):
        raise SegmodelsError(
            f"{path} is not the file that training wrote: run.json has another digest. Put back a copy of it, or "
            "remove it and run the same `segmodels train` again"
        )


def digest_init(path: Path) -> str:
    """Digest of the file that training starts from. Raises SegmodelsError."""
    try:
        return _digest(path)
    except OSError as error:
        raise SegmodelsError(
            f"--init {path}: {error.strerror}. The run begins with this file, and is another one with other weights: "
            "put it back"
        ) from None


def write_document(path: Path, document: Document) -> None:
    """JSON for people and programs; whole or not at all."""
    write_file(path, pretty_json(document))


def read_document(path: Path) -> dict[str, Any]:
    """A JSON file of a run. Raises SegmodelsError."""
    try:
        document = read_json(path)
    except FileNotFoundError as error:
        raise SegmodelsError(f"cannot read {path}: {error.strerror}. Is {path.parent} a run folder?") from None
    if not isinstance(document, dict):
        raise SegmodelsError(f"{path} is not what `segmodels train` writes")
    return document


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """A line an epoch; the scores of an epoch without validation stay empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, text.getvalue().encode())


def differences(there: Any, here: Any, name: str = "") -> Iterator[str]:
    """`lr is 0.1 there, 0.2 here` for every value in which two documents differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted(there.keys() | here.keys()):
            yield from differences(there.get(key), here.get(key), f"{name}.{key}" if name else key)
    elif there != here:
        yield f"{name} is {_short(there)} there, {_short(here)} here"


def identity(document: Document) -> dict[str, Any]:
    """The part of run.json that decides the result."""
    return decisive(document["config"]) | {"shards": document["shards"]["digest"], "init": document["init"]}


def check_identity(document: Document, where: Path) -> None:
    """Raise SegmodelsError where the id that run.json states does not follow from the rest that it states."""
    config = digest_bytes(canonical_json(decisive(document["config"])))
    found = digest_bytes(canonical_json([config, document["shards"]["digest"], document["init"]]))  # as `run_id`
    if (config, found) != (document["config_digest"], document["id"]):
        raise SegmodelsError(
            f"{where} was changed by hand, or is damaged: its id does not follow from its configuration, shards and "
            "init. Put back a copy of it, or train again"
        )


def environment(document: Document) -> dict[str, Any]:
    """The part of run.json that may decide the result, though it should not; older versions noted less of it."""
    return {name: document[name] for name in ("commit", "versions", "device", "settings", "ranks") if name in document}


def changes(there: Document, here: Document) -> list[str]:
    """What differs between two environments, as far as both tell."""
    before, now = environment(there), environment(here)
    both = before.keys() & now.keys()
    return list(differences({name: before[name] for name in both}, {name: now[name] for name in both}))


def with_threads(document: Document, begun: Document) -> Document:
    """`document` with as many threads of the CPU as a run began with, which are taken over and not another's."""
    return {**document, "device": document["device"] | {k: v for k, v in begun["device"].items() if k == "threads"}}


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


def load_best(run: Run, document: Document, step: int, expected: Weights) -> Weights:
    """The best weights so far, those after step `step` by the history, on the CPU.

    Raises SegmodelsError where they are gone, damaged, another run's or another step's, or do not fit the network,
    whose tensors are `expected`. Those of older versions do not say their step.
    """
    try:
        weights, about = load_weights(run.best)
        if about.get("run") != document["id"]:
            raise SegmodelsError(f"{run.best} is of run {_short(about.get('run'))}, this run is {document['id'][:12]}…")
        if about.get("step", step) != step:
            raise SegmodelsError(
                f"{run.best} holds the weights after step {_short(about['step'])}, by the history step {step} is best"
            )
        if wrong := misfit(weights, expected):
            raise SegmodelsError(f"{run.best} does not fit the network: {wrong}")
    except SegmodelsError as error:
        raise SegmodelsError(f"{error}. Without the best weights the run cannot go on: {start_anew(run)}") from None
    return weights


def start_anew(run: Run) -> str:
    """What to do where a run's own files are not its own; --replace replaces another run's alone."""
    return f"put back a copy of {run.path}, or remove it, and the same command starts anew"


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


def _digest(path: Path) -> str:
    return digest_file(regular(path, LARGEST, SegmodelsError))


def _clear(run: Run) -> None:
    """Remove what `train` wrote, and nothing else; what shows that a run is finished goes first."""
    for path in (*reversed(run.files), run.last, run.best, run.timing_so_far):
        unlink(path)
        discard(temporary_of(path))


def _short(value: Any) -> str:
    text = "not set" if value is None else f"{value}"
    return text if len(text) <= 40 else text[:12] + "…"
