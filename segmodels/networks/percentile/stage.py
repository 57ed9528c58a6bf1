"""A stage of the percentile network, computed everywhere."""

from __future__ import annotations

from torch import Tensor, nn

from segmodels.blocks import concatenate, scaled


class Refinement(nn.Module):
    """Four views of the neighbourhood, added to the features where `active` says so."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_conv(channels, channels // 4, 5, dilation) for dilation in (1, 2, 4, 8))

    def forward(self, features: Tensor, active: Tensor | None) -> Tensor:
        update = concatenate([branch(features) for branch in self.branches])  # (B, 128, H, W)
        return features + (update if active is None else update * active)


class Stage(nn.Module):
    """Two refinements and a classifier.

    Takes the features (B, 128, H, W) and the mask (B, 1, H, W) of the pixels to work on (None: all)
    and gives the refined features and their logits (B, K, H, W). Logits outside the mask are not
    part of the answer: `skip` says whether, and where, they are computed (`segmodels.networks.percentile.sparse`).
    """

    classifier: nn.Sequential

    def __init__(self, channels: int, classes: int, factor: float) -> None:
        super().__init__()
        first, second = scaled(64, factor), scaled(50, factor)
        self.refinements = nn.ModuleList(Refinement(channels) for _ in range(2))
        self.classifier = nn.Sequential(_conv(channels, first, 9), _conv(first, second, 7), _conv(second, classes, 5))

    def forward(self, features: Tensor, active: Tensor | None) -> tuple[Tensor, Tensor]:
        for refinement in self.refinements:
            features = refinement(features, active)
        return features, self.classifier(features)


def _conv(channels_in: int, channels_out: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding="same", dilation=dilation),
        nn.ReLU(),
        nn.BatchNorm2d(channels_out),
    )
