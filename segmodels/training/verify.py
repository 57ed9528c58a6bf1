"""Check a finished run: same shards, same options, same first steps, same scores, to the bit.

What is compared stands in run.json: the digest of the weights after steps 1, 2, 4, 8, …, and the confusion
matrix of the result. Versions that differ are named, but only results count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from segdata import ShardSet
from segdata.base.files import parsing
from segdata.checking.verify import verify as verify_shards
from segdata.errors import SegdataError
from segdata.stores.url import Place
from segmodels.compute.device import arithmetic, choose_device, threads
from segmodels.config.config import TrainConfig, decisive, run_id
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import load_segmenter
from segmodels.runs.checkpoint import load_weights
from segmodels.runs.environment import describe_environment
from segmodels.runs.identity import changes, differences, digest_init, with_threads
from segmodels.runs.progress import Show, silent
from segmodels.runs.run import Run, altered
from segmodels.scoring.confusions import count_confusions
from segmodels.training.train import train


class Report(NamedTuple):
    """What was found, in lines for people; nothing wrong is a reproduced run."""

    notes: list[str]
    wrong: list[str]


def verify(path: Path, shards: Place | None = None, steps: int = 8, *, workers: int = 0, show: Show = silent) -> Report:
    """Check run `path`, with its shards at `shards` if they have moved; train up to `steps` steps again.

    Raises SegmodelsError where there is no finished run, or no such device.
    """
    run = Run(path)
    document = run.document()
    if not run.finished or not document.keys() >= {"weights", "confusion", "model"}:
        raise SegmodelsError(f"{path} is not finished, so there is nothing to verify. Run its `segmodels train` again")
    check_recorded(run, document)
    config = run.config()
    device = config.device.partition(":")[0]  # of that kind, any
    config = replace(config, shards=shards or config.shards, workers=workers, device=device, replace=False)
    notes = list(_environment_notes(config, document))
    if wrong := [*_changed_options(run, document, config), *_changed_shards(config.shards, document)]:
        return Report(notes, wrong)  # training on something else would say nothing
    load_segmenter(run.path, torch.device("cpu"))  # holds the options to the weights before they are trained with
    with threads(document["device"].get("threads")):
        wrong = [*_changed_steps(config, document, steps, show), *_changed_scores(run, document, config)]
    return Report([*notes, _checked(document, steps)], wrong)


def check_recorded(run: Run, document: dict[str, Any]) -> None:
    """Raise SegmodelsError where what run.json has of a finished training is not what training records."""
    with parsing(run.about, SegmodelsError, "Train again."):
        if 1 not in map(int, document["weights"]):
            raise ValueError("no digest of the weights after step 1")
        if np.array(document["confusion"], np.int64).ndim != 2:
            raise ValueError("a confusion matrix that is no matrix")


def _environment_notes(config: TrainConfig, document: dict[str, Any]) -> Iterator[str]:
    """Versions, device and commit that are not those of the run."""
    now = with_threads(describe_environment(choose_device(config.device)), document)
    for each in (document, *document.get("resumed", [])):
        for difference in changes(each, now):
            yield f"note: {difference}"
    if config.fast:
        yield "note: trained with --fast, which promises nothing"


def _changed_options(run: Run, document: dict[str, Any], config: TrainConfig) -> Iterator[str]:
    """Where run.json and the weights do not tell the same story."""
    about = load_weights(run.weights)[1]
    trained, stated = about.get("training"), decisive(document["config"])
    yield from (f"option: {each} (in model.safetensors, in run.json)" for each in differences(trained, stated))
    for name, value in (("network", config.network), ("options", dict(document["config"]["options"]))):
        yield from (f"{each} (in model.safetensors, in run.json)" for each in differences(about.get(name), value, name))
    stated_id = run_id(config, document["shards"]["digest"], document["init"])
    if not stated_id == document["id"] == about.get("run"):
        yield "run.json: it was changed by hand, or model.safetensors is another run's"
    yield from (f"{path.name}: not the file that training wrote" for path in altered(run))
    if config.init is not None and digest_init(config.init) != document["init"]:
        yield f"--init {config.init}: not the file that training started from"


def _changed_shards(folder: Place, document: dict[str, Any]) -> Iterator[str]:
    """Shards that are damaged, or are others than the run's."""
    try:
        damage = [f"shards: {finding.where}: {finding.found}" for finding in verify_shards(folder)]
        manifest = ShardSet(folder, "train").manifest
    except SegdataError as error:
        yield f"shards: {error}"
        return
    yield from damage
    if not damage and manifest.fingerprint != document["shards"]["digest"]:
        now = {row.name: row.sha256 for split in manifest.splits for row in manifest.shards(split)}
        yield from (f"shards: {each}" for each in differences(document["shards"]["files"], now))
        yield f"shards: {folder} is not the set that was trained on (taxonomy or options differ, or the shards above)"


def _changed_steps(config: TrainConfig, document: dict[str, Any], steps: int, show: Show) -> Iterator[str]:
    """Train the first steps again: the first digest that is another."""
    if document["ranks"] > 1:
        return
    recorded = {int(step): digest for step, digest in document["weights"].items() if int(step) <= steps}
    with TemporaryDirectory(prefix="segmodels-verify-") as folder:
        again = train(replace(config, out=Path(folder)), until=max(recorded), show=show).digests
    same = 0
    for step, digest in sorted(recorded.items()):
        if again.get(str(step)) != digest:
            yield f"weights: other bits after step {step}" + (f", the same after step {same}" if same else "")
            return
        same = step


def _changed_scores(run: Run, document: dict[str, Any], config: TrainConfig) -> Iterator[str]:
    """Score the weights again: classes whose pixels were not taken for the same classes."""
    with arithmetic(fast=config.fast):
        segmenter = load_segmenter(run.path, choose_device(config.device), config.precision)
        if config.channels_last:
            segmenter.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found = count_confusions(
            segmenter, ShardSet(config.shards, "val", version=document["shards"]["digest"]), workers=config.workers
        )[:, -1].sum(0)
    recorded = np.array(document["confusion"], np.int64)
    if recorded.shape != found.shape:
        yield f"confusion matrix: of {len(recorded)} classes, the weights have {len(found)}"
        return
    for row, there, here in zip(segmenter.taxonomy.classes, recorded, found, strict=True):
        if moved := int(np.abs(there - here).sum()):
            yield f"confusion matrix: {row.name}: {-(-moved // 2)} pixels were taken for other classes"


def _checked(document: dict[str, Any], steps: int) -> str:
    trained = max(int(step) for step in document["weights"] if int(step) <= steps)
    if document["ranks"] > 1:
        return f"scores compared; not the steps, which {document['ranks']} processes took together"
    return f"compared: shards, options, weights up to step {trained}, confusion matrix"
