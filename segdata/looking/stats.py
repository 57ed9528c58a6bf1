"""What a shard set holds, as numbers: per class pixels, share and images; image mean and deviation; class weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.format.counts import ImageSums
from segdata.format.manifest import read_manifest
from segdata.reading.shardset import ShardSet
from segdata.stores.url import Place

Progress = Callable[[int, int], None]


def stats(folder: Place, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Split -> numbers. Class counts were taken while writing; images are decoded where they were not then."""
    manifest = read_manifest(folder)
    sets = {split: ShardSet(folder, split, version=manifest.fingerprint) for split in manifest.splits}
    total = sum(len(shards) for shards in sets.values())
    document: dict[str, Any] = {"set": next(iter(sets.values())).manifest.name, "splits": {}}
    done = 0
    for split, shards in sets.items():
        document["splits"][split] = _split(shards, partial(_advance, progress, done, total))
        done += len(shards)
    document["digest"] = next(iter(sets.values())).digest
    return document


def _advance(progress: Progress, start: int, total: int, done: int) -> None:
    progress(start + done, total)


def _split(shards: ShardSet, progress: Callable[[int], None]) -> dict[str, Any]:
    counts, sums = shards.statistics
    sums = sums or _image_sums(shards, progress)
    entry: dict[str, Any] = {
        "samples": len(shards),
        "image_mean": _rounded(sums.mean),
        "image_deviation": _rounded(sums.deviation),
    }
    if counts:
        weights = {
            "inverse_frequency": counts.inverse_frequency(),
            "median_frequency": counts.median_frequency(sums.pixels / len(shards)),
            "effective_number": counts.effective_number(),
        }
        names = [*(row.name for row in shards.taxonomy.classes), "(ignored)"]
        entry["classes"] = [
            {
                "name": name,
                "pixels": int(counts.pixels[i]),
                "share": round(float(counts.shares[i]), 6),
                "images": int(counts.images[i]),
                **{kind: round(float(row[i]), 6) for kind, row in weights.items() if i < len(row)},
            }
            for i, name in enumerate(names)
        ]
    return entry


def _image_sums(shards: ShardSet, progress: Callable[[int], None]) -> ImageSums:
    parts = []
    for i in range(len(shards)):
        parts.append(ImageSums.of(shards.read(i, scales=()).image))
        progress(i + 1)
    return ImageSums.total(parts)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 6) for value in values]


def table(document: dict[str, Any]) -> str:
    """The numbers for people."""
    lines = []
    for split, entry in document["splits"].items():
        mean, deviation = (" ".join(f"{v:.4f}" for v in entry[key]) for key in ("image_mean", "image_deviation"))
        lines += [f"{split}: {entry['samples']} samples · image mean {mean} · deviation {deviation}"]
        if "classes" not in entry:
            lines += ["  (no labels)"]
            continue
        lines += [f"  {'class':22}{'pixels':>14}{'share':>9}{'images':>8}{'1/freq':>10}{'median':>9}{'effective':>11}"]
        for row in entry["classes"]:
            weights = [
                f"{row[kind]:.3f}" if kind in row else ""
                for kind in ("inverse_frequency", "median_frequency", "effective_number")
            ]
            lines += [
                f"  {row['name']:22}{row['pixels']:14d}{100 * row['share']:8.2f}%{row['images']:8d}"
                f"{weights[0]:>10}{weights[1]:>9}{weights[2]:>11}"
            ]
    return "\n".join(lines)
