"""The official frames, where their names are public."""

from importlib.resources import files


def official_keys(list_name: str) -> frozenset[str]:
    """The published frame names of a split, from the lists that ship with the package."""
    return frozenset((files("segdata.sources") / "lists" / list_name).read_text().split())
