"""Every promise of the contract, asked of every network of segmodels.

    python -m benchmarks.contract

writes benchmarks/results/cpu/contract.json: what `segmodels check` finds of the small version that pipelines/runs.yaml
trains. Published parameter counts are those of the whole networks. It needs the extra `onnx`, and about five minutes
on one thread; `--only NETWORK…` asks some networks again, and keeps what is written of the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

import segmodels
from segdata.base.canonical import pretty_json
from segdata.cli.script import Parser
from segdata.requirements import need
from segmodels.contract.check import check

ROOT = Path(__file__).parents[2]
OUT = ROOT / "benchmarks" / "results" / "cpu" / "contract.json"
RUNS = ROOT / "pipelines" / "runs.yaml"


def row(network: str) -> dict[str, Any]:
    """The report of a network's small version, as JSON has it."""
    declared = segmodels.spec(network)
    return check(declared, options=declared.parse(small_options(network))).document()


def small_options(network: str) -> dict[str, str]:
    """What `dvc repro` gives the network, by `--option`."""
    runs = yaml.safe_load(RUNS.read_text())["runs"].values()
    (given,) = [run["options"].get("option", []) for run in runs if run["network"] == network]
    return dict(text.split("=", 1) for text in given)


def main() -> None:
    """Ask all, or some anew."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="+", default=[], choices=segmodels.names())
    options = parser.parse_args()
    need("the contract", "onnx")
    there = json.loads(options.out.read_text())["rows"] if options.only else []
    known = {each["network"]: each for each in there}
    rows = []
    for name in segmodels.names():
        rows.append(known[name] if name in known and name not in options.only else row(name))
        print(
            name, *(f"{each}: {found['detail']}" for each, found in rows[-1]["checks"].items()), sep="\n  ", flush=True
        )
    options.out.write_bytes(pretty_json({"torch": torch.__version__, "rows": rows}))


if __name__ == "__main__":
    main()
