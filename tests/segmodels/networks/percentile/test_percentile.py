"""The percentile network: quantiles, masks, and what is settled at which stage."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError
from segmodels.bench.summary import summarize
from segmodels.networks.percentile.network import PercentileNet, quantiles_by_class

SIZE = (24, 32)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def network(classes: int = 6, **options: object) -> PercentileNet:
    """A small network in evaluation mode whose random predictions are spread over many classes."""
    torch.manual_seed(0)
    built = segmodels.build("percentile", classes, SIZE, width_factor=0.125, **options)
    assert isinstance(built, PercentileNet)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the average over what follows
    built.mask_in_training = False
    with torch.no_grad():
        for _ in range(2):
            built.train()(images())
        for stage in built.stages:
            stage.classifier[-1][-1].weight.mul_(torch.linspace(1, 3, classes))
    built.mask_in_training = True
    return built.eval()


def images(batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def naive_stem(net: PercentileNet, x: Tensor) -> Tensor:
    weights = net.state_dict()
    for layer, kernel in enumerate((3, 5, 7, 9)):
        path = f"stem.{layer}.0"
        x = F.conv2d(x, weights[f"{path}.weight"], weights[f"{path}.bias"], padding=kernel // 2).relu()
    return x


def naive_stage(net: PercentileNet, stage: int, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two refinements under `mask` and the classifier, in evaluation mode, from the weights alone."""
    weights = net.state_dict()

    def layer(path: str, y: Tensor, kernel: int, dilation: int = 1) -> Tensor:
        conv, norm = f"stages.{stage}.{path}.0", f"stages.{stage}.{path}.2"
        pad = kernel // 2 * dilation
        y = F.conv2d(y, weights[f"{conv}.weight"], weights[f"{conv}.bias"], padding=pad, dilation=dilation)
        mean, var = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        return F.batch_norm(y.relu(), mean, var, weights[f"{norm}.weight"], weights[f"{norm}.bias"])

    for refinement in range(2):
        path = f"refinements.{refinement}.branches"
        update = [layer(f"{path}.{branch}", x, 5, 2**branch) for branch in range(4)]
        x = x + torch.cat(update, dim=1) * mask
    logits = x
    for number, kernel in enumerate((9, 7, 5)):
        logits = layer(f"classifier.{number}", logits, kernel)
    return x, logits


def naive_goes_on(logits: Tensor, reached: Tensor, q: list[float]) -> Tensor:
    """(K, H, W) logits of one image → (H, W): the pixels that are not accepted, class by class."""
    confidence, winner = logits.softmax(dim=0).max(dim=0)
    goes_on = torch.ones_like(reached)
    for each, q_each in enumerate(q):
        own = reached & (winner == each)
        if own.any():
            limit = torch.quantile(confidence[own].double(), q_each)
            goes_on[own] = confidence[own].double() <= limit
    return goes_on


@torch.no_grad()
def naive(net: PercentileNet, image: Tensor, q: list[float]) -> tuple[Tensor, list[Tensor]]:
    """Merged logits and the masks of one image (3, H, W), straight from the text."""
    features, one = naive_stage(net, 0, naive_stem(net, image[None]), torch.ones(1))
    mask1 = naive_goes_on(one[0], torch.ones(SIZE, dtype=torch.bool), q)
    features, two = naive_stage(net, 1, features, mask1.float())
    mask2 = mask1 & naive_goes_on(two[0], mask1, q)
    _, three = naive_stage(net, 2, features, mask2.float())
    merged = torch.empty_like(one[0])
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            stage = three if mask2[y, x] else two if mask1[y, x] else one
            merged[:, y, x] = stage[0, :, y, x]
    return merged, [torch.ones_like(mask1), mask1, mask2]


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 0.77, 1.0, [0.1, 0.9, 0.5, 0.0, 1.0, 0.25, 0.4]])
def test_quantiles_equal_torch_quantile(q: float | list[float]) -> None:
    """Each class's limit is torch's quantile of its counted pixels; without any, it is 1."""
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(4, 501, generator=generator)
    confidence[:, ::7] = 0.25  # ties
    winner = torch.randint(6, (4, 501), generator=generator)  # class 6 wins nowhere
    winner[1] = 2
    counted = torch.rand(4, 501, generator=generator) < 0.6
    counted[2] = False
    each_q = torch.tensor(q if isinstance(q, list) else [q] * 7, dtype=torch.float64)
    limits = quantiles_by_class(confidence, winner, counted, each_q)
    for b in range(4):
        for c in range(7):
            own = confidence[b, counted[b] & (winner[b] == c)].double()
            expected = torch.quantile(own, each_q[c]) if len(own) else torch.tensor(1.0).double()
            assert torch.equal(limits[b, c], expected)


@pytest.mark.slow
def test_quantiles_of_more_values_than_torch_takes() -> None:
    """2^24 + 3 values: beyond torch.quantile, with the closed form of evenly spaced ones."""
    count = 2**24 + 3
    confidence = (torch.arange(count, dtype=torch.float64) / count).flip(0)[None]
    winner, counted = torch.zeros(1, count, dtype=torch.int64), torch.ones(1, count, dtype=torch.bool)
    limits = quantiles_by_class(confidence, winner, counted, torch.tensor([0.3], dtype=torch.float64))
    assert limits[0, 0].item() == pytest.approx(0.3 * (count - 1) / count, rel=1e-14)


@pytest.mark.parametrize("q", [0.5, 0.8, [0.2, 0.9, 0.5, 0.7, 0.4, 0.6]])
def test_masks_and_merge_against_a_loop_over_classes_and_pixels(q: float | list[float]) -> None:
    """Each pixel has the logits of the stage that settled it; masks as a per-class loop finds them."""
    net = network()
    net.set_q(q)
    prediction = net(images())
    assert len(prediction.logits.argmax(dim=1).unique()) >= 4  # the classes are really mixed
    for index, image in enumerate(images()):
        merged, masks = naive(net, image, q if isinstance(q, list) else [q] * 6)
        assert torch.equal(prediction.extras["masks"][index], torch.stack(masks))
        torch.testing.assert_close(prediction.logits[index], merged, **CLOSE)


def test_a_settled_pixel_stays_settled() -> None:
    """Masks shrink from stage to stage, about by half at q = 0.5; confidences are in (1/K, 1]."""
    extras = network()(images()).extras
    masks, confidences = extras["masks"], extras["confidences"]
    assert masks.shape == confidences.shape == (3, 3, *SIZE)
    assert masks[:, 0].all()
    assert not (masks[:, 2] & ~masks[:, 1]).any()
    shares = masks.float().mean(dim=(0, 2, 3)).tolist()
    assert shares == pytest.approx([1, 0.5, 0.25], abs=0.02)
    assert ((confidences > 1 / 6) & (confidences <= 1)).all()


@torch.no_grad()
def naive_as_published(net: PercentileNet, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The original's rules: limits pooled over the batch, for ten classes, on masked logits."""

    def goes_on(logits: Tensor) -> Tensor:
        confidence, winner = logits.softmax(dim=1).max(dim=1)
        limits = torch.zeros(logits.shape[1])
        for c in range(min(10, logits.shape[1])):
            own = confidence[winner == c]
            limits[c] = torch.quantile(own, 0.5) if len(own) else 1.0
        return (confidence <= limits[winner]).float()[:, None]

    features, one = naive_stage(net, 0, naive_stem(net, batch), torch.ones(1))
    mask1 = goes_on(one)
    features, two = naive_stage(net, 1, features, mask1)
    two = two * mask1
    mask2 = goes_on(two)
    _, three = naive_stage(net, 2, features, mask2)
    three = three * mask1 * mask2
    return one * (1 - mask1) + two * mask1 * (1 - mask2) + three * mask1 * mask2, two, three


@pytest.mark.parametrize("classes", [6, 12])
def test_as_published(classes: int) -> None:
    """The merged prediction and every stage's logits are the original's, faults included."""
    net = network(classes, as_published=True)
    prediction = net(images())
    merged, two, three = naive_as_published(net, images())
    torch.testing.assert_close(prediction.logits, merged, **CLOSE)
    torch.testing.assert_close(prediction.steps[1], two, **CLOSE)
    torch.testing.assert_close(prediction.steps[2], three, **CLOSE)


def test_as_published_accepts_every_pixel_of_an_eleventh_class() -> None:
    """Its limit is 0 there; the reference has a limit for every class."""
    published = network(12, as_published=True)
    winner = published(images()).steps[0].argmax(dim=1)
    assert (winner >= 10).any()
    assert not published(images()).extras["masks"][:, 1][winner >= 10].any()
    published.as_published = False
    assert published(images()).extras["masks"][:, 1][winner >= 10].any()


def test_the_rules_differ() -> None:
    """Pooled limits and refined settled pixels change some labels and not most."""
    ours, published = network(), network(as_published=True)
    labels = (each(images()).logits.argmax(dim=1) for each in (ours, published))
    share = torch.ne(*labels).float().mean().item()
    assert 0.005 < share < 0.3


def test_as_published_couples_a_batch_and_the_reference_does_not() -> None:
    """Alone or among others: the same masks by default, others by the published rule."""
    for as_published in (False, True):
        net = network(as_published=as_published)
        together = net(images()).extras["masks"]
        alone = torch.cat([net(image[None]).extras["masks"] for image in images()])
        assert torch.equal(together, alone) is not as_published


def test_q_may_be_changed_after_training() -> None:
    """More goes on the larger q is; at q = 1 everything does, and the last stage answers alone."""
    net = network()
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    reached = []
    for q in (0.0, 0.25, 0.5, 0.75, 1.0):
        net.set_q(q)
        prediction = net(images())
        reached.append(prediction.extras["masks"][:, 1:].float().mean().item())
    assert reached == sorted(reached)
    assert reached[0] < 0.05
    assert torch.equal(prediction.logits, prediction.steps[-1])
    assert all(torch.equal(weights[key], value) for key, value in net.state_dict().items())


def test_training_without_masks() -> None:
    """Every stage sees every pixel while training; evaluation still masks."""
    net = network()
    net.mask_in_training = False
    prediction = net.train()(images())
    assert prediction.extras["masks"].all()
    assert torch.equal(prediction.logits, prediction.steps[-1])
    assert not net.eval()(images()).extras["masks"].all()


def test_deeper_stages_see_farther() -> None:
    """The pixels of a row on which the middle one depends: what the docstring says of each stage."""
    net = segmodels.build("percentile", 4, (1, 301), width_factor=0.05, mask_in_training=False).train()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_().add_(0.01)  # nothing cancels, nothing is cut off by a ReLU
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # its statistics are of all pixels
    seen = []
    for stage in range(3):
        image = torch.full((1, 3, 1, 301), 0.01, requires_grad=True)
        net(image).steps[stage][0, :, 0, 150].sum().backward()
        assert image.grad is not None
        where = image.grad.abs().sum((0, 1, 2)).nonzero()
        seen.append(int(where.max() - where.min()) + 1)
    assert seen == [103, 167, 231]


@pytest.mark.parametrize("q", [1.5, -0.1, float("nan"), [0.5, 0.5]])
def test_a_wrong_q_is_refused(q: float | list[float]) -> None:
    """A q outside 0…1, or not one per class, is an error at build and at run time."""
    with pytest.raises(SegmodelsError, match="q is"):
        segmodels.build("percentile", 6, SIZE, q=q)
    with pytest.raises(SegmodelsError, match="q is"):
        network().set_q(q)


def test_cost_at_the_published_setting() -> None:
    """751 GMAC at 256x512: the stem 13.6 %, every stage 28.8 %, half of it refinement."""
    layers = summarize(segmodels.spec("percentile"), 10, (256, 512), {})
    macs = {layer.path: layer.macs for layer in layers}
    assert macs[""] / 1e9 == pytest.approx(751, abs=0.5)
    assert macs["stem"] / macs[""] == pytest.approx(0.136, abs=5e-4)
    for stage in range(3):
        path = f"stages.{stage}"
        assert macs[path] / macs[""] == pytest.approx(0.288, abs=5e-4)
        assert macs[f"{path}.classifier"] / macs[path] == pytest.approx(0.5, abs=0.05)
