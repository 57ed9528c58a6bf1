"""Sources that installed packages bring: entry points of the group `segdata.sources`, each a path of a source file."""

from importlib.metadata import EntryPoint
from pathlib import Path

from segdata.errors import SourceError
from segdata.requirements import registered
from segdata.sources.file import load_source
from segdata.sources.source import Source

GROUP = "segdata.sources"


def installed() -> dict[str, tuple[EntryPoint, ...]]:
    """What is registered, by name. None of the packages is imported."""
    return registered(GROUP)


def load_installed(name: str) -> Source:
    """The source that a package brings under this name. The package is imported. Raises SourceError."""
    first, *others = installed()[name]
    if others:
        values = " and ".join(each.value for each in (first, *others))
        raise SourceError(f"two packages bring a source {name!r}: {values}. Uninstall one, or name its file.")
    try:
        path = first.load()
    except Exception as error:  # whatever the package's code raises
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise SourceError(f"source {name!r}: {first.value} cannot be imported: {said}") from error
    if not isinstance(path, str | Path):
        raise SourceError(f"source {name!r}: {first.value} is {type(path).__name__}, expected the path of a YAML file.")
    return load_source(Path(path))
