"""What README.md shows of scores in benchmarks/results/; `python -m benchmarks.pages` writes it there."""

from collections.abc import Callable
from typing import Any

import segmodels


def results(result: dict[str, Any]) -> str:
    """The leaderboard of `segmodels report`: a table a shard set, the best network first."""
    return "\n".join(_board(board) for board in result["boards"])


def _board(board: dict[str, Any]) -> str:
    height, width = board["rows"][0]["size"]
    kind = "painted" if board["painted"] else "real"
    lines = [
        f"**{board['set']}**, {board['split']}: {board['images']} {kind} images of {height}x{width}",
        "",
        "| rank | network | mIoU | 95 % interval | pixel accuracy | parameters | GMAC | training |",
        "|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in board["rows"]:
        rank, interval = row["rank"], row["interval"]["miou"]
        place = str(rank["best"]) if rank["best"] == rank["worst"] else f"{rank['best']} to {rank['worst']}"
        ends = f"{_score(interval and interval['low'])} to {_score(interval and interval['high'])}"
        lines.append(
            f"| {place} | `{row['run']}` | {_score(row['scores']['miou'])} | {ends} "
            f"| {_score(row['scores']['pixel_accuracy'])} | {row['parameters']:,} | {row['macs'] / 1e9:.3g} "
            f"| {row['train_seconds']:.0f} s |"
        )
    return "\n".join([*lines, ""])


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def camvid(results: dict[str, dict[str, Any]]) -> str:
    """A table a device: a row a network trained on CamVid, the best first. A GPU's name is above its table."""
    devices: dict[str, list[dict[str, Any]]] = {}
    for document in results.values():
        row = document
        if "card" in document:  # a card's, of `benchmarks.device`
            row = document["rows"][0] | {"environment": document, "beside": document["beside"]}
        device = row["environment"]["device"]
        devices.setdefault("" if device["kind"] == "cpu" else f"**{device['name']}**", []).append(row)
    return "\n".join(_camvid(heading, devices[heading]) for heading in sorted(devices))


def _camvid(heading: str, rows: list[dict[str, Any]]) -> str:
    lines = [
        *([heading, ""] if heading else []),
        "| network | mIoU | 95 % interval | parameters | steps x batch | crop | precision | time | images/s | peak MB "
        "| device |",
        "|---|--:|--:|--:|--:|---|---|--:|--:|--:|---|",
    ]
    for row in sorted(rows, key=lambda row: -(row["miou"] or 0)):
        interval = row["interval"]["miou"] or {}
        timing = row["timing"]
        published = segmodels.spec(row["network"]).resolve({})
        changed = (f"{name}={value}" for name, value in row["options"].items() if value != published[name])
        name = " ".join([f"`{row['network']}`", *changed, *_seed(row)])
        crop = "x".join(map(str, row["crop"] or ())) or "none"
        lines.append(
            f"| {name} | {_score(row['miou'])} | {_score(interval.get('low'))} to {_score(interval.get('high'))} "
            f"| {row['parameters']:,} "
            f"| {row['steps']} x {row['batch_size']} | {crop} | {row['precision']} | {timing['seconds']:.0f} s "
            f"| {timing['images_per_second']:.1f} | {timing['peak_memory_bytes'] / 1e6:.0f} "
            f"| {row['environment']['device']['kind']} |"
        )
    steps = [
        " ".join([f"`{row['network']}`", *_seed(row), ", ".join(map(_score, row["steps_miou"]))])
        for row in rows
        if row.get("steps_miou")
    ]
    if steps:
        lines += ["", f"mIoU after each stage or iteration: {'; '.join(steps)}."]
    beside = [f"`{row['network']}`" for row in rows if row.get("beside")]
    if beside:
        lines += [
            "",
            f"These trainings shared the GPU with others and made fewer steps in their time: {', '.join(beside)}.",
        ]
    return "\n".join([*lines, ""])


def _seed(row: dict[str, Any]) -> list[str]:
    return [f"seed {row['seed']}"] if row["seed"] else []


SCORES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "results": ("repro-results.json", results),
}
SMOKE: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {"camvid": ("**/camvid-*.json", camvid)}
