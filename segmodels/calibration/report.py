"""What a calibration says: a table for people, a file for `--q`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segdata import ShardSet
from segmodels.calibration.calibrate import Budget, Calibration, Candidate
from segmodels.inference.segmenter import Segmenter
from segmodels.knobs.quantiles import write_q
from segmodels.runs.environment import describe_device


def table(calibration: Calibration) -> list[str]:
    """Lines for the terminal."""
    line = "{:<28} {:>8} {:>9} {:>7}"
    uniform, trained = calibration.uniform.q[0], calibration.trained.q
    own = f"{trained[0]:g}" if len(set(trained)) == 1 else "one a class"
    rows = (
        ("everything computed, q 1", calibration.full),
        (f"as trained, q {own}", calibration.trained),
        (f"uniform, q {uniform:g}", calibration.uniform),
        ("found, one q a class", calibration.found),
    )
    lines = [line.format("", "compute", "ms", "miou")]
    for title, candidate in rows:
        miou = "-" if candidate.row.miou is None else f"{candidate.row.miou:.4f}"
        share = candidate.row.macs / candidate.row.full_macs
        lines.append(line.format(title, f"{share:.1%}", f"{candidate.row.ms_median:.2f}", miou))
    return lines


def write_calibration(
    path: Path,
    calibration: Calibration,
    budget: Budget,
    segmenter: Segmenter,
    shards: ShardSet,
    *,
    every: int,
) -> None:
    """The file: q, for whom, and what it was chosen by. Raises SegmodelsError."""
    where = describe_device(segmenter.device)
    about = {
        "network": segmenter.name,
        "split": shards.split,
        "shards": {"name": shards.manifest.name, "fingerprint": shards.digest},
        "every": every,
        "images": calibration.found.row.images,
        "budget": {"ms": budget.ms} if budget.share is None else {"share": budget.share},
        "device": where["name"],
        "threads": where.get("threads"),
        "evaluations": calibration.evaluations,
        "found": _facts(calibration.found),
        "uniform": {"q": calibration.uniform.q[0], **_facts(calibration.uniform)},
        "trained": {"q": calibration.trained.q, **_facts(calibration.trained)},
        "full": _facts(calibration.full),
    }
    write_q(path, calibration.found.q, segmenter, about)


def _facts(candidate: Candidate) -> dict[str, Any]:
    row = candidate.row
    return {
        "miou": row.miou,
        "compute": row.macs / row.full_macs,  # share of the multiply-accumulates
        "macs": row.macs,
        "shares": row.shares,
        "ms_median": row.ms_median,
        "ms_p95": row.ms_p95,
    }
