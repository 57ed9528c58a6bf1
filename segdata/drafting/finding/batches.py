"""Files in one folder that are named alike: `a.png`, `b.png` are one batch, `a_mask.png`, `b_mask.png` another.

Names tell it: where a name with a word at its end stands beside the same name without it, or with another word, the
word says what the file is. The work grows with the number of files, not with that of pairs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from segdata.drafting.finding.looks import PICTURES
from segdata.drafting.finding.words import LABEL, tails
from segdata.raw.member import Member

LEAST_SHARE = 0.1  # of a folder's names that a word at the end must have


@dataclass
class Batch:
    """head: a word that begins all names ("mask_"); tail: one that ends them ("_mask"). files: by what is between."""

    folder: str
    head: str
    tail: str
    suffixes: tuple[str, ...]
    files: dict[str, Member] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.folder.split("/")) if self.folder else ()

    @property
    def name(self) -> str:
        """For people: "train/*_mask.png"."""
        suffix = self.suffixes[0] if len(self.suffixes) == 1 else "{" + ",".join(self.suffixes) + "}"
        return f"{self.folder}/{self.head}*{self.tail}.{suffix}".lstrip("/")


def make_batches(members: Mapping[str, Member]) -> list[Batch]:
    """Of all files that may be images or labels, in the order of their folders and names."""
    folders: dict[str, list[tuple[str, str, Member]]] = defaultdict(list)
    for path, member in members.items():
        folder, _, name = path.rpartition("/")
        stem, _, suffix = name.rpartition(".")
        if stem and suffix.lower() in PICTURES:
            folders[folder].append((stem, suffix.lower(), member))
    found: dict[tuple[str, str, str, str], Batch] = {}
    for folder, files in folders.items():
        cuts = _cuts({stem for stem, _, _ in files})
        for stem, suffix, member in files:
            head, core, tail = cuts.get(stem, ("", stem, ""))
            key = (folder, head, tail, suffix)
            found.setdefault(key, Batch(folder, head, tail, (suffix,))).files[core] = member
    return [found[key] for key in sorted(found)]


def _cuts(stems: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """stem -> (head, core, tail) of those that have a head or a tail."""
    stems = set(stems)
    found = {stem: ("", core, tail) for stem, (core, tail) in _cut(stems).items()}
    if not found:
        turned = _cut({stem[::-1] for stem in stems}, head=True)
        found = {stem[::-1]: (tail[::-1], core[::-1], "") for stem, (core, tail) in turned.items()}
    return found


def _cut(stems: set[str], *, head: bool = False) -> dict[str, tuple[str, str]]:
    """stem -> (core, tail) of those that end in a word which tells them from others; of a `head`, all is reversed."""
    ways = {stem: tails(stem) for stem in stems}
    beside: dict[str, set[str]] = defaultdict(set)
    for stem in stems:
        beside[stem].add("")
        for core, tail in ways[stem]:
            beside[core].add(tail)
    votes, ends = Counter[str](), Counter[str]()
    for several in beside.values():
        ends.update(several)
        told = not head and "" in several  # the bare name beside it, else one of the words must say what it is
        if len(several) > 1 and (told or any(LABEL.search(tail[::-1] if head else tail) for tail in several)):
            votes.update(several - {""})
    least = max(2 if len(stems) > 3 else 1, LEAST_SHARE * len(stems))
    good = {tail: count for tail, count in votes.items() if count >= least and 2 * count >= ends[tail]}
    found = {}
    for stem, each in ways.items():
        fitting = [(good[tail], len(tail), core, tail) for core, tail in each if tail in good]
        if fitting:
            *_, core, tail = max(fitting)
            found[stem] = (core, tail)
    return found
