"""Card `sparse`: what skipping saves the percentile network on this device, and what `auto` should weigh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.device.card import Bench, Row
from benchmarks.networks import sparse as script
from segmodels.networks.percentile.sparse import SIDE

ENVIRONMENT = ("commit", "versions", "device")  # which the result has by itself


def sparse(bench: Bench) -> Iterator[Row]:
    """Dense, sparse and auto from 0 to 100 % of active pixels, and what `auto` should weigh: a row a precision."""
    for precision in ("bf16", "fp32"):
        words = ["--device", bench.device, "--precision", precision, "--rounds", "2" if bench.rehearsal else "5"]
        words += ["--size", "128x256", "--width", "0.25"] if bench.rehearsal else []
        found = script.measure(script.parser().parse_args(words))
        yield {"side": SIDE["cuda"]} | {name: value for name, value in found.items() if name not in ENVIRONMENT}


def says(rows: Sequence[Row]) -> str:
    return "; ".join(
        f"{row['precision']}, dense {row['dense_ms']:.0f} ms, "
        + ", ".join(f"{each['active']:.0%} x{each['ratio']:.2f}" for each in row["rows"])
        + f", auto at 100 % x{row['auto_at_100_percent']:.2f}, "
        + ", ".join(f"{name} {value:.3g}" for name, value in row["prices"].items())
        for row in rows
    )
