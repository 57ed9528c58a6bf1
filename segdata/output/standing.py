"""What stands at --out, and whether a new set may take its place: only a set of ours, and only its next version.

A set of another identity (name, source, taxonomy, options, a split less) is somebody's, even though we wrote it: it is
replaced on request. A file that is no part of the set is never removed with it.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdata.base.canonical import digest_file, digest_source
from segdata.base.files import read_file
from segdata.errors import SegdataError, ShardError, SourceError
from segdata.findings import first_few
from segdata.format.manifest import BESIDE, FILE, NAMES, SIDE, SUMS, Manifest, parse_sums, read_manifest
from segdata.format.receipt import read_receipt, receipt_path
from segdata.raw.scene import Scene
from segdata.reading.local import LocalFiles
from segdata.stores.url import Place

TEXTS = re.compile(r"README\.md|\.nv-meta/.+\.yaml")  # of a set, that people edit
UNLISTED = frozenset({SUMS, FILE})  # by SHA256SUMS
LOADERS = frozenset({".nv-meta/index.sqlite", ".nv-meta/index.uuid"})  # what Energon's own `prepare` adds to a set
SYSTEMS = re.compile(r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|\.directory|\.nfs.*|\.fuse_hidden.*")  # nobody's work
SHOWN = 3
PROBED = 4  # samples of a split whose images are compared before all are read
KEPT = 0.5  # the share of its samples that a next version must have at least


class Difference(NamedTuple):
    """One thing in which two sets differ, in words: as a reason to refuse, and as what was done."""

    refused: str  # "taxonomy is cityscapes-20 there, cityscapes-19 here"
    changed: str  # "taxonomy cityscapes-20 to cityscapes-19"


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
            f"{out} holds {first_few(names, SHOWN)}, and no {FILE} of a set that segdata wrote. It is left as it is: "
            "name a folder that is not there yet, or an earlier set's; if this is the rest of one, remove it."
        )
    strangers = [*_strangers(out, manifest), *(f"{name} (edited)" for name in _edited(out))]
    if strangers:
        raise SegdataError(
            f"{out} holds files that are not its set's: {first_few(sorted(strangers), SHOWN)}. They would be lost with "
            "it: move them to another folder, then run the same command again."
        )
    return Standing(out, manifest)


def bring_back(old: Path, out: Path) -> None:
    """What somebody put into the old version while the new one took its place goes where it was put."""
    for name in _strangers(old, _manifest(old)) if old.is_dir() else ():
        if not (out / name).exists():
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
    others = {key: value for key, value in options.items() if key not in {"source", "taxonomy", "fitted"}}
    return {
        "name": name,
        "source": f"painted {source}" if painted else source,
        "taxonomy": (taxonomy, str(options.get("taxonomy"))),
        "splits": set(splits),
        **others,
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """What differs between two identities. A split more is the same set, a split less is not."""
    gone = sorted(old["splits"] - new["splits"])
    found = [Difference(f"split {name} is there, not here", f"without split {name}") for name in gone]
    for key in dict.fromkeys((*old, *new)):
        if key == "splits" or old.get(key) == new.get(key):
            continue
        what, before, after = key.replace("_", " "), _word(old.get(key)), _word(new.get(key))
        if key == "taxonomy":
            (before, _), (after, digest) = old[key], new[key]
            after = after if after != before else f"{after} of other classes ({digest[:8]})"
        if key == "source_file":  # digests, of which the first letters tell them apart
            before, after = before[:8], after[:8]
        found.append(Difference(f"{what} is {before} there, {after} here", f"{what} {before} to {after}"))
    return found


def another(place: Place, found: Iterable[Difference]) -> SegdataError:
    what = "; ".join(each.refused for each in found)
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
    shards = f"+{len(after - before)} -{len(before - after)} shards"
    return ", ".join([shards, *(each.changed for each in found)])


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
            keys = LocalFiles(out, split).index.keys
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


def _strangers(out: Path, manifest: Manifest | None) -> list[str]:
    """Files that prepare did not write there, nor the loaders that it names; of a link, its name alone counts."""
    known = UNLISTED | LOADERS | (listed := _listed(out)).keys()
    if manifest is not None:
        known |= {row.name for split in manifest.splits for row in manifest.shards(split)}
    guessed = None if listed else NAMES if manifest is None else BESIDE
    known |= {f"{name}.idx" for name in known if name.endswith(".tar")}  # as Energon's own `prepare` adds
    found = []
    for home, folders, names in os.walk(out):
        for path in (Path(home, name) for name in (*names, *folders)):
            inner = path.relative_to(out).as_posix()
            is_known = inner in known or (guessed and guessed.fullmatch(inner)) or SYSTEMS.fullmatch(path.name)
            if not is_known and (path.is_symlink() or not path.is_dir()):
                found.append(inner)
    return sorted(found)


def _edited(out: Path) -> list[str]:
    """Texts that somebody edited. A shard that differs is damaged, and what Energon counts is nobody's work."""
    texts = {name: digest for name, digest in _listed(out).items() if TEXTS.fullmatch(name)}
    return sorted(name for name in texts if (out / name).is_file() and digest_file(out / name) != texts[name])


def _listed(out: Path) -> dict[str, str]:
    """path -> sha256 of SHA256SUMS, {} where it cannot be read."""
    try:
        return parse_sums(read_file(out / SUMS), out / SUMS)
    except (SegdataError, FileNotFoundError):
        return {}


def _word(value: Any) -> str:
    if value is None or value in ("", []):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
