"""Card `sparse`: what skipping saves the percentile network on this device, and what `auto` should weigh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from benchmarks import sparse as script
from benchmarks.device.card import Bench, Row
from segmodels.sparse import SIDE

ENVIRONMENT = ("commit", "versions", "device")  # which the result has by itself


def sparse(bench: Bench) -> Iterator[Row]:
    """Dense, sparse and auto from 0 to 100 % of active pixels, and what `auto` should weigh.

    A row a precision and side of the tiles.
    """
    for precision, side in product(("bf16", "fp32"), (16, 32)):
        words = ["--device", bench.device, "--precision", precision, "--rounds", "2" if bench.rehearsal else "5"]
        words += ["--size", "128x256", "--width", "0.25"] if bench.rehearsal else []
        SIDE["cuda"] = side
        found = script.measure(script.parser().parse_args(words))
        yield {"side": side} | {name: value for name, value in found.items() if name not in ENVIRONMENT}


def says(rows: Sequence[Row]) -> str:
    return "; ".join(
        f"{row['precision']}, tiles of {row['side']}, dense {row['dense_ms']:.0f} ms, "
        + ", ".join(f"{each['active']:.0%} x{each['ratio']:.2f}" for each in row["rows"])
        + f", auto at 100 % x{row['auto_at_100_percent']:.2f}, "
        + ", ".join(f"{name} {value:.3g}" for name, value in row["prices"].items())
        for row in rows
    )
