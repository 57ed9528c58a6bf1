"""What README.md shows of scores in benchmarks/results/; `python -m benchmarks.pages` writes it there."""

from collections.abc import Callable
from typing import Any

import segmodels
from segmodels.scoring.intervals import OLDER, no_interval, too_few, too_few_seeds


def results(result: dict[str, Any]) -> str:
    """The leaderboard of `segmodels report`: a table a shard set, the best network first."""
    return "\n".join(_board(board) for board in result["boards"])


def _board(board: dict[str, Any]) -> str:
    height, width = board["rows"][0]["size"]
    kind = "painted" if board["painted"] else "real"
    not_ranked, reason = _unknown(board)
    ranked = len(board["rows"]) > 1 and not not_ranked
    lines = [
        f"**{board['set']}**, {board['split']}: {board['images']} {kind} images of {height}x{width}",
        *(["", not_ranked] if not_ranked else []),
        "",
        f"|{' rank |' * ranked} network | mIoU |{' 95 % interval |' * (not reason)} pixel accuracy | parameters | GMAC "
        "| training |",
        f"|{'--:|' * ranked}---|--:|{'--:|' * (not reason)}--:|--:|--:|--:|",
    ]
    for row in board["rows"]:
        place = f" {_place(row)} |" if ranked else ""
        ends = "" if reason else f" {_ends(row['interval']['miou'])} |"
        lines.append(
            f"|{place} `{row['run']}` | {_mean(row)} |{ends} {_score(row['scores']['pixel_accuracy'])} "
            f"| {row['parameters']:,} | {row['macs'] / 1e9:.3g} | {row['train_seconds']:.0f} s |"
        )
    few = too_few(range(board["images"]))
    told = bool(few) and few in not_ranked  # of images: the line above says it already
    return "\n".join([*lines, *(["", f"No interval: {reason}."] if reason and not told else []), ""])


def _unknown(board: dict[str, Any]) -> tuple[str, str]:
    """Why nothing is ranked and why there is no interval, empty where there is; of an older version both are told here.

    Older results are of one seed each.
    """
    if "interval_reason" in board:
        return board["not_ranked"] or "", board["interval_reason"] or ""
    few = too_few(range(board["images"]))
    not_ranked = f"{', '.join(['one seed', *([few] if few else [])])}: not ranked" if len(board["rows"]) > 1 else ""
    return not_ranked, no_interval(range(board["images"])) or OLDER


def _place(row: dict[str, Any]) -> str:
    if few := too_few_seeds(len(row["seeds"])):
        return few
    best, worst = row["rank"]["best"], row["rank"]["worst"]
    return str(best) if best == worst else f"{best} to {worst}"


def _mean(row: dict[str, Any]) -> str:
    """Of several seeds with their number and standard deviation."""
    seeds = len(row.get("seeds", [0]))
    more = f" ± {_score(row['spread']['miou'])} ({seeds} seeds)" if seeds > 1 else ""
    return _score(row["scores"]["miou"]) + more


def _ends(interval: dict[str, float | None] | None) -> str:
    return f"{_score(interval['low'])} to {_score(interval['high'])}" if interval else "-"


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
        interval = None if _camvid_reason(row) else row["interval"]["miou"]
        timing = row["timing"]
        published = segmodels.spec(row["network"]).resolve({})
        changed = (f"{name}={value}" for name, value in row["options"].items() if value != published[name])
        name = " ".join([f"`{row['network']}`", *changed, *_seed(row)])
        crop = "x".join(map(str, row["crop"] or ())) or "none"
        lines.append(
            f"| {name} | {_score(row['miou'])} | {_ends(interval)} "
            f"| {row['parameters']:,} "
            f"| {row['steps']} x {row['batch_size']} | {crop} | {row['precision']} | {timing['seconds']:.0f} s "
            f"| {timing['images_per_second']:.1f} | {timing['peak_memory_bytes'] / 1e6:.0f} "
            f"| {row['environment']['device']['kind']} |"
        )
    if reasons := list(dict.fromkeys(filter(None, map(_camvid_reason, rows)))):
        lines += ["", f"Rows without an interval: {'; '.join(reasons)}."]
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


def _camvid_reason(row: dict[str, Any]) -> str:
    """Why the row has no interval; empty where it has. Older versions wrote none down."""
    return (row["interval_reason"] or "") if "interval_reason" in row else OLDER


def _seed(row: dict[str, Any]) -> list[str]:
    return [f"seed {row['seed']}"] if row["seed"] else []


SCORES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "results": ("repro-results.json", results),
}
SMOKE: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {"camvid": ("**/camvid-*.json", camvid)}
