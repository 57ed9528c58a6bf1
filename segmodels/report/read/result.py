"""A run and its scores: everything about them that stands in files, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from segdata.base.files import parsing
from segdata.labels.taxonomy import Taxonomy
from segdata.splits.splitlist import digest_of
from segmodels.errors import SegmodelsError
from segmodels.inference.views import Views
from segmodels.networks import spec
from segmodels.report.read.datasets import Dataset
from segmodels.report.read.fields import Fields, read_fields
from segmodels.report.read.provenance import Provenance, read_provenance
from segmodels.runs.identity import check_identity
from segmodels.runs.run import Run, check_results
from segmodels.scoring.groups import Groups
from segmodels.scoring.intervals import OLDER, Interval
from segmodels.scoring.metrics import IMAGE_SCORES, SPLIT_SCORES, ConfusionMatrix
from segmodels.scoring.scored import read_matrices, read_table
from segmodels.scoring.scoresheet import CONFUSION, IMAGES, METRICS, STEPS
from segmodels.spec import SCALES, ModelSpec, Origin, Size

LARGEST_WINDOW = 1 << 13  # that the page's few images are shown through
SCORES = (*SPLIT_SCORES, *IMAGE_SCORES)  # names in metrics.json
Scores = Mapping[str, float | None]


class Epoch(NamedTuple):
    """A line of history.csv; the score of an epoch without validation is None."""

    step: int
    loss: float | None
    miou: float | None
    outputs: tuple[float | None, ...] = ()  # the mIoU of each of several outputs
    train_outputs: tuple[float | None, ...] = ()  # and the same on the training split


class Step(NamedTuple):
    """What the network would score if it stopped here."""

    full: float | None  # mIoU at the labels' resolution
    coarse: float | None  # and at the network's own stride


@dataclass(frozen=True)
class Result:
    """One row of the leaderboard."""

    name: str  # of the run's folder
    run: Path
    declared: ModelSpec
    provenance: Provenance
    dataset: Dataset
    split: str
    views: Views
    q: tuple[float, ...] | None  # that a percentile network was scored with, where it is not the trained one
    scores: Scores
    own_stride: Scores
    stride: int
    intervals: Mapping[str, Interval | None]
    no_interval: str  # why there is none, as a phrase; empty where there is one
    class_iou: Scores
    steps: tuple[Step, ...]  # none where the network answers in one
    images: int
    keys_digest: str  # of the images' keys, in their order
    listed: tuple[str, ...]  # these keys, where a list of frames was scored; none of a whole split
    groups: Groups  # of each image, by number; none where an older version scored
    confusions: ConfusionMatrix  # (N, K, K) in that order; on disk, for there may be many images
    step_confusions: ConfusionMatrix | None  # (S, N, K, K) of the steps; None where an older version scored
    history: tuple[Epoch, ...]
    seconds: float  # of training, validation included
    images_per_second: float | None  # of training, validation excluded

    @property
    def network(self) -> str:
        return self.declared.name

    @property
    def family(self) -> str:
        return self.declared.family

    @property
    def miou(self) -> float:
        """To sort by: undefined is last."""
        found = self.scores["miou"]
        return -1.0 if found is None else found

    @property
    def learns_by_output(self) -> bool:
        """Whether the history has the scores of several outputs."""
        return any(epoch.outputs for epoch in self.history)

    @property
    def taxonomy(self) -> Taxonomy:
        return self.dataset.taxonomy


def read_result(run: Run, scores: Path, datasets: Mapping[str, Dataset]) -> Result:
    """A finished run, and what `evaluate` wrote about it into the folder `scores`. Raises SegmodelsError."""
    name = run.path.absolute().name
    train_again = "Run its `segmodels train` again"
    about = read_fields(run.about, train_again)
    declared = _declared(about.inside("config"))
    check_identity(about.values, run.about)
    score_again = f"Run its `segmodels evaluate {run.path} --shards … --out {scores}` again"
    sheet = read_fields(scores / METRICS, score_again)
    if sheet.text("run") != about.text("id"):
        raise SegmodelsError(f"{scores}: these scores belong to another training than {run.path} holds. {sheet.advice}")
    dataset, split = _dataset(sheet, scores, datasets)
    check_results(run, "history", "metrics")
    timing = read_fields(run.timing, train_again)
    rows = read_table(scores / IMAGES, sheet.advice)
    images, keys_digest = _keys(scores / IMAGES, rows, sheet.advice)
    shape = (images, len(dataset.taxonomy.classes), len(dataset.taxonomy.classes))
    intervals, reason = _intervals(sheet)
    return Result(
        name=name,
        run=run.path,
        declared=declared,
        provenance=read_provenance(about),
        dataset=dataset,
        split=split,
        views=_views(sheet.inside("views")),
        q=sheet.numbers("q") if "q" in sheet.values else None,
        scores={each: sheet.score(each) for each in SCORES},
        own_stride=_own_stride(sheet),
        stride=sheet.inside("own_stride").whole("stride") if "own_stride" in sheet.values else 1,
        intervals=intervals,
        no_interval=reason,
        class_iou=_class_iou(sheet.inside("class_iou"), dataset.taxonomy),
        steps=_steps(sheet),
        images=images,
        keys_digest=keys_digest,
        listed=_listed(sheet, rows),
        groups=_groups(rows),
        confusions=read_matrices(scores / CONFUSION, shape, sheet.advice),
        step_confusions=_step_confusions(sheet, scores / STEPS, shape),
        history=_history(run.history, train_again),
        seconds=timing.number("seconds"),
        images_per_second=timing.score("images_per_second"),
    )


def _declared(config: Fields) -> ModelSpec:
    with parsing(config.where, SegmodelsError, config.advice):
        place = config.values.get("plugin_file")
        found = tuple((name, digest) for name, digest in config.values.get("plugin", ()))
    return spec(config.text("network"), Origin(found, Path(place) if isinstance(place, str) else None))


def _dataset(sheet: Fields, scores: Path, datasets: Mapping[str, Dataset]) -> tuple[Dataset, str]:
    shards = sheet.inside("shards")
    digest, split = shards.text("fingerprint"), shards.text("split")
    if digest not in datasets:
        have = ", ".join(f"{each.name} {digest[:12]}" for digest, each in datasets.items())
        raise SegmodelsError(
            f"{scores} was scored on shards {shards.text('name')} {digest[:12]}, --shards has {have}. {sheet.advice}"
        )
    return datasets[digest], split


def _listed(sheet: Fields, rows: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The keys of a list that was scored; none of a whole split."""
    if "frames" not in sheet.values:
        return ()
    keys = tuple(row.get("key", "") for row in rows)
    if digest_of(keys) != sheet.inside("frames").text("sha256"):
        raise SegmodelsError(f"{sheet.where}: it lists other frames than {IMAGES} has. {sheet.advice}")
    return keys


def _views(row: Fields) -> Views:
    size: Size | None = None
    if row.values.get("window") is not None:
        height, width = map(int, row.numbers("window"))
        size = height, width
        if not all(1 <= side <= LARGEST_WINDOW for side in size):
            raise SegmodelsError(
                f"{row.where}: a window of {height}x{width}, at most {LARGEST_WINDOW} a side. {row.advice}"
            )
    scales = row.numbers("scales")
    if not scales or not all(SCALES[0] <= scale <= SCALES[1] for scale in scales):
        raise SegmodelsError(f"{row.where}: scales of {scales}, expected {SCALES[0]:g} to {SCALES[1]:g}. {row.advice}")
    return Views(row.values.get("flip") is True, scales, size)


def _own_stride(sheet: Fields) -> Scores:
    """At stride 1, or of several views, there is none but the answer's own."""
    if "own_stride" not in sheet.values:
        return dict.fromkeys(SCORES)
    return {name: sheet.inside("own_stride").score(name) for name in SCORES}


def _intervals(sheet: Fields) -> tuple[dict[str, Interval | None], str]:
    """Of every score, and why there are none: those of older versions are left out, for they are too narrow."""
    if "interval_reason" not in sheet.values:
        return dict.fromkeys(SCORES), OLDER
    if sheet.values["interval_reason"] is not None:
        return dict.fromkeys(SCORES), sheet.text("interval_reason")
    found: dict[str, Interval | None] = {}
    for name in SCORES:
        row = sheet.inside("interval").inside(name)
        low, high = row.score("low"), row.score("high")
        found[name] = None if low is None or high is None else Interval(low, high)
    return found, ""


def _class_iou(row: Fields, taxonomy: Taxonomy) -> Scores:
    return {each.name: row.score(each.name) for each in taxonomy.classes if each.evaluated}


def _steps(sheet: Fields) -> tuple[Step, ...]:
    if "steps" not in sheet.values:
        return ()
    steps = sheet.inside("steps")
    rows = [steps.inside(name) for name in sorted(steps.values)]
    return tuple(
        Step(row.score("miou"), row.inside("own_stride").score("miou") if "own_stride" in row.values else None)
        for row in rows
    )


def _step_confusions(sheet: Fields, path: Path, shape: tuple[int, int, int]) -> ConfusionMatrix | None:
    """An empty file stands for none: DVC wants the same files of every run."""
    if "steps" not in sheet.values or not path.is_file() or not path.stat().st_size:
        return None
    return read_matrices(path, (len(sheet.inside("steps").values), *shape), sheet.advice)


def _groups(rows: Sequence[Mapping[str, str]]) -> Groups:
    """As numbers, for there may be a million images."""
    if "group" not in rows[0]:
        return ()
    number: dict[str, int] = {}
    return tuple(number.setdefault(row["group"], len(number)) for row in rows)


def digest_keys(keys: Iterable[str]) -> tuple[int, str]:
    """How many keys these are, and which ones in which order."""
    digest, count = sha256(), 0
    for key in keys:
        digest.update(f"{key}\n".encode())
        count += 1
    return count, digest.hexdigest()


def _keys(path: Path, rows: Sequence[Mapping[str, str]], advice: str) -> tuple[int, str]:
    count, digest = digest_keys(row.get("key", "") for row in rows)
    if not count:
        raise SegmodelsError(f"{path} has no image. {advice}")
    return count, digest


def _history(path: Path, advice: str) -> tuple[Epoch, ...]:
    rows = read_table(path, advice)
    with parsing(f"{path} is no history", SegmodelsError, advice):
        return tuple(
            Epoch(
                int(row["step"]),
                _number(row["loss"]),
                _number(row.get("miou", "")),
                _outputs(row, "miou_"),
                _outputs(row, "train_miou_"),
            )
            for row in rows
        )


def _outputs(row: Mapping[str, str], prefix: str) -> tuple[float | None, ...]:
    """The columns `miou_01`, `miou_02`, … in order; none where the epoch was not validated."""
    names = sorted(name for name in row if name.startswith(prefix) and name.removeprefix(prefix).isdecimal())
    found = tuple(_number(row[name]) for name in names)
    return found if any(each is not None for each in found) else ()


def _number(text: str) -> float | None:
    value = float(text) if text else None
    return value if value is None or isfinite(value) else None
