"""Which files `predict` is meant to see: images that were named or lie in folders, and what of that is left out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segdata.base.ownership import PICTURE, is_ours
from segdata.base.refusal import unread
from segdata.raw.leftovers import Leftovers
from segmodels.errors import SegmodelsError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
# A picture that `predict` wrote has such a name, and the mark of segdata inside: either alone could be an image.
DRAWN = re.compile(
    r".+_(labels|color|overlay|confidence|stage\d+_(confidence|accepted|color)|step\d\d+_(color|confidence))\.png"
)


@dataclass
class Found:
    """Images by the names of their pictures, and what was left out."""

    images: dict[str, Path] = field(default_factory=dict)
    drawn: list[Path] = field(default_factory=list)  # pictures of an earlier prediction
    loops: list[Path] = field(default_factory=list)  # links to a folder that they lie in
    leftovers: Leftovers = field(default_factory=Leftovers)
    refused: list[str] = field(default_factory=list)  # folders that cannot be read, and why

    def left_out(self) -> Iterator[str]:
        """What was left out and why, a line each."""
        if self.drawn:
            pictures = "1 picture" if len(self.drawn) == 1 else f"{len(self.drawn)} pictures"
            yield f"{pictures} of an earlier `predict` left out ({self.drawn[0]})"
        for link in self.loops:
            yield f"{link} leads back to a folder that it lies in: not followed"
        if self.leftovers:
            yield str(self.leftovers)


def find_images(paths: Sequence[Path], out: Path) -> Found:
    """The files, and all images in and below the folders, links to folders included.

    A file's pictures have its own name, those of a folder's images keep the folders between. Left out are pictures
    that `predict` wrote, whatever lies under `out`, and what systems leave in folders. Raises SegmodelsError where two
    images would share their pictures, and where nothing is left.
    """
    found = Found()
    if missing := next((path for path in paths if not path.exists()), None):
        raise SegmodelsError(f"{missing}: no such file or folder, expected an image or a folder of images")
    for path in paths:
        inside = _images_below(path, out, found) if path.is_dir() else _unless_drawn([path], found)
        for image in inside:
            name = (image.relative_to(path) if path.is_dir() else Path(image.name)).with_suffix("").as_posix()
            if name in found.images:
                both = f"{found.images[name]} and {image}"
                raise SegmodelsError(f"{both} would be written to the same files. Predict them into two folders")
            found.images[name] = image
    if not found.images:
        why = "; ".join([*found.refused, *found.left_out()])
        raise SegmodelsError(f"no image to predict: {why}. Name other files or folders")
    return found


def _images_below(folder: Path, out: Path, found: Found) -> list[Path]:
    """Sorted. Raises SegmodelsError where there is none."""
    if folder.resolve().is_relative_to(out.resolve()):
        raise SegmodelsError(f"--out {out} is the folder of these images, or holds it: name another folder than theirs")
    named = [path for path in _walk(folder, found) if path.suffix.lower() in SUFFIXES]
    found.refused += [f"{path}: a link to {path.readlink()}, where nothing is" for path in named if _is_dead(path)]
    images = [path for path in named if path.is_file() and not path.resolve().is_relative_to(out.resolve())]
    if not images and not found.refused:
        raise SegmodelsError(f"{folder}: no image in this folder ({', '.join(sorted(SUFFIXES))})")
    return sorted(_unless_drawn(images, found))


def _is_dead(path: Path) -> bool:
    """A link to nothing, or one in a circle."""
    return path.is_symlink() and not path.exists()


def _unless_drawn(images: Sequence[Path], found: Found) -> list[Path]:
    drawn = {path for path in images if DRAWN.fullmatch(path.name) and path.is_file() and is_ours(path, PICTURE)}
    found.drawn += sorted(drawn)
    return [path for path in images if path not in drawn]


def _walk(top: Path, found: Found) -> Iterator[Path]:
    """All files below a folder, through links as well; a folder is entered once on the way to any file."""

    def refuse(error: OSError) -> None:
        found.refused.append(f"{error.filename}: {unread(error)}")

    for home, folders, files in os.walk(top, followlinks=True, onerror=refuse):
        here = Path(home)
        above = {each.resolve() for each in (here, *here.parents) if each.is_relative_to(top)}
        names = [name for name in sorted(folders) if not found.leftovers.take((here / name).relative_to(top))]
        loops = {name for name in names if (here / name).resolve() in above}
        found.loops += [here / name for name in names if name in loops]
        folders[:] = [name for name in names if name not in loops]
        yield from (here / name for name in files if not found.leftovers.take((here / name).relative_to(top)))
