"""Files in one folder that are named alike: `a.png`, `b.png` are one batch, `a_mask.png`, `b_mask.png` another.

Names tell it: where a name with a word at its end stands beside the same name without it, or with another word, the
word says what the file is. The work grows with the number of files, not with that of pairs.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from segdata.drafting.finding.looks import PICTURES
from segdata.drafting.finding.words import LABEL, SEPARATORS, tails
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
    votes = {folder: _votes({stem for stem, _, _ in files}) for folder, files in folders.items()}
    everywhere = Counter(word for found in votes.values() for word in found)
    found: dict[tuple[str, str, str, str], Batch] = {}
    for folder, files in folders.items():
        words = {word for word, often in votes[folder].items() if often or everywhere[word] > 1}
        for stem, suffix, member in files:
            head, core, tail = _cut(stem, words)
            key = (folder, head, tail, suffix)
            found.setdefault(key, Batch(folder, head, tail, (suffix,))).files[core] = member
    return [found[key] for key in sorted(found)]


def _votes(stems: set[str]) -> dict[str, bool]:
    """Words that tell files of a folder apart, and whether they do so often there: "_mask"; "mask_" of one in front."""
    if found := _told(stems):
        return found
    return {word[::-1]: often for word, often in _told({stem[::-1] for stem in stems}, head=True).items()}


def _told(stems: set[str], *, head: bool = False) -> dict[str, bool]:
    """Words at the end of names; of a `head`, names and words are reversed."""
    beside: dict[str, set[str]] = defaultdict(set)
    for stem in stems:
        beside[stem].add("")
        for core, tail in tails(stem):
            beside[core].add(tail)
    votes, ends = Counter[str](), Counter[str]()
    for several in beside.values():
        ends.update(several)
        bare = not head and "" in several  # the bare name beside it, else one of the words must say what it is
        if len(several) > 1 and (bare or any(LABEL.search(tail[::-1] if head else tail) for tail in several)):
            votes.update(several - {""})
    least = max(2 if len(stems) > 3 else 1, LEAST_SHARE * len(stems))
    return {tail: count >= least for tail, count in votes.items() if 2 * count >= ends[tail]}


def _cut(stem: str, words: set[str]) -> tuple[str, str, str]:
    """(head, core, tail) by the longest of the words."""
    if tail := max((word for word in words if word[0] in SEPARATORS and stem.endswith(word)), key=len, default=""):
        return "", stem[: len(stem) - len(tail)], tail
    head = max((word for word in words if word[0] not in SEPARATORS and stem.startswith(word)), key=len, default="")
    return head, stem[len(head) :], ""
