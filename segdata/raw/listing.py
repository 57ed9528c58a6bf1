"""The scenes of a split: images and labels that belong together, and what is said of all that do not."""

from collections.abc import Iterable, Mapping, Sequence

from segdata.findings import Finding
from segdata.raw.member import Member
from segdata.raw.nearest import nearest_folders
from segdata.raw.scene import Folder, Listing, Scene
from segdata.raw.tree import Tree
from segdata.raw.used import Shelf, Used, use

Keyed = Iterable[tuple[str, Member]]


def list_split(name: str, tree: Tree, folders: Sequence[Folder], shelf: Shelf) -> Listing:
    """The scenes of the pool whose folders these are. Raises SourceError where a file lies twice, and differs."""
    used = {folder.role: use(folder, shelf.take(folder), shelf.rivals(folder), shelf.others) for folder in folders}
    image, labels = used["image"], [used[role] for role in ("labels", "colors") if role in used]
    findings = tuple(finding for each in used.values() for finding in each.findings)
    annotated = [each for each in labels if each.keyed]
    origin = "; ".join(map(str, (image, *(annotated or labels[:1]))))
    if not image.keyed and not annotated and not findings:
        lacking = image.folder
        there = tree.storage.description()
        found = f"{name}: no {_where(lacking)} in {tree.root} (found: {there}). {_advice(lacking, tree)}."
        return Listing((), (), "not there", Finding("missing-split", lacking.pool, found))
    if annotated and not image.keyed:
        return Listing((), findings, origin, _absent("missing-image", name, tree, image.folder, annotated[0]))
    if labels and image.keyed and not annotated:
        return Listing((), findings, origin, _absent("missing-label", name, tree, labels[0].folder, image, labels[0]))
    if not labels:
        scenes = tuple(
            Scene(key, image.folder.pool, member) for key, member in sorted(image.keyed, key=lambda each: each[0])
        )
        return Listing(scenes, findings, origin)
    ids, colors = (used[role].keyed if role in used else () for role in ("labels", "colors"))
    scenes, unpaired = pair(image.folder.pool, image.keyed, ids, colors)
    scenes, crossed = _joined(scenes, used)
    if not scenes and (kind := _other_kind(labels[0])):
        lacking = labels[0].folder
        found = (
            f"{name}: the {labels[0]} are all *_{kind}, of which none is named as its image. {lacking.instead[kind]}."
        )
        return Listing((), findings, origin, Finding("missing-label", lacking.path, found))
    if annotated and not scenes and not crossed and not any(finding.code == "duplicate-key" for finding in unpaired):
        none = _no_pair(name, image, annotated[0])
        return Listing((), (*findings, none), origin, none)
    if image.folder.is_mixed:  # whether a split needs labels, only its rule says: `splits.membership`
        bare = {finding.where for finding in unpaired if finding.code == "missing-label"}
        unpaired = [finding for finding in unpaired if finding.where not in bare]
        more = [Scene(key, image.folder.pool, member) for key, member in image.keyed if member.path in bare]
        scenes = tuple(sorted((*scenes, *more), key=lambda scene: scene.key))
    elif labels[0].folder.is_partial:
        unpaired = without_label(image.folder.pool, len(image.keyed), unpaired)
    return Listing(scenes, (*findings, *unpaired, *crossed), origin)


def without_label(pool: str, images: int, unpaired: Sequence[Finding]) -> list[Finding]:
    """The findings with one that counts the images without a label, where the source says that there are such."""
    bare = [finding for finding in unpaired if finding.code == "missing-label"]
    others = [finding for finding in unpaired if finding.code != "missing-label"]
    if not bare:
        return others
    found = f"{len(bare)} of {images} images have no label and are left out, such as {bare[0].where}"
    return [*others, Finding("without-label", pool, found)]


def _no_pair(name: str, image: Used, labels: Used) -> Finding:
    """That no image has the key of a label: examples of both sides show what does not join."""
    (one, picture), (other, label) = image.keyed[0], labels.keyed[0]
    return Finding(
        "no-pair",
        image.folder.pool,
        f"{name}: none of the {len(image.keyed)} images has the key of one of the {len(labels.keyed)} labels: "
        f"{picture.path} has the key {one}, {label.path} has {other}",
    )


def _absent(code: str, name: str, tree: Tree, lacking: Folder, there: Used, other: Used | None = None) -> Finding:
    """That all images or all labels are missing, though the counterpart is `there`, and so may be `other` files."""
    if other and (kind := next((kind for kind in lacking.instead if other.beside.get(kind)), None)):
        lie = " and ".join(f"{other.beside[each]} files *_{each}" for each in lacking.instead if other.beside.get(each))
        found = f"{name}: {lacking.path} in {tree.root} has {lie}, and no {lacking.rule}. {lacking.instead[kind]}."
        return Finding(code, lacking.path, found)
    found = (
        f"{name}: no {_where(lacking)} in {tree.root} with files {lacking.rule} (found: {tree.storage.description()}), "
        f"though there are {there}. {_advice(lacking, tree)}, or name the splits that you want with --split."
    )
    return Finding(code, lacking.path, found)


def _other_kind(labels: Used) -> str:
    """The kind of other files that all those are that were taken for labels; "" where they are of none."""
    paths = [member.path for _, member in labels.keyed]
    kinds = labels.folder.instead if paths else ()
    return next((kind for kind in kinds if all(path.endswith(f"_{kind}") for path in paths)), "")


def _advice(lacking: Folder, tree: Tree) -> str:
    if lacking.package:
        return f"Unpack or place {lacking.package} there"
    near = nearest_folders(tree, lacking)
    looked = f"Files were looked for as {lacking.template.text}"
    return f"{looked}. {near}. Mend the template, or point --root at the folder above them" if near else looked


def _where(folder: Folder) -> str:
    return folder.path or f"file {folder.template.text}"


# ---- pairs --------------------------------------------------------------------------------------------------


def pair(split: str, images: Keyed, labels: Keyed, colors: Keyed = ()) -> tuple[tuple[Scene, ...], list[Finding]]:
    """Scenes sorted by key; what has no counterpart is a finding, as is a key that stands twice: no scene of it."""
    groups = [_grouped(keyed) for keyed in (images, labels, colors)]
    twice = {key: several[key] for one, several in reversed(groups) for key in one if key in several}
    found = []
    for key, (first, *others) in twice.items():
        names = (each.where if each.path == first.path else each.path for each in others)
        found.append(Finding("duplicate-key", first.path, f"{key} also names {', '.join(names)}"))
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
    return tuple(scenes), found


def _joined(scenes: tuple[Scene, ...], used: Mapping[str, Used]) -> tuple[tuple[Scene, ...], list[Finding]]:
    """The scenes whose image and label have all fields equal that both templates have; the others are findings.

    A key alone does not tell: it may lack a field, and names with underscores can give one key in two ways.
    """
    image = used["image"].folder
    joins = {role: image.shared(each.folder) for role, each in used.items() if role != "image"}
    kept, found = list[Scene](), list[Finding]()
    for scene in scenes:
        labels = (("labels", scene.labels), ("colors", scene.colors))
        told = (_apart(image, scene, used[role].folder, file, joins[role]) for role, file in labels if file)
        if apart := next(filter(None, told), ""):
            do = "Put this field into `key`, and between its fields a character that no name has"
            found.append(Finding("no-pair", scene.image.path, f"its key {scene.key} is also that of {apart}. {do}"))
        else:
            kept.append(scene)
    return tuple(kept), found


def _apart(image: Folder, scene: Scene, labels: Folder, label: Member, names: Sequence[str]) -> str:
    """The label file, and the first of the fields in which it differs from its image; "" for none."""
    if not names or image.values(scene.image.path, names) == labels.values(label.path, names):
        return ""
    ours, theirs = image.fields(scene.image.path) or {}, labels.fields(label.path) or {}
    as_in_key = image.naming.part
    other = next((name for name in names if as_in_key(ours[name]) != as_in_key(theirs[name])), "")
    return other and f"{label.path}, which has another {{{other}}}"


def _grouped(keyed: Keyed) -> tuple[dict[str, Member], dict[str, list[Member]]]:
    """The first member of every key; and all of each key that stands more than once."""
    one: dict[str, Member] = {}
    several: dict[str, list[Member]] = {}
    for key, member in keyed:
        if (first := one.setdefault(key, member)) is not member:
            several.setdefault(key, [first]).append(member)
    return one, several
