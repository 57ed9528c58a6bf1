"""Networks on real frames: the same weights with 0 and 3 workers and after a kill, and the same answers as .onnx.

    python -m benchmarks.networks.same --camvid CamVid --networks segformer_b0 smp:FPN/resnet18 --steps 300 \\
        --out benchmarks/results/cpu/same.json

Each is trained twice on the official split of CamVid at half size, with the same command but for the workers; the
second training is ended by SIGKILL, some steps after its first checkpoint, and goes on. It needs the extra `onnx`, and
for networks of other libraries theirs: `make test-adapters` makes such an environment (build/adapters).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import segmodels
from segdata.base.canonical import digest_file
from segdata.cli.script import Parser
from segmodels.compute.device import choose_device
from segmodels.errors import SegmodelsError
from segmodels.inference.export import export
from segmodels.inference.trained import load_trained
from segmodels.runs.environment import describe_environment
from segmodels.runs.run import Run

TRAINING = "--batch-size 4 --crop 160x224 --scale 0.75,1.5 --lr 0.002 --ema 0.99 --validate-every 1000 --threads 1"


def command(network: str, shards: Path, out: Path, steps: int, workers: int) -> list[str]:
    """`segmodels train`, in this environment."""
    what = [network, "--shards", shards, "--out", out, "--steps", steps, "--workers", workers, "--device", "cpu"]
    return [sys.executable, "-m", "segmodels", "train", *map(str, what), *TRAINING.split()]


def killed(train: list[str], run: Run, kills: int) -> int:
    """Train, and end the process by SIGKILL as soon as it has a checkpoint of another step; how often it was done."""
    done, seen = 0, 0.0
    while done < kills:
        process = subprocess.Popen(train, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            time.sleep(0.2)
            if run.last.exists() and run.last.stat().st_mtime > seen and not run.finished:
                seen = run.last.stat().st_mtime
                time.sleep(3)  # some steps further, which are lost
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
        if process.returncode != -signal.SIGKILL:
            break
    subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
    return done


def row(network: str, shards: Path, scratch: Path, steps: int) -> dict[str, Any]:
    """Train twice, compare, export."""
    whole, pieces = (Run(scratch / f"{network.replace('/', '-')}-{name}") for name in ("whole", "pieces"))
    subprocess.run(command(network, shards, whole.path, steps, 0), check=True, stdout=subprocess.DEVNULL)
    kills = killed(command(network, shards, pieces.path, steps, 3), pieces, 1)
    digests = [digest_file(each.weights) for each in (whole, pieces)]
    segmenter = load_trained(whole.path, torch.device("cpu"))
    parity = export(segmenter, scratch / "network.onnx")
    declared = segmenter.declared
    return {
        "network": network,
        "parameters": sum(each.numel() for each in segmenter.network.parameters()),
        "code": dict(declared.origin.parts),
        "steps": steps,
        "kills": kills,
        "same_weights": digests[0] == digests[1],
        "weights": digests[0],
        "miou_val": whole.results()["miou"],
        "onnx": parity._asdict(),
    }


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--camvid", type=Path, required=True, help="the folder CamVid, as the SegNet tutorial made it")
    parser.add_argument("--networks", nargs="+", default=["segformer_b0", "smp:FPN/resnet18"])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file, which gets a row a network")
    options = parser.parse_args()
    for network in options.networks:
        segmodels.spec(network)  # what is missing is missing now
    document = json.loads(options.out.read_text()) if options.out.exists() else {"rows": []}
    rows = {each["network"]: each for each in document["rows"]}
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        wanted = ["--root", options.camvid, "--out", shards, "--taxonomy", "camvid-11", "--size", "180x240"]
        subprocess.run([sys.executable, "-m", "segdata", "prepare", "camvid", *map(str, wanted)], check=True)
        for network in options.networks:
            rows[network] = row(network, shards, Path(folder), options.steps)
            environment = describe_environment(choose_device("cpu"))
            document = {"training": TRAINING, "rows": list(rows.values()), "environment": environment}
            options.out.write_text(json.dumps(document, indent=1) + "\n")
            found = rows[network]
            print(f"{network}: same weights {found['same_weights']}, kills {found['kills']}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except SegmodelsError as error:
        sys.exit(f"same.py: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the process has said why
