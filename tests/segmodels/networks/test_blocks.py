"""The shared vocabulary of layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from segmodels import blocks

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DEVICES = (
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
    ),
)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_concatenate_is_cat_with_dense_gradients(layout: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients are those of `torch.cat`; whole and gradients lie in memory as the first part does."""
    if device == "cpu":
        monkeypatch.setattr(blocks, "concatenate", blocks._in_one_layout)  # as on CUDA
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(2, channels, 5, 6, generator=generator) for channels in (3, 4)]
    weight = torch.randn(2, 7, 5, 6, generator=generator).to(device)

    def gradients(together: bool) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        roots = [leaf.to(device).requires_grad_() for leaf in leaves]
        seen: list[Tensor] = []
        parts = [(2 * root).contiguous(memory_format=LAYOUTS[layout]) for root in roots]
        whole = blocks.concatenate(parts) if together else torch.cat(parts, dim=1)
        for part in parts:
            part.register_hook(seen.append)
        (whole * weight).sum().backward()
        return whole, seen, [root.grad for root in roots if root.grad is not None]

    (whole, dense, ours), (expected, _, theirs) = gradients(True), gradients(False)
    assert torch.equal(whole, expected)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert all(each.is_contiguous(memory_format=LAYOUTS[layout]) for each in (whole, *dense)) and len(dense) == 2


def test_concatenate_on_the_cpu_is_cat() -> None:
    """No hook, no copy: the CPU's bytes are as they were."""
    part = torch.ones(1, 2, 3, 4, requires_grad=True)
    assert blocks.concatenate([part, part]).shape == (1, 4, 3, 4)
    assert not part._backward_hooks
