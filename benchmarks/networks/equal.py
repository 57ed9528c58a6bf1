"""Networks side by side on CamVid, trained for equal time of the processor and scored on a drive that none has seen.

    python -m benchmarks.networks.equal --camvid CamVid --seconds 300 --out benchmarks/results/cpu/equal.json

The split is `by-drive`: 328 frames to train on, 171 of another drive to score, all at half their size (192x256, for
networks whose norms want it; the same pixels for all). A step's processor time is measured on a few steps of the same
training, and so many are done as go into `--seconds`; what was really used stands in the result. Networks are in small
versions, with the recipe `default` at the learning rate that `benchmarks/evidence` found for them; nothing was searched
for the networks that are compared with them. One thread each. What is there already is not done again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import segmodels
from segdata.cli.script import Parser
from segmodels.compute.device import choose_device
from segmodels.config.config import TrainConfig, config_from_document
from segmodels.config.recipes import make_config
from segmodels.errors import SegmodelsError
from segmodels.runs.environment import describe_environment
from segmodels.runs.progress import Status
from segmodels.training.train import train

SIZE = "192x256"
STEPS = 8  # of the trial, of which the first two do not count
COMMON: dict[str, Any] = {"batch_size": 8, "scale": (0.75, 1.5), "ema": 0.998, "workers": 1, "device": "cpu"}
FAMILY = {"width": 16, "depth": 3}
RUNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # network: its options, and those of the training
    "ddrnet23_slim": ({}, {"lr": 0.005}),
    "segformer_b0": ({}, {"lr": 0.0005}),
    "dilated_unet": ({"width_factor": 0.5}, {"lr": 0.005}),
    "distill_x4": (FAMILY, {"lr": 0.002, "loss": "ce+dice"}),
    "iterative_v6": (FAMILY | {"prenet": "x4", "steps": 4}, {"lr": 0.002, "loss": "ce+dice"}),
    "pspnet": ({"backbone_depth": 18}, {"lr": 0.002}),
    "fcn_resnet_v2": ({"width_factor": 0.25, "depth": 29}, {"lr": 0.002}),
    "percentile": ({"width_factor": 0.125}, {"lr": 0.005, "crop": (160, 160)}),
}


def trial(config: TrainConfig) -> float:
    """Processor seconds that a step takes."""
    ticks: list[float] = []

    def tell(news: Status | str) -> None:
        if isinstance(news, Status):
            ticks.append(process_time())

    train(config, until=STEPS, show=tell)
    return (ticks[-1] - ticks[1]) / (len(ticks) - 2)


def planned(network: str, shards: Path, out: Path) -> TrainConfig:
    """The training of a network; its number of steps is open."""
    options, given = RUNS[network]
    chosen = tuple(sorted(segmodels.spec(network).resolve(options).items()))
    where = {"shards": shards, "out": out, "steps": 10**6, "validate_every": 10**6, "options": chosen}
    return make_config(network, "default", COMMON | given | where)


def compared(network: str, shards: Path, scratch: Path, seconds: float) -> dict[str, Any]:
    """The row of a network: trained and scored, each in a process of its own."""
    config = planned(network, shards, scratch / f"{network}-trial")
    step = json.loads(_child("--trial", config))
    config = replace(config, out=scratch / network, steps=max(1, int(seconds / step)))
    used = json.loads(_child("--train", config))
    scores = scratch / f"{network}-scores"
    look = ["evaluate", config.out, "--shards", shards, "--split", "test", "--out", scores, "--threads", 1]
    subprocess.run([sys.executable, "-m", "segmodels", *map(str, look)], check=True, stdout=sys.stderr)
    found = json.loads((scores / "metrics.json").read_text())
    network_built = segmodels.build(network, 11, (192, 256), **config.network_options)
    return {
        "network": network,
        "options": RUNS[network][0],
        "training": RUNS[network][1],
        "parameters": sum(each.numel() for each in network_built.parameters()),
        "steps": config.steps,
        "cpu_seconds_per_step": step,
        "cpu_seconds": used,
        "miou": found["miou"],
        "interval": found["interval"] and found["interval"]["miou"],
        "interval_reason": found["interval_reason"],
        "pixel_accuracy": found["pixel_accuracy"],
        "class_iou": found["class_iou"],
        "images": found["images"],
    }


def _child(what: str, config: TrainConfig) -> str:
    command = [sys.executable, "-m", "benchmarks.networks.equal", what, json.dumps(config.document())]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]


def _used() -> float:
    """Processor seconds of this process, all its threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--camvid", type=Path, help="the folder CamVid, as the SegNet tutorial made it")
    parser.add_argument("--networks", nargs="+", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--seconds", type=float, default=300, help="of the processor, for the training of a network")
    parser.add_argument("--out", type=Path, help="the JSON file, which gets a row a network")
    parser.add_argument("--trial", help=argparse.SUPPRESS)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        print(json.dumps(trial(config_from_document(json.loads(options.trial)))))
        return
    if options.train:
        train(config_from_document(json.loads(options.train)))
        print(json.dumps(_used()))
        return
    if not (options.camvid and options.out):
        parser.error("--camvid says where the frames are, --out where the result goes")
    document = json.loads(options.out.read_text()) if options.out.exists() else {"rows": []}
    same = document.get("seconds", options.seconds) == options.seconds
    rows = {row["network"]: row for row in document["rows"]} if same else {}
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        wanted = ["--root", options.camvid, "--out", shards, "--taxonomy", "camvid-11", "--split-list", "by-drive"]
        wanted += ["--size", SIZE, *(word for scale in (1, 2, 4, 8) for word in ("--scale", scale))]
        subprocess.run([sys.executable, "-m", "segdata", "prepare", "camvid", *map(str, wanted)], check=True)
        for name in options.networks:
            if name in rows:
                continue
            rows[name] = compared(name, shards, Path(folder), options.seconds)
            document = {
                "seconds": options.seconds,
                "split": "by-drive",
                "size": SIZE,
                "rows": [rows[each] for each in RUNS if each in rows],
                "environment": describe_environment(choose_device("cpu")),
            }
            options.out.write_text(json.dumps(document, indent=1) + "\n")
            print(f"{name}: miou {rows[name]['miou']:.4f}, {rows[name]['steps']} steps", flush=True)


if __name__ == "__main__":
    try:
        main()
    except SegmodelsError as error:
        sys.exit(f"equal.py: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the process has said why
