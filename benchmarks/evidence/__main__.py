"""Do the experiments of plan.yaml, in order of value.

    python -m benchmarks.evidence --camvid CamVid --home DIR                     # all rows: many hours of two cores
    python -m benchmarks.evidence --camvid CamVid --home DIR --rows strong iterations --device cuda

DIR keeps shards, runs, scores and logs: what was killed goes on where it was, what is done is not done again. Each
training uses one thread; two run side by side, which two cores do better than one training with two threads. After each
training its row's result file is written anew.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.evidence.plan import read_plan
from benchmarks.evidence.result import write_result
from benchmarks.evidence.runner import Place, do, make_sets
from segdata.cli.script import Parser

RESULTS = Path(__file__).parents[1] / "results"


def main() -> int:
    plan = read_plan()
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, help="the folder CamVid, as the SegNet tutorial made it")
    parser.add_argument("--home", type=Path, required=True, help="keep shards, runs and scores here")
    parser.add_argument("--rows", nargs="+", default=list(plan.rows), choices=list(plan.rows))
    parser.add_argument(
        "--seeds", nargs="+", type=int, help="only these; default: 0, then the further ones of the plan"
    )
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="trainings at a time (2)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="folder of the result files (benchmarks/results/<device>)")
    parser.add_argument("--results-only", action="store_true", help="train nothing: write the results of what is there")
    options = parser.parse_args()
    place = Place(options.home, options.out or RESULTS / options.device, options.device)
    if options.results_only:
        for name in options.rows:
            write_result(plan, plan.rows[name], place, place.results)
        return 0
    if not options.camvid:
        parser.error("--camvid says where the frames are")
    wanted = [
        each
        for each in plan.trainings()
        if each.row.name in options.rows and (options.seeds is None or each.seed in options.seeds)
    ]
    try:
        make_sets(plan, place, options.camvid, list(dict.fromkeys(each.row.set for each in wanted)))
    except subprocess.CalledProcessError as error:
        return error.returncode  # segdata has said why
    failed = do(plan, place, wanted, options.side_by_side)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
