"""Losses against `F.cross_entropy`, naive loops, closed forms and numerical gradients."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segdata.format.counts import ClassCounts
from segmodels.errors import SegmodelsError
from segmodels.training import losses

B, K, H, W = 3, 5, 6, 8
EVERY_LOSS = pytest.mark.parametrize("name", sorted(losses.LOSSES))


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(B, K, H, W, generator=torch.Generator().manual_seed(0)) * 2


@pytest.fixture
def target() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(K, (B, H, W), generator=generator)
    labels[torch.rand(B, H, W, generator=generator) < 0.2] = 255
    return labels.to(torch.uint8)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def counts_of(target: Tensor, cell: int) -> Tensor:
    """The `coverage` target of labels (B, H, W): (B, K + 1, H/cell, W/cell), by a loop over classes."""
    maps = [target == c for c in range(K)] + [target == 255]
    return torch.stack([F.avg_pool2d(m.float(), cell) * cell**2 for m in maps], 1).round().long()


# --- Cross entropy ------------------------------------------------------------------------------------


def test_cross_entropy_is_torchs_mean_of_each_image(logits: Tensor, target: Tensor) -> None:
    """Image by image it is `F.cross_entropy` with 255 ignored, value and gradient."""
    logits.requires_grad_()
    found = losses.cross_entropy(logits, target)
    expected = torch.stack(
        [F.cross_entropy(logits[i : i + 1], target[i : i + 1].long(), ignore_index=255) for i in range(B)]
    )
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(x.sum(), logits, retain_graph=True)[0] for x in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_batch_mean_is_torchs_where_nothing_is_ignored(logits: Tensor, target: Tensor) -> None:
    """On fully labelled batches the mean over images is the mean over pixels."""
    full = target % K
    torch.testing.assert_close(losses.cross_entropy(logits, full).mean(), F.cross_entropy(logits, full.long()))


def test_weighted_cross_entropy_is_torchs_sum_over_pixels(logits: Tensor, target: Tensor) -> None:
    """With class weights it is `F.cross_entropy`'s weighted sum, divided by the number of valid pixels."""
    weight = torch.tensor([0.5, 1.0, 2.0, 4.0, 0.25])
    for i, found in enumerate(losses.cross_entropy(logits, target, weight)):
        one = target[i : i + 1].long()
        total = F.cross_entropy(logits[i : i + 1], one, weight, ignore_index=255, reduction="sum")
        torch.testing.assert_close(found, total / (one != 255).sum())


# --- Dice ---------------------------------------------------------------------------------------------


def test_dice_is_that_of_a_loop(logits: Tensor, target: Tensor) -> None:
    """The formula of the TAS500 seed per image and class over the valid pixels, added up one by one."""
    p = logits.double().softmax(1)
    for i, found in enumerate(losses.dice(logits, target)):
        terms = []
        for c in range(K):
            overlap = size = 0.0
            for y in range(H):
                for x in range(W):
                    if target[i, y, x] != 255:
                        t = float(target[i, y, x] == c)
                        overlap += p[i, c, y, x].item() * t
                        size += t + p[i, c, y, x].item() ** 2
            terms.append(1 - (2 * overlap + 1) / (size + 1))
        assert found.item() == pytest.approx(sum(terms) / K, rel=1e-5)


def test_dice_of_certainty_has_its_closed_form() -> None:
    """A certain, right answer costs 0; a certain, wrong one n/(n + 1) for both classes of n pixels."""
    n = H * W
    target = torch.zeros(1, H, W, dtype=torch.uint8)
    certain = torch.full((1, 2, H, W), -100.0)
    certain[:, 0] = 100.0
    assert losses.dice(certain, target).item() == pytest.approx(0)
    assert losses.dice(certain.flip(1), target).item() == pytest.approx(n / (n + 1))


# --- OHEM ---------------------------------------------------------------------------------------------


def test_ohem_averages_the_losses_that_a_loop_would_keep(logits: Tensor, target: Tensor) -> None:
    """Pixels at or above the limit; where they are fewer than 1/16 of the image, the highest 1/16."""
    for help_for_the_truth in (0, 4, 12):
        helped = logits + help_for_the_truth * F.one_hot(target.long() % K, K).movedim(-1, 1)
        for i, found in enumerate(losses.ohem(helped, target)):
            pixelwise = F.cross_entropy(helped[i : i + 1], target[i : i + 1].long() % K, reduction="none")[0]
            ranked = sorted(pixelwise[target[i] != 255].tolist(), reverse=True)
            limit = min(ranked[H * W // 16 - 1], -math.log(0.7))
            kept = [loss for loss in ranked if loss >= limit]
            assert found.item() == pytest.approx(sum(kept) / len(kept), rel=1e-5)


def test_ohem_of_a_poor_prediction_is_cross_entropy(target: Tensor) -> None:
    """Where every pixel is hard, nothing is left out."""
    uniform = torch.zeros(B, K, H, W)
    torch.testing.assert_close(losses.ohem(uniform, target), torch.full((B,), math.log(K)))


def test_ohem_gives_easy_pixels_no_gradient(logits: Tensor, target: Tensor) -> None:
    """The gradient is zero exactly on the ignored and the easy pixels."""
    logits.requires_grad_()
    losses.ohem(logits, target).sum().backward()
    p = logits.detach().softmax(1).gather(1, target.long().clamp(max=K - 1)[:, None])[:, 0]
    assert logits.grad is not None
    assert torch.equal(logits.grad.abs().sum(1) > 0, (p <= 0.7) & (target != 255))


# --- What holds for all of them -----------------------------------------------------------------------


@EVERY_LOSS
def test_gradient_is_the_numerical_one(name: str, logits: Tensor, target: Tensor) -> None:
    """Autograd agrees with finite differences in float64."""
    double = logits[:, :, :3, :3].double().requires_grad_()
    labels = target[:, :3, :3]
    assert torch.autograd.gradcheck(lambda x: losses.LOSSES[name](x, labels, None), (double,))


@EVERY_LOSS
def test_ignored_pixels_neither_matter_nor_learn(name: str, logits: Tensor, target: Tensor) -> None:
    """Other logits under ignored pixels change no bit of the loss, and get no gradient."""
    ignored = (target == 255)[:, None].expand_as(logits)
    other = torch.where(ignored, -3 * logits.flip(1), logits).requires_grad_()
    found = losses.LOSSES[name](other, target, None)
    assert torch.equal(found, losses.LOSSES[name](logits, target, None))
    found.sum().backward()
    assert other.grad is not None
    assert not other.grad[ignored].any()
    assert other.grad[~ignored].any()


@EVERY_LOSS
def test_loss_of_an_image_is_the_same_alone(name: str, logits: Tensor, target: Tensor) -> None:
    """No batch mate changes an image's loss."""
    together = losses.LOSSES[name](logits, target, None)
    alone = [losses.LOSSES[name](logits[i : i + 1], target[i : i + 1], None) for i in range(B)]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("name", ["ce", "ohem"])
def test_nothing_valid_costs_nothing(name: str, logits: Tensor) -> None:
    """An all-ignored image has loss 0 and gradient 0, not NaN."""
    logits.requires_grad_()
    found = losses.LOSSES[name](logits, torch.full((B, H, W), 255, dtype=torch.uint8), None)
    found.sum().backward()
    assert found.tolist() == [0.0] * B
    assert logits.grad is not None
    assert not logits.grad.any()


@EVERY_LOSS
def test_a_nan_shows_and_names_its_image(name: str, logits: Tensor, target: Tensor) -> None:
    """One broken pixel makes the loss of its image NaN, and of no other."""
    target[1, 2, 2] = 0
    logits[1, 0, 2, 2] = float("nan")
    assert losses.LOSSES[name](logits, target, None).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["ce", "ce+dice"])  # to ohem a cell is hard or easy as a whole
@pytest.mark.parametrize("cell", [2, 3])
def test_counts_stand_for_their_pixels(name: str, target: Tensor, cell: int) -> None:
    """Counts per cell with coarse logits cost what all labels cost with those logits repeated."""
    labels = target[:, :6, :6]
    coarse = torch.randn(B, K, 6 // cell, 6 // cell, generator=torch.Generator().manual_seed(2))
    weight = torch.tensor([0.5, 1.0, 2.0, 4.0, 0.25])
    fine = coarse.repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    torch.testing.assert_close(
        losses.LOSSES[name](coarse, counts_of(labels, cell), weight),
        losses.LOSSES[name](fine, labels, weight),
    )


@EVERY_LOSS
def test_bfloat16_logits_are_summed_in_float32(name: str, logits: Tensor, target: Tensor) -> None:
    """Low precision ends at the logits."""
    low = logits.bfloat16()
    found = losses.LOSSES[name](low, target, None)
    assert found.dtype == torch.float32
    assert torch.equal(found, losses.LOSSES[name](low.float(), target, None))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.usefixtures("deterministic")
@EVERY_LOSS
def test_cuda_gives_the_same_bits_twice(name: str) -> None:
    """No operation raises under deterministic algorithms, and gradients of a full-size batch repeat."""
    generator = torch.Generator("cuda").manual_seed(0)
    wide = torch.randn(4, 19, 512, 512, device="cuda", generator=generator, requires_grad=True)
    labels = torch.randint(20, (4, 512, 512), device="cuda", generator=generator, dtype=torch.uint8)
    labels[labels == 19] = 255
    first, second = (torch.autograd.grad(losses.LOSSES[name](wide, labels, None).sum(), wide)[0] for _ in "ab")
    assert torch.equal(first, second)


# --- Steps and class weights --------------------------------------------------------------------------


def test_steps_are_weighted_and_summed(logits: Tensor, target: Tensor) -> None:
    """PSPNet's main and auxiliary output: CE(main) + 0.4·CE(aux)."""
    aux = logits.flip(1)
    found = losses.over_outputs(losses.cross_entropy, (aux, logits), target, (0.4, 1.0))
    expected = losses.cross_entropy(logits, target) + 0.4 * losses.cross_entropy(aux, target)
    torch.testing.assert_close(found, expected)


def test_equal_step_weights_are_the_mean(logits: Tensor, target: Tensor) -> None:
    """The family's loss: cross entropy averaged over the steps plus Dice over (image, step, class)."""
    steps = [logits, logits.flip(1), logits.flip(2), logits.flip(3)]
    found = losses.over_outputs(losses.cross_entropy_dice, steps, target, (0.25,) * 4).mean()
    stacked = torch.cat(steps)
    labels = target.repeat(4, 1, 1)
    expected = losses.cross_entropy(stacked, labels).mean() + losses.dice(stacked, labels).mean()
    torch.testing.assert_close(found, expected)


def test_every_step_needs_a_weight(logits: Tensor, target: Tensor) -> None:
    """A forgotten weight is an error, not a forgotten output."""
    with pytest.raises(ValueError, match="zip"):
        losses.over_outputs(losses.cross_entropy, (logits, logits), target, (1.0,))


COUNTS = ClassCounts(  # 4 images of 500 pixels: a class in all of them, one in two, one in one, one in none
    pixels=np.array([1500, 300, 100, 0, 100]), images=np.array([4, 2, 1, 0, 3]), samples=4
)


@pytest.mark.parametrize(
    ("scheme", "relative"),
    [
        ("inverse", [1 / 1500, 1 / 300, 1 / 100, 0]),
        ("median", [2000 / 1500, 1000 / 300, 500 / 100, 0]),  # pixels of the images that hold it / its own
        ("effective", [1 / (1 - 0.9999**4), 1 / (1 - 0.9999**2), 1 / (1 - 0.9999), 0]),
    ],
)
def test_class_weights_have_their_ratios_and_mean_one(scheme: str, relative: list[float]) -> None:
    """Each scheme's formula up to a factor, and that factor makes the mean weight of a pixel 1."""
    weights = losses.class_weights(scheme, COUNTS)
    assert weights is not None
    torch.testing.assert_close(weights / weights[0], torch.tensor(relative) / relative[0], rtol=1e-5, atol=0)
    assert (weights * torch.tensor([1500, 300, 100, 0])).sum().item() / 1900 == pytest.approx(1)


def test_no_class_weights_and_unknown_ones() -> None:
    """`none` is no weights at all; an unknown scheme is an error that lists the known ones."""
    assert losses.class_weights("none", COUNTS) is None
    with pytest.raises(SegmodelsError, match="expected none, inverse"):
        losses.class_weights("enet", COUNTS)
