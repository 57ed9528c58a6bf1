"""Where a set is made before it is published: folders of our own name, each with a mark by which it is known again.

Whatever lies in a marked folder may be removed, and nothing else is.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from segdata.base.canonical import digest_bytes, pretty_json
from segdata.base.files import discard, temporary_of, write_file
from segdata.base.ownership import is_ours, json_kind
from segdata.errors import SegdataError

MARK = "segdata-work.json"
WORK = json_kind("unfinished work", "segdata")


@dataclass(frozen=True)
class WorkFolders:
    """`made`: finished shards and their receipts, which outlive a kill. `beside`: the set as it is put together, next
    to --out and so on its file system; the same folder, unless --work-dir names another place for the first."""

    made: Path
    beside: Path

    @property
    def assembly(self) -> Path:
        """The new version, until it takes the place of --out; then, for a moment, the old one."""
        return self.beside / "set"

    @property
    def old(self) -> Path:
        """The old version, where a file system cannot let two folders change places in one step."""
        return self.beside / "old"

    def claim(self, out: Path) -> None:
        """Make them, or find that they are ours. Raises SegdataError."""
        what = f"unfinished work of {out}"
        claim(self.beside, what, f"`prepare --out {out}` needs this name: move the folder away, or name another --out")
        if self.made != self.beside:
            claim(self.made, what)

    def remove(self) -> list[Path]:
        """Those that could not be removed."""
        return [folder for folder in dict.fromkeys((self.made, self.beside)) if not remove(folder)]

    def remove_empty(self) -> None:
        """After a run that failed: what holds neither a finished shard nor a version of the set."""
        for folder in dict.fromkeys((self.made, self.beside)):
            kept = [*(folder / "shards").glob("*.tar"), *folder.glob("set"), *folder.glob("old")]
            if not kept:
                remove(folder)


def work_folders(out: Path, work_dir: Path | None) -> WorkFolders:
    beside = out.with_name(f".{out.name}.work")
    return WorkFolders(own_folder(work_dir, out.name, str(out)) if work_dir else beside, beside)


def own_folder(work_dir: Path, name: str, what: str) -> Path:
    """A folder below the user's --work-dir that nobody else's work shares."""
    return work_dir / f"segdata-{name}-{digest_bytes(what.encode())[:8]}"


def claim(folder: Path, what: str, remedy: str = "Move it away, or name another --work-dir") -> None:
    """Make the folder with its mark, or find the mark in it. Raises SegdataError for a folder with other things."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / MARK
    others = [path for path in folder.iterdir() if path != temporary_of(mark)]
    if others and not is_ours(mark, WORK):
        raise SegdataError(
            f"{folder}: a folder for unfinished work has this name, but this one holds other things and no {MARK} of "
            f"segdata's. {remedy}."
        )
    write_file(mark, pretty_json({"segdata": what}))


def remove(folder: Path) -> bool:
    """Remove a marked folder; whether it is gone. The mark goes last: what could not be removed is known again."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != MARK:
                discard(path)
        if [path.name for path in folder.iterdir()] == [MARK]:
            discard(folder / MARK)
        folder.rmdir()
    return not folder.exists()
