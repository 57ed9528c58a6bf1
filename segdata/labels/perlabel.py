"""The taxonomy of a dataset for which none was written: a class for each of its labels."""

from collections.abc import Sequence

from segdata.errors import TaxonomyError
from segdata.labels.label import Label
from segdata.labels.taxonomy import IGNORE, TargetClass, Taxonomy

VOID = "void"  # the category of labels that are no class: border of the picture, unlabelled, out of region of interest


def class_per_label(name: str, labels: Sequence[Label]) -> Taxonomy:
    """In the order of the ids; labels of the category `void`, and those that no label file holds, are ignored.

    Raises TaxonomyError where fewer than two classes are left, or more than there are target ids.
    """
    kept = [label for label in sorted(labels, key=lambda each: each.id) if label.id >= 0 and label.category != VOID]
    if not 2 <= len(kept) < IGNORE:
        raise TaxonomyError(
            f"{name}: {len(kept)} labels are not void; expected 2 to {IGNORE - 1} classes. Name a taxonomy."
        )
    return Taxonomy(
        name=name,
        description=f"Each label of {name} is a class; labels of the category void are ignored.",
        classes=tuple(
            TargetClass(label.name, label.color, label.category, True, label.id, (label.name,)) for label in kept
        ),
        ignore=tuple(label.name for label in labels if label not in kept),
    )
