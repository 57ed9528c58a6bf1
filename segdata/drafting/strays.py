"""Files that are none of the pairs: `prepare` asks what those among them are; others lie in folders of their own."""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from segdata.drafting.finding.pairing import Annotation
from segdata.drafting.finding.roles import Role
from segdata.drafting.layout import Layout
from segdata.raw.used import DOCUMENT


def endings_of(annotation: Annotation, roles: Iterable[Role]) -> dict[str, str]:
    """How the names of other files end that lie beside the labels, from their last underscore on, and their kind:
    color.png beside labelIds.png."""
    own = {match.label.batch.folder: match.label.batch for match in annotation.matches}
    found: dict[str, str] = {}
    for role in roles:
        batch = role.batch
        chosen = own.get(batch.folder)
        if chosen is None or batch is chosen or role.kind == "image" or batch.head != chosen.head:
            continue
        start, underscore, _ = f"{chosen.tail}.{chosen.suffixes[0]}".rpartition("_")
        ending = f"{batch.tail}.{batch.suffixes[0]}"
        if underscore and ending.startswith(f"{start}_"):
            found[ending[len(start) + 1 :]] = role.kind
    return dict(sorted(found.items()))


def strays_of(layout: Layout, endings: Iterable[str], paths: Sequence[str]) -> list[str]:
    """Files below the folders that the templates name, which neither the templates nor the endings take.

    The endings are of files beside labels: below a folder of images too, nothing says what such files are.
    """
    folders: dict[str, set[str]] = {"image": set(), "annotation": set()}
    taken = set[str]()
    for split in layout.splits:
        for role, found in folders.items():
            if role == "image" or split not in layout.bare:
                found.add(layout.template(role, split).folder)
                taken |= set(layout.matched(role, split, paths))
    images, labels = (tuple(f"{folder}/" for folder in found if folder) for found in folders.values())
    told = re.compile("|".join(rf".*_{re.escape(ending)}" for ending in endings) or r"(?!)", re.IGNORECASE | re.DOTALL)
    free = [path for path in paths if path not in taken and not DOCUMENT.fullmatch(path.rpartition("/")[2])]
    return [
        path
        for path in free
        if (images and path.startswith(images)) or (labels and path.startswith(labels) and not told.fullmatch(path))
    ]


def folders_apart(layout: Layout, paths: Iterable[str]) -> list[str]:
    """The folders that hold these files and nothing of the pairs, the highest of each: those of other datasets."""
    own = {
        folder for pair in layout.pairs for path in (pair.image, pair.label) for folder in PurePosixPath(path).parents
    }
    apart = (next((each for each in reversed(PurePosixPath(path).parents) if each not in own), None) for path in paths)
    return sorted({str(folder) for folder in apart if folder})
