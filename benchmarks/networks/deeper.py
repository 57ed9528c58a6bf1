"""Do the deeper stages of a trained percentile network predict better, and what does q trade?

    python benchmarks/networks/deeper.py RUN --shards SHARDS --out benchmarks/results/cpu/deeper-camvid.json --every 5

The claim of the thesis behind the network is that they do. RUN is the folder of any finished run: `segmodels evaluate`
scores the answer after each stage at the q of training, `segmodels sweep --knob q` every q by tenths.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from segdata.cli.script import Parser
from segmodels.scoring.intervals import no_interval, paired
from segmodels.scoring.scored import Scored, read_scores

KEPT = ("value", "shares", "macs", "full_macs", "ms_median", "miou")


def segmodels(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "segmodels", *map(str, arguments)], check=True)


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def last_less_first(scored: Scored) -> dict[str, float] | None:
    """How much more the last stage scores than the first, on the same images; None where there is no interval."""
    assert scored.steps is not None
    found = paired(scored.steps[-1], scored.steps[0], scored.groups, scored.evaluated)
    return None if no_interval(scored.groups) else found._asdict()


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="each N-th image of the sweep; the stages have all")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = ["--shards", options.shards, "--split", options.split]
        scores, sweep = Path(folder) / "scores", Path(folder) / "sweep"
        segmodels("evaluate", options.run, *where, "--out", scores)
        segmodels(
            "sweep", options.run, "--knob", "q", *where, "--every", options.every, "--forwards", 1, "--out", sweep
        )
        evaluated, swept, about = (
            read(scores / "metrics.json"),
            read(sweep / "sweep.json"),
            read(options.run / "run.json"),
        )
    config = about["config"]
    result = {
        "set": swept["shards"]["name"],
        "split": options.split,
        "images": evaluated["images"],
        "swept_images": swept["rows"][0]["images"],
        "training": {name: config[name] for name in ("options", "steps", "batch_size", "crop", "lr", "recipe")},
        "interval": evaluated["interval"] and evaluated["interval"]["miou"],
        "interval_reason": evaluated["interval_reason"],
        "last_less_first": last_less_first(read_scores(scores)),
        "stages": [step["miou"] for _, step in sorted(evaluated["steps"].items())],
        "sweep": [{name: row[name] for name in KEPT} for row in swept["rows"]],
        "device": swept["device"],
        "threads": swept["threads"],
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
