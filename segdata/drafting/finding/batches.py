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

FEW = 3  # names of which one pair is enough to tell
LEAST = 0.1  # share of a folder's names that a word at the end must have


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
    def paths(self) -> list[str]:
        return [member.path for member in self.files.values()]

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
    told = {folder: _votes({stem for stem, _, _ in files}) for folder, files in folders.items()}
    words = _common(told, {folder: len(files) for folder, files in folders.items()})
    found: dict[tuple[str, str, str, str], Batch] = {}
    for folder, files in folders.items():
        here = {word: words[word] for word in told[folder] if word in words}
        for stem, suffix, member in files:
            head, core, tail = _cut(stem, here)
            key = (folder, head, tail, suffix)
            found.setdefault(key, Batch(folder, head, tail, (suffix,))).files[core] = member
    return [found[key] for key in sorted(found)]


def _common(told: Mapping[str, Mapping[str, int]], sizes: Mapping[str, int]) -> dict[str, int]:
    """Words that tell files apart in enough names of the folders where they do, with the number of names."""
    votes, files = Counter[str](), Counter[str]()
    for folder, found in told.items():
        votes.update(found)
        files.update(dict.fromkeys(found, sizes[folder]))
    return {word: count for word, count in votes.items() if count >= max(2, LEAST * files[word])}


def _votes(stems: set[str]) -> dict[str, int]:
    """Words that tell files of a folder apart, and how many: "_mask"; "mask_" of one in front."""
    if found := _told(stems):
        return found
    return {word[::-1]: count for word, count in _told({stem[::-1] for stem in stems}, head=True).items()}


def _told(stems: set[str], *, head: bool = False) -> dict[str, int]:
    """Words at the end of names; of a `head`, names and words are reversed."""
    beside: dict[str, set[str]] = defaultdict(set)
    for stem in stems:
        beside[stem].add("")
        for core, tail in tails(stem):
            beside[core].add(tail)
    votes, ends, sure = Counter[str](), Counter[str](), set[str]()
    for several in beside.values():
        ends.update(several)
        bare = not head and "" in several  # the bare name beside it, else one of the words must say what it is
        if len(several) > 1 and (bare or any(LABEL.search(tail[::-1] if head else tail) for tail in several)):
            votes.update(several - {""})
            sure |= {tail for tail in several if bare and (LABEL.search(tail) or len(stems) <= FEW)}
    return {tail: count + (tail in sure) for tail, count in votes.items() if 2 * count >= ends[tail]}


def _cut(stem: str, words: Mapping[str, int]) -> tuple[str, str, str]:
    """(head, core, tail) by the most frequent of the words, of equal ones the longest."""
    fitting = [word for word in words if word[0] in SEPARATORS and stem.endswith(word) and word != stem]
    if fitting:
        tail = max(fitting, key=lambda word: (words[word], len(word)))
        return "", stem[: len(stem) - len(tail)], tail
    fitting = [word for word in words if word[0] not in SEPARATORS and stem.startswith(word) and word != stem]
    head = max(fitting, key=lambda word: (words[word], len(word)), default="")
    return head, stem[len(head) :], ""
