"""The promises that this machine's CPU can try: a function each, which says what it found or raises BrokenError."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

import torch
from torch import Tensor, nn

from segmodels.contract.case import Case
from segmodels.contract.result import BrokenError, Found, NotAskedError
from segmodels.prediction import Prediction
from segmodels.spec import Size

ALONE = 1e-5  # of the largest logit: an image alone, and in a batch
# So many logits are in bfloat16 within this of float32, in shares of their spread. Random weights carry the rounding of
# dozens of layers on, so it is no figure of quality: logits that have nothing to do with each other are 2.3 apart.
MOST, NEAR = 0.9, 0.5


def parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def published(case: Case) -> Found:
    """The counts that the spec calls published, less the dead parameters, are what is built."""
    for row in case.declared.published:
        with torch.device("meta"):
            network = case.declared.build(row.classes, row.size, row.options)
        if (found := parameters(network)) != row.parameters - row.dead:
            at = f"at {row.classes} classes and {_text(row.size)}"
            raise BrokenError(f"{found:,} parameters {at}, expected {row.parameters - row.dead:,}, as published")
    if not case.declared.published:
        raise NotAskedError("its declaration gives no published count")
    first = case.declared.published[0]
    return Found(f"{first.parameters - first.dead:,} at {first.classes} classes and {_text(first.size)}, as published")


@torch.no_grad()
def shapes(case: Case) -> Found:
    """Logits and all supervised outputs are (B, K, H/stride, W/stride), in training, evaluation, at another size."""
    network = case.build()
    _check_shapes(case, network, 2, case.size)
    _check_shapes(case, network.eval(), 1, case.size)
    geometry = case.geometry
    if not geometry.fixed_size:
        height, width = (geometry.neighbours(side + 1)[1] for side in case.size)
        _check_shapes(case, network, 3, (height, width))
    stride = geometry.stride
    return Found(
        f"logits (B, {case.classes}, H/{stride}, W/{stride})" if stride > 1 else "logits as large as the image"
    )


def every_gradient(case: Case) -> Found:
    """Each trainable parameter gets a finite gradient that is not zero; a bias's may be, as a norm can cancel it."""
    gradients = case.gradients()
    trainable = {path for path, each in case.build().named_parameters() if each.requires_grad}
    dead = [path for path in sorted(trainable) if (each := gradients[path]) is None or not _lives(path, each)]
    if dead:
        raise BrokenError(
            f"{len(dead)} of {len(trainable)} tensors get no gradient, or none that is finite: {few(dead)}"
        )
    return Found(f"all of {len(trainable)} tensors")


def same_weights(case: Case) -> Found:
    """Two builds with one seed give the same bytes, another seed gives others."""
    first, second, other = (case.build(seed).state_dict() for seed in (3, 3, 4))
    if first.keys() != second.keys() or (differ := [path for path in first if not same(first[path], second[path])]):
        names = few(sorted(first.keys() ^ second.keys()) or differ)
        raise BrokenError(f"two builds from one seed differ in {names}: draw all weights from torch's global generator")
    if all(same(first[path], other[path]) for path in first):
        raise BrokenError("another seed gives the same weights: draw them from torch's global generator")
    return Found(f"{len(first)} tensors")


@torch.no_grad()
def alone_as_in_a_batch(case: Case) -> Found:
    """In evaluation an image's logits do not depend on its batch mates, but for rounding."""
    network, batch = case.build().eval(), case.images(3)
    together = network(batch).logits
    alone = torch.cat([network(image[None]).logits for image in batch])
    return _within(ALONE, difference(alone, together), "an image alone, and in a batch of 3, differ")


@torch.no_grad()
def evaluated_twice(case: Case) -> Found:
    """In evaluation the same image gives the same bits twice."""
    network, batch = case.build().eval(), case.images()
    if not torch.equal(network(batch).logits, network(batch).logits):
        raise BrokenError("the same image gives other logits the second time, in evaluation mode")
    return Found("the same bits")


def bfloat16(case: Case) -> Found:
    """Forward and backward under bfloat16 autocast are finite and near float32; the weights stay as they are."""
    network = case.build()
    before = {path: each.dtype for path, each in network.named_parameters()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = network(case.images())
        loss = case.loss(prediction)
    loss.backward()  # type: ignore[no-untyped-call]
    lost = [
        path for path, each in network.named_parameters() if each.grad is not None and not each.grad.isfinite().all()
    ]
    if lost or not prediction.logits.isfinite().all():
        raise BrokenError(f"under bfloat16 autocast these are not finite: {few(lost) or 'logits'}")
    if changed := [path for path, each in network.named_parameters() if each.dtype != before[path]]:
        raise BrokenError(f"bfloat16 autocast changes the type of {few(changed)}")
    return _near_float32(case)


def deterministic_on_cpu(case: Case) -> Found:
    """Two backward passes give the same bits, and no operation is refused."""
    first, second = case.gradients(), case.gradients()
    differ = [path for path, each in first.items() if not same(each, second[path])]
    if differ:
        raise BrokenError(f"two backward passes differ in {few(differ)}")
    return Found("the same gradients twice, to the bit")


# ---- how they compare ------------------------------------------------------------------------------------------


def difference(one: Tensor, other: Tensor) -> float:
    """The largest, in shares of the largest value."""
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-30))


def few(names: Iterable[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def _within(limit: float, found: float, what: str) -> Found:
    if not found <= limit:
        raise BrokenError(f"{what} by {found:.1e} of the largest logit, expected at most {limit:.0e}")
    return Found(f"{found:.1e} of the largest logit", found)


def _check_shapes(case: Case, network: nn.Module, images: int, size: Size) -> None:
    prediction, when = network(case.images(images, size)), "in training" if network.training else "in evaluation"
    if not isinstance(prediction, Prediction):
        raise BrokenError(f"it returns {type(prediction).__name__} {when}, expected a Prediction or a tensor of logits")
    stride = case.geometry.stride
    expected = (images, case.classes, size[0] // stride, size[1] // stride)
    for number, each in enumerate((prediction.logits, *prediction.steps)):
        if tuple(each.shape) != expected:
            name = f"supervised output {number}" if number else "the logits"
            raise BrokenError(
                f"{name} of {images} images of {_text(size)} have the shape {_text(each.shape)} {when}, "
                f"expected {_text(expected)}: {case.classes} classes, stride {stride}"
            )


def _lives(path: str, gradient: Tensor) -> bool:
    return bool(gradient.isfinite().all()) and (path.endswith("bias") or bool(gradient.any()))


def same(one: Tensor | None, other: Tensor | None) -> bool:
    """To the bit; NaN is equal to NaN."""
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124


@torch.no_grad()
def _near_float32(case: Case) -> Found:
    network, batch = case.build().eval(), case.images()
    exact = network(batch).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(batch).logits.float()
    distances = (rough - exact).abs().flatten()
    off = float(distances.kthvalue(ceil(MOST * len(distances))).values / exact.std().clamp(min=1e-30))
    if not off <= NEAR:
        raise BrokenError(f"{MOST:.0%} of the logits are within {off:.1%} of their spread, expected {NEAR:.0%}")
    return Found(f"{MOST:.0%} of the logits are within {off:.1%} of their spread", off)


def _text(sides: Iterable[int]) -> str:
    return "x".join(map(str, sides))
