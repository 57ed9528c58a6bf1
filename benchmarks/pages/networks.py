"""docs/networks.md: networks side by side in equal time, and the same weights under every way to get them."""

from __future__ import annotations

from typing import Any

Rows = dict[str, Any]


def equal(found: Rows) -> str:
    """A row a network, the best first."""
    rows = sorted(found["rows"], key=lambda row: -row["miou"])
    lines = [
        "| network | parameters | steps | CPU seconds | mIoU, 95% interval | pixel accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        options = " ".join(f"{name}={value}" for name, value in row["options"].items())
        interval = row["interval"]
        between = f", {interval['low']:.3f} to {interval['high']:.3f}" if interval else ""
        lines.append(
            f"| `{row['network']}`{f' ({options})' if options else ''} | {row['parameters']:,} | {row['steps']} "
            f"| {row['cpu_seconds']:.0f} | {row['miou']:.3f}{between} | {row['pixel_accuracy']:.3f} |"
        )
    first = rows[0]
    text = (
        f"Frames of {found['size']}, {first['images']} of them scored. Each network had {found['seconds']:.0f} s of "
        "one processor core for its training; what is used beyond that is the start of the program and a validation."
    )
    return "\n".join([text, "", *lines, ""])


def same(found: Rows) -> str:
    """A row a network."""
    lines = [
        "| network | parameters | steps | 0 and 3 workers, one SIGKILL | mIoU on val | `.onnx` against the network |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        onnx = row["onnx"]
        text = "the same bytes" if row["same_weights"] and row["kills"] else "NOT the same"
        relative = onnx["difference"] / onnx["scale"]
        lines.append(
            f"| `{row['network']}` | {row['parameters']:,} | {row['steps']} | {text} | {row['miou_val']:.3f} "
            f"| {relative:.0e} of the largest logit, the same class at {onnx['agreement']:.3%} of the pixels |"
        )
    return "\n".join([*lines, ""])


NETWORKS = {"equal": ("cpu/equal.json", equal), "same": ("cpu/same.json", same)}
