"""Train runs with several seeds: python pipelines/seeds.py

In runs.yaml the option `seeds` of a run, as in `pspnet: {network: pspnet, set: cityscapes-20, options: {seeds: [0, 1,
2], steps: 50}}`, says with which seeds it is trained. This script writes such a run as one run a seed, `pspnet-0`,
`pspnet-1` and `pspnet-2`, each with the option `seed`, since DVC takes each entry for one run (and `segmodels train`
refuses `--seeds`). Then `dvc repro` trains them, and the report shows them as one row. A sweep of such a run is of its
first seed. runs.yaml is written anew, without its comments; `git checkout pipelines` brings it back.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from segdata.documents.yaml import read_yaml
from segdata.errors import SegdataError

FILE = Path(__file__).parent / "runs.yaml"
NOTE = "# Written by pipelines/seeds.py; `git checkout pipelines` brings back what was there.\n"
Runs = dict[str, dict[str, Any]]


def main() -> str:
    """Edit runs.yaml where a run has `seeds`; returns what was done."""
    try:
        document = dict(read_yaml(FILE.read_bytes(), f"pipelines/{FILE.name}", SegdataError, aliases=True).plain())
    except SegdataError as error:
        sys.exit(f"Error: {error}")
    several = {name: run["options"]["seeds"] for name, run in document["runs"].items() if "seeds" in run["options"]}
    if not several:
        return "No run in pipelines/runs.yaml has the option `seeds`: nothing to do"
    document["runs"] = one_a_seed(document["runs"])
    document["sweeps"] = {
        f"{name}-{several[name][0]}" if name in several else name: row for name, row in document["sweeps"].items()
    }
    FILE.write_text(NOTE + yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120))
    made = ", ".join(f"{name}-{seed}" for name, seeds in several.items() for seed in seeds)
    return f"{made}: {len(document['runs'])} runs in all. Now: dvc repro"


def one_a_seed(runs: Runs) -> Runs:
    """The runs, those with `seeds` once for each of them."""
    found: Runs = {}
    for name, run in runs.items():
        options = {key: value for key, value in run["options"].items() if key != "seeds"}
        copies = {name: run}
        if "seeds" in run["options"]:
            check(name, run["options"]["seeds"], options)
            copies = {f"{name}-{seed}": run | {"options": options | {"seed": seed}} for seed in run["options"]["seeds"]}
        for copy, row in copies.items():
            if copy in found or (copy != name and copy in runs):
                sys.exit(
                    f"Error: pipelines/runs.yaml has a run {copy} already. Rename it, or change the seeds of {name}"
                )
            found[copy] = row
    return found


def check(name: str, seeds: Any, options: dict[str, Any]) -> None:
    """Exit unless these are different whole numbers, and no option says another seed."""
    whole = isinstance(seeds, list) and seeds and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not whole or len(set(seeds)) < len(seeds):
        sys.exit(f"Error: pipelines/runs.yaml, {name}: seeds are {seeds}, expected different numbers as [0, 1, 2]")
    if "seed" in options:
        sys.exit(f"Error: pipelines/runs.yaml, {name}: both the options seeds and seed. Leave one of them out")


if __name__ == "__main__":
    print(main())
