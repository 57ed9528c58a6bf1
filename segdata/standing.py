"""What stands at --out, and whether a new set may take its place: only a set of ours, and only its next version.

A set of another identity (name, source, taxonomy, options, a split less) is somebody's, even though we wrote it: it is
replaced on request. A file that is no part of the set is never removed with it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segdata.errors import SegdataError, ShardError
from segdata.files import read_file
from segdata.index import read_index
from segdata.manifest import FILE, SIDE, SUMS, Manifest, read_manifest
from segdata.url import Place

SIDES = (SIDE, ".nv-meta")  # hidden folders that are ours with all that loaders put into them
BESIDE = ("README.md", "taxonomy.yaml", SUMS, FILE)
SHOWN = 3


@dataclass(frozen=True)
class Standing:
    """A set that prepare wrote; `manifest` is None where dataset.json is damaged or another version's."""

    path: Path
    manifest: Manifest | None

    def check(self, new: Mapping[str, Any], keys: Mapping[str, Iterable[str]], *, replace: bool) -> None:
        """Raise SegdataError where the new set, of the identity `new` and these keys a split, is another one."""
        if replace:
            return
        if self.manifest is None:
            raise SegdataError(
                f"{self.path}: its {FILE} is damaged or another version's, so that nothing says which set it is. "
                "Give --replace to replace it, or name another --out."
            )
        found = differences(identity(self.manifest), new) or _foreign_keys(self.path, self.manifest, keys)
        if found:
            raise another(self.path, found)


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
    if manifest is None and not {FILE, SUMS, SIDE} <= set(names):
        raise SegdataError(
            f"{out} holds {_some(names)}, and no {FILE} of a set that segdata wrote. It is left as it is: name a "
            "folder that is not there yet, or an earlier set's."
        )
    if strangers := sorted(_strangers(out, manifest)):
        raise SegdataError(
            f"{out} holds {_some(strangers)} besides its set, which would be lost with it. Move them to another folder."
        )
    return Standing(out, manifest)


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
        "taxonomy": (taxonomy, options["taxonomy"]),
        "splits": set(splits),
        **others,
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """In words: "taxonomy cityscapes-19 to cityscapes-20". A split more is the same set, a split less is not."""
    found = []
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if key == "splits":
            gone = sorted(old["splits"] - new["splits"])
            found += [f"without {' and '.join(gone)}"] if gone else []
        elif before != after and key == "taxonomy":
            same = old[key][0] == new[key][0]
            found.append(f"another taxonomy {new[key][0]}" if same else f"taxonomy {old[key][0]} to {new[key][0]}")
        elif before != after:
            found.append(f"{key.replace('_', ' ')} {_word(before)} to {_word(after)}")
    return found


def another(place: Place, found: Iterable[str]) -> SegdataError:
    return SegdataError(
        f"{place} holds another set ({', '.join(found)}). Name another place, or give --replace to replace it."
    )


def shard_changes(old: Manifest, new: Manifest) -> str:
    """ "+2 -1 shards", by content: a shard that only got another number is neither."""
    before, after = ({row.sha256 for split in each.splits for row in each.shards(split)} for each in (old, new))
    return f"+{len(after - before)} -{len(before - after)} shards"


def described_change(old: Manifest | None, new: Manifest) -> str:
    """What a reader of the place sees change; "" where nothing was there."""
    if old is None:
        return ""
    return ", ".join([shard_changes(old, new), *differences(identity(old), identity(new))])


def _manifest(out: Path) -> Manifest | None:
    try:
        return read_manifest(out)
    except SegdataError:
        return None


def _foreign_keys(out: Path, manifest: Manifest, keys: Mapping[str, Iterable[str]]) -> list[str]:
    """Whether not one sample of the old set is in the new one: then the frames are another dataset's."""
    for split in manifest.splits:
        try:
            old = read_index(out / SIDE, split, manifest.parts(split)).keys
        except ShardError:
            return []  # damaged: to be made anew
        if np.isin(np.array([key.encode() for key in keys.get(split, ())], "S"), old).any():
            return []
    total = sum(map(manifest.samples, manifest.splits))
    return [f"none of its {total} samples is in the new one"]


def _strangers(out: Path, manifest: Manifest | None) -> Iterator[str]:
    """Files and folders that prepare did not write there, nor the loaders that it names."""
    known = {*BESIDE, *_listed(out)}
    if manifest is not None:
        known |= {row.name for split in manifest.splits for row in manifest.shards(split)}
    known |= {f"{name}.idx" for name in known}  # Energon's own `prepare` writes them beside the shards
    for entry in os.scandir(out):
        is_side = entry.name in SIDES and entry.is_dir(follow_symlinks=False)
        if not is_side and (entry.name not in known or not entry.is_file(follow_symlinks=False)):
            yield entry.name


def _listed(out: Path) -> set[str]:
    """The names of SHA256SUMS, as far as it can be read."""
    try:
        lines = read_file(out / SUMS).decode("utf-8", "replace").splitlines()
    except (SegdataError, FileNotFoundError):
        return set()
    return {line.partition("  ")[2] for line in lines}


def _word(value: Any) -> str:
    if value is None or value in ("", []):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
