"""The deterministic replacements against the operations that they replace."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.compute.deterministic import adaptive_avg_pool, resize

SIZES = [  # (old, new): up, down, by odd factors, to and from one pixel, the same
    ((12, 9), (90, 41)),
    ((90, 90), (713, 713)),
    ((40, 33), (7, 12)),
    ((1, 5), (6, 5)),
    ((6, 5), (1, 1)),
    ((8, 8), (8, 8)),
]


@pytest.fixture(autouse=True)
def deterministic_algorithms() -> Iterator[None]:
    """Nothing here may raise for want of a deterministic implementation."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def image(size: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, *size, generator=generator).to(dtype).requires_grad_()


def output_and_gradient(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The output, and the gradient of a weighted sum of it."""
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y.detach(), torch.autograd.grad((y * weights).sum(), x)[0]


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resize_is_bilinear_interpolation(old: tuple[int, int], new: tuple[int, int], align_corners: bool) -> None:
    """Output within 5e-5 and gradient within 1e-5 (relative) of F.interpolate."""
    x = image(old)
    ours, our_gradient = output_and_gradient(x, resize(x, new, align_corners=align_corners))
    theirs, their_gradient = output_and_gradient(x, F.interpolate(x, new, mode="bilinear", align_corners=align_corners))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)
    scale = float(their_gradient.abs().max())
    torch.testing.assert_close(our_gradient, their_gradient, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resize_in_float64(old: tuple[int, int], new: tuple[int, int], align_corners: bool) -> None:
    """In float64, where F.interpolate rounds its positions less, the two agree to 1e-12."""
    x = image(old, torch.float64)
    theirs = F.interpolate(x, new, mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(resize(x, new, align_corners=align_corners), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("size", [(90, 90), (12, 25), (5, 7)])
def test_pooling_is_adaptive_average_pooling(bins: int, size: tuple[int, int]) -> None:
    """Output within 2e-7 and gradient within 1e-6 of F.adaptive_avg_pool2d, small cells included."""
    x = image(size)
    ours, our_gradient = output_and_gradient(x, adaptive_avg_pool(x, (bins, bins)))
    theirs, their_gradient = output_and_gradient(x, F.adaptive_avg_pool2d(x, bins))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-7)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=0, atol=1e-6)


def test_a_matrix_made_in_inference_serves_training() -> None:
    """The cache does not hand an inference tensor to autograd."""
    x = image((11, 13))
    with torch.inference_mode():
        resize(x, (17, 19), align_corners=True)
    resize(x, (17, 19), align_corners=True).sum().backward()
    assert x.grad is not None


def test_autocast_keeps_the_precision_of_the_weights() -> None:
    """Under bfloat16 autocast a float32 map is resized and pooled in float32; a bfloat16 map stays one."""
    x = image((12, 9)).detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize(x, (50, 50), align_corners=False), _outside(x))
        assert resize(x.bfloat16(), (50, 50), align_corners=False).dtype == torch.bfloat16
        assert adaptive_avg_pool(x, (3, 3)).dtype == torch.float32


def _outside(x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return resize(x, (50, 50), align_corners=False)


def test_export_with_symbolic_sizes() -> None:
    """A captured graph resizes and pools other sizes than the one that it was captured at."""

    class Both(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pooled = adaptive_avg_pool(x, (3, 3))
            return resize(pooled, (x.shape[-2], x.shape[-1]), align_corners=True)

    size = {2: torch.export.Dim("H", min=4, max=64), 3: torch.export.Dim("W", min=4, max=64)}
    program = torch.export.export(Both(), (torch.zeros(1, 2, 12, 16),), dynamic_shapes={"x": size})
    x = image((9, 21)).detach()[:1, :2]
    torch.testing.assert_close(program.module()(x), Both()(x))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_nothing_raises_and_bytes_repeat() -> None:
    """With deterministic algorithms demanded, two backward passes on a GPU give the same bytes."""

    def gradient() -> Tensor:
        x = image((33, 35)).detach().cuda().requires_grad_()
        logits = resize(x, (97, 91), align_corners=False) + adaptive_avg_pool(x, (97, 91))
        return torch.autograd.grad(logits.square().sum(), x)[0].cpu()

    assert torch.equal(gradient(), gradient())
