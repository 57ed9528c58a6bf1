"""What every source does: insist on its folders, pair images with labels by key, know the official frames."""

from collections import defaultdict
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
    twice = {key: members for group in reversed(groups) for key, members in group.items() if len(members) > 1}
    found = [*findings, *(_twice(key, members) for key, members in twice.items())]
    by_key, ids, painted = ({k: group[k][0] for k in sorted(group) if k not in twice} for group in groups)
    scenes = []
    for key, image in by_key.items():
        if key in ids or key in painted:
            scenes.append(Scene(key, split, image, ids.get(key), painted.get(key)))
        else:
            found.append(Finding("missing-label", image.path, f"no label for {key}"))
    for key, label in (painted | ids).items():
        if key not in by_key:
            found.append(Finding("missing-image", label.path, f"no image for {key}"))
    return Listing(tuple(scenes), tuple(found))


def _grouped(keyed: Keyed) -> dict[str, list[Member]]:
    groups: dict[str, list[Member]] = defaultdict(list)
    for key, member in keyed:
        groups[key].append(member)
    return groups


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
