"""What `dvc repro` costs where nothing is left to do, and its stage `code`: python benchmarks/repro.py [--out FILE]

In a repository whose pipeline has been run. Medians of interleaved rounds of whole processes, as ratios to `dvc
--version`, DVC's own start: seconds drift with the machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from segdata.cli.script import Parser

ROOT = Path(__file__).parents[1]
ROUNDS = 7
UP_TO_DATE = "Data and pipelines are up to date."


def stage_code() -> list[str]:
    """The command of the stage `code`, but for where it writes."""
    command = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["code"]["cmd"]
    return [sys.executable, *command.replace("data/code", "{scratch}").split()[1:]]


def seconds(command: list[str]) -> tuple[float, str]:
    """Wall time of one whole process, and what it said."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    dvc = str(Path(sys.executable).with_name("dvc"))
    with TemporaryDirectory() as scratch:
        commands = {
            "dvc --version": [dvc, "--version"],
            "second dvc repro": [dvc, "repro"],
            "stage code": [word.format(scratch=scratch) for word in stage_code()],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for round_ in range(ROUNDS + 1):
            for name, command in commands.items():
                wall, said = seconds(command)
                if name == "second dvc repro" and UP_TO_DATE not in said:
                    sys.exit("Error: dvc repro had something to do. Run it to its end first, then this")
                if round_:  # the first warms the page cache
                    taken[name].append(wall)
    medians = {name: round(statistics.median(values), 3) for name, values in taken.items()}
    base = statistics.median(taken["dvc --version"])
    ratios = {name: round(statistics.median(values) / base, 1) for name, values in taken.items() if base}
    text = json.dumps({"rounds": ROUNDS, "median_s": medians, "over dvc --version": ratios}, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
