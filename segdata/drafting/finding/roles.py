"""What each batch of files is: a few files of each kind of place are opened, the others are taken to be like them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from heapq import nsmallest

from segdata.drafting.finding.batches import Batch
from segdata.drafting.finding.looks import Look, look_at
from segdata.raw.member import Member

STRUCTURAL = 12  # names at one level, at most, that say what lies below: images and masks; more are drives or cities
OPENED = 3  # files of a kind of place
MOST_OPENED = 150  # files in all
Key = tuple[object, ...]


@dataclass(frozen=True)
class Role:
    """A batch and what its files are, by those that were opened: their kind is the most frequent one."""

    batch: Batch
    kind: str
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True)
class Roles:
    """All batches with what they are, and the paths of opened files that are damaged."""

    all: tuple[Role, ...]
    damaged: tuple[str, ...]

    def of(self, *kinds: str) -> list[Role]:
        return [role for role in self.all if role.kind in kinds]


def spread(members: Iterable[Member], count: int) -> list[Member]:
    """So many of the files, the same ones every time, from all over the place."""
    return nsmallest(
        count, members, key=lambda member: blake2b(member.path.encode("utf-8", "surrogateescape")).digest()
    )


def find_roles(batches: Sequence[Batch]) -> Roles:
    """Batches of like names at like places share what was seen; where the seen ones differ, each is opened."""
    alike = _alike(batches)
    each = max(1, min(OPENED, MOST_OPENED // max(1, len(alike))))
    damaged, found = list[str](), list[Role]()
    left = MOST_OPENED
    for group in alike.values():
        looks = _opened([member for batch in group for member in batch.files.values()], each, damaged)
        if len({look.kind for look in looks}) > 1 and len(group) > 1 and left >= len(group):
            left -= len(group)
            for batch in group:
                found.append(_role(batch, _opened(batch.files.values(), 1, damaged) or looks))
        else:
            found += [_role(batch, looks) for batch in group]
    return Roles(_merged(found), tuple(sorted(set(damaged))))


def _alike(batches: Sequence[Batch]) -> dict[Key, list[Batch]]:
    """Batches by how they are named and by the names above them that few others differ from."""
    names: dict[tuple[int, int], set[str]] = defaultdict(set)
    for batch in batches:
        for level, part in enumerate(batch.parts):
            names[len(batch.parts), level].add(part)
    found: dict[Key, list[Batch]] = defaultdict(list)
    for batch in batches:
        depth = len(batch.parts)
        structure = [part if len(names[depth, level]) <= STRUCTURAL else "" for level, part in enumerate(batch.parts)]
        found[depth, batch.head, batch.tail, batch.suffixes, *structure].append(batch)
    return found


def _opened(members: Iterable[Member], count: int, damaged: list[str]) -> list[Look]:
    """The looks of so many files; of damaged ones the next are taken, twice at most."""
    found = list[Look]()
    for member in spread(members, 3 * count):
        if len(found) == count:
            break
        if look := look_at(member):
            found.append(look)
        else:
            damaged.append(member.path)
    return found


def _role(batch: Batch, looks: Sequence[Look]) -> Role:
    kinds = Counter(look.kind for look in looks)
    return Role(batch, max(kinds, key=lambda kind: kinds[kind]) if kinds else "other", tuple(looks))


def _merged(roles: Sequence[Role]) -> tuple[Role, ...]:
    """Images of one folder that differ in their suffix alone are one batch: {jpg,png}."""
    found: dict[Key, Role] = {}
    for role in roles:
        batch = role.batch
        key: Key = (batch.folder, batch.head, batch.tail, role.kind if role.kind == "image" else batch.suffixes)
        if other := found.get(key):
            one = other.batch
            suffixes = tuple(sorted({*one.suffixes, *batch.suffixes}))
            merged = replace(one, suffixes=suffixes, files={**batch.files, **one.files})
            found[key] = replace(other, batch=merged, looks=(*other.looks, *role.looks))
        else:
            found[key] = role
    return tuple(found.values())
