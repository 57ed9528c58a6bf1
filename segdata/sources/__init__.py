"""The datasets that `segdata prepare` reads: one line each, and a file each with the facts about it.

`official.py` holds their public frame lists. How files are found and read belongs in `raw`.
"""

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches

from segdata.errors import OptionError, SourceError
from segdata.raw.scene import Grouped, SceneSource
from segdata.sources.camvid import CamVid
from segdata.sources.cityscapes import Cityscapes
from segdata.sources.tas500 import TAS500

SOURCES: dict[str, SceneSource] = {
    "cityscapes": Cityscapes(),
    "cityscapes-coarse": Cityscapes(coarse=True),
    "tas500": TAS500(),
    "camvid": CamVid(),
}


LABEL_FILES = ("ids", "polygons")  # what labels are made of


def with_labels(found: SceneSource, files: str) -> SceneSource:
    """The source whose labels are made of these files. Raises OptionError where it has none such."""
    if files == "ids":
        return found
    if isinstance(found, Cityscapes):
        return replace(found, polygons=True)
    raise OptionError(f"--labels {files} is for cityscapes and cityscapes-coarse, this is {found.name}.")


def source(name: str) -> SceneSource:
    """The source of that name; raises SourceError that names the nearest ones."""
    if name in SOURCES:
        return SOURCES[name]
    near = get_close_matches(name, SOURCES, n=2) or sorted(SOURCES)
    raise SourceError(f"no source {name!r}; did you mean {' or '.join(near)}?")


def groups(name: str, keys: Iterable[str]) -> tuple[str, ...]:
    """The group of each frame by the rule of the source of that name (`Grouped` in `raw/scene.py`).

    Each frame is a group of its own where the source has no rule, or is none of SOURCES.
    """
    found = SOURCES.get(name)
    return tuple(map(found.group, keys)) if isinstance(found, Grouped) else tuple(keys)
