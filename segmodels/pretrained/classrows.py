"""A classifier's weights go by the names of the classes, not by their numbers."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segdata.labels.taxonomy import Taxonomy
from segmodels.pretrained.naming import some
from segmodels.spec import ModelSpec, Size, Value


@dataclass(frozen=True)
class Classes:
    """Those that weights in a file were trained for, and those that a network is to learn."""

    axes: Mapping[str, int]  # see `class_axes`
    learnt: Sequence[str] | None  # None: the file does not name them
    wanted: Sequence[str]

    @property
    def same(self) -> bool:
        """Every class under the same number."""
        return self.learnt == self.wanted

    @property
    def shared(self) -> list[str]:
        return [name for name in self.wanted if name in (self.learnt or ())]

    def rows(self, name: str, there: Tensor, here: Tensor) -> Tensor:
        """Tensor `name` as it is `here`, but for the classes that both know: their entries are those of `there`."""
        known = self.learnt or ()
        to, of = (torch.tensor([each.index(row) for row in self.shared]).long() for each in (self.wanted, known))
        return here.clone().index_copy_(self.axes[name], to, there.index_select(self.axes[name], of).to(here.dtype))

    def told(self, taken: Container[str]) -> str:
        """Which classes were taken over, and which are new, where tensors `taken` were loaded."""
        if self.learnt is None:
            return "none taken over, as the file does not name its classes"
        shared = self.shared if any(name in taken for name in self.axes) else []
        new = [name for name in self.wanted if name not in shared]
        text = f"{len(shared)} of {len(self.wanted)} taken over" + f" ({some(shared)})" * bool(shared)
        return text + f", {len(new)} new ({some(new)})" * bool(new)


def names_of(taxonomy: Taxonomy) -> list[str]:
    """The classes by their numbers."""
    return [row.name for row in taxonomy.classes]


def class_axes(declared: ModelSpec, options: Mapping[str, Value], size: Size) -> dict[str, int]:
    """The tensors that have an entry for each class, and on which axis: where another number of classes shows.

    Both networks are built without memory.
    """
    for_all = {name: value[0] if isinstance(value, tuple) else value for name, value in options.items()}  # of a class
    with torch.device("meta"):
        two, three = (declared.build(classes, size, for_all).state_dict() for classes in (2, 3))
    sides = {name: [*zip(each.shape, three[name].shape, strict=True)] for name, each in two.items()}
    differing = {name: [axis for axis, (a, b) in enumerate(each) if a != b] for name, each in sides.items()}
    return {name: axes[0] for name, axes in differing.items() if axes}


def same_but_for_classes(there: Tensor, here: Tensor, axis: int) -> bool:
    """Whether a tensor is of the same kind, and of the same shape on all other axes."""
    shapes = [[side for at, side in enumerate(each.shape) if at != axis] for each in (there, here)]
    return there.ndim == here.ndim and shapes[0] == shapes[1] and there.is_floating_point() == here.is_floating_point()
