"""Whether a folder can be made, and replaced, at the place that `--out` names."""

import os
from collections.abc import Mapping
from pathlib import Path

from segdata.errors import SegdataError


def check_replaceable(out: Path) -> None:
    """Raise SegdataError where no other folder can take the place of `out`, a path without links."""
    if out.name == "" or os.path.ismount(out):
        raise SegdataError(f"--out {out} is a file system of its own: name a folder in it, which can be replaced.")
    if (here := Path.cwd()).is_relative_to(out):
        where = "is" if here == out else "holds"
        raise SegdataError(
            f"--out {out} {where} the folder you are in: go one level above {out.name}, and start there."
        )


def check_apart(places: Mapping[str, Path | None]) -> None:
    """Raise SegdataError where one of the places (by their names for people, without links) lies in another one."""
    found = [(name, place) for name, place in places.items() if place]
    for i, (name, place) in enumerate(found):
        for other, there in found[i + 1 :]:
            if place.is_relative_to(there) or there.is_relative_to(place):
                raise SegdataError(f"{name} {place} and {other} {there} overlap. Give each a folder of its own.")
