"""SegFormer-B0 against a second writing of its parts; tests/adapters compares the whole with `transformers`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError
from segmodels.networks.segformer_b0 import Attention, MixedPerceptron, StochasticDepth

SMALL = {"head_channels": 4, "decoder_channels": 8}


@pytest.mark.parametrize(("heads", "reduction"), [(1, 4), (2, 2), (3, 1)])
@torch.no_grad()
def test_attention_place_by_place(heads: int, reduction: int) -> None:
    """Each place and head by itself, over patches of the map taken one by one; remainders of the reduction are cut."""
    torch.manual_seed(0)
    channels, height, width = 4 * heads, 9, 6
    attention = Attention(channels, heads, reduction).double()
    x = torch.randn(1, height, width, channels, dtype=torch.float64)
    seen = [x[0, i, j] for i in range(height) for j in range(width)]
    if attention.reduce is not None and attention.norm is not None:
        kernel, bias = attention.reduce.weight, attention.reduce.bias
        assert bias is not None
        seen = []
        for i in range(0, height - reduction + 1, reduction):
            for j in range(0, width - reduction + 1, reduction):
                patch = x[0, i : i + reduction, j : j + reduction]
                seen.append(attention.norm(torch.einsum("oiyx,yxi->o", kernel, patch) + bias))
    keys, values = (torch.stack([layer(each) for each in seen]) for layer in (attention.key, attention.value))
    expected = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            query, parts = attention.query(x[0, i, j]), []
            for head in range(heads):
                own = slice(4 * head, 4 * head + 4)
                shares = torch.exp(keys[:, own] @ query[own] / 2)  # 2 is the root of its 4 channels
                parts.append((shares / shares.sum()) @ values[:, own])
            expected[0, i, j] = attention.out(torch.cat(parts))
    torch.testing.assert_close(attention(x), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_the_perceptron_sees_its_neighbours() -> None:
    """Linear, each channel with its own 3x3 kernel, GELU by its formula, linear."""
    torch.manual_seed(0)
    perceptron = MixedPerceptron(3).double()
    x = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    wide = F.pad(perceptron.widen(x), (0, 0, 1, 1, 1, 1))
    mixed = torch.zeros(2, 4, 5, 12, dtype=torch.float64)
    for dy in range(3):
        for dx in range(3):
            mixed += wide[:, dy : dy + 4, dx : dx + 5] * perceptron.mix.weight[:, 0, dy, dx]
    assert perceptron.mix.bias is not None
    mixed += perceptron.mix.bias
    gelu = mixed * (1 + torch.erf(mixed / 2**0.5)) / 2
    torch.testing.assert_close(perceptron(x), perceptron.narrow(gelu), rtol=1e-9, atol=1e-9)


def depths(network: nn.Module) -> list[float]:
    return [each.probability for each in network.modules() if isinstance(each, StochasticDepth)]


def test_stochastic_depth() -> None:
    """From 0 to 0.1 over the eight blocks; whole images are zero, the mean stays, and the seed decides which."""
    assert depths(segmodels.build("segformer_b0", 2, (32, 32), **SMALL)) == pytest.approx(
        torch.linspace(0, 0.1, 8).tolist()
    )
    layer, ones = StochasticDepth(0.25), torch.ones(4000, 2, 1, 3)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        out: Tensor = layer(ones)
        return out

    first = drawn(0)
    assert first.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(first, first[:, :1, :1, :1].expand_as(first))
    assert float(first.mean()) == pytest.approx(1, abs=0.03)
    assert torch.equal(drawn(0), first) and not torch.equal(drawn(1), first)
    assert layer.eval()(ones) is ones


@torch.no_grad()
def test_sizes() -> None:
    """Any from 32 on, and a smaller one is refused with what would fit."""
    network = segmodels.build("segformer_b0", 3, (32, 32), **SMALL).eval()
    assert network(torch.zeros(1, 3, 37, 61)).logits.shape == (1, 3, 37, 61)
    with pytest.raises(SegmodelsError, match=r"31x64: H and W must be at least 32"):
        network(torch.zeros(1, 3, 31, 64))
    with pytest.raises(SegmodelsError, match=r"31x64 does not fit: H and W must be at least 32.*: 32x64"):
        segmodels.build("segformer_b0", 3, (31, 64))


def test_the_start_of_the_authors() -> None:
    """Linear layers of the trunk narrow around 0, its convolutions by what they feed, no bias."""
    torch.manual_seed(0)
    trunk = segmodels.build("segformer_b0", 2, (32, 32)).get_submodule("trunk").requires_grad_(False)
    weights = trunk.state_dict()
    assert float(weights["stages.3.1.perceptron.widen.weight"].std()) == pytest.approx(0.02, rel=0.02)
    assert float(weights["stages.3.1.perceptron.mix.weight"].std()) == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert float(weights["stages.0.0.conv.weight"].std()) == pytest.approx((2 / (32 * 49)) ** 0.5, rel=0.05)
    assert not any(each.any() for name, each in weights.items() if name.endswith("bias"))
