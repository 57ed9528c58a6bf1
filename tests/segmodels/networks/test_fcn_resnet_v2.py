"""The FCN on ResNet-v2 against its table, and against a second writing of it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError

SIZE = (480, 640)


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def on_meta(classes: int, **options: object) -> nn.Module:
    with torch.device("meta"):
        return segmodels.build("fcn_resnet_v2", classes, SIZE, **options)


@pytest.mark.parametrize(
    ("classes", "n_layers", "count"),
    [(4, 4, 15_236_964), (19, 4, 15_240_819), (20, 4, 15_241_076), (4, 3, 11_105_892)],
)
def test_published_count(classes: int, n_layers: int, count: int) -> None:
    """The counts of the source, without its dead batch-norm parameters."""
    assert parameters(on_meta(classes, n_layers=n_layers)) == count


def test_count_of_each_part() -> None:
    """Every row of the table has its own count."""
    network = on_meta(20)
    counts = {name: parameters(part) for name, part in network.named_children() if parameters(part)}
    up = 2_949_888 + 590_592
    assert counts == {
        "stem": 480,
        "stages": 28_032 + 328_192 + 1_303_552,
        "end": 512,
        "pyramid": 5_902_848,
        "laterals": 4_131_840,
        "up": up,
        "out": 5_140,
    }
    assert [parameters(stage) for stage in network.get_submodule("stages").children()] == [
        28_032, 328_192, 1_303_552,
    ]  # fmt: skip
    assert [parameters(each) for each in network.get_submodule("up").children()] == [2_949_888, 590_592]


def second_writing(network: nn.Module, image: Tensor, blocks: int, n_layers: int) -> Tensor:
    """The table from the network's tensors by name, in functional operations."""
    state = network.state_dict()

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], stride, padding=weight.shape[-1] // 2)

    def double(x: Tensor, name: str) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.conv_transpose2d(x, weight, bias, 2, padding=1, output_padding=1)

    def norm_relu(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * weight + bias).clamp_min(0)

    x = norm_relu(conv(image, "stem.0"), "stem.1")
    for stage in range(3):
        for block in range(blocks):
            name = f"stages.{stage}.{block}"
            stride = 2 if block == 0 and stage > 0 else 1
            if stage == block == 0:
                y = conv(x, f"{name}.body.0")
            else:
                y = conv(norm_relu(x, f"{name}.body.0.0"), f"{name}.body.0.2", stride)
            y = conv(norm_relu(y, f"{name}.body.1.0"), f"{name}.body.1.2")
            y = conv(norm_relu(y, f"{name}.body.2.0"), f"{name}.body.2.2")
            x = y + (conv(x, f"{name}.shortcut", stride) if block == 0 else x)
    x = norm_relu(x, "end.0")
    level, together = F.avg_pool2d(x, 2), [x]
    for number in range(n_layers):
        if number > 0:
            name = f"pyramid.{number - 1}"
            level = norm_relu(conv(level, f"{name}.0", 2), f"{name}.1")
        lateral = norm_relu(conv(level, f"laterals.{number}.0"), f"laterals.{number}.1")
        together.append(F.interpolate(lateral, x.shape[-2:], mode="bilinear", align_corners=False))
    x = torch.cat(together, dim=1)
    for number in range(2):
        x = norm_relu(double(x, f"up.{number}.0"), f"up.{number}.1")
    return F.conv_transpose2d(x, state["out.weight"], state["out.bias"])


@pytest.mark.parametrize(
    ("size", "depth", "n_layers", "width_factor"),
    [((32, 48), 20, 4, 0.5), ((36, 20), 11, 3, 0.25), ((8, 12), 11, 1, 1.0)],
)
def test_wiring(size: tuple[int, int], depth: int, n_layers: int, width_factor: float) -> None:
    """The network computes what the table says, at odd pyramid sizes too."""
    torch.manual_seed(0)
    network = segmodels.build("fcn_resnet_v2", 3, size, depth=depth, n_layers=n_layers, width_factor=width_factor)
    image = torch.randn(2, 3, *size)
    network(image)  # moves the norms' statistics
    network.eval()
    with torch.no_grad():
        logits, steps, extras = network(image)
        expected = second_writing(network, image, (depth - 2) // 9, n_layers)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert logits.shape == (2, 3, *size)
    assert steps == (logits,)
    assert not extras


def test_he_normal_start() -> None:
    """Convolutions start He-normal (standard deviation √(2/fan-in)), biases at zero."""
    torch.manual_seed(0)
    network = segmodels.build("fcn_resnet_v2", 2, (8, 8), depth=11)
    conv = network.get_submodule("pyramid.1.0")
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert not any(each.any() for name, each in network.named_parameters() if name.endswith(".bias"))


@pytest.mark.parametrize(("depth", "around"), [(50, "47 or 56"), (57, "56 or 65"), (12, "11 or 20")])
def test_depth_must_fit(depth: int, around: str) -> None:
    """A depth that is not 9n+2 is refused with its neighbours."""
    with pytest.raises(SegmodelsError, match=f"depth {depth}, expected 9n\\+2.*{around}"):
        on_meta(2, depth=depth)


@pytest.mark.parametrize("size", [(30, 32), (4, 32)])
def test_size_must_fit(size: tuple[int, int]) -> None:
    """Multiples of 4 from 8 on: the pooled map at 1/8 must not be empty."""
    with pytest.raises(SegmodelsError, match="multiples of 4 and H and W must be at least 8"):
        segmodels.build("fcn_resnet_v2", 2, size)
