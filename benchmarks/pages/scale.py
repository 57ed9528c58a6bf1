"""What docs/scale.md shows of benchmarks/results/cpu/scale.json; `python -m benchmarks.pages` writes it there."""

from collections.abc import Callable
from typing import Any

PETABYTE = 1e15
DISK = 1e9  # bytes a second that all workers together read from a store: a figure to start from, not a measured one
MANIFEST = 1 << 26  # bytes of dataset.json at most: segdata.format.manifest.MAX_BYTES
WORKERS = 200


def engines(result: dict[str, Any]) -> str:
    """Speed by engine and workers; then what Ray adds to a shard."""
    found, trips = result["engines"], result["trips"]
    rows = [
        "| | pairs/s, 1 worker | pairs/s, 2 workers | efficiency of two workers | start-up | overhead per shard |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for engine, text in (("local", "`--engine local`"), ("ray", "`--engine ray`, a new cluster")):
        speeds = (f"{found[f'{engine} {workers}']['speed']:.1f}" for workers in (1, 2))
        share = found[f"{engine}, efficiency of two workers"]
        trip = trips[engine]
        rows.append(
            f"| {text} | {' | '.join(speeds)} | {share:.0%} | {trip['start_s']:.1f} s | {trip['ms_a_unit']:.1f} ms |"
        )
    rounds = f"pairs/s are medians of {found['rounds']} rounds, the other columns of {trips['rounds']}"
    return "\n".join([*rows, "", f"{_machine(result)}; {rounds}. A shard has 8 pairs of 2048x1024.", ""])


def million(result: dict[str, Any]) -> str:
    """A hundred thousand frames beside a million."""
    found = result["million"]

    def row(text: str, part: str, name: str, unit: str, digits: int = 1) -> str:
        cells = (f"{found[f'{part} {size}'][name]:,.{digits}f} {unit}" for size in ("tenth", "million"))
        return f"| {text} | {' | '.join(cells)} |"

    frames = (f"{found[f'plan {size}']['frames']:,} frames" for size in ("tenth", "million"))
    return "\n".join(
        [
            f"| | {' | '.join(frames)} |",
            "|---|--:|--:|",
            row("planning", "plan", "seconds", "s"),
            row("… peak memory of the process", "plan", "peak_mb", "MB", 0),
            row("… memory of the process before planning", "plan", "before_mb", "MB", 0),
            row("assembling: additional memory", "publish", "grown_mb", "MB", 0),
            row("receipts, on disk", "publish", "receipts_mb", "MB", 0),
            row("index, on disk", "publish", "index_mb", "MB", 0),
            row("`dataset.json`", "publish", "dataset_json_mb", "MB"),
            row("opening a `ShardSet`", "open", "open_s", "s", 2),
            row("… additional memory", "open", "open_mb", "MB"),
            row("`order(seed, epoch)[position]`", "open", "us_a_position", "µs", 0),
            row("… additional memory after ordering and reading 2,000 samples", "open", "order_and_reads_mb", "MB"),
            "",
        ]
    )


def remote(result: dict[str, Any]) -> str:
    """Disk, cold and warm cache."""
    found = result["remote"]
    rows = ["| | samples/s | MB/s | relative to disk |", "|---|--:|--:|--:|"]
    for way, text in (
        ("disk", "a folder on disk"),
        ("cold", "over HTTP, empty cache"),
        ("warm", "over HTTP, full cache"),
    ):
        row = found[way]
        share = row["samples_per_s"] / found["disk"]["samples_per_s"]
        rows.append(f"| {text} | {row['samples_per_s']:.0f} | {row['mb_per_s']:.0f} | {share:.0%} |")
    return "\n".join(
        [*rows, "", f"{found['samples']} samples; measured rounds: {found['rounds']}, after one warm-up round.", ""]
    )


def petabyte(result: dict[str, Any]) -> str:
    """Bytes a frame and a shard as measured, times as many as a petabyte has."""
    read, whole, plan = (
        result["remote"]["disk"],
        result["million"]["publish million"],
        result["million"]["plan million"],
    )
    frame = read["mb_per_s"] / read["samples_per_s"] * 1e6
    frames = PETABYTE / frame
    simulated = plan["frames"]
    receipt, index = (1e6 * whole[name] / simulated for name in ("receipts_mb", "index_mb"))
    listed = 1e6 * whole["dataset_json_mb"] / whole["shards"]
    planned = 1e6 * (plan["peak_mb"] - plan["before_mb"]) / simulated
    speed = result["engines"]["ray 1"]["speed"]
    rows = [
        "| | 64 samples per shard | 1,024 samples per shard | each of 100 sets, 1,024 samples per shard |",
        "|---|--:|--:|--:|",
    ]
    plans = [(frames, 64), (frames, 1024), (frames / 100, 1024)]
    lines: list[tuple[str, Callable[[float, int], str]]] = [
        ("frames", lambda n, each: f"{n / 1e6:,.1f} million"),
        ("size of a shard", lambda n, each: _bytes(frame * each)),
        ("shards", lambda n, each: f"{n / each:,.0f}"),
        ("`dataset.json`", lambda n, each: _bytes(listed * n / each) + _over(listed * n / each)),
        ("receipts", lambda n, each: _bytes(receipt * n)),
        ("index", lambda n, each: _bytes(index * n)),
        ("memory of planning", lambda n, each: _bytes(planned * n)),
        (f"conversion by {WORKERS} workers", lambda n, each: f"{n / speed / WORKERS / 3600:,.1f} h"),
        ("lost when a worker dies, at most", lambda n, each: f"{each / speed:,.0f} s of work"),
        ("a second run that finds everything done", lambda n, each: f"{2 * frame * n / DISK / 3600:,.0f} h"),
    ]
    rows += [f"| {text} | {' | '.join(cell(*plan) for plan in plans)} |" for text, cell in lines]
    return "\n".join([*rows, "", f"A frame with its targets takes {frame / 1e6:.2f} MB in this measurement.", ""])


def _over(size: float) -> str:
    return f" (refused: more than {_bytes(MANIFEST)})" if size > MANIFEST else ""


def _bytes(size: float) -> str:
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 1000:
            return f"{size:,.0f} {unit}" if size >= 10 else f"{size:,.1f} {unit}"
    return f"{size:,.0f} TB"


def _machine(result: dict[str, Any]) -> str:
    return f"{result['machine']['cpu']}, {result['machine']['cores']} logical processors"


SCALE: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "engines": ("cpu/scale.json", engines),
    "million": ("cpu/scale.json", million),
    "remote": ("cpu/scale.json", remote),
    "petabyte": ("cpu/scale.json", petabyte),
}
