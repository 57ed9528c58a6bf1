"""The datasets that `segdata prepare` reads: a source file each, of those that ship and of anybody's own.

`file.py` reads a source file, `source.py` is what it says. How files are found and read belongs in `raw`.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from segdata.errors import SourceError
from segdata.sources.entrypoints import installed, load_installed
from segdata.sources.file import load_source, read_source, shipped, shipped_names
from segdata.sources.source import Source


class _Shipped(Mapping[str, Source]):
    """The sources that ship, by name; each is read when it is asked for."""

    def __getitem__(self, name: str) -> Source:
        if name not in shipped_names():
            raise KeyError(name)
        return _read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(shipped_names())

    def __len__(self) -> int:
        return len(shipped_names())


@cache
def _read(name: str) -> Source:
    path = shipped(name)
    return read_source(path.read_bytes(), path.name, path.parent, ships=True)


SOURCES: Mapping[str, Source] = _Shipped()


def source(name_or_path: str) -> Source:
    """A source that ships or that an installed package brings, by name, or a user's own by the path of its file: with
    a slash or a YAML suffix, or a file that is there. Raises SourceError that names the nearest ones."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or "/" in name_or_path or (name_or_path not in SOURCES and path.is_file()):
        return load_source(path)
    if name_or_path in SOURCES:
        return SOURCES[name_or_path]
    if name_or_path in installed():
        return load_installed(name_or_path)
    known = [*SOURCES, *installed()]
    near = get_close_matches(name_or_path, known, n=2) or sorted(known)
    raise SourceError(
        f"no source {name_or_path!r}; did you mean {' or '.join(near)}? Your own dataset is a YAML file: "
        "`segdata init` drafts it."
    )


def groups(name: str, keys: Iterable[str]) -> tuple[str, ...]:
    """The group of each frame by the rule of the source of that name (`Source.group`).

    Each frame is a group of its own where the source has no rule, or is none of SOURCES.
    """
    return tuple(map(SOURCES[name].group, keys)) if name in SOURCES else tuple(keys)
