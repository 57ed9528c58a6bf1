"""What is asked of the splits, where the publisher does not say them: lists of frames, shares, a fold.

A set is known by the keys of its lists, whatever the files are called and however they are ordered; and by the shares
or the fold, the seed, and the rule by which frames form groups.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from segdata.base.numbers import LARGEST_SEED
from segdata.errors import OptionError, SourceError
from segdata.sources.source import Source
from segdata.splits.shares import Fold, Shares, in_digits, of_fold
from segdata.splits.splitlist import SplitList, parse_list, read_list, shortened

SPLITS = ("train", "val", "test")  # which there may be beside those of the source
SHARE = re.compile(r"[0-9]{1,4}/[1-9][0-9]{0,3}|[01]?\.[0-9]{1,9}|1")
FOLD = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")
MOST_FOLDS = 1000


@dataclass(frozen=True)
class Division:
    """The lists, in the order of the splits, and what shares out the frames of no list, if anything does.

    `name` is that of a division that ships, or "". `grouped_by` is the rule of the groups that shares never cut.
    """

    lists: tuple[SplitList, ...] = ()
    name: str = ""
    shares: Shares | None = None
    grouped_by: str = ""

    @property
    def options(self) -> dict[str, object]:
        """What goes into a set's options, and so into its identity: of a list its split and its digest."""
        lists = [f"{each.split} {each.digest[:16]}" for each in self.lists]
        found: dict[str, object] = {"split_lists": lists} if lists else {}
        return found | ({**self.shares.options, "split_by": self.grouped_by} if self.shares else {})


def split_names(source: Source) -> tuple[str, ...]:
    """The splits that there may be, in their order."""
    return tuple(dict.fromkeys((*source.splits, *SPLITS)))


def read_division(
    source: Source,
    lists: Sequence[str] = (),
    shares: Sequence[str] = (),
    fold: str | None = None,
    seed: int | None = None,
) -> Division | None:
    """The division that the options' values ask for; None of none.

    A list is SPLIT=FILE, or the name of a division that ships; a share is SPLIT=NUMBER; a fold is NUMBER/COUNT. Raises
    OptionError for values that are none of these and that do not fit each other, and SourceError for lists that are
    none, or that share a frame.
    """
    _check_given(lists, shares, fold, seed)
    shared = _shares(source, shares, fold, seed or 0)
    read = _lists(source, lists, shared)
    if shared:
        return Division(tuple(read), "", shared, _rule(source))
    return Division(tuple(read), _name(source, read)) if read else None


def _rule(source: Source) -> str:
    """By which fields of a key frames belong together, as the source file says it."""
    rule = source.split_by_rule or source.group_rule
    return rule.naming.text if rule else "each frame alone"


def _check_given(lists: Sequence[str], shares: Sequence[str], fold: str | None, seed: int | None) -> None:
    for option, given in (("--split-list", lists), ("--split-share", shares)):
        if isinstance(given, str):
            raise OptionError(f"{option} {given!r}: expected a list of values.")
    if shares and fold:
        raise OptionError("--split-share and --fold both say which frames are train and val: give one of both.")
    if seed is None:
        return
    if not (shares or fold):
        raise OptionError("--split-seed is for --split-share and --fold, of which none is given.")
    if not 0 <= seed <= LARGEST_SEED:
        raise OptionError(f"--split-seed {seed}: expected a whole number from 0 to {LARGEST_SEED}.")


# ---- shares and folds ---------------------------------------------------------------------------------------


def _shares(source: Source, given: Sequence[str], fold: str | None, seed: int) -> Shares | None:
    if fold:
        found = FOLD.fullmatch(fold)
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count or not 2 <= count <= MOST_FOLDS:
            raise OptionError(
                f"--fold {shortened(fold)}: expected NUMBER/COUNT, such as 2/5 for the second of five folds (2 to "
                f"{MOST_FOLDS} folds, numbered from 1)."
            )
        return of_fold(Fold(number, count), seed)
    if not given:
        return None
    texts = _by_split(source, "--split-share", given, "SPLIT=NUMBER, such as train=0.8", "a share already. Add them up")
    of = {split: _share(split, text) for split, text in texts.items()}
    if sum(of.values()) > 1:
        every = " + ".join(map(in_digits, of.values()))
        raise OptionError(f"--split-share: {every} is more than 1, which is all frames. Lower a share.")
    return Shares(of, seed)


def _share(split: str, text: str) -> Fraction:
    """Exact, so that thirds are thirds."""
    if SHARE.fullmatch(text) and 0 < (share := Fraction(text)) <= 1:
        return share
    raise OptionError(
        f"--split-share {shortened(f'{split}={text}')}: expected a number above 0 and up to 1, such as 0.8 or 1/3."
    )


# ---- the lists ----------------------------------------------------------------------------------------------


def _lists(source: Source, given: Sequence[str], shared: Shares | None) -> list[SplitList]:
    if len(given) == 1 and given[0] in source.divisions:
        if shared:
            raise OptionError(f"--split-list {given[0]} has the lists of all its splits: give it without shares.")
        lists = _shipped(source, given[0])
    else:
        paths = _paths(source, given)
        if shared and (both := [split for split in paths if split in shared.of]):
            option = "--fold" if shared.fold else "--split-share"
            raise OptionError(f"{both[0]} has a list, and by {option} also other frames: give one of both.")
        lists = [parse_list(split, path, read_list(path), source.folders) for split, path in paths.items()]
    _check_disjoint(lists)
    return lists


def _paths(source: Source, given: Sequence[str]) -> dict[str, str]:
    """split -> file, in the order of the splits. Raises OptionError."""
    for value in given:
        if value in source.divisions:
            raise OptionError(f"--split-list {value} has the lists of all its splits: give it alone, and once.")
    known = ", ".join(source.divisions)
    or_name = f", or a division of {source.name} that ships with segdata: {known}" if known else ""
    expected = f"SPLIT=FILE, such as train=train.txt{or_name}"
    return _by_split(source, "--split-list", given, expected, "a list already. Write its frames into one file")


def _by_split(source: Source, option: str, given: Sequence[str], expected: str, twice: str) -> dict[str, str]:
    """split -> what stands behind the =, in the order of the splits. Raises OptionError."""
    names = split_names(source)
    texts: dict[str, str] = {}
    for value in given:
        split, _, text = value.partition("=")
        if not text:
            raise OptionError(f"{option} {value!r}: expected {expected}.")
        if split not in names:
            raise OptionError(f"{option} {value!r}: no split {split!r}; expected one of {', '.join(names)}.")
        if split in texts:
            raise OptionError(f"{option} {value!r}: {split} has {twice}.")
        texts[split] = text
    return {split: texts[split] for split in names if split in texts}


def _check_disjoint(lists: Sequence[SplitList]) -> None:
    first: dict[str, SplitList] = {}
    for each in lists:
        for key in each.lines:
            if (other := first.setdefault(key, each)) is not each:
                raise SourceError(
                    f"{each.line(key)}: {shortened(key)} also stands in {other.line(key)}. A frame belongs to one "
                    "split: take it out of one of the lists."
                )


def _shipped(source: Source, name: str) -> list[SplitList]:
    texts = source.divisions[name].lists
    return [parse_list(split, file, text, source.folders) for split, (file, text) in texts.items()]


def _name(source: Source, lists: Sequence[SplitList]) -> str:
    """The division that ships and has these lists, "" where there is none: the same frames are the same set."""
    digests = {each.split: each.digest for each in lists}
    for name in source.divisions:
        if digests == {each.split: each.digest for each in _shipped(source, name)}:
            return name
    return ""
