"""A killed training goes on only with the code that it began with: python pipelines/same_code.py RUN LIST

To `segmodels train` a run is its configuration and its shards: changed code would go on from a checkpoint of the code
before. DVC knows better, by the list of the code behind a stage (closure.py): where RUN was begun under another LIST,
its checkpoints are thrown away.
"""

import shutil
import sys
from pathlib import Path


def main(run: Path, code: Path) -> None:
    """Leave checkpoints of this code, or none."""
    note = run / ".code"
    if not note.exists() or note.read_bytes() != code.read_bytes():
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
        run.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(code, note)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
