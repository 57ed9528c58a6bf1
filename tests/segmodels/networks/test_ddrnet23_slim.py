"""DDRNet-23-slim against a second writing of its figures, from the weights alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import segmodels

TINY = {"width": 2, "pyramid_width": 3, "head_width": 4}


class Reader:
    """Layer after layer of a network, in the order in which it registers them, with weights that are far from 1."""

    def __init__(self, part: nn.Module, *, training: bool) -> None:
        self.layers: Iterator[nn.Module] = (
            each for each in part.modules() if isinstance(each, nn.Conv2d | nn.BatchNorm2d)
        )
        self.training = training

    def conv(self, x: Tensor, stride: int = 1) -> Tensor:
        layer = next(self.layers)
        assert isinstance(layer, nn.Conv2d)
        assert layer.in_channels == x.shape[1]
        return F.conv2d(x, layer.weight, layer.bias, stride, layer.kernel_size[0] // 2)

    def norm(self, x: Tensor) -> Tensor:
        layer = next(self.layers)
        assert isinstance(layer, nn.BatchNorm2d)
        mean, var = layer.running_mean, layer.running_var
        assert mean is not None and var is not None
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        mean, var, scale, shift = (each[:, None, None] for each in (mean, var, layer.weight, layer.bias))
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def conv_norm(self, x: Tensor, stride: int = 1) -> Tensor:
        return self.norm(self.conv(x, stride))

    def norm_conv(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(self.norm(x)))

    def stage(self, x: Tensor, stride: int, *, projected: bool) -> Tensor:
        """Two basic blocks, the second one's sum as it is."""
        y = self.conv_norm(F.relu(self.conv_norm(x, stride)))
        x = F.relu(y + (self.conv_norm(x, stride) if projected else x))
        return x + self.conv_norm(F.relu(self.conv_norm(x)))

    def bottleneck(self, x: Tensor, stride: int) -> Tensor:
        y = F.relu(self.conv_norm(F.relu(self.conv_norm(x)), stride))
        return self.conv_norm(y) + self.conv_norm(x, stride)

    def finish(self) -> None:
        assert next(self.layers, None) is None


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


def naive(network: nn.Module, image: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
    """The auxiliary answer and the answer: figure 4 of the paper, then figure 5."""

    def read(path: str) -> Reader:
        return Reader(network.get_submodule(path), training=training)

    stem = read("trunk.stem")
    x = F.relu(stem.conv_norm(F.relu(stem.conv_norm(image, 2)), 2))
    x = F.relu(stem.stage(x, 1, projected=False))
    x = F.relu(stem.stage(x, 2, projected=True))
    stem.finish()
    fine, coarse = x, x
    answers = []
    for number in (0, 1):
        fine = read(f"trunk.fine.{number}").stage(F.relu(fine), 1, projected=False)
        coarse = read(f"trunk.coarse.{number}").stage(F.relu(coarse), 2, projected=True)
        down, up = read(f"trunk.exchanges.{number}.down"), read(f"trunk.exchanges.{number}.up")
        lower = down.conv_norm(F.relu(fine), 2)
        if number:
            lower = down.conv_norm(F.relu(lower), 2)
        fine, coarse = fine + enlarged(up.conv_norm(F.relu(coarse)), fine), coarse + lower
        down.finish()
        answers.append(fine)
    fine = read("trunk.fine.2").bottleneck(F.relu(fine), 1)
    coarse = read("trunk.coarse.2").bottleneck(F.relu(coarse), 2)

    height, width = coarse.shape[-2:]
    pools = [F.avg_pool2d(coarse, 2 * half + 1, half, half) for half in (2, 4, 8)]
    pools.append(coarse.sum((2, 3), keepdim=True) / (height * width))
    maps = [read("pyramid.enter.0").norm_conv(coarse)]
    for number, pool in enumerate(pools):
        scale = read(f"pyramid.enter.{number + 1}").norm_conv(pool)
        maps.append(read(f"pyramid.merge.{number}").norm_conv(enlarged(scale, coarse) + maps[-1]))
    context = read("pyramid.compress").norm_conv(torch.cat(maps, 1)) + read("pyramid.shortcut").norm_conv(coarse)

    def answer(path: str, x: Tensor) -> Tensor:
        head = read(path)
        return enlarged(head.norm_conv(head.norm_conv(x)), image)

    return answer("auxiliary", answers[0]), answer("head", fine + enlarged(context, fine))


@pytest.mark.parametrize("size", [(128, 192), (75, 101), (1, 9)])
@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_the_network_against_its_figures(training: bool, size: tuple[int, int]) -> None:
    """Both answers, in training and not, also where 1/8 is no whole number and where the coarse map has one place."""
    torch.manual_seed(0)
    network = segmodels.build("ddrnet23_slim", 5, size, **TINY).double().train(training)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    image = torch.randn(3, 3, *size, dtype=torch.float64)
    expected = naive(network, image, training=training)
    steps = network(image).steps
    for step, each in zip(steps, expected[-len(steps) :], strict=True):
        torch.testing.assert_close(step, each, rtol=1e-9, atol=1e-9)
    assert len(steps) == (2 if training else 1)


def test_a_batch_of_one_trains() -> None:
    """The mean of a whole map is one value a channel, which has no variance: it stops nothing."""
    network = segmodels.build("ddrnet23_slim", 5, (32, 32), **TINY).train()
    prediction = network(torch.randn(1, 3, 32, 32))
    prediction.logits.sum().backward()
    assert prediction.logits.isfinite().all()


def test_the_auxiliary_head_counts_less() -> None:
    """0.4 of the loss in training, and nothing where it does not answer."""
    shares = segmodels.spec("ddrnet23_slim").step_weights
    assert (shares(2), shares(1)) == ((0.4, 1.0), (1.0,))
