"""Networks of other libraries: a file each, which knows how the library builds them and what they return.

`smp:Unet/resnet18`, `timm:resnet18/fpn`, `torchvision:fcn_resnet50`, `hf:segformer`: the file of that prefix has
`declare(rest)`, where `rest` stands behind the colon. Nothing is ever loaded from the internet.
"""

from __future__ import annotations

from importlib import import_module

from segmodels.spec import ModelSpec

PREFIXES = ("smp", "timm", "torchvision", "hf")


def is_adapted(text: str) -> bool:
    """Whether a text names a network of one of the libraries."""
    return text.partition(":")[0] in PREFIXES and ":" in text


def adapt(text: str) -> ModelSpec:
    """The network of that name. Raises SegmodelsError, and RequirementError where its library is not installed."""
    prefix, _, rest = text.partition(":")
    declared: ModelSpec = import_module(f"{__name__}.{prefix}").declare(rest)
    return declared
