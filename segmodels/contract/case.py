"""A network as the contract asks about it: built anew for each check, and shown the same noise."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segmodels.compute.replaced import Replaced
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, ModelSpec, Options, Size
from segmodels.training.losses import cross_entropy, over_outputs

CLASSES = 5  # few, and none of the sources' own
WANTED = (64, 96)  # height and width that differ: a network that takes one for the other is found


@dataclass(frozen=True)
class Case:
    """A declared network, and for what it is built."""

    declared: ModelSpec
    classes: int
    size: Size
    options: Options  # complete

    @property
    def geometry(self) -> Geometry:
        return self.declared.rule(self.options)

    def build(self, seed: int = 0) -> nn.Module:
        """The network with the weights of this seed, on the CPU, in training mode. Raises SegmodelsError.

        A weight that begins at zero (a gate α, the scale of a residual branch's last norm) hides what lies behind it
        until the first step moves it. Here it is moved at once.
        """
        torch.manual_seed(seed)
        network = self.declared.build(self.classes, self.size, self.options).train()
        with torch.no_grad():
            for path, parameter in network.named_parameters():
                if not path.endswith("bias") and not parameter.any():
                    parameter.fill_(0.5)
        return network

    def settled(self) -> nn.Module:
        """The network in evaluation mode, its norms with the statistics of what they see.

        With those that they begin with, the image may fade away layer by layer, and noise is compared with noise.
        """
        network = self.build()
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = 1.0
        with torch.no_grad():
            network(self.images(4))
        return network.eval()

    def images(self, count: int = 2, size: Size | None = None) -> Tensor:
        """Normal noise (count, 3, H, W), always the same."""
        return torch.randn(count, 3, *(size or self.size), generator=torch.Generator().manual_seed(1))

    def loss(self, prediction: Prediction) -> Tensor:
        """Mean cross entropy of all supervised outputs against fixed random labels, weighted as the spec says."""
        B, _, h, w = prediction.logits.shape
        labels = torch.randint(self.classes, (B, h, w), generator=torch.Generator().manual_seed(2))
        shares = self.declared.step_weights(len(prediction.steps))
        return over_outputs(cross_entropy, prediction.steps, labels.to(prediction.logits.device), shares).mean()

    def answer(self, network: nn.Module, device: str = "cpu", replacing: Replaced | None = None) -> Prediction:
        """In training mode, of two images; dropout draws what one seed gives."""
        torch.manual_seed(5)
        with replacing or nullcontext():
            prediction: Prediction = network(self.images().to(device))
        return prediction

    def gradients(self, device: str = "cpu", replacing: Replaced | None = None) -> dict[str, Tensor | None]:
        """Of one backward pass, by the parameters' names."""
        network = self.build().to(device)
        self.loss(self.answer(network, device, replacing)).backward()  # type: ignore[no-untyped-call]
        return {path: parameter.grad for path, parameter in network.named_parameters()}


def size_for(geometry: Geometry) -> Size:
    """A small size that fits, its sides not equal where the rule allows it."""
    height, width = (geometry.neighbours(side)[1] for side in WANTED)
    return height, width
