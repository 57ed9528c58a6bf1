"""Memory that a training step of every full recipe asks a device for: python benchmarks/networks/memory.py [--out FILE]

With --out the table in pipelines/README.md is made anew as well.

Nothing is computed: torch's fake tensors have shapes and no content, and whoever makes one is counted while it lives.
So this runs in minutes on any machine. It is what the tensors take: weights, gradients, optimiser
state, average and activations. CUDA adds its context (about half a GiB), the workspaces of cuDNN, and fragments.
"""

from __future__ import annotations

import argparse
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segdata.cli.script import Parser
from segdata.labels.taxonomy import load_taxonomy
from segmodels.bench.memory import forget_peak
from segmodels.bench.memory import peak as most
from segmodels.compute.device import arithmetic
from segmodels.config.config import TrainConfig
from segmodels.config.options import options_of
from segmodels.config.options import size as read_size
from segmodels.config.recipes import make_config
from segmodels.data.batches import Batch
from segmodels.networks import spec
from segmodels.training.ema import start_ema
from segmodels.training.losses import backward
from segmodels.training.optim import make_optimizer

ROOT = Path(__file__).parents[2]
README = ROOT / "pipelines/README.md"
FAKE = FakeTensorMode()  # one for all: the packages keep some constants


class Alive(TorchDispatchMode):
    """Bytes of all tensors that live, and the most there were at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self.known:
                self.known.add(storage)
                weakref.finalize(storage, self.freed, storage.nbytes())
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
        return out

    def freed(self, size: int) -> None:
        self.now -= size


def peak(config: TrainConfig, classes: int, size: tuple[int, int]) -> int:
    """Bytes at the worst moment of the second step; by then the optimiser has its state."""
    with FAKE, Alive() as alive:
        two_steps(config, classes, size, torch.device("cpu"))
    return alive.peak


def taken(config: TrainConfig, classes: int, size: tuple[int, int], device: torch.device) -> dict[str, float]:
    """The same, computed on a device: GiB of tensors, and of what the allocator holds for them (CUDA only)."""
    forget_peak(device)
    with arithmetic(fast=config.fast):
        two_steps(config, classes, size, device)
    held = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else most(device)
    return {"GiB": most(device) / 2**30, "held_GiB": held / 2**30}


def two_steps(config: TrainConfig, classes: int, size: tuple[int, int], device: torch.device) -> None:
    """As the training loop takes them, on black images."""
    declared = spec(config.network)
    options = declared.resolve(config.network_options)
    stride = declared.geometry(options).stride
    with device:  # fake tensors cannot be moved
        network = declared.build(classes, size, options).train()
    optimizer = make_optimizer(
        config.optimizer, network, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )
    average = start_ema(network) if config.ema else None
    images = torch.zeros(config.batch_size, *size, 3, dtype=torch.uint8)
    targets = torch.zeros(config.batch_size, *(side // stride for side in size), dtype=torch.uint8)
    for _ in range(2):
        backward(network, Batch((), images, targets), config, declared.step_weights, None, device)
        optimizer.step()
        optimizer.zero_grad()
    del average  # lived until here


def configuration(row: dict[str, Any]) -> TrainConfig:
    """The run's configuration, as `segmodels train` makes it of the same options."""
    options = dict(row["options"])
    recipe, no_init = options.pop("recipe", "default"), options.pop("no-init", False)
    named = dict(each.split("=") for each in options.pop("option", []))
    resolved = spec(row["network"]).parse(named)
    read = {each.flag.removeprefix("--"): each.read or bool for each in options_of(TrainConfig)}
    values = {name.replace("-", "_"): read[name](str(value)) for name, value in options.items()}
    given = {
        "shards": Path(),
        "out": Path(),
        "options": tuple((name, resolved[name]) for name in sorted(named)),
        **values,
    }
    return make_config(row["network"], recipe, given, no_init=no_init)


def table(found: dict[str, dict[str, Any]]) -> str:
    """The rows as pipelines/README.md shows them: runs that ask for the same in one row."""
    rows: dict[str, list[str]] = {}
    for run, row in found.items():
        rows.setdefault(f"| {row['size']} | {row['batch']} | {row['GiB']:.1f} |", []).append(f"`{run}`")
    lines = [
        "| run | size | batch | GiB |",
        "|---|---|--:|--:|",
        *(f"| {', '.join(n)} {row}" for row, n in rows.items()),
    ]
    return "\n".join(lines) + "\n"


def recipes() -> Iterator[tuple[str, TrainConfig, int, tuple[int, int]]]:
    """Every run of pipelines/real.yaml: its name, configuration, classes and size of an image."""
    for dataset in yaml.safe_load((ROOT / "pipelines/real.yaml").read_text()).values():
        for run, row in dataset["runs"].items():
            config, made = configuration(row), dataset["sets"][row["set"]]
            size = config.crop or read_size(made["options"]["size"])  # whole frames only where a set has a size
            yield run, config, len(load_taxonomy(str(ROOT / made["taxonomy"])).classes), size


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = {}
    for run, config, classes, size in recipes():
        gib = round(peak(config, classes, size) / 2**30, 1)
        found[run] = {"size": "{}x{}".format(*size), "batch": config.batch_size, "GiB": gib}
        print(f"{run:24} {found[run]['size']:>9}  batch {config.batch_size:>2}  {gib:5.1f} GiB", flush=True)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
        before, mark, rest = README.read_text().partition("<!-- memory -->\n")
        README.write_text(before + mark + table(found) + rest[rest.index("<!-- /memory -->") :])


if __name__ == "__main__":
    main()
