"""How fast every network trains, and on what its time goes: the real loop, a process of its own for every figure.

    python benchmarks/networks/train.py                               # small networks, about ten minutes on a CPU
    python benchmarks/networks/train.py --device cuda --full --out train.json
    python benchmarks/networks/train.py --networks pspnet fcn_resnet_v2 --shards DIR --crop 512x1024 --steps 40

Of every network: images/s and milliseconds of a step (medians), peak memory, and the share of the time in which
the loop waited for data; in float32 and bfloat16, each reproducible and with --fast. A step is everything between
two batches: decoding ahead, forward, backward, clipping, optimiser, average of the weights, checks. The first steps
are not counted. Without --shards, streets are painted and converted first.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise, product, repeat
from pathlib import Path
from time import perf_counter
from typing import Any

import segdata
import segmodels
from segdata.base.numbers import size
from segdata.cli.script import Parser
from segdata.synth import paint
from segmodels.bench.memory import forget_peak, peak
from segmodels.compute.device import choose_device
from segmodels.config.config import TrainConfig, config_from_document
from segmodels.data.batches import Batch, Batches
from segmodels.runs.environment import describe_environment
from segmodels.runs.progress import Status
from segmodels.training import train as loop

WARM_UP, FEWEST = 3, 3  # steps: not counted, and counted at least
STEPS = {"width": 8, "depth": 2, "steps": 3}
SMALL: dict[str, dict[str, Any]] = {
    "percentile": {"width_factor": 0.125},
    "dilated_unet": {},
    "fcn_resnet_v2": {"width_factor": 0.25, "depth": 11},
    "pspnet": {"backbone_depth": 18},
    "clusternet": {"backbone_depth": 18},
    "clusternet_concat": {"backbone_depth": 18},
    "ddrnet23_slim": {"width": 16, "pyramid_width": 32, "head_width": 32},
    "segformer_b0": {"head_channels": 8, "decoder_channels": 64},
    **{f"distill_{scale}": {"width": 8, "depth": 2} for scale in ("x1", "x2", "x4", "x8")},
    **{f"iterative_v{version}": STEPS for version in range(1, 7)},
    **{f"{kind}hourglass{copy}": STEPS for kind in ("", "res_") for copy in ("", "_iter", "_iter_ex")},
}
VARIANTS = tuple(product(("fp32", "bf16"), (False, True)))  # precision, fast


# ---- one figure, in a process of its own -----------------------------------------------------------------------


class _EnoughError(Exception):
    """As many steps as were wanted are done."""


def measure(config: TrainConfig, steps: int, seconds: float = math.inf, *, held: bool = False) -> dict[str, Any]:
    """Train so many steps and stop, or as many as go into `seconds` once warm, but three at least.

    Times are when the loop told of each step (it reads losses a step late). `held` gives the first batch again and
    again, so that nothing is read or decoded meanwhile: what the loop takes by itself.
    """
    waits: list[float] = []
    ticks: list[float] = []
    device = choose_device(config.device)
    between, Batches.between = Batches.between, _timed(waits, held)  # type: ignore[method-assign]
    every, loop.CHECKPOINT_SECONDS = loop.CHECKPOINT_SECONDS, math.inf
    forget_peak(device)

    def tell(news: Status | str) -> None:
        if isinstance(news, Status):
            ticks.append(perf_counter())
            counted = len(ticks) - WARM_UP
            if counted >= steps or (counted >= FEWEST and ticks[-1] - ticks[WARM_UP - 1] > seconds):
                raise _EnoughError

    try:
        loop.train(config, show=tell)
    except _EnoughError:
        pass
    finally:
        Batches.between = between  # type: ignore[method-assign]
        loop.CHECKPOINT_SECONDS = every
    taken = [after - before for before, after in pairwise(ticks[WARM_UP - 1 :])]
    return {
        "steps": len(taken),
        # Of the median step: after steps 1, 2, 4, 8, … the loop also takes a digest of all weights.
        "images_per_second": config.batch_size / statistics.median(taken),
        "step_ms": 1000 * statistics.median(taken),
        "waiting_share": sum(waits[WARM_UP:]) / sum(taken),
        "peak_memory_bytes": peak(device),
    }


def _timed(waits: list[float], held: bool) -> Callable[[Batches, int, int], Iterator[Batch]]:
    """`Batches.between` that notes how long the loop waited for each batch."""
    between = Batches.between

    def timed(self: Batches, start: int, stop: int) -> Iterator[Batch]:
        asked = perf_counter()
        batches = between(self, start, start + 1 if held else stop)
        for batch in repeat(next(batches), stop - start) if held else batches:
            waits.append(perf_counter() - asked)
            yield batch
            asked = perf_counter()

    return timed


def measured(config: TrainConfig, steps: int) -> dict[str, Any]:
    """`measure` in a process of its own: memory and kernels of one figure say nothing about the next."""
    command = [sys.executable, __file__, "--measure", json.dumps(config.document()), "--steps", str(steps)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


# ---- all of them -----------------------------------------------------------------------------------------------


def painted(folder: Path, size: tuple[int, int], frames: int = 32) -> Path:
    """Shards of painted streets, image bytes as they are: so many to train, two to validate."""
    paint("cityscapes", folder / "raw", train=frames, val=2, test=0, size=size)
    job = segdata.make_job(
        "cityscapes", root=folder / "raw", out=folder / "shards", name="painted", splits=("train", "val"),
        scales=(1, 2, 4, 8), samples_per_shard=8, workers=1,
    )  # fmt: skip
    segdata.prepare(job)
    return folder / "shards"


def rows_of(name: str, options: argparse.Namespace, shards: Path, out: Path) -> Iterator[dict[str, Any]]:
    """The figures of one network, a row for each precision, reproducible and fast."""
    chosen = segmodels.spec(name).resolve({} if options.full else SMALL[name])
    for precision, fast in VARIANTS:
        config = TrainConfig(
            name,
            shards,
            out / f"{name}-{precision}-{fast}",
            tuple(sorted(chosen.items())),
            epochs=None,
            steps=10**6,
            validate_every=10**6,
            batch_size=options.batch_size,
            crop=options.crop,
            precision=precision,
            channels_last=True,
            fast=fast,
            workers=options.workers,
            device=options.device,
        )
        figures = measured(config, WARM_UP + options.steps)
        yield {"network": name, "precision": precision, "fast": fast, "options": dict(chosen)} | figures


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, help="train from these (default: painted at twice the crop)")
    parser.add_argument("--networks", nargs="+", default=list(segmodels.names()), choices=segmodels.names())
    parser.add_argument("--full", action="store_true", help="the networks as published, not their small versions")
    parser.add_argument("--crop", type=size, help="default: 64x128, with --full 512x1024")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="counted steps")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(config_from_document(json.loads(options.measure)), options.steps)))
        return
    options.crop = options.crop or ((512, 1024) if options.full else (64, 128))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shards = options.shards or painted(folder, (2 * options.crop[0], 2 * options.crop[1]))
        line = "{:<22} {:<5} {:<13} {:>10} {:>10} {:>9} {:>9}"
        print(line.format("network", "", "", "images/s", "ms a step", "waiting", "peak MB"))
        rows = []
        for name in options.networks:
            for row in rows_of(name, options, shards, folder):
                mode = "fast" if row["fast"] else "reproducible"
                figures = f"{row['images_per_second']:.1f}", f"{row['step_ms']:.1f}", f"{row['waiting_share']:.1%}"
                memory = f"{row['peak_memory_bytes'] / 2**20:.0f}"
                print(line.format(name, row["precision"], mode, *figures, memory), flush=True)
                rows.append(row)
    if options.out:
        setting = {name: getattr(options, name) for name in ("crop", "batch_size", "steps", "workers", "full")}
        options.out.write_text(
            json.dumps(describe_environment(choose_device(options.device)) | setting | {"rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
