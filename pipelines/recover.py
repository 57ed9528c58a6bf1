"""Let DVC go on where it was killed while it wrote: python pipelines/recover.py, which `make repro` runs first.

DVC writes two files in place, and stops at them ever after if it was killed meanwhile: `.dvc/tmp/rwlock`, who reads and
writes what, and `dvc.lock`, what was made of what. The first is not needed when nobody is at work; the second DVC fills
anew from its cache, without running what that has. Does nothing where both are whole.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

import psutil
from dvc.env import DVC_ROOT
from dvc.lock import LockError, make_lock
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, SCHEMA
from voluptuous import Invalid


def main() -> None:
    """Remove or move what a killed DVC left, unless a living one is at work."""
    repo = Repo()
    rwlock, lock = Path(repo.tmp_dir, RWLOCK_FILE), Path(repo.root_dir, "dvc.lock")
    if not (is_left_over(rwlock) or is_cut_off(lock)):
        return
    try:
        with repo.lock, make_lock(str(rwlock.with_name(RWLOCK_LOCK))):  # in this order, as DVC itself
            if at_work := commands(repo.root_dir):
                sys.exit(f"Error: DVC was killed while it wrote, and {at_work[0]} is still at work. Wait, or end that")
            if is_left_over(rwlock):  # looked at again, now that nobody can be writing it
                rwlock.unlink()
                print("DVC was killed while it wrote .dvc/tmp/rwlock, or its PID is another's now: removed the file")
            if is_cut_off(lock):
                lock.replace(rwlock.with_name("dvc.lock"))
                print("DVC was killed while it wrote dvc.lock: moved to .dvc/tmp; DVC fills it anew from its cache")
    except LockError:
        sys.exit("Error: another DVC process is at work here. Run this again when it has ended")


def is_left_over(rwlock: Path) -> bool:
    """Whether DVC cannot read it, or would wait for a process that began after the file was written."""
    try:
        held = SCHEMA(json.loads(rwlock.read_bytes()))
    except FileNotFoundError:
        return False
    except (ValueError, Invalid):
        return True
    holders = [*held["write"].values(), *(each for readers in held["read"].values() for each in readers)]
    written = rwlock.stat().st_mtime
    for pid in {holder["pid"] for holder in holders}:
        with suppress(psutil.NoSuchProcess):  # dead ones DVC removes itself
            if psutil.Process(pid).create_time() > written:
                return True
    return False


def is_cut_off(lock: Path) -> bool:
    """Whether the end is missing: DVC ends the file with a line."""
    return lock.exists() and not lock.read_bytes().endswith(b"\n")


def commands(root: str) -> list[str]:
    """The commands of stages that run now; while one does, DVC leaves its lock to others."""
    running = psutil.process_iter(["pid", "name", "environ"])
    return [f"{each.name()} (PID {each.pid})" for each in running if (each.info["environ"] or {}).get(DVC_ROOT) == root]


if __name__ == "__main__":
    main()
