"""Card `sparse`: what skipping saves the percentile network on this device, and what `auto` should weigh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import sparse as script
from benchmarks.device.card import Bench, Row


def sparse(bench: Bench) -> Iterator[Row]:
    """Dense, sparse and auto from 0 to 100 % of active pixels, and what `auto` should weigh: a row a precision."""
    for precision in ("fp32", "bf16"):
        words = ["--device", bench.device, "--precision", precision, "--rounds", "2" if bench.rehearsal else "8"]
        words += ["--size", "128x256", "--width", "0.25"] if bench.rehearsal else []
        found = script.measure(script.parser().parse_args(words))
        yield {name: value for name, value in found.items() if name not in ("commit", "versions", "device")}


def says(rows: Sequence[Row]) -> str:
    return "; ".join(
        f"{row['precision']} dense {row['dense_ms']:.0f} ms, "
        + ", ".join(f"{each['active']:.0%} x{each['ratio']:.2f}" for each in row["rows"])
        + f", auto at 100 % x{row['auto_at_100_percent']:.2f}, "
        + ", ".join(f"{name} {value:.3g}" for name, value in row["prices"].items())
        for row in rows
    )
