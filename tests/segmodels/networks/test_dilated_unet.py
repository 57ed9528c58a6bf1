"""The dilated separable U-Net against its table, and against a second writing of it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError
from segmodels.bench.summary import summarize

PARTS = {
    "down1": 348,
    "down2": 5_796,
    "down3": 40_716,
    "down4": 332_100,
    "up1": 378_000,
    "up2": 104_940,
    "up3": 19_140,
    "up4": 4_620,
    "out": 2_180,
}
DOWN = ((3, 3, 3), (4, 2, 3), (4, 1, 1))  # kernel, dilation, padding of branches A, B, C
UP = ((4, 3, 4), (4, 2, 3), (4, 1, 1))


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize(("classes", "count"), [(20, 887_840), (19, 887_731), (34, 889_366)])
def test_published_count(classes: int, count: int) -> None:
    """The counts of the source."""
    with torch.device("meta"):
        assert parameters(segmodels.build("dilated_unet", classes, (512, 1024))) == count


def test_count_of_each_step() -> None:
    """Every row of the table has its own count."""
    with torch.device("meta"):
        network = segmodels.build("dilated_unet", 20, (512, 1024))
    counts = {name: parameters(part) for name, part in network.named_children() if parameters(part)}
    assert counts == PARTS
    assert sum(PARTS.values()) == 887_840


def convolve(x: Tensor, layers: list[Tensor], kernel: int, dilation: int, padding: int, *, up: bool) -> Tensor:
    """Depth-wise by a dense kernel with zeros in its gaps, point-wise by a matrix, norm, leaky ReLU."""
    depth, depth_bias, point, point_bias, scale, shift, mean, var = layers
    channels = len(depth)
    reach = (kernel - 1) * dilation + 1
    dense = x.new_zeros(channels, channels, reach, reach)
    dense[range(channels), range(channels), ::dilation, ::dilation] = depth[:, 0]
    stride = 1 if kernel == 2 else 2
    conv = F.conv_transpose2d if up else F.conv2d
    x = conv(x, dense, depth_bias, stride=stride, padding=padding)
    matrix = point[:, :, 0, 0].T if up else point[:, :, 0, 0]
    x = torch.einsum("oc,bchw->bohw", matrix, x) + point_bias[:, None, None]
    x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    x = x * scale[:, None, None] + shift[:, None, None]
    return torch.where(x > 0, x, 0.01 * x)


def second_writing(network: nn.Module, image: Tensor) -> Tensor:
    """The table, step by step, from the network's tensors in their order."""
    tensors = iter([each for name, each in network.state_dict().items() if "num_batches" not in name])

    def branch(x: Tensor, shape: tuple[int, int, int], *, up: bool) -> Tensor:
        return convolve(x, [next(tensors) for _ in range(8)], *shape, up=up)

    def block(x: Tensor, *, up: bool) -> Tensor:
        a = branch(x, (UP if up else DOWN)[0], up=up)
        b = branch(x, (UP if up else DOWN)[1], up=up)
        if up:
            assert b.shape[-1] == 2 * x.shape[-1] - 1
            b = branch(b, (2, 1, 0), up=True)
        return torch.cat([a, b, branch(x, (UP if up else DOWN)[2], up=up)], dim=1)

    e1 = block(image, up=False)
    e2 = block(e1, up=False)
    e3 = block(e2, up=False)
    e4 = block(e3, up=False)
    d1 = torch.cat([block(e4, up=True), e3], dim=1)
    d2 = torch.cat([block(d1, up=True), e2], dim=1)
    d3 = torch.cat([block(d2, up=True), e1], dim=1)
    return F.conv2d(block(d3, up=True), next(tensors), next(tensors), padding=1)


@pytest.mark.parametrize("width_factor", [0.1, 0.34])
def test_wiring(width_factor: float) -> None:
    """The network computes what the table says, with other norm statistics than the initial ones."""
    torch.manual_seed(0)
    network = segmodels.build("dilated_unet", 5, (32, 48), width_factor=width_factor)
    image = torch.randn(2, 3, 32, 48)
    network(image)  # moves the norms' statistics
    network.eval()
    with torch.no_grad():
        logits, steps, extras = network(image)
        torch.testing.assert_close(logits, second_writing(network, image), rtol=1e-4, atol=1e-5)
    assert logits.shape == (2, 5, 32, 48)
    assert steps == (logits,)
    assert not extras


def test_dropped_maps_are_what_the_skips_carry() -> None:
    """A channel that Dropout2d zeroes on the way down is zero in the skip as well."""
    torch.manual_seed(0)
    network = segmodels.build("dilated_unet", 2, (16, 16))
    network.get_submodule("drop_up").p = 0.0
    seen: dict[str, Tensor] = {}
    dropped: list[Tensor] = []
    network.get_submodule("drop_down").register_forward_hook(lambda _, __, out: dropped.append(out))
    network.get_submodule("up4").register_forward_hook(lambda _, inputs, __: seen.update(up4=inputs[0]))
    network(torch.randn(2, 3, 16, 16))
    assert (dropped[0].flatten(2).abs().sum(dim=2) == 0).any()
    assert torch.equal(seen["up4"][:, 36:], dropped[0])


def test_dropout_on_the_way_up_takes_channels_of_the_skip_too() -> None:
    """It acts on the concatenation, as in the original: 0.15 of the skip's channels are zeroed once more."""
    torch.manual_seed(0)
    network = segmodels.build("dilated_unet", 2, (32, 32))
    network.get_submodule("drop_down").p = 0.0
    skips: list[Tensor] = []  # as the blocks take them that are above
    for name in ("up2", "up3", "up4"):
        block = network.get_submodule(name)
        block.register_forward_hook(lambda _, inputs, __: skips.append(inputs[0][:, inputs[0].shape[1] // 2 :]))
    network(torch.randn(2, 3, 32, 32))
    assert [skip.shape[1] for skip in skips] == [324, 108, 36]
    zeroed = torch.cat([(skip.flatten(2) == 0).all(dim=2).flatten() for skip in skips])
    assert 0.1 < zeroed.float().mean().item() < 0.2


def test_plain_convolutions_in_the_place_of_separable_ones() -> None:
    """An option: the same shapes, 4.2 times the multiplications at equal width, and names of its own in the state."""
    spec, size = segmodels.spec("dilated_unet"), (512, 1024)
    separable, plain = (summarize(spec, 20, size, {"separable": each})[0] for each in (True, False))
    assert (separable.macs, plain.macs) == (9_978_624_752, 41_830_317_312)
    assert plain.parameters == 11_194_584
    network = segmodels.build("dilated_unet", 2, (16, 32), width_factor=0.1, separable=False)
    assert network(torch.zeros(2, 3, 16, 32)).logits.shape == (2, 2, 16, 32)
    convs = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)]
    assert {each.groups for each in convs} == {1}
    assert len(convs) == 4 * 3 + 4 * 4 + 1


def test_plain_convolutions_of_equal_parameters_do_less() -> None:
    """The widths of docs/evidence.md and of its experiment."""
    spec, size = segmodels.spec("dilated_unet"), (192, 256)
    separable = summarize(spec, 11, size, {"width_factor": 0.5})[0]
    plain = summarize(spec, 11, size, {"width_factor": 0.15, "separable": False})[0]
    assert abs(plain.parameters / separable.parameters - 1) < 0.02
    assert (round(separable.macs / 1e6), round(plain.macs / 1e6)) == (266, 104)


def test_a_run_notes_the_option_only_where_it_is_used() -> None:
    """With its default, a run's document and so its id are those of the runs that were before the option."""
    spec = segmodels.spec("dilated_unet")
    assert spec.noted(spec.resolve({})) == (("width_factor", 1.0),)
    assert spec.noted(spec.resolve({"separable": False})) == (("separable", False), ("width_factor", 1.0))


def test_start_of_the_recipe() -> None:
    """Convolutions start Xavier-uniform, biases at zero."""
    torch.manual_seed(0)
    network = segmodels.build("dilated_unet", 20, (16, 16))
    conv = network.get_submodule("down4.branches.0.1")
    assert isinstance(conv, nn.Conv2d)
    bound = (6 / (324 + 324)) ** 0.5
    assert 0.99 * bound < conv.weight.abs().max().item() <= bound
    assert not any(each.any() for name, each in network.named_parameters() if name.endswith(".bias"))


def test_size_must_fit() -> None:
    """A side that is no multiple of 16 is refused, when built and when run."""
    with pytest.raises(SegmodelsError, match="multiples of 16"):
        segmodels.build("dilated_unet", 2, (24, 32))
    network = segmodels.build("dilated_unet", 2, (32, 32), width_factor=0.1)
    with pytest.raises(SegmodelsError, match="multiples of 16"):
        network(torch.zeros(1, 3, 24, 32))
