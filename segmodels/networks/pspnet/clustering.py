"""Spectral clustering of feature maps: Ng, Jordan and Weiss, On Spectral Clustering (NIPS 2001).

Each channel of a layer is one point. Nothing here depends on a random start, on the eigenvectors' signs or
on which basis of an eigenspace the solver returns, shapes never depend on the data, and nothing waits for
the device: the number of groups in use is a mask, not a size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.compute.deterministic import adaptive_avg_pool, without_autocast

GRID = 23  # a map's descriptor has at most 23x23 numbers
ROUNDS = 50  # of k-means
SAME = 1e-5  # squared distance under which two descriptors are one: float32 gives up to 2e-6 for equal maps


@torch.no_grad()
def cluster_channels(maps: Tensor, groups: int, sigma: float) -> Tensor:
    """Assign the channels of `maps` (B, C, h, w), described by all B images together, to groups: (C,) int64.

    At most `groups` groups are in use, and no more than there are distinct maps; they are numbered by their
    smallest channel. `sigma` is the width of the affinity exp(-d²/2σ²) between unit descriptors.
    """
    groups = min(groups, maps.shape[1])
    with without_autocast(maps.device):
        distances = squared_distances(descriptors(maps.float()))
        affinity = torch.exp(distances / (-2 * sigma**2)).fill_diagonal_(0)
        used = torch.arange(groups, device=maps.device) < distinct(distances)
        rows = spectral_rows(affinity, used)
        centres = orthogonal_start(rows, affinity.sum(dim=1).argmax(), groups)
        return canonical(k_means(rows, centres, used), groups)


def descriptors(maps: Tensor) -> Tensor:
    """What a channel looks like: (B, C, h, w) pooled, without its mean, at unit length: (C, B·grid).

    An image in which the channel is constant, or not finite, contributes zeros.
    """
    size = (min(maps.shape[-2], GRID), min(maps.shape[-1], GRID))
    pooled = adaptive_avg_pool(maps, size).flatten(2)  # (B, C, grid)
    centred = pooled - pooled.mean(dim=2, keepdim=True)
    length = centred.norm(dim=2, keepdim=True)
    # What is left of a constant map is rounding, small against the map; at unit length it would be noise.
    # A map that is not finite fails the comparison too: it shows in the loss, not in the eigenvectors.
    varies = length > 1e-5 * pooled.norm(dim=2, keepdim=True)
    unit = torch.where(varies, centred / length, 0.0)
    together: Tensor = unit.transpose(0, 1).flatten(1) / maps.shape[0] ** 0.5
    return together


def squared_distances(points: Tensor) -> Tensor:
    """Between the rows of (n, d): (n, n), at least 0."""
    squares = points.square().sum(dim=1)
    return (squares[:, None] + squares - 2 * points @ points.T).clamp_min(0)


def distinct(distances: Tensor) -> Tensor:
    """How many points are equal to none before them: a number in a tensor ()."""
    return (~(distances < SAME).tril(-1).any(dim=1)).sum()


def spectral_rows(affinity: Tensor, used: Tensor) -> Tensor:
    """The points (n, k) on the unit sphere of the leading eigenvectors of D^-1/2 A D^-1/2.

    There are as many eigenvectors as `used` (k,) has trues; the other columns are zero.
    """
    scale = affinity.sum(dim=1).clamp_min(torch.finfo(affinity.dtype).tiny).rsqrt()
    _, vectors = torch.linalg.eigh(scale[:, None] * affinity * scale)  # ascending
    leading = vectors[:, -len(used) :].flip(1) * used  # (n, k)
    return F.normalize(leading, dim=1)


def orthogonal_start(rows: Tensor, first: Tensor, groups: int) -> Tensor:
    """Centres (groups, k): the row `first`, then each time the row nearest to 90° from all chosen ones."""
    centres = [rows.index_select(0, first[None])]
    cosine = torch.zeros_like(rows[:, 0])  # the largest with a chosen row
    for _ in range(groups - 1):
        cosine = torch.maximum(cosine, (rows @ centres[-1][0]).abs())
        centres.append(rows.index_select(0, cosine.argmin()[None]))
    return torch.cat(centres)


def k_means(rows: Tensor, centres: Tensor, used: Tensor) -> Tensor:
    """The nearest used centre of each row (n,) after a fixed number of rounds; an empty one stays."""
    labels = _nearest(rows, centres, used)
    for _ in range(ROUNDS):
        members = membership(labels, len(centres)).to(rows.dtype)  # (n, k)
        counts = members.sum(dim=0)[:, None]
        centres = torch.where(counts > 0, members.T @ rows / counts.clamp_min(1), centres)
        labels = _nearest(rows, centres, used)
    return labels


def canonical(labels: Tensor, groups: int) -> Tensor:
    """The same partition with groups numbered by their smallest member, empty ones last."""
    members = membership(labels, groups)  # (n, k)
    smallest = members.int().argmax(dim=0).masked_fill(~members.any(dim=0), len(labels))
    rank = smallest.argsort(stable=True).argsort()
    return rank[labels]


def membership(labels: Tensor, groups: int) -> Tensor:
    """Who is in which group: (..., n) to (..., n, groups) bool."""
    return labels[..., None] == torch.arange(groups, device=labels.device)


def group_means(maps: Tensor, members: Tensor) -> Tensor:
    """Mean map of each group: (B, C, h, w) and (B, C, k) to (B, k, h, w); zeros for an empty group.

    The gradient of a map is 1/n of that of its group's mean.
    """
    sums = members.to(maps.dtype).mT @ maps.flatten(2)  # (B, k, h·w)
    counts = members.sum(dim=1).clamp_min(1)[..., None]
    means: Tensor = sums / counts
    return means.view(*means.shape[:2], *maps.shape[2:])


def _nearest(rows: Tensor, centres: Tensor, used: Tensor) -> Tensor:
    # |r - c|² = |r|² - 2(r·c - |c|²/2), so the nearest centre has the largest bracket; the first one on ties.
    bracket = rows @ centres.T - centres.square().sum(dim=1) / 2
    return bracket.masked_fill(~used, -torch.inf).argmax(dim=1)
