"""Lines of lists that name no frame: what is said of them, and the frame that may be meant."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from segdata.findings import Finding
from segdata.raw.scene import Folder
from segdata.splits.splitlist import SplitList, key_of, shortened

SHOWN = 20  # lines of a list that have a finding each; one more counts the others
AROUND = 8  # frames before and behind a key in order of names: one of them is what was meant, or none


def no_frame(
    missing: Sequence[str],
    lists: Mapping[str, SplitList],
    where: str,
    known: Collection[str],
    whole: str = "the dataset",
) -> str:
    """One line on keys of lists that `where` lacks, the first by its line; `known` are those that it has."""
    key, more = missing[0], f" (nor {len(missing) - 1} more of the listed frames)" if len(missing) > 1 else ""
    in_order = sorted(known)
    example = _nearest(key, in_order) or next(iter(in_order), "none")
    return (
        f"{lists[key].line(key)}: there is no frame {shortened(key)} in {where}{more}. A line names one frame of "
        f"{whole}, such as {example}."
    )


def unknown_frames(missing: Sequence[str], lists: Mapping[str, SplitList], known: Collection[str]) -> list[Finding]:
    """A finding for each of these keys, of each list for the first SHOWN, and one for the others."""
    of_list: dict[str, list[str]] = defaultdict(list)
    for key in missing:
        of_list[lists[key].name].append(key)
    found, in_order = list[Finding](), sorted(known)
    for name, keys in of_list.items():
        for key in keys[:SHOWN]:
            near = _nearest(key, in_order)
            hint = f"; the nearest is {near}" if near else ""
            what = f"line {lists[key].lines[key]}: no frame {shortened(key)} in the dataset{hint}"
            found.append(Finding("unknown-frame", name, what))
        if others := keys[SHOWN:]:
            first = lists[others[0]].lines[others[0]]
            what = f"{len(others)} more lines, from line {first} on, name no frame of the dataset"
            found.append(Finding("unknown-frame", name, what))
    return found


def told(folders: Sequence[Folder], findings: Iterable[Finding]) -> Iterator[str]:
    """The keys of files of which a finding says why they are no frames: of these nothing more is to be said."""
    keys = ((key_of(finding.where, folders), finding.where) for finding in findings)
    return (key for key, path in keys if key != path)


def _nearest(key: str, in_order: Sequence[str]) -> str:
    """Among the frames that stand beside the key in order of names, for there may be a million; "" for none."""
    place = bisect_left(in_order, key)
    beside = in_order[max(place - AROUND, 0) : place + AROUND]
    return next(iter(get_close_matches(key, beside, n=1)), "")
