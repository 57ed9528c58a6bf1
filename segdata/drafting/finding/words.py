"""Words in the names of files and folders: of splits, of labels, and of what is neither."""

import re

SPLITS = {  # word -> the split
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **{word: word for word in ("train_extra", "trainval", "eval", "holdout")},
}
LABEL = re.compile(
    r"annot|label|mask|ground.?truth|gt(?![a-z])|gtfine|gtcoarse|segment|semseg|semantic|sem_?seg|class|ids?(?![a-z])|"
    r"seg(?![a-z])|colou?r",
    re.IGNORECASE,
)
OTHER = re.compile(  # labels of another task, and pictures for people
    r"instance|object|panoptic|depth|disparity|boundar|(?<![a-z])(edges?|vis|overlay|blend|conf|pred)(?![a-z])",
    re.IGNORECASE,
)
LESS = re.compile(r"train_?id|level\d|coarse|v1\.", re.IGNORECASE)  # made of others, or earlier
_WORD = "|".join(sorted(SPLITS, key=len, reverse=True))
_SPLIT = re.compile(
    rf"(?P<before>(?:.*[_\-. ])?)(?P<word>{_WORD})"
    r"(?P<after>(?:[_\-. ].*)?|annot\w*|labels?\w*|masks?\w*|gt|images?|imgs?)",
    re.IGNORECASE,
)
_BOUNDARY = re.compile(r"(?<=[_\-. ])|(?=[_\-. ])|(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)|^|$")
_TAIL_CUT = re.compile(r"[_\-. ](?=[A-Za-z])")
SEPARATORS = "_-. "
_WORDLIKE = re.compile(r"[^\d]*|(left|right)Img\d+bit", re.IGNORECASE)  # no part of a number
MOST_WORDS = 4  # in a tail such as _gtFine_labelIds


def split_of(part: str) -> tuple[str, str, str] | None:
    """("", "train", "annot") of a folder that is named after a split; None of others."""
    found = _SPLIT.fullmatch(part)
    return (found["before"], found["word"], found["after"]) if found else None


def tails(stem: str) -> list[tuple[str, str]]:
    """(core, tail) for each way to cut words without digits off the end: "0001_gt_ids" has the tails _ids, _gt_ids."""
    found = list[tuple[str, str]]()
    for cut in reversed([each.start() for each in _TAIL_CUT.finditer(stem)]):
        word = stem[cut + 1 :].removesuffix(found[-1][1] if found else "")
        if not cut or len(found) == MOST_WORDS or not _WORDLIKE.fullmatch(word):
            break
        found.append((stem[:cut], stem[cut:]))
    return found


def boundaries(stem: str) -> set[int]:
    """Where a name may be cut: beside separators, and between letters and digits."""
    return {each.start() for each in _BOUNDARY.finditer(stem)}
