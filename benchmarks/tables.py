"""Write the figures of benchmarks/results/ into README.md, between their markers: `python benchmarks/tables.py`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WAYS = {
    "a": "the script that people write (ShardWriter, Pillow, numpy majority)",
    "b": "a careful script (bytes copied, stride targets, Pillow)",
    "c": "**`segdata prepare`** (majority x1 to x8, all checks and digests)",
    "z": "`segdata prepare` from the zips",
    "d": "the floor: both files copied into a tar, CRC-32 and SHA-256",
    "w": "as many bytes written, and nothing else",
}


def convert(result: dict[str, Any]) -> str:
    """Pairs per second, CPU time and memory of every way; then the ratios."""
    rows = [
        "| | pairs/s, 1 worker | pairs/s, 2 workers | CPU ms a pair | peak MB, 2 workers |",
        "|---|--:|--:|--:|--:|",
    ]
    for way, text in WAYS.items():
        one, two = (result["medians"][way + workers] for workers in "12")
        rows.append(
            f"| ({way}) {text} | {one['pairs_per_s']:.1f} | {two['pairs_per_s']:.1f} | {one['cpu_ms_per_pair']:.1f} "
            f"| {two['peak_mb']:.0f} |"
        )
    ratios = " · ".join(f"{name}: {value}" for name, value in result["ratios"].items())
    return "\n".join([*rows, "", f"Medians of {result['rounds']} rounds. {ratios}.", ""])


def long_way(result: dict[str, Any]) -> str:
    """The whole of Cityscapes' fine annotation, once."""
    return (
        f"As many frames as Cityscapes' fine annotation has: {result['samples_written']} samples in {result['shards']}"
        " shards"
        f" took {result['wall_s']:.0f} s with two workers ({result['pairs_per_s']:.0f} pairs/s) and at most"
        f" {result['peak_mb']:.0f} MB.\n"
    )


TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "convert": ("cpu-convert.json", convert),
    "long": ("cpu-convert-long.json", long_way),
}


def filled(text: str) -> str:
    """The text with every marked section made anew from its result."""
    for name, (file, render) in TABLES.items():
        body = render(json.loads((RESULTS / file).read_text()))
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        assert begin and end, name
        text = before + begin + body + end + after
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text()))
