"""Our SegFormer against the one of `transformers`: the same weights give the same logits."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation

import segmodels
from segmodels.pretrained.pretrained import load_trunk


@pytest.mark.parametrize("head_channels", [32, 64])
@pytest.mark.parametrize("size", [(64, 96), (75, 101)])
@torch.no_grad()
def test_segformer_is_that_of_transformers(head_channels: int, size: tuple[int, int]) -> None:
    """Tensor by tensor in the order of both, with the norms' epsilons of the authors: logits to 1e-9."""
    torch.manual_seed(0)
    channels = [heads * head_channels for heads in (1, 2, 5, 8)]
    theirs = SegformerForSemanticSegmentation(
        SegformerConfig(num_labels=19, hidden_sizes=channels, decoder_hidden_size=256)
    )
    theirs = theirs.double().eval()
    for parameter in theirs.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    ours = segmodels.build("segformer_b0", 19, size, head_channels=head_channels).double().eval()
    weights = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(weights))
    norms = ([each for each in one.modules() if isinstance(each, nn.LayerNorm)] for one in (ours, theirs))
    for here, there in zip(*norms, strict=True):
        there.eps = here.eps
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = F.interpolate(theirs(image).logits, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours(image).logits, expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_a_file_of_transformers_fills_the_trunk(tmp_path: Path) -> None:
    """Under the names of a folder that the library saves: no random tensor, and the maps of all four stages."""
    torch.manual_seed(0)
    theirs = SegformerForSemanticSegmentation(SegformerConfig(num_labels=19, output_hidden_states=True)).eval()
    theirs.save_pretrained(tmp_path)
    ours = segmodels.build("segformer_b0", 19, (64, 96)).eval()
    report = load_trunk(ours, tmp_path / "model.safetensors")
    assert not report.random
    image = torch.randn(1, 3, 64, 96)
    maps = ours.get_submodule("trunk")(image)
    for here, there in zip(maps, theirs(image).hidden_states[-4:], strict=True):
        torch.testing.assert_close(here, there.view(here.shape), rtol=0, atol=1e-3)
