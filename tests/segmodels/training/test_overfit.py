"""Every network can learn: four painted scenes by heart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import segmodels

SIZE = (32, 32)
CLASSES = 3
FAMILY = {"width": 8, "depth": 2}
STEPS = FAMILY | {"steps": 3, "prenet": "x2"}
NETWORKS: dict[str, dict[str, Any]] = {
    "percentile": {"width_factor": 0.0625},
    "dilated_unet": {"width_factor": 0.5},
    "fcn_resnet_v2": {"width_factor": 0.25, "depth": 11},
    "pspnet": {"backbone_depth": 18},
    "clusternet": {"backbone_depth": 18, "clusters": 64, "assignment": "shared"},
    "clusternet_concat": {"backbone_depth": 18, "clusters": 64, "assignment": "shared"},
    "ddrnet23_slim": {"width": 8, "pyramid_width": 16, "head_width": 16},
    "segformer_b0": {"head_channels": 8, "decoder_channels": 32},
    "distill_x1": FAMILY,
    "distill_x2": FAMILY,
    "distill_x4": FAMILY,
    "distill_x8": FAMILY | {"width": 16},
    **{f"iterative_v{version}": STEPS for version in range(1, 7)},
    **{residual + "hourglass" + copy: STEPS for residual in ("", "res_") for copy in ("", "_iter", "_iter_ex")},
}
REPRESENTATIVES = {
    "percentile", "dilated_unet", "fcn_resnet_v2", "pspnet", "clusternet", "distill_x2", "iterative_v6",
    "res_hourglass", "segformer_b0",
}  # fmt: skip


def painted_scenes() -> tuple[Tensor, Tensor]:
    """Four images (4, 3, H, W), normalised, and their labels (4, H, W): sky, road, a house."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(4, *SIZE, dtype=torch.long)
    for index, scene in enumerate(labels):
        scene[12 + 3 * index :] = 1
        scene[6:22, 4 * index : 4 * index + 16] = 2
    colours = torch.tensor([[0.4, 0.6, 0.9], [0.3, 0.3, 0.3], [0.8, 0.4, 0.2]])
    images = colours[labels].permute(0, 3, 1, 2)
    noisy = images + 0.05 * torch.randn(images.shape, generator=generator)
    return (noisy - 0.45) / 0.25, labels


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in REPRESENTATIVES else pytest.mark.slow) for name in NETWORKS],
)
def test_overfits_four_painted_scenes(name: str) -> None:
    """More than 95 % of the pixels right in evaluation mode, within a bounded number of Adam steps."""
    images, labels = painted_scenes()
    torch.manual_seed(0)
    spec = segmodels.spec(name)
    network = segmodels.build(name, CLASSES, SIZE, **NETWORKS[name])
    stride = spec.geometry(NETWORKS[name]).stride
    labels = labels[:, ::stride, ::stride]
    learning_rate = 3e-3 if "backbone_depth" in NETWORKS[name] else 1e-2
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    accuracy = 0.0
    for _ in range(30):
        network.train()
        for _ in range(10):
            steps = network(images).steps
            weights = spec.step_weights(len(steps))
            losses = [w * F.cross_entropy(step, labels) for w, step in zip(weights, steps, strict=True)]
            optimiser.zero_grad()
            torch.stack(losses).sum().backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            accuracy = float((network(images).logits.argmax(dim=1) == labels).float().mean())
        if accuracy > 0.95:
            return
    pytest.fail(f"{accuracy:.1%} of the pixels right after 300 steps")
