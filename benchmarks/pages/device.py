"""What docs/speed.md shows of results/cuda/GPU/: sections for each model of GPU, so that no table mixes two."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Any

Card = dict[str, Any]  # a result file of a card
Cards = dict[str, Card]  # of one GPU, by name
BEFORE = "before"  # folder of a GPU's first results, from before what they showed was mended


def cuda(results: dict[str, Card]) -> str:
    """All cards of every GPU; `results` by their paths: cuda/GPU/CARD.json, or cuda/GPU/before/CARD.json."""
    now: dict[str, Cards] = {}
    before: dict[str, Cards] = {}
    for path, card in results.items():
        _, gpu, *folder, _ = PurePosixPath(path).parts
        (before if folder == [BEFORE] else now).setdefault(gpu, {})[card["card"]] = card
    return "\n".join(_gpu(now[gpu], before.get(gpu, {})) for gpu in sorted(now))


def _gpu(cards: Cards, before: Cards) -> str:
    first = next(iter(cards.values()))
    versions = first["versions"]
    heading = f"### {first['device']['name']}"
    about = f"torch {versions['torch']}, cuDNN {versions.get('cudnn', 'none')}; commit {_commits(cards.values())}."
    parts = (promises, training, determinism, compiled, latency, skipping, memory)
    texts = [text for part in parts if (text := part(cards))]
    return "\n".join([heading, "", about, "", *texts, *mended(cards, before)])


def _commits(cards: Iterable[Card]) -> str:
    return ", ".join(sorted({str(card["commit"])[:7] for card in cards}))


def _of(cards: Cards, kind: str) -> Iterable[Card]:
    """Those of a kind: all `train-…`."""
    return [card for name, card in cards.items() if name.partition("-")[0] == kind and card["rows"]]


def promises(cards: Cards) -> str:
    """The tests, and the levels of reproducibility."""
    lines = [
        f"Tests marked `cuda`: {row['passed']} passed, {len(row['failed'])} failed{_part(card)}."
        for card in _of(cards, "tests")
        for row in card["rows"]
    ]
    held: dict[str, list[str]] = {}
    for card in _of(cards, "levels"):
        for row in card["rows"]:
            levels = ", ".join(level for level in ("L0", "L1", "L2") if row[level])
            held.setdefault(f"Identical weights after {row['steps']} steps at {_size(row['crop'])}", []).append(
                f"`{row['network']}` in {row['precision']} ({levels})"
            )
    lines += [f"{what}: {', '.join(sorted(each))}." for what, each in held.items()]
    return "\n".join([*(f"* {line}" for line in lines), ""]) if lines else ""


def _part(card: Card) -> str:
    return "" if card["status"] == "done" else " (stopped before the end)"


def training(cards: Cards) -> str:
    """The loop as it runs: the first variant, and how much faster others are."""
    found = sorted(_of(cards, "train"), key=lambda card: -_rate(card["rows"][0]))
    if not found:
        return ""
    lines = [
        "| training | batch | images/s | ms per step | repeated | same batch | contiguous | float32 | waiting | GiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for card in found:
        base, *others = card["rows"]
        variants = ({}, {"held": True}, {"channels_last": False}, {"precision": "fp32"})
        known = _repeated(base, others)
        cells = " | ".join(_times(base, others, **changed) if known else "" for changed in variants)
        lines.append(
            f"| `{base['network']}` | {base['batch_size']} | {_rate(base):.1f} | {base['step_ms']:.0f} | {cells} "
            f"| {base['waiting_share']:.1%} | {base['peak_memory_bytes'] / 2**30:.1f} |"
        )
    note = f"Crops of {_size(base['crop'])} of painted streets; times are those of the median step."
    return "\n".join([*lines, "", note, ""])


def _size(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


def _rate(row: Card) -> float:
    """Images a second, of the median step."""
    return 1000.0 * row["batch_size"] / row["step_ms"]


def _times(base: Card, rows: Iterable[Card], **changed: Any) -> str:
    """How many times as fast the variant with these changes is; empty where it was not measured."""
    same = ("precision", "channels_last", "fast", "compile", "held")
    wanted = {name: base[name] for name in same} | changed
    found = [row for row in rows if {name: row[name] for name in same} == wanted]
    return f"{base['step_ms'] / found[0]['step_ms']:.2f}x" if found else ""


def _repeated(base: Card, rows: Iterable[Card]) -> bool:
    """Whether the base was measured once more: only then is it known what drift is."""
    return bool(_times(base, rows))


def determinism(cards: Cards) -> str:
    """What reproducibility costs."""
    lines = ["| reproducible | ms per step, bfloat16 | `--fast` | ms, float32 | `--fast` |", "|---|--:|--:|--:|--:|"]
    for card in _of(cards, "determinism"):
        cells = []
        for precision in ("bf16", "fp32"):
            rows = [row for row in card["rows"] if row["precision"] == precision]
            base = next((row for row in rows if not row["fast"]), None)
            cells += [f"{base['step_ms']:.0f}", _times(base, rows, fast=True)] if base else ["", ""]
        lines.append(f"| `{card['rows'][0]['network']}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""]) if len(lines) > 2 else ""


def compiled(cards: Cards) -> str:
    """What `--compile` gains."""
    lines = ["| compiled | ms per step without | `--compile` | `--compile --fast` |", "|---|--:|--:|--:|"]
    for card in _of(cards, "compile"):
        base, *others = card["rows"]
        cells = _times(base, others, compile=True), _times(base, others, compile=True, fast=True)
        lines.append(f"| `{base['network']}` | {base['step_ms']:.0f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""]) if len(lines) > 2 else ""


def latency(cards: Cards) -> str:
    """Forwards at batch 1: a row a network, the fastest first."""
    found = {(row["network"], row["precision"]): row for card in _of(cards, "latency") for row in card["rows"]}
    if not found:
        return ""
    lines = [
        "| forward pass, batch size 1 | ms, bfloat16 | p95 | MiB | joules | ms, float32 | joules |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name in dict.fromkeys(name for name, _ in sorted(found, key=lambda each: found[each]["ms_median"])):
        low, wide = found.get((name, "bf16")), found.get((name, "fp32"))
        cells = (
            [f"{low['ms_median']:.1f}", f"{low['ms_p95']:.1f}", f"{low['peak_memory_bytes'] / 2**20:.0f}"]
            if low
            else [""] * 3
        )
        cells += [_joules(low), f"{wide['ms_median']:.1f}" if wide else "", _joules(wide)]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    row = next(iter(found.values()))
    return "\n".join([*lines, "", f"{_size(row['size'])}, {row['classes']} classes, channels last, reproducible.", ""])


def _joules(row: Card | None) -> str:
    return f"{row['joules_per_image']:.1f}" if row and row["joules_per_image"] is not None else ""


def skipping(cards: Cards) -> str:
    """The percentile network on tiles, by precision and side of tiles."""
    rows = [row for card in _of(cards, "sparse") for row in card["rows"]]
    if not rows:
        return ""
    names = [f"{row['precision']}, tiles of {row['side']}" for row in rows]
    size = _size(rows[0]["size"])
    lines = [
        f"| `percentile` on tiles, {size}: time / dense | {' | '.join(names)} |",
        f"|---|{'--:|' * len(rows)}",
    ]
    for each in zip(*(row["rows"] for row in rows), strict=True):
        ratios = (f"{share['ratio']:.2f}" for share in each)
        lines.append(f"| {each[0]['active']:.0%} of pixels active | {' | '.join(ratios)} |")
    autos, dense = (f"{row['auto_at_100_percent']:.2f}" for row in rows), (f"{row['dense_ms']:.0f}" for row in rows)
    lines += [f"| `auto`, 100% of pixels active | {' | '.join(autos)} |", f"| dense, ms | {' | '.join(dense)} |"]
    return "\n".join([*lines, ""])


def memory(cards: Cards) -> str:
    """Memory of the full recipes' steps, beside what benchmarks/networks/memory.py counts without computing."""
    found = [row for card in _of(cards, "memory") for row in card["rows"]]
    if not found:
        return ""
    lines = ["| step of the full recipe | counted GiB | measured | reserved by the allocator |", "|---|--:|--:|--:|"]
    for row in found:
        lines.append(f"| `{row['run']}` | {row['counted_GiB']:.1f} | {row['GiB']:.1f} | {row['held_GiB']:.1f} |")
    return "\n".join([*lines, ""])


def mended(cards: Cards, before: Cards) -> list[str]:
    """What was slow at first, and is after it was mended: figures that both have."""
    if not before:
        return []
    commits = (_commits(each.values()) for each in (before, {name: cards[name] for name in before if name in cards}))
    lines = ["| improved after the first measurement | before ({}) | after ({}) |".format(*commits), "|---|--:|--:|"]
    for name, old in sorted(before.items()):
        new, compare = cards.get(name), COMPARED.get(name.partition("-")[0])
        if compare and new and old["rows"] and new["rows"]:
            lines += [f"| {what} | {a} | {b} |" for what, a, b in compare(old, new)]
    return [*lines, ""] if len(lines) > 2 else []


def _steps(old: Card, new: Card) -> Iterable[tuple[str, str, str]]:
    (a, *_), (b, *_) = old["rows"], new["rows"]
    yield f"`{a['network']}`: ms per step, same batch", f"{a['step_ms']:.0f}", f"{b['step_ms']:.0f}"


def _forwards(old: Card, new: Card) -> Iterable[tuple[str, str, str]]:
    after = {row["network"]: row for row in new["rows"]}
    for row in old["rows"]:
        if row["network"] in after:
            was, now = row["ms_median"], after[row["network"]]["ms_median"]
            yield f"`{row['network']}`: ms per forward pass, {row['precision']}", f"{was:.1f}", f"{now:.1f}"


def _tiles(old: Card, new: Card) -> Iterable[tuple[str, str, str]]:
    after = {row["precision"]: row for row in reversed(new["rows"])}
    for row in (row for row in old["rows"] if row["precision"] in after):
        for a, b in zip(row["rows"], after[row["precision"]]["rows"], strict=True):
            if a["active"] in (1.0, 0.25):
                what = f"`percentile` on tiles, {row['precision']}, {a['active']:.0%} active: time / dense"
                yield what, f"{a['ratio']:.2f}", f"{b['ratio']:.2f}"


COMPARED: dict[str, Callable[[Card, Card], Iterable[tuple[str, str, str]]]] = {
    "profile": _steps,
    "latency": _forwards,
    "sparse": _tiles,
}
DEVICE: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {"cuda": ("cuda/**/*.json", cuda)}
