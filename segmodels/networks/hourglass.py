"""Stacked hourglass networks and their relatives: one loop and one table for thirteen networks.

Distillation, iterative refinement and stacked hourglass networks of github.com/chokladmousse/Semantic_Segmentation,
made for TAS500, after Newell et al., Stacked Hourglass Networks for Human Pose Estimation (ECCV 2016). A prenet distils
the image to (f, H/s, W/s), bodies refine it in S iterations, one classifier reads off the segmentation after each; all
are supervised. The option for S is called `steps`, as in the original.

Deviations: every base runs with every norm (in the original resUnet and UPresUnet need layerHW); the last segmentation
of v1 and v3 goes through the classifier's norm, and v3's copy input through its own; parameters that never receive a
gradient are left out. With norm=batch the iterations of a shared body also share its running statistics, which fit
none of them: iterative networks then evaluate far worse than they train. The layer norms keep no statistics.

The source's figures show seven iterations, a later commit of its hyperparameters says eight, the default here
(hourglass has 63.9 million parameters with seven, 72.7 with eight). Its published scores are those of the last batch of
a validation alone, at 1/s of the size, and undefined pixels count as wrong in its accuracy: no score of a whole split
compares with them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from segmodels.blocks import check_image
from segmodels.errors import SegmodelsError
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, Knob, ModelSpec, Option, Published, Size

Many = Literal["none", "shared", "own"]


@dataclass(frozen=True)
class Wiring:
    """A row of the family's table."""

    initial: bool  # iteration 0 has a network of its own
    bodies: Many  # one body for all iterations, or one each
    copy: Many  # the distilled image is copied into every iteration by an extractor
    residual: bool  # what went into the iteration before is added to the input of the next


DISTILL = Wiring(initial=False, bodies="own", copy="none", residual=False)  # and S = 1

WIRINGS = {
    #                               initial bodies    copy      residual
    "iterative_v1":          Wiring(True,  "shared", "shared", False),
    "iterative_v2":          Wiring(False, "shared", "shared", False),
    "iterative_v3":          Wiring(True,  "shared", "shared", True),
    "iterative_v4":          Wiring(False, "shared", "shared", True),
    "iterative_v5":          Wiring(True,  "shared", "none",   True),
    "iterative_v6":          Wiring(False, "shared", "none",   True),
    "hourglass":             Wiring(False, "own",    "none",   False),
    "hourglass_iter":        Wiring(False, "own",    "shared", False),
    "hourglass_iter_ex":     Wiring(False, "own",    "own",    False),
    "res_hourglass":         Wiring(False, "own",    "none",   True),
    "res_hourglass_iter":    Wiring(False, "own",    "shared", True),
    "res_hourglass_iter_ex": Wiring(False, "own",    "own",    True),
}  # fmt: skip


@dataclass(frozen=True)
class Layers:
    """Makes the family's layers: the options that concern every one of them."""

    base: str
    growth: float
    norm: str
    alpha_init: float

    @property
    def unet(self) -> bool:
        """What comes back from the lower level is concatenated, not added."""
        return self.base in ("resUnet", "UPresUnet")

    def cna(self, channels_in: int, channels_out: int, kernel: int, size: Size) -> nn.Sequential:
        """Convolution, norm, activation at resolution `size`."""
        conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        return nn.Sequential(conv, self._norm(channels_out, size), nn.LeakyReLU(0.01))

    def scale(self, *shape: int) -> nn.Parameter:
        """An α or β. Keep it out of gradient clipping: while it is 0, its own gradient can be huge."""
        return nn.Parameter(torch.full(shape, self.alpha_init))

    def _norm(self, channels: int, size: Size) -> nn.Module:
        if self.norm == "batch":
            return nn.BatchNorm2d(channels)
        return nn.LayerNorm(size if self.norm == "layerHW" else (channels, *size))


class Block(nn.Module):
    """A residual block; at α = 0 it is its skip."""

    def __init__(self, layers: Layers, channels_in: int, channels_out: int, size: Size) -> None:
        super().__init__()
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)
        self.path = nn.Sequential(
            layers.cna(channels_in, channels_out, 3, size),
            layers.cna(channels_out, channels_out, 3, size),
            layers.cna(channels_out, channels_out, 1, size),
        )
        self.alpha = layers.scale()

    def forward(self, x: Tensor) -> Tensor:
        skip, path = self.skip(x), self.path(x)
        return torch.add(skip, self.alpha * path)


class Level(nn.Module):
    """One resolution of a base and the lower ones inside it: (f, h, w) to (f or, in a Unet, 2f, h, w)."""

    def __init__(self, layers: Layers, width: int, depth: int, size: Size) -> None:
        super().__init__()
        wider, half = int(width * layers.growth), (size[0] // 2, size[1] // 2)
        self.down = nn.Sequential(Block(layers, width, wider, size), nn.MaxPool2d(2))
        self.inner = Level(layers, wider, depth - 1, half) if depth > 1 else nn.Identity()
        self.high = Block(layers, 2 * wider if layers.unet and depth > 1 else wider, width, half)
        nearest = layers.base.startswith("UP")
        self.up = nn.Upsample(scale_factor=2) if nearest else nn.ConvTranspose2d(width, width, 2, stride=2)
        self.widen = layers.cna(width, 2 * width, 1, size) if layers.unet else None
        self.alpha = layers.scale()

    def forward(self, x: Tensor) -> Tensor:
        up: Tensor = self.up(self.high(self.inner(self.down(x))))  # (B, f, h, w)
        if self.widen is None:
            return x + self.alpha * up
        return torch.add(self.widen(x), self.alpha * torch.cat((x, up), dim=1))


class Tas500Net(nn.Module):
    """Any of the thirteen: `wiring` is its row of the table.

    x0 is the distilled image, h_i the hidden state after iteration i, s_i its segmentation, e_i the copied input.
    α and β are scalars where the iterations share a body, vectors (S - 1,) where each has its own.
    """

    def __init__(
        self,
        classes: int,
        size: Size,
        *,
        wiring: Wiring,
        prenet: str,
        base: str,
        width: int,
        growth: float,
        depth: int,
        norm: str,
        alpha_init: float,
        plain_logits: bool,
        steps: int,
    ) -> None:
        super().__init__()
        self.wiring, self.iterations, self.size = wiring, steps, size
        self.stop_after = steps  # see `set_iterations`
        self.geometry = _geometry(prenet, depth, norm)
        layers = Layers(base, growth, norm, alpha_init)
        scale = self.geometry.stride
        small = (size[0] // scale, size[1] // scale)
        body = partial(_body, layers, width, depth, small)
        own = wiring.bodies == "own"

        self.prenet = _prenet(layers, scale, width, size)
        self.initial = body() if wiring.initial else None
        self.bodies = nn.ModuleList(body() for _ in range(steps if own else 1))
        classify = layers.cna(width, classes, 1, small)
        self.classify = classify[0] if plain_logits else classify
        copies = {"none": 0, "shared": 1, "own": steps - 1}[wiring.copy]
        self.copies = nn.ModuleList(layers.cna(2 * width, width, 1, small) for _ in range(copies))
        if steps > 1:
            self.back = layers.cna(classes, width, 1, small)
            self.alpha = layers.scale(steps - 1) if own else layers.scale()
        if wiring.residual:
            self.beta = nn.Parameter(self.alpha.detach().clone())

    def set_iterations(self, count: float) -> None:
        """Stop after so many iterations, from 1 up to all that were trained. It is no weight: ask at any time."""
        if count not in range(1, self.iterations + 1):
            raise SegmodelsError(f"steps is {count:g}, expected a whole number from 1 to {self.iterations}")
        self.stop_after = int(count)

    def forward(self, image: Tensor) -> Prediction:
        check_image(image, self.geometry, self.size)
        x0 = self.prenet(image)  # (B, f, H/s, W/s), as everything but the segmentations
        hidden, previous = self._start(x0)
        segmentations = [self.classify(hidden)]  # (B, K, H/s, W/s)
        for i in range(1, self.stop_after):
            decoded = self.back(segmentations[-1])
            added = self._copy(i, x0, hidden) if self.copies else hidden
            body = self.bodies[i % len(self.bodies)]
            hidden = body(self._mix(i, decoded, added, previous.popleft()))
            previous.append(added if self.copies else hidden)
            segmentations.append(self.classify(hidden))
        return Prediction(segmentations[-1], tuple(segmentations), {})

    def _start(self, x0: Tensor) -> tuple[Tensor, deque[Tensor]]:
        """h_0, and the queue from which each iteration takes its residual p.

        The iterative networks with a copy input add e_{i-1}. The others look two iterations back: x0, h_0, and then
        h_1, h_2, … or, where an hourglass has a copy input, e_1, e_2, …
        """
        if self.wiring.bodies == "own":
            hidden = self.bodies[0](x0)
            return hidden, deque((x0, hidden))
        start = x0
        if self.copies:
            start = self._copy(0, x0, x0 if self.initial else torch.zeros_like(x0))
        hidden = self.initial(start) if self.initial else self.bodies[0](self.alpha * start)
        return hidden, deque((start,) if self.copies else (x0, hidden))

    def _copy(self, i: int, x0: Tensor, hidden: Tensor) -> Tensor:
        """E: the distilled image beside the hidden state."""
        extractor = self.copies[(i - 1) % len(self.copies)]
        copied: Tensor = extractor(torch.cat((x0, hidden), dim=1))
        return copied

    def _mix(self, i: int, decoded: Tensor, added: Tensor, previous: Tensor) -> Tensor:
        """The input of iteration i >= 1; `added` is e_i where there is a copy input, else h_{i-1}."""
        alpha = self.alpha.expand(self.iterations - 1)[i - 1]
        if self.wiring.residual:
            return self.beta.expand(self.iterations - 1)[i - 1] * decoded + alpha * added + previous
        if self.wiring.bodies == "shared":
            return decoded + alpha * added
        return alpha * decoded + (alpha * added if self.copies else added)


def _prenet(layers: Layers, scale: int, width: int, size: Size) -> nn.Sequential:
    """Image to (f, H/s, W/s). Scale 1 is one convolution, every halving two of them and a pool."""
    if scale == 1:
        return layers.cna(3, width, 3, size)
    halvings: list[nn.Module] = []
    for halving in range(scale.bit_length() - 1):
        at = (size[0] >> halving, size[1] >> halving)
        channels = 3 if halving == 0 else width
        halvings += [layers.cna(channels, width, 5, at), layers.cna(width, width, 5, at), nn.MaxPool2d(2)]
    return nn.Sequential(*halvings)


def _body(layers: Layers, width: int, depth: int, size: Size) -> nn.Module:
    """(f, h, w) to (f, h, w)."""
    level = Level(layers, width, depth, size)
    return nn.Sequential(level, layers.cna(2 * width, width, 3, size)) if layers.unet else level


def _geometry(prenet: str, depth: int, norm: str) -> Geometry:
    scale = int(prenet.removeprefix("x"))
    return Geometry(stride=scale, size_multiple=scale * 2**depth, fixed_size=norm != "batch")


PRENETS = ("x1", "x2", "x4", "x8")
SETTING = (10, (384, 768))  # classes and size of every published setting

BODY_OPTIONS = {
    "base": Option("resUnet", "what refines", choices=("resUnet", "resnet", "UPresUnet", "UPresnet")),
    "width": Option(32, "channels f at the body's full resolution", low=1, high=4096),
    "growth": Option(2.0, "r: channels from one level to the next", low=1, high=8),
    "depth": Option(4, "M: levels of a body", low=1, high=10),
    "norm": Option("layerHW", "layer norms fix the size", choices=("layerHW", "batch", "layerCHW")),
    "alpha_init": Option(0.0, "every α and β at the start", low=-100, high=100),
    "plain_logits": Option(False, "true: no norm and activation behind the classifier"),
}
ITERATION_OPTIONS = {
    "prenet": Option("x8", "how far the image is distilled", choices=PRENETS),
    "steps": Option(8, "S: refinements, each supervised", low=2, high=64),
}

ITERATIONS = Knob(
    name="steps",
    positions=lambda network: tuple(range(1, network.iterations + 1)),
    turn=Tas500Net.set_iterations,
    now=lambda network: network.stop_after,
)

V6_AT_X2 = {"prenet": "x2", "width": 60, "growth": 1.5, "steps": 3}
PUBLISHED = {  # counts of the originals, dead parameters included
    "distill_x8": (Published(*SETTING, 10_567_378),),
    "iterative_v1": (Published(*SETTING, 19_467_195),),
    "iterative_v2": (Published(*SETTING, 10_588_243),),
    "iterative_v3": (Published(*SETTING, 19_467_196),),
    "iterative_v4": (Published(*SETTING, 10_588_244),),
    "iterative_v5": (Published(*SETTING, 19_455_900),),
    "iterative_v6": (
        Published(*SETTING, 10_579_028, dead=2_080),
        Published(*SETTING, 8_016_373, dead=7_260, options=V6_AT_X2),
    ),
    "hourglass": (Published(*SETTING, 72_729_617),),
    "hourglass_iter": (Published(*SETTING, 72_740_913),),
    "hourglass_iter_ex": (Published(*SETTING, 72_817_905, dead=9_216),),
    "res_hourglass": (Published(*SETTING, 72_729_624),),
    "res_hourglass_iter": (Published(*SETTING, 72_740_920),),
    "res_hourglass_iter_ex": (Published(*SETTING, 72_817_912, dead=9_216),),
}


def _spec(name: str, wiring: Wiring, prenet: str = "") -> ModelSpec:
    """`prenet` is that of a distillation network, whose name gives it; the others have an option."""
    family = "iterative refinement" if wiring.bodies == "shared" else "stacked hourglass"
    factory = partial(Tas500Net, wiring=wiring)
    return ModelSpec(
        name=name,
        family="distillation" if prenet else family,
        factory=partial(factory, prenet=prenet, steps=1) if prenet else factory,
        source="https://github.com/chokladmousse/Semantic_Segmentation",
        citation="Newell, Yang and Deng, Stacked Hourglass Networks for Human Pose Estimation (ECCV 2016)",
        rule=lambda options: _geometry(options.get("prenet", prenet), options["depth"], options["norm"]),
        published=PUBLISHED.get(name, ()),
        options=BODY_OPTIONS if prenet else BODY_OPTIONS | ITERATION_OPTIONS,
        unpublished=None if name in PUBLISHED else SETTING,
        knobs=() if prenet else (ITERATIONS,),
    )


SPECS = (
    *(_spec(f"distill_{prenet}", DISTILL, prenet) for prenet in PRENETS),
    *(_spec(name, wiring) for name, wiring in WIRINGS.items()),
)
