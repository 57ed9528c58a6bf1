"""Run: the folder of one training, its files and what they hold.

run.json says what is trained, on what and with what; it is written first. metrics.json is written last: a
folder that has it is finished. Only `train` writes here, one process at a time.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdata.base.canonical import digest_file, pretty_json
from segdata.base.files import parsing, regular, write_file
from segdata.base.numbers import MOST_WORKERS
from segmodels.config.config import TrainConfig, config_from_document
from segmodels.documents import check_types, read_json
from segmodels.errors import SegmodelsError
from segmodels.runs.checkpoint import LARGEST
from segmodels.runs.document import About, Results

FORMAT = 1
CHECKPOINTS = "checkpoints"
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


def altered(run: Run, *names: str) -> Iterator[Path]:
    """Which of these results of a finished run are not as training wrote them, so far as run.json has their digests."""
    recorded = read_document(run.about)
    for name in names or run.results_by_name:
        path = run.results_by_name[name]
        if name in recorded and digest_file(regular(path, LARGEST, SegmodelsError)) != recorded[name]:
            yield path


def check_results(run: Run, *names: str) -> None:
    """Raise SegmodelsError for the first of these results, or of all, that is not as training wrote it."""
    for path in altered(run, *names):
        raise SegmodelsError(
            f"{path} is not the file that training wrote: run.json has another digest. Put back a copy of it, or "
            "remove it and run the same `segmodels train` again"
        )
