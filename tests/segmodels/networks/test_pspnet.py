"""PSPNet against its published counts, and against a second writing of trunk, pyramid and heads."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import segmodels
from segmodels import SegmodelsError

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def on_meta(classes: int, **options: object) -> nn.Module:
    with torch.device("meta"):
        return segmodels.build("pspnet", classes, (713, 713), **options)


@pytest.mark.parametrize(("aux", "count"), [(True, 49_092_358), (False, 46_723_555)])
def test_published_count(aux: bool, count: int) -> None:
    """The counts of the source, with and without the auxiliary head."""
    assert parameters(on_meta(35, aux=aux)) == count


def test_count_of_each_stage() -> None:
    """The rows of the trunk: stem 112,832, then four layers, 23,631,808 together."""
    trunk = on_meta(35).get_submodule("trunk")
    counts = {name: parameters(part) for name, part in trunk.named_children()}
    layers = [counts.pop(f"layer{number}") for number in (1, 2, 3, 4)]
    assert layers == [236_288, 1_219_584, 7_098_368, 14_964_736]
    assert sum(counts.values()) == 112_832
    assert parameters(trunk) == 23_631_808


@pytest.mark.parametrize(
    # torchvision's published counts: 11,689,512 · 21,797,672 · 25,557,032 · 44,549,160, of which the
    # classifier is (512 or 2048)·1000 + 1000.
    ("depth", "published", "features"),
    [(18, 11_689_512, 512), (34, 21_797_672, 512), (50, 25_557_032, 2048), (101, 44_549_160, 2048)],
)
def test_depths_are_the_usual_ones(depth: int, published: int, features: int) -> None:
    """Each depth has the parameters of the plain ResNet, but for the deep stem and what it changes in layer1."""
    plain_stem, deep_stem = 3 * 64 * 49 + 128, 112_832
    expansion = features // 512
    # layer1 takes 128 maps where it took 64; a plain basic block takes 64 to 64 and needs no projection.
    layer1 = 64 * 64 * 9 + (128 * 64 + 128) if expansion == 1 else 64 * 64 + 64 * 256
    expected = published - (features + 1) * 1000 - plain_stem + deep_stem + layer1
    assert parameters(on_meta(2, backbone_depth=depth).get_submodule("trunk")) == expected


def test_published_cost() -> None:
    """364 GMAC at 713x713 (without what resizing costs, up to 1 %)."""
    network = on_meta(35).eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 713, 713, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(364, rel=0.01)


def second_writing(network: nn.Module, image: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """The auxiliary and the main logits from the network's tensors by name, in functional operations."""
    state = network.state_dict()

    def conv(x: Tensor, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        padding = dilation * (weight.shape[-1] // 2)
        return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, padding, dilation)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def to(size: torch.Size, x: Tensor) -> Tensor:
        return F.interpolate(x, size, mode="bilinear", align_corners=True)

    def classify(x: Tensor, name: str) -> Tensor:
        return conv(norm(conv(x, f"{name}.0"), f"{name}.1").relu(), f"{name}.4")

    x = image
    for number in (1, 2, 3):
        x = norm(conv(x, f"trunk.conv{number}", 2 if number == 1 else 1), f"trunk.bn{number}").relu()
    x = F.max_pool2d(x, 3, 2, padding=1)
    layers = []
    for layer, blocks in enumerate(BLOCKS[depth], 1):
        dilation = {1: 1, 2: 1, 3: 2, 4: 4}[layer]
        for block in range(blocks):
            name, stride = f"trunk.layer{layer}.{block}", 2 if layer == 2 and block == 0 else 1
            y = x
            shapes = [(stride, dilation), (1, dilation)] if depth < 50 else [(1, 1), (stride, dilation), (1, 1)]
            for number, shape in enumerate(shapes, 1):
                y = norm(conv(y, f"{name}.conv{number}", *shape), f"{name}.bn{number}")
                y = y.relu() if number < len(shapes) else y
            if block == 0:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = (x + y).relu()
        layers.append(x)
    pyramid = [x]
    for number, bins in enumerate((1, 2, 3, 6)):
        name = f"head.pyramid.branches.{number}"
        pooled = F.adaptive_avg_pool2d(x, bins)
        pyramid.append(to(x.shape[-2:], norm(conv(pooled, f"{name}.0"), f"{name}.1").relu()))
    main = classify(torch.cat(pyramid, dim=1), "head.classifier")
    size = image.shape[-2:]
    return to(size, classify(layers[2], "auxiliary")), to(size, main)


@pytest.mark.parametrize(("depth", "size"), [(18, (65, 94)), (50, (49, 57))])
def test_wiring(depth: int, size: tuple[int, int]) -> None:
    """The network computes what the table says, at sizes with any remainder."""
    torch.manual_seed(0)
    network = segmodels.build("pspnet", 4, size, backbone_depth=depth)
    image = torch.randn(2, 3, *size)
    network(image)  # moves the norms' statistics
    network.eval()
    with torch.no_grad():
        aux, main = second_writing(network, image, depth)
        logits, steps, extras = network(image)
        torch.testing.assert_close(logits, main, rtol=1e-3, atol=1e-4)
        assert logits.shape == (2, 4, *size)
        assert len(steps) == 1
        assert steps[0] is logits
        assert not extras
        in_training = train_without_batch_statistics(network)(image)
    torch.testing.assert_close(in_training.steps[0], aux, rtol=1e-3, atol=1e-4)
    assert in_training.steps[1] is in_training.logits


def train_without_batch_statistics(network: nn.Module) -> nn.Module:
    """Only the network itself in training: the auxiliary head answers, norms and dropout stay in evaluation."""
    network.training = True
    return network


def test_step_weights() -> None:
    """The auxiliary head counts 0.4, and nothing where it does not answer."""
    weights = segmodels.spec("pspnet").step_weights
    assert weights(2) == (0.4, 1.0)
    assert weights(1) == (1.0,)


def test_without_auxiliary_head() -> None:
    """`aux=False` leaves one supervised output in training too."""
    network = segmodels.build("pspnet", 2, (32, 32), backbone_depth=18, aux=False)
    assert len(network(torch.randn(2, 3, 32, 32)).steps) == 1


def test_one_image_trains() -> None:
    """The 1x1 bin of a batch of one has no variance: its norm takes the running statistics, and learns."""
    torch.manual_seed(0)
    network = segmodels.build("pspnet", 2, (32, 32), backbone_depth=18)
    logits = network(torch.randn(1, 3, 32, 32)).logits
    logits.square().mean().backward()
    norm = network.get_submodule("head.pyramid.branches.0.1")
    assert isinstance(norm, nn.BatchNorm2d)
    assert torch.isfinite(logits).all()
    assert norm.weight.grad is not None
    assert norm.running_mean is not None
    assert not norm.running_mean.any()  # one value is no estimate


def test_unknown_depth() -> None:
    """A depth that there is no ResNet of is refused with those that there are."""
    with pytest.raises(SegmodelsError, match="one of 18, 34, 50, 101"):
        on_meta(2, backbone_depth=56)
