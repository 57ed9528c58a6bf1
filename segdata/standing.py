"""What stands at --out, and whether a new set may take its place: only a set of ours, and only its next version.

A set of another identity (name, source, taxonomy, options, a split less) is somebody's, even though we wrote it: it is
replaced on request. A file that is no part of the set is never removed with it.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdata.build import receipt_path
from segdata.canonical import digest_file, digest_source
from segdata.errors import SegdataError, ShardError, SourceError
from segdata.files import read_file
from segdata.index import read_index
from segdata.manifest import FILE, SIDE, SUMS, Manifest, read_manifest
from segdata.receipt import read_receipt
from segdata.scene import Scene
from segdata.url import Place

CARD = "README.md"
BESIDE = frozenset({CARD, "taxonomy.yaml", SUMS, FILE})
LOADERS = frozenset({".nv-meta/index.sqlite", ".nv-meta/index.uuid"})  # what Energon's own `prepare` adds to a set
SYSTEMS = re.compile(r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|\.directory|\.nfs.*|\.fuse_hidden.*")  # nobody's work
SHARD = re.compile(r"[^/]+-\d{6}\.tar(\.idx)?")
SHOWN = 3
PROBED = 4  # samples of a split whose images are compared before all are read
KEPT = 0.5  # the share of its samples that a next version must have at least


class Difference(NamedTuple):
    """One thing in which two sets differ. "" stands for nothing."""

    what: str
    old: str
    new: str


@dataclass(frozen=True)
class Standing:
    """A set that prepare wrote; `manifest` is None where dataset.json is damaged or another version's."""

    path: Path
    manifest: Manifest | None

    def check(self, new: Mapping[str, Any], scenes: Mapping[str, Sequence[Scene]], *, replace: bool) -> None:
        """Raise SegdataError where the new set, of the identity `new` and these scenes a split, is another one."""
        if replace:
            return
        if self.manifest is None:
            raise SegdataError(
                f"{self.path}: its {FILE} is damaged or another version's, so that nothing says which set it is. "
                "Give --replace to replace it, or name another --out."
            )
        if found := differences(identity(self.manifest), new):
            raise another(self.path, found)
        if why := _other_frames(self.path, self.manifest, scenes):
            raise other_frames(self.path, why)


def standing(out: Path) -> Standing | None:
    """The set at `out`, None where there is nothing, or an empty folder.

    Raises SegdataError for a file, a folder that is no set of ours, and a set with files that are not its own.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        raise SegdataError(f"{out} is a file. Name a folder that is not there yet, or an earlier set's.")
    names = sorted(path.name for path in out.iterdir())
    if not names:
        return None
    manifest = _manifest(out)
    if manifest is None and not {SUMS, SIDE} <= set(names):
        raise SegdataError(
            f"{out} holds {_some(names)}, and no {FILE} of a set that segdata wrote. It is left as it is: name a "
            "folder that is not there yet, or an earlier set's; if this is the rest of one, remove it."
        )
    if strangers := sorted(_strangers(out, manifest)):
        raise SegdataError(
            f"{out} holds files that are not its set's: {_some(strangers)}. They would be lost with it: move them to "
            "another folder, then run the same command again."
        )
    return Standing(out, manifest)


def bring_back(versions: Iterable[Path], out: Path) -> None:
    """What somebody put into the old version while the new one took its place goes where it was put."""
    for old in versions:
        for name in sorted(_strangers(old, _manifest(old))) if old.is_dir() else ():
            if (old / name).exists() and not (out / name).exists():
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (old / name).rename(out / name)


def identity(manifest: Manifest) -> dict[str, Any]:
    """What makes it this set and no other; `splits` in order."""
    document = manifest.document
    return identity_of(
        manifest.name,
        str(document["source"]["name"]),
        bool(document["source"].get("painted")),
        str(document["taxonomy"]["name"]),
        document["options"],
        manifest.splits,
    )


def identity_of(
    name: str, source: str, painted: bool, taxonomy: str, options: Mapping[str, Any], splits: Iterable[str]
) -> dict[str, Any]:
    """`options` as dataset.json has them: the taxonomy's digest is one of them."""
    others = {key: value for key, value in options.items() if key not in {"source", "taxonomy"}}
    return {
        "name": name,
        "source": f"painted {source}" if painted else source,
        "taxonomy": (taxonomy, str(options.get("taxonomy"))),
        "splits": set(splits),
        **others,
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """What differs between two identities. A split more is the same set, a split less is not."""
    found = []
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if key == "splits":
            found += [Difference(f"split {name}", "there", "") for name in sorted(old["splits"] - new["splits"])]
        elif before != after and key == "taxonomy":
            (named, _), (name, digest) = old[key], new[key]
            found.append(Difference(key, named, name if name != named else f"{name} of other classes ({digest[:8]})"))
        elif before != after:
            found.append(Difference(key.replace("_", " "), _word(before), _word(after)))
    return found


def another(place: Place, found: Iterable[Difference]) -> SegdataError:
    """With what differs: "taxonomy is cityscapes-20 there, cityscapes-19 here"."""
    what = "; ".join(
        f"{each.what} is {each.old or 'none'} there, {each.new or 'none'} here"
        if not each.what.startswith("split ")
        else f"{each.what} is there, not here"
        for each in found
    )
    return SegdataError(f"{place} holds another set: {what}. Name another place, or give --replace to replace it.")


def other_frames(place: Place, why: str) -> SegdataError:
    return SegdataError(
        f"{place}: {why}, so this is another dataset, or a part of one. Name another place, or give --replace to "
        "replace the set."
    )


def described_change(old: Manifest | None, new: Manifest) -> str:
    """What a reader of the place sees change: "+2 -1 shards, taxonomy cityscapes-19 to cityscapes-20".

    "" where nothing was there; a shard that only got another number is no other one.
    """
    if old is None:
        return ""
    if old.fingerprint == new.fingerprint:
        return "repaired"
    before, after = ({row.sha256 for split in each.splits for row in each.shards(split)} for each in (old, new))
    found = differences(identity(old), identity(new))
    if before == after and not found:
        return "only files beside the shards"
    changes = [f"+{len(after - before)} -{len(before - after)} shards"]
    for each in found:
        gone = each.what.startswith("split ")
        changes.append(f"without {each.what}" if gone else f"{each.what} {each.old or 'none'} to {each.new or 'none'}")
    return ", ".join(changes)


def _manifest(out: Path) -> Manifest | None:
    try:
        return read_manifest(out)
    except SegdataError:
        return None


def _other_frames(out: Path, manifest: Manifest, scenes: Mapping[str, Sequence[Scene]]) -> str:
    """Why the frames are another dataset's: too few of the set's samples are among them, or no image is as it was."""
    total = kept = probed = same = 0
    for split in manifest.splits:
        new = {scene.key: scene for scene in scenes.get(split, ())}
        try:
            keys = read_index(out / SIDE, split, manifest.parts(split)).keys
            receipt = read_receipt(receipt_path(out / SIDE, manifest.shards(split)[0].name))
        except ShardError:
            return ""  # damaged: to be made anew
        total += len(keys)
        kept += shared(keys, new)
        for row in [row for row in receipt.samples if row.key in new][:PROBED] if receipt else []:
            with suppress(SourceError):  # it becomes a finding when its turn comes
                probed += 1
                same += digest_source(new[row.key].image.read()) == row.sources.get("image")
    if found := too_few(kept, total):
        return found
    return f"not one of {probed} images that were compared is as it was" if probed and not same else ""


def shared(keys: NDArray[np.bytes_], others: Iterable[str]) -> int:
    """How many of the keys are among the others."""
    return int(np.isin(keys, np.array([key.encode() for key in others], "S")).sum())


def too_few(kept: int, total: int) -> str:
    """Why a set that keeps so many of its samples is no next version, "" where it is one."""
    return f"only {kept} of its {total} samples are in the new set" if kept < KEPT * total else ""


def _strangers(out: Path, manifest: Manifest | None) -> Iterator[str]:
    """Files and folders that prepare did not write there, nor the loaders that it names; and a card that was edited."""
    listed = _listed(out)
    known = BESIDE | LOADERS | listed.keys()
    if manifest is not None:
        known |= {row.name for split in manifest.splits for row in manifest.shards(split)}
    known |= {f"{name}.idx" for name in known if name.endswith(".tar")}  # as Energon's own `prepare` adds
    shards = SHARD if not listed and manifest is None else None  # the rest of a set: its shards by their names
    homes = {parent.as_posix() for name in known for parent in PurePosixPath(name).parents}
    for home, folders, names in os.walk(out):
        inner = Path(home).relative_to(out)
        for name in [*names, *(each for each in folders if Path(home, each).is_symlink())]:
            path = (inner / name).as_posix()
            is_known = path in known and not Path(home, name).is_symlink()
            if shards and shards.fullmatch(path):
                continue
            if not is_known and not SYSTEMS.fullmatch(name) and not (not listed and inner.parts[:1] == (SIDE,)):
                yield path
        for name in [each for each in folders if (inner / each).as_posix() not in homes]:
            folders.remove(name)
            if not Path(home, name).is_symlink():
                yield (inner / name).as_posix()
    for name, digest in sorted(listed.items()):
        file = out / name  # of the texts that people edit; a shard that differs is damaged
        is_text = name == CARD or (name.startswith(".nv-meta/") and name.endswith(".yaml"))  # the rest Energon counts
        if is_text and file.is_file() and not file.is_symlink() and digest_file(file) != digest:
            yield f"{name} (edited)"


def _listed(out: Path) -> dict[str, str]:
    """path -> sha256 of SHA256SUMS, as far as it can be read."""
    try:
        lines = read_file(out / SUMS).decode("utf-8", "replace").splitlines()
    except (SegdataError, FileNotFoundError):
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _word(value: Any) -> str:
    if value is None or value in ("", []):
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
