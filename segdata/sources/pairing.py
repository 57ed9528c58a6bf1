"""What every source does: insist on its folders, pair images with labels by key, know the official frames."""

from collections.abc import Iterable
from importlib.resources import files

from segdata.errors import MissingError
from segdata.findings import Finding
from segdata.scene import Listing, Scene
from segdata.tree import Member, Tree

Keyed = Iterable[tuple[str, Member]]


def require(tree: Tree, dataset: str, folder: str, zip_name: str) -> list[Member]:
    """The files of a folder that must be there."""
    if members := tree.files(folder):
        return members
    raise MissingError(
        f"{dataset}: no {folder} in {tree.root} (found: {tree.found()}). Unpack or place {zip_name} there."
    )


def pair(split: str, images: Keyed, labels: Keyed, colors: Keyed = (), findings: Iterable[Finding] = ()) -> Listing:
    """Scenes sorted by key; what has no counterpart is a finding, as is a key that stands twice: no scene of it."""
    groups = [_grouped(keyed) for keyed in (images, labels, colors)]
    twice = {key: several[key] for one, several in reversed(groups) for key in one if key in several}
    found = [*findings, *(_twice(key, members) for key, members in twice.items())]
    (pictures, _), (ids, _), (painted, _) = groups
    scenes = []
    for key in sorted(key for key in pictures if key not in twice):
        if key in ids or key in painted:
            scenes.append(Scene(key, split, pictures[key], ids.get(key), painted.get(key)))
        else:
            found.append(Finding("missing-label", pictures[key].path, f"no label for {key}"))
    alone: dict[str, Member] = {}
    for one in (painted, ids):
        alone |= {key: one[key] for key in sorted(one) if key not in pictures and key not in twice}
    found += [Finding("missing-image", label.path, f"no image for {key}") for key, label in alone.items()]
    return Listing(tuple(scenes), tuple(found))


def _grouped(keyed: Keyed) -> tuple[dict[str, Member], dict[str, list[Member]]]:
    """The first member of every key; and all of each key that stands more than once."""
    one: dict[str, Member] = {}
    several: dict[str, list[Member]] = {}
    for key, member in keyed:
        if (first := one.setdefault(key, member)) is not member:
            several.setdefault(key, [first]).append(member)
    return one, several


def _twice(key: str, members: list[Member]) -> Finding:
    others = ", ".join(member.path for member in members[1:])
    return Finding("duplicate-key", members[0].path, f"{key} also names {others}")


def by_stem(members: Iterable[Member]) -> list[tuple[str, Member]]:
    """(file name without .png, member) for every PNG."""
    return [
        (member.path.rpartition("/")[2].removesuffix(".png"), member)
        for member in members
        if member.path.endswith(".png")
    ]


def official_keys(list_name: str) -> frozenset[str]:
    """The published frame names of a split, from the lists that ship with the package."""
    return frozenset((files("segdata.sources") / "lists" / list_name).read_text().split())
