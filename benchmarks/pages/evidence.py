"""What docs/evidence.md and README.md show of the experiments of `benchmarks/evidence/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.evidence.plan import read_plan

Document = Mapping[str, Any]
LEAST_SEEDS = 3  # for words about trainings, not about two runs
SLOTS = ("numbered", "numbered_by_chance", "matched", "matched_by_chance")
PATTERN = "**/evidence-*.json"


def verdicts(results: Mapping[str, Document]) -> str:
    """A line a claim: difference, interval, verdict. Claims whose trainings are still to be done say so."""
    lines = [
        "| source | claim | measured difference in mIoU | 95 % interval | seeds | verdict |",
        "|---|---|--:|--:|--:|---|",
    ]
    found = rows_of(results)
    for row in read_plan().rows.values():
        document = found.get(row.name)
        measured = {each["claim"]: each for each in document["comparisons"]} if document else {}
        for comparison in row.comparisons:
            lines.append(f"| {row.source} {_verdict(comparison.claim, measured.get(comparison.claim))}")
    return "\n".join([*lines, ""])


def _verdict(claim: str, measured: Document | None) -> str:
    if measured is None:
        return f"| {claim} | | | | not tried yet |"
    low, high, seeds = measured["low"], measured["high"], measured["seeds"]
    ends = "-" if low is None else f"{low:+.3f} to {high:+.3f}"
    said = measured["verdict"]
    if seeds == 1:
        said += "; one seed: " + ("this training only" if measured["within_a_run"] else "these two runs only")
    elif seeds < LEAST_SEEDS:
        said += f"; {seeds} seeds: too few to show anything"
    return f"| {claim} | {measured['difference']:+.3f} | {ends} | {seeds} | {said} |"


def trainings(results: Mapping[str, Document]) -> str:
    """A table a row of the plan: what was trained, and its scores."""
    return "\n".join(line for document in rows_of(results).values() for line in _table(document))


def _table(document: Document) -> Iterator[str]:
    size = document["set"]["options"].get("size", "360x480")
    training = document["set"]["training_images"]
    yield (
        f"**{document['title']}**: {training} training images, scored on {document['images']} test images of {size} "
        f"in {document['clips']} clips, {_device(document)}"
    )
    yield ""
    outputs = any(run["outputs"] for runs in document["runs"].values() for run in runs)
    yield (
        "| run | network | parameters | steps x batch | minutes | mIoU | 95 % interval |"
        + " after each output |" * outputs
    )
    yield "|---|---|--:|--:|--:|--:|--:|" + "---|" * outputs
    for name, runs in document["runs"].items():
        cells = [
            f"`{name}`",
            f"`{runs[0]['network']}`",
            f"{runs[0]['parameters']:,}",
            f"{runs[0]['steps']} x {runs[0]['batch_size']}",
            f"{mean(run['seconds'] for run in runs) / 60:.0f}",
            _score(runs),
            _ends(runs),
        ]
        if outputs:
            cells.append(", ".join(f"{value:.3f}" for value in runs[0]["outputs"]))
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield from _swept(document["runs"])


def _swept(runs: Mapping[str, Sequence[Document]]) -> Iterator[str]:
    """What a knob trades: the score at each position, and what is really computed for an image."""
    known = {name: run[0] for name, run in runs.items() if "sweep" in run[0]}
    if not known:
        return
    yield f"| q | {' | '.join(f'`{name}`: mIoU | GMAC' for name in known)} |"
    yield "|--:|" + "--:|--:|" * len(known)
    for row in zip(*(run["sweep"] for run in known.values()), strict=True):
        q = row[0]["value"]
        cells = []
        for run, swept in zip(known.values(), row, strict=True):
            scores = {"q0.5": run["miou"], **run["settings"]}  # 0.5 is what it was trained with
            cells += [f"{scores[f'q{q:g}']:.3f}", f"{swept['macs'] / 1e9:.2f}"]
        yield f"| {q:g} | {' | '.join(cells)} |"
    yield ""


def _score(runs: Sequence[Document]) -> str:
    """Of several seeds mean, standard deviation and number."""
    scores = [run["miou"] for run in runs]
    if len(scores) == 1:
        return f"{scores[0]:.3f}"
    return f"{mean(scores):.3f} ± {stdev(scores):.3f} ({len(scores)} seeds)"


def _ends(runs: Sequence[Document]) -> str:
    found = runs[0]["interval"]
    return "-" if isinstance(found, str) or len(runs) > 1 else f"{found['low']:.3f} to {found['high']:.3f}"


def commands(results: Mapping[str, Document]) -> str:
    """What repeats each training."""
    lines = ["```"]
    for document in rows_of(results).values():
        lines += [runs[0]["command"] for runs in document["runs"].values()]
    return "\n".join([*lines, "```", ""])


def strong(results: Mapping[str, Document]) -> str:
    """The strong row: for README.md."""
    document = rows_of(results)["strong"]
    ((run, *_),) = document["runs"].values()
    interval = run["interval"]
    ends = f" (95 % interval {interval['low']:.3f} to {interval['high']:.3f})" if isinstance(interval, dict) else ""
    rows = sorted(run["class_iou"].items(), key=lambda item: -item[1])
    classes = ", ".join(f"{name} {iou:.2f}" for name, iou in rows)
    device = _device(document) + _views(document["views"])
    return (
        f"`{run['network']}` ({run['parameters']:,} parameters), {run['steps']} steps of {run['batch_size']} crops, "
        f"{run['seconds'] / 60:.0f} minutes of {device}: **mIoU {run['miou']:.3f}**{ends}, pixel accuracy "
        f"{run['pixel_accuracy']:.3f}. By class: {classes}.\n"
    )


def _views(views: Mapping[str, Any]) -> str:
    """How the images were shown."""
    scales = f" at scales {views['scales'].replace(',', ', ')}" if "scales" in views else ""
    mirrored = ", each also mirrored" if views.get("flip") else ""
    return f", scored as the average of the image{scales}{mirrored}" if scales or mirrored else ""


def slots(result: Document) -> str:
    """How far ClusterNet's slots mean the same from image to image, and from one refresh of the groups to the next."""
    lines = [
        "| two assignments of channels to groups | same slot | by chance | after the best matching | by chance |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in result["images"]:
        when = f"after {row['steps']} steps" if row["steps"] else "with random weights"
        cells = (row[name]["mean"] for name in SLOTS)
        lines.append(f"| of two images (`per_image`), {when} | {' | '.join(map(_share, cells))} |")
    refreshes = result["refreshes"]
    cells = (mean(each[name] for each in refreshes) for name in SLOTS)
    lines.append(
        f"| before and after a refresh (`shared`), mean of {len(refreshes)} | {' | '.join(map(_share, cells))} |"
    )
    return "\n".join([*lines, ""])


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _device(document: Document) -> str:
    device = next(iter(document["runs"].values()))[0]["device"]
    return "one thread of a CPU" if device["kind"] == "cpu" else device["name"]


def rows_of(results: Mapping[str, Document]) -> dict[str, Document]:
    """Row → its result, in the plan's order; where there are several, the most complete one."""
    found: dict[str, Document] = {}
    for document in results.values():
        row = document["rows"][0] if "card" in document else document
        if row["row"] not in found or _size(row) > _size(found[row["row"]]):
            found[row["row"]] = row
    return {name: found[name] for name in read_plan().rows if name in found}


def _size(row: Document) -> tuple[int, int]:
    """How many runs it has, and how many trainings."""
    return len(row["runs"]), sum(map(len, row["runs"].values()))


EVIDENCE: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "verdicts": (PATTERN, verdicts),
    "trainings": (PATTERN, trainings),
    "commands": (PATTERN, commands),
    "slots": ("cpu/slots.json", slots),
}
README: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {"strong": (PATTERN, strong)}
