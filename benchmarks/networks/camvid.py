"""Train networks on CamVid, real frames of 360x480, each within a budget of time, and score them on its test split.

    python benchmarks/networks/camvid.py --camvid CamVid --networks dilated_unet --seconds 480 --crop 256x256
    python benchmarks/networks/camvid.py --shards SHARDS                           # all networks, three minutes each

The recipe is `default`. How many steps fit into the budget is found by a short trial of the same training; the run
itself is then an ordinary one of that many steps, which `segmodels train` repeats to the bit. Scores are at 360x480:
a network that needs another size sees padded images, and its logits are cropped back. One result file a network
under benchmarks/results/, so rows can be added one by one; on a CUDA device `python -m benchmarks.device` does it.

`--shards` holds what `segdata prepare camvid --image-codec jpeg --scale 1 --scale 2 --scale 4 --scale 8` wrote; with
`--camvid` this is done first. 62 of the 233 test frames continue a training drive. Literature's scores on the same
split (11 classes, 360x480, mIoU): SegNet 55.6 to 60.1, FCN-8 57.0, ENet 51.3, FC-DenseNet103 66.9; pre-trained on
ImageNet: BiSeNet-R18 68.7, PSPNet-R50 69.1. They trained for hours.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import segmodels
from segdata import ShardSet
from segdata.cli.script import Parser
from segmodels.compute.device import choose_device
from segmodels.config.config import TrainConfig, config_from_document
from segmodels.config.recipes import make_config
from segmodels.errors import SegmodelsError
from segmodels.inference.trained import load_trained
from segmodels.runs.environment import describe_environment
from segmodels.runs.progress import Status
from segmodels.training.train import train

RESULTS = Path(__file__).parents[1] / "results"
TRIAL = {"cpu": 7, "cuda": 30}  # steps; the first three are warm-up
SCORES = ("miou", "pixel_accuracy", "mean_accuracy", "interval", "interval_reason")


def trial(config: TrainConfig) -> float:
    """Seconds that a step takes, by the loop's own report of each."""
    ticks: list[float] = []

    def tell(news: Status | str) -> None:
        if isinstance(news, Status):
            ticks.append(perf_counter())

    train(config, until=TRIAL[choose_device(config.device).type], show=tell)
    return median(after - before for before, after in pairwise(ticks[2:]))


def in_a_process(config: TrainConfig) -> float:
    """`trial` apart, so that the run's peak memory is its own."""
    command = [sys.executable, __file__, "--trial", json.dumps(config.document())]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def plan(name: str, shards: Path, out: Path, given: dict[str, Any]) -> TrainConfig:
    """The training of a network, with the default recipe but for what is given; its number of steps is open."""
    return make_config(
        name,
        "default",
        given
        | {
            "shards": shards,
            "out": out,
            "steps": 10**6,
            "validate_every": 10**6,  # at the end alone: the budget is for training
            "channels_last": given["device"] != "cpu" and not _has_layer_norms(given["options"]),  # slower for these
        },
    )


def _has_layer_norms(options: Sequence[tuple[str, Any]]) -> bool:
    return str(dict(options).get("norm", "")).startswith("layer")


def within(config: TrainConfig, budget: float, seconds: float, out: Path) -> TrainConfig:
    """As many steps as go into the budget, when one takes so many seconds."""
    return replace(config, out=out, steps=max(1, int(budget / seconds)))


def row(config: TrainConfig, budget: float, found: dict[str, Any]) -> dict[str, Any]:
    """The figures of a trained and scored network; `found` is what metrics.json holds."""
    split = ShardSet(config.shards, "train")
    device = choose_device(config.device)
    options = segmodels.spec(config.network).resolve(config.network_options)
    weights = load_trained(config.out, device).network.parameters()
    return {
        "network": config.network,
        "options": dict(options),
        "parameters": sum(each.numel() for each in weights),
        "recipe": "default",
        "budget_seconds": budget,
        "steps": config.steps,
        "epochs": (config.steps or 0) * config.batch_size / len(split),
        **{key: config.document()[key] for key in ("batch_size", "crop", "lr", "precision", "fast", "seed")},
        "codec": split.manifest.document["options"]["codec"],
        **{key: found[key] for key in SCORES},
        "class_iou": found["class_iou"],
        "steps_miou": [scores["miou"] for _, scores in sorted(found.get("steps", {}).items())],
        "timing": json.loads((config.out / "timing.json").read_text()),
    }


def result(name: str, options: argparse.Namespace, shards: Path, scratch: Path) -> dict[str, Any]:
    """Train and score one network, each in a process of its own."""
    chosen = segmodels.spec(name).parse(dict(text.split("=") for text in options.option))
    same = ("batch_size", "lr", "precision", "crop", "workers", "device", "fast", "seed")
    given = {key: getattr(options, key) for key in same} | {"options": tuple(sorted(chosen.items()))}
    config = plan(name, shards, scratch / "trial", given)
    config = within(config, options.seconds, in_a_process(config), scratch / name)
    command = [sys.executable, __file__, "--train", json.dumps(config.document())]
    subprocess.run(command, check=True)
    scores = scratch / f"{name}-scores"
    look = ["evaluate", config.out, "--shards", shards, "--split", "test", "--out", scores, "--device", options.device]
    subprocess.run([sys.executable, "-m", "segmodels", *map(str, look)], check=True)
    found = json.loads((scores / "metrics.json").read_text())
    environment = describe_environment(choose_device(options.device))
    return row(config, options.seconds, found) | {"environment": environment}


def says(figures: dict[str, Any]) -> str:
    """A row in a line."""
    speed = figures["timing"]["images_per_second"]
    return f"miou {figures['miou']:.4f} ({_interval(figures)}), {figures['steps']} steps, {speed:.1f} images/s"


def _interval(figures: dict[str, Any]) -> str:
    if figures["interval"] is None:
        return f"no interval: {figures['interval_reason']}"
    return "{low:.4f} to {high:.4f}".format(**figures["interval"]["miou"])


def crop(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(segmodels.names()), choices=segmodels.names())
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--camvid", type=Path, help="the folder CamVid, as the SegNet tutorial made it")
    data.add_argument("--shards", type=Path, help="its shards, with the test split")
    parser.add_argument("--seconds", type=float, default=180, help="of training, a network")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the network")
    parser.add_argument("--batch-size", type=int, help="default: the recipe's")
    parser.add_argument(
        "--crop", metavar="HxW", type=crop, help="default: whole frames, padded to what a network takes"
    )
    parser.add_argument("--lr", type=float)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--fast", action="store_true", help="give up reproducibility")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="folder for one JSON file a network")
    parser.add_argument("--trial", help=argparse.SUPPRESS)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        print(trial(config_from_document(json.loads(options.trial))))
        return
    if options.train:
        train(config_from_document(json.loads(options.train)))
        return
    if not (options.camvid or options.shards):
        parser.error("--camvid or --shards says where the frames are")
    out = options.out or RESULTS / choose_device(options.device).type
    out.mkdir(parents=True, exist_ok=True)
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            shards = options.shards or scratch / "shards"
            if options.camvid:
                wanted = ["--root", options.camvid, "--out", shards, "--image-codec", "jpeg"]
                wanted += [word for scale in (1, 2, 4, 8) for word in ("--scale", scale)]
                command = [sys.executable, "-m", "segdata", "prepare", "camvid", *map(str, wanted)]
                subprocess.run(command, check=True)
            figures = result(name, options, shards, scratch)
            (out / f"camvid-{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
            print(f"{name}: {says(figures)}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except SegmodelsError as error:
        sys.exit(f"camvid.py: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the process has said why
