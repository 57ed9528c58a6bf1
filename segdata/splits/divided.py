"""What a division makes of a source: the scenes of each split, and what is said of them in files and to people."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from segdata.raw.scene import Scene
from segdata.splits.division import Division
from segdata.splits.shares import in_digits
from segdata.splits.splitlist import digest_of

NEAR = Fraction(1, 5)  # of a share: a split that is not so near to it is told


@dataclass(frozen=True)
class Shared:
    """What was shared out: `frames` in all, `groups` by split, and of the largest group its name and its frames.

    `kept_out` counts frames of groups that a listed frame belongs to: they are in no split.
    """

    frames: int
    groups: Mapping[str, int]
    largest: tuple[str, int]
    kept_out: int = 0


@dataclass(frozen=True)
class Divided:
    """The scenes of each split, in the order of the splits, and from which official splits they come."""

    division: Division
    scenes: Mapping[str, tuple[Scene, ...]]
    drawn: frozenset[str]  # official splits in which these frames lie
    taken: Mapping[str, Mapping[str, int]]  # split -> official split -> frames
    left_out: Mapping[str, int]  # official split -> frames that are in no split
    shared: Shared | None = None

    @cached_property
    def digests(self) -> dict[str, str]:
        """split -> SHA-256 of its sorted keys: of a list all that it names, so that a damaged frame changes nothing."""
        listed = {each.split: each.digest for each in self.division.lists}
        return {
            split: listed.get(split) or digest_of(scene.key for scene in scenes)
            for split, scenes in self.scenes.items()
        }

    def document(self) -> dict[str, Any]:
        """What dataset.json says of it."""
        splits: dict[str, dict[str, Any]] = {
            split: {"sha256": digest, "official": dict(self.taken[split])} for split, digest in self.digests.items()
        }
        found = {"division": self.division.name, "splits": splits, "left_out": dict(self.left_out)}
        if (shares := self.division.shares) and (shared := self.shared):
            for split, share in shares.of.items():
                splits[split] |= {"share": in_digits(share), "groups": shared.groups[split]}
            found["shares"] = {
                **shares.options,
                "split_by": self.division.grouped_by,
                "frames": shared.frames,
                "groups": sum(shared.groups.values()),
                "kept_out": shared.kept_out,
            }
        return found

    def origins(self) -> dict[str, str]:
        """split -> how many frames of it came from which official split, in words."""
        lists = {each.split: each.name for each in self.division.lists}
        return {
            split: f"{len(scenes)} frames {f'of {lists[split]}' if split in lists else self._reached(split)}, from the "
            f"official {_counted(self.taken[split])}"
            for split, scenes in self.scenes.items()
        }

    def notes(self) -> list[str]:
        """How many frames are in no split, and of shares those that are far from what was asked for."""
        return [*filter(None, [self._left_out()]), *self._far()]

    def card(self) -> str:
        """A paragraph of the dataset card."""
        left = f" {note[0].upper()}{note[1:]}." if (note := self._left_out()) else ""
        if not self.division.shares:
            return self._card_of_lists(left)
        shares, lists = self.division.shares, "lists of frames and " if self.division.lists else ""
        how = f"{shares} of the frames" if not shares.fold else str(shares)
        rows = "".join(
            f"| {split} | {_counted(self.taken[split])} | {self._share(split)} | `{digest}` |\n"
            for split, digest in self.digests.items()
        )
        return (
            f"These splits are not the official ones. They were made by {lists}shares ({how}; seed {shares.seed}): do "
            "not compare scores on them with scores on official splits. Frames of one group are never in two splits; "
            f"the rule of the groups is `{self.division.grouped_by}`.{left}\n\n"
            "| split | frames, by official split | share | SHA-256 of the sorted keys |\n|---|---|---|---|\n"
            f"{rows}"
        )

    def _card_of_lists(self, left: str) -> str:
        rows = "".join(
            f"| {split} | {_counted(self.taken[split])} | `{digest}` |\n" for split, digest in self.digests.items()
        )
        of = f" (division `{self.division.name}`, which ships with segdata)" if self.division.name else ""
        return (
            f"These splits are not the official ones. They were made from lists of frames{of}: do not compare scores "
            f"on them with scores on official splits.{left}\n\n"
            f"| split | frames listed, by official split | SHA-256 of the sorted keys |\n|---|---|---|\n{rows}"
        )

    def _left_out(self) -> str:
        """How many frames are in no split, "" where there are none."""
        count = sum(self.left_out.values())
        where = "no split" if self.division.shares else "no split list"
        what = f"1 frame stands in {where} and is" if count == 1 else f"{count} frames stand in {where} and are"
        kept = self.shared.kept_out if self.shared else 0
        more = f"; {kept} of them belong to groups of listed frames" if kept else ""
        return f"{what} left out ({_counted(self.left_out)}){more}" if count else ""

    def _far(self) -> Iterable[str]:
        """A line for each split whose share of the frames is not near to the one that was asked for."""
        if not (self.division.shares and self.shared):
            return
        group, size = self.shared.largest
        for split, share in self.division.shares.of.items():
            if abs(self._fraction(split) - share) > NEAR * share:
                yield (
                    f"{split} has {_percent(self._fraction(split))} of the frames, {_percent(share)} were asked for: a "
                    f"group is never cut in two, and the largest ({group}) has {size} of {self.shared.frames} frames"
                )

    def _fraction(self, split: str) -> Fraction:
        """Which part of what was shared out the split has."""
        return Fraction(len(self.scenes[split]), self.shared.frames if self.shared else 1)

    def _reached(self, split: str) -> str:
        groups = self.shared.groups[split] if self.shared else 0
        by = f" by {rule}" if "{" in (rule := self.division.grouped_by) else ""
        return f"in {groups} group{'s' * (groups != 1)}{by} ({self._share(split)})"

    def _share(self, split: str) -> str:
        of = self.division.shares.of if self.division.shares else {}
        return f"{_percent(self._fraction(split))} for {in_digits(of[split])}" if split in of else "listed"


def _counted(frames: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {count}" for split, count in frames.items() if count)


def _percent(part: Fraction) -> str:
    return f"{100 * float(part):.3g} %"
