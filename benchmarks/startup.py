"""How long the commands take to answer `--help`: python benchmarks/startup.py [--out FILE]. Medians of 15 runs each."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from segdata.cli.script import Parser

RUNS = 15


def seconds(command: str) -> float:
    """Median wall time of one whole process."""
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([Path(sys.executable).with_name(command), "--help"], check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return round(statistics.median(taken), 3)


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = json.dumps({f"{command} --help, s": seconds(command) for command in ("segdata", "segmodels")}, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
