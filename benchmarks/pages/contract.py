"""docs/networks.md: what every network keeps, from the reports of `segmodels check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
COLUMNS = {  # the header of each column, and the check behind it
    "shapes": "shapes",
    "gradients": "gradients",
    "bytes": "bytes",
    "batch": "batch",
    "twice": "twice",
    "bf16": "bf16",
    ".pt2": "pt2",
    "ONNX": "onnx",
    "deterministic on CPU": "cpu",
    "on CUDA": "cuda",
}
Document = dict[str, Any]


def table(found: Document) -> str:
    """A row a network; below it, why something is not kept or was not asked."""
    lines = [f"| network | parameters | {' | '.join(COLUMNS)} |", f"|---|--:|{'---|' * len(COLUMNS)}"]
    notes = []
    for row in found["rows"]:
        cells = [_cell(name, row["checks"][name]) for name in COLUMNS.values()]
        lines.append(f"| `{row['network']}`{_origin(row)} | {_parameters(row)} | {' | '.join(cells)} |")
        for title, name in COLUMNS.items():
            answer = row["checks"][name]
            if answer["state"] != "ok":
                notes.append(f"* `{row['network']}`, {title}: {answer['detail']}.")
    return "\n".join([*lines, "", *([*notes, ""] if notes else []), f"torch {found['torch']}.", ""])


def _cell(name: str, answer: Document) -> str:
    if answer["state"] != "ok":
        return "no" if answer["state"] == "wrong" else "-"
    if name == "cuda":
        return "read" if "not measured" in answer["detail"] else "measured"
    if name == "bf16":
        return f"{answer['figure']:.1%}"
    return f"{answer['figure']:.0e}" if name in {"batch", "pt2", "onnx"} else "yes"


def _parameters(row: Document) -> str:
    """The published count where there is one and it is met; else that of the network as it was asked about."""
    count = row["checks"]["count"]
    if count["state"] == "ok":
        return f"**{count['detail'].split(' at ')[0]}**"
    return "no" if count["state"] == "wrong" else f"{row['parameters']:,}"


def _origin(row: Document) -> str:
    """Options are told where they change what is built, of networks of other libraries the version."""
    versions = ", ".join(f"{name} {version}" for name, version in row.get("origin", []))
    return f" ({versions})" if versions else ""


SECTIONS: dict[str, tuple[str, Callable[[Document], str]]] = {
    "contract": ("cpu/contract.json", table),
    "adapters": ("cpu/adapters.json", table),
}
CONTRACT = {name: section for name, section in SECTIONS.items() if (RESULTS / section[0]).is_file()}
