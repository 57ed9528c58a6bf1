"""A figure in a process of its own: its memory, kernels and caches say nothing about the next one's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from segdata.base.processes import environment
from segmodels.bench.case import Case, case_from_document
from segmodels.bench.figure import Figure, measure
from segmodels.compute.device import is_out_of_memory
from segmodels.errors import SegmodelsError


def measured(case: Case, batch: int, seconds: float) -> Figure | None:
    """`measure`, elsewhere; None where the memory was not enough. Raises SegmodelsError."""
    wanted = json.dumps({"case": case.document(), "batch": batch, "seconds": seconds})
    command = [sys.executable, "-m", "segmodels.bench.child"]
    done = subprocess.run(command, input=wanted, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGKILL:  # as Linux ends what takes the last of the memory
        return None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SegmodelsError(f"{case}: measuring ended with status {done.returncode}: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise SegmodelsError(answer["error"])
    return Figure(**answer["figure"]) if answer["figure"] else None


def main() -> None:
    """Read what is wanted, print what was found."""
    wanted = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        figure = measure(case_from_document(wanted["case"]), wanted["batch"], wanted["seconds"])
        answer = {"figure": figure._asdict()}
    except SegmodelsError as error:
        answer = {"error": str(error)}
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        answer = {"figure": None}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
