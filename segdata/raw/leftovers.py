"""What systems and programs leave beside people's files. It is never part of a dataset, and is skipped and counted.

Here is the only list of such names. `prepare`, `verify` and `predict` all ask it.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePath

# Who leaves files and folders of these names. Case does not matter: Windows writes desktop.ini and Desktop.ini.
NAMES = {
    who: re.compile(names, re.IGNORECASE | re.DOTALL)
    for who, names in {
        "macOS": r"\._.*|__MACOSX|\.DS_Store|\.AppleDouble|\.AppleDB|\.LSOverride|\.Spotlight-V100|\.Trashes|"
        r"\.fseventsd|\.TemporaryItems|\.DocumentRevisions-V100|\.VolumeIcon\.icns|Icon\r",
        "Windows": r"Thumbs\.db(:encryptable)?|ehthumbs(_vista)?\.db|desktop\.ini|\$RECYCLE\.BIN|"
        r"System Volume Information|.+:Zone\.Identifier",
        "Linux": r"lost\+found|\.directory|\.Trash-\d+|\.nfs[0-9a-f]+|\.fuse_hidden[0-9a-f]+",
        "a network disk": r"@eaDir|#recycle|@Recycle|\.snapshots?",
        "git": r"\.git|\.gitattributes|\.gitignore|\.gitkeep|\.gitmodules|\.lfsconfig",
        "DVC": r"\.dvc|\.dvcignore|.+\.dvc",
        "Hugging Face": r"\.huggingface",
        "Jupyter": r"\.ipynb_checkpoints",
    }.items()
}
HUGGING_FACE = (".cache", "huggingface")  # two folders: whatever else lies in .cache is not theirs


@dataclass
class Leftovers:
    """How many leftovers were skipped, by who leaves such, each with the name of the first one."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def take(self, path: PurePath | str) -> bool:
        """Whether the path, from a folder of the user's on, is a leftover; then it is counted."""
        if who := left_by(path):
            self.count(who, PurePath(path).name)
        return bool(who)

    def count(self, who: str, name: str) -> None:
        """One more of them; `who` is "" where a name is hidden and nobody is known to leave such."""
        self.counts[who] = self.counts.get(who, 0) + 1
        self.examples.setdefault(who, name)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        """One line: "12 files left by macOS were skipped (._a.png, …); 1 file left by git was skipped (.git)"."""
        return "; ".join(_told(who, count, self.examples[who]) for who, count in sorted(self.counts.items()))


def is_leftover(path: PurePath | str) -> bool:
    """Whether a file or folder is left by a system or a program, or lies in a folder that is.

    The path is relative to the folder that the user named: what stands above that is of no matter.
    """
    return bool(left_by(path))


def left_by(path: PurePath | str) -> str:
    """Who leaves such files: "macOS"; "" for a file that may be the user's."""
    parts = PurePath(path).parts
    if any(pair == HUGGING_FACE for pair in pairwise(parts)):
        return "Hugging Face"
    return next((who for part in parts for who, names in NAMES.items() if names.fullmatch(part)), "")


def _told(who: str, count: int, example: str) -> str:
    what = f"file{'s' * (count > 1)} left by {who}" if who else f"hidden file{'s' * (count > 1)}"
    return f"{count} {what} {'were' if count > 1 else 'was'} skipped ({example}{', …' * (count > 1)})"
