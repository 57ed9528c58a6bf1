"""Which group each channel belongs to: found anew for each image, or one assignment for all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segmodels.networks.pspnet.clustering import cluster_channels
from segmodels.networks.pspnet.matching import keep_slots


class ChannelGroups(nn.Module):
    """Which group each channel of (B, C, h, w) belongs to: (B, C) int64.

    Either each image has groups of its own, or all share one assignment. That is a buffer, which is saved with the
    weights: a resumed training, evaluation, prediction and export take it as it is. It is made from the training
    batches number 1, 2, 4, … 1024 (parts of batches, where they are accumulated) and then stays, so that the head can
    settle on it. Each time the new groups take the slots of those of before that they share most channels with
    (`keep_slots`), so that the head's weights fit as many of them as possible.
    """

    REFRESHED_UP_TO = 1024
    assignment: Tensor
    batches: Tensor

    def __init__(self, channels: int, count: int, sigma: float, *, shared: bool) -> None:
        super().__init__()
        self.count, self.sigma, self.shared = count, sigma, shared
        if shared:
            self.register_buffer("assignment", torch.arange(channels) * count // channels)
            self.register_buffer("batches", torch.tensor(0))

    def forward(self, maps: Tensor) -> Tensor:
        if not self.shared:
            return torch.stack([cluster_channels(image[None], self.count, self.sigma) for image in maps])
        if self.training:
            self._count_batch(maps)
        return self.assignment.expand(maps.shape[0], -1)

    def _count_batch(self, maps: Tensor) -> None:
        self.batches += 1
        number = int(self.batches)
        if number <= self.REFRESHED_UP_TO and number.bit_count() == 1:
            groups = cluster_channels(maps, self.count, self.sigma)
            self.assignment.copy_(keep_slots(groups, self.assignment, self.count))
