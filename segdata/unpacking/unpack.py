"""A shard set to plain folders: images/SPLIT/KEY.png, labels/SPLIT/KEY.png, and the source file that leads back.

The folders are made beside --out, in a folder of our own name, and take their place at --out in one step when all of
them are whole. What a run that was ended left there is compared byte by byte, and what is right is not written again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from segdata.base.canonical import digest_bytes
from segdata.base.files import read_file, resolved, sync_folder, sync_tree
from segdata.base.lock import locked
from segdata.base.ownership import check_home, is_ours
from segdata.base.refusal import placed
from segdata.documents.json import load_json
from segdata.errors import SegdataError, ShardError
from segdata.findings import first_few
from segdata.format.manifest import read_manifest
from segdata.output.place import check_apart, check_replaceable
from segdata.output.workfolder import MARK, WORK, claim, remove
from segdata.pictures.png import encode_image
from segdata.raw.template import KEY
from segdata.reading.shardset import ShardSet
from segdata.stores.url import Place
from segdata.unpacking.documents import CARD, SOURCE, documents, suffix
from segdata.unpacking.ids import PART, Ids, ids_of

AHEAD = 16  # samples of a remote set that are fetched before they are written
SHOWN = 3

Progress = Callable[[int, int], None]  # samples done, samples in all
Say = Callable[[str], None]  # a line for people, of what is out of the ordinary


@dataclass(frozen=True)
class Unpacked:
    """samples: by split; unlabelled: the splits of images alone; changed: whether anything had to be written."""

    samples: Mapping[str, int]
    unlabelled: tuple[str, ...]
    changed: bool


class _File(NamedTuple):
    """One that is due: its path below --out, and its bytes."""

    path: str
    data: bytes


def unpack(
    folder: Place,
    out: Path,
    ids: str = "target",
    splits: Sequence[str] = (),
    colors: bool = False,
    progress: Progress = lambda done, total: None,
    say: Say = lambda line: None,
) -> Unpacked:
    """Write the splits (none given: all) of the set in a folder or at a URL; `ids` is a word of `ids.KINDS`. With
    `colors` the targets come once more, in the colours of their classes.

    Raises ShardError for a set without targets at full size, a damaged one, and ids that classes would share;
    SegdataError, before anything is written, where `out` holds anything but this very result.
    """
    manifest = read_manifest(folder)
    sets = {split: ShardSet(folder, split, version=manifest.fingerprint) for split in splits or manifest.splits}
    for shards in sets.values():
        _check(shards)
    coding = ids_of(ids, list(sets.values()))
    beside = [_File(*item) for item in documents(sets, coding, colors=colors).items()]
    out = _placed(out, folder)
    _may_write(out, beside)
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out.with_name(f".{out.name}.lock"), f"segdata unpack {folder} --out {out}"):
        stands, work = _may_write(out, beside), out.with_name(f".{out.name}.unpack")
        if not stands:
            _claim(work, f"unpacking by {SOURCE} {digest_bytes(beside[0].data)}", out)
        try:
            made = out if stands else work / "folders"
            for file in chain(beside, _pictures(sets, coding, colors, progress)):
                _compare(out, file) if stands else _write(made, file)
            if not stands:
                _check_whole(made, sets)
                _give_place(made, out)
        except BaseException:
            _keep(work, say)
            raise
        _clear(work, say)
    unlabelled = tuple(split for split, shards in sets.items() if PART not in shards.parts)
    return Unpacked({split: len(shards) for split, shards in sets.items()}, unlabelled, not stands)


def _check(shards: ShardSet) -> None:
    """Raise ShardError where the split's targets cannot be label files, or a key is no name of a file."""
    if shards.scales and PART not in shards.parts:
        have = ", ".join(f"x{scale}" for scale in shards.scales)
        raise ShardError(
            f"{shards.path}: no targets x1 in {shards.split} (it has {have}), and label files are as large as their "
            "images. Prepare the set with --scale 1."
        )
    if wrong := next((key for key in shards.keys if not KEY.fullmatch(key)), None):
        raise ShardError(f"{shards.path}: the key {wrong!r} in {shards.split} is no name for a file. Refused.")


# ---- where --------------------------------------------------------------------------------------------------


def _placed(out: Path, folder: Place) -> Path:
    """--out without links. Raises SegdataError where nothing can be made there, or where it meets the set."""
    out = resolved(out)
    check_replaceable(out)
    check_apart({"--out": out, "the shard set": resolved(folder) if isinstance(folder, Path) else None})
    return out


def _may_write(out: Path, beside: Sequence[_File]) -> bool:
    """Whether this result stands at --out already; else the place is free. Raises SegdataError where it is neither."""
    if out.exists() and not out.is_dir():
        raise SegdataError(f"--out {out} is a file. Name a folder that is not there yet, or an empty one.")
    check_home("--out", out, is_folder=True)
    names = sorted(path.name for path in out.iterdir()) if out.exists() else []
    if names and not _holds(out, beside[0]):
        raise SegdataError(
            f"--out {out} holds {first_few(names, SHOWN)}, and is no folder of this set with these options. It is left "
            "as it is: name a folder that is not there yet, or an empty one."
        )
    return bool(names)


def _claim(work: Path, what: str, out: Path) -> None:
    """Make the folder of unfinished work, or take over that of an earlier run; of another set it is made anew."""
    if is_ours(work / MARK, WORK) and load_json(read_file(work / MARK))["segdata"] != what:
        remove(work)
    claim(work, what, f"`unpack --out {out}` needs this name: move the folder away, or name another --out")


def _clear(work: Path, say: Say) -> None:
    """Remove what a run that is done, or one before it, has left."""
    if is_ours(work / MARK, WORK):
        if not remove(work):
            say(f"{work} could not be removed, and is not needed any more")
        return
    with suppress(OSError):  # it holds other things, or is not there
        work.rmdir()  # of a run that was killed when the mark was gone already


def _keep(work: Path, say: Say) -> None:
    """After a run that failed: what it has written is told of, a folder without any goes."""
    if not is_ours(work / MARK, WORK):
        return
    if any((work / "folders").glob("*/*/*")):
        say(f"what is unpacked so far is in {work}; the same command goes on with it, or remove it")
    else:
        remove(work)


# ---- what ---------------------------------------------------------------------------------------------------


def _pictures(sets: Mapping[str, ShardSet], ids: Ids, colors: bool, progress: Progress) -> Iterator[_File]:
    """The images and label files of all splits. Every byte is checked as it is read."""
    done, total = 0, sum(map(len, sets.values()))
    progress(done, total)
    for split, shards in sets.items():
        kind = suffix(shards)
        for i in range(len(shards)):
            shards.prefetch(range(i, min(i + AHEAD, len(shards))))
            yield _File(f"images/{split}/{shards.key(i)}.{kind}", shards.bytes(i, f"image.{kind}"))
            if PART in shards.parts:
                yield _File(f"labels/{split}/{shards.key(i)}.png", ids.label_file(shards, i))
                if colors:
                    picture = shards.taxonomy.palette[shards.picture(i, PART)]  # (H, W, 3)
                    yield _File(f"colors/{split}/{shards.key(i)}.png", encode_image(picture))
            done += 1
            progress(done, total)


def _holds(folder: Path, file: _File) -> bool:
    """Whether the folder has the file, with these bytes."""
    path = folder / file.path
    return path.is_file() and path.stat().st_size == len(file.data) and path.read_bytes() == file.data


def _write(folder: Path, file: _File) -> None:
    """Unless it is there already. It need not be whole after a kill: only the whole folder gets its place."""
    if not _holds(folder, file):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with placed(path):
            path.write_bytes(file.data)


def _compare(folder: Path, file: _File) -> None:
    """Raise SegdataError where a result that stands is not as it was written; the page for people may be edited."""
    if file.path != CARD and not _holds(folder, file):
        found = "has other bytes than the set" if (folder / file.path).exists() else "is not there any more"
        raise SegdataError(
            f"{folder / file.path} {found}. The folder is left as it is: move it away, then run the same command again."
        )


def _check_whole(folder: Path, sets: Mapping[str, ShardSet]) -> None:
    """Raise SegdataError where names that differ in capitals alone were one file on this disk."""
    for split, shards in sets.items():
        if (found := len(list((folder / "images" / split).iterdir()))) != len(shards):
            raise SegdataError(
                f"{folder}: {found} images for {len(shards)} samples of {split}: this disk does not tell small letters "
                "from capitals. Name an --out on another disk."
            )


def _give_place(made: Path, out: Path) -> None:
    """All of it is durable before it is seen; a folder that is not empty any more, the system does not replace."""
    sync_tree(made)
    if out.exists():
        made.chmod(out.stat().st_mode & 0o7777)  # a folder that its group shares goes on to be one
    made.rename(out)
    sync_folder(out.parent)
