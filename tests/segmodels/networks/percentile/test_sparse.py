"""The percentile network on tiles: the same answer as everywhere, and the work that it says it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import segmodels
from segmodels import SegmodelsError
from segmodels.compute.device import arithmetic
from segmodels.networks.percentile.macs import executed_macs, needed_macs
from segmodels.networks.percentile.network import PercentileNet
from segmodels.networks.percentile.sparse import (
    PRICES,
    SIDE,
    SKIPS,
    Plan,
    plan_stage,
    run_stage,
)
from segmodels.networks.percentile.stage import Stage
from segmodels.prediction import Prediction

SIZE = (45, 70)  # no multiple of a tile
CLASSES = 6
DEVICES = (
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
    ),
)


@pytest.fixture(scope="module")
def net() -> PercentileNet:
    """Small, in evaluation mode, its random predictions spread over many classes. Tests turn its knobs."""
    torch.manual_seed(0)
    built = segmodels.build("percentile", CLASSES, SIZE, width_factor=0.125)
    assert isinstance(built, PercentileNet)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the average over what follows
    built.mask_in_training = False
    with torch.no_grad():
        for _ in range(2):
            built.train()(images(4))
        for stage in built.stages:
            stage.classifier[-1][-1].weight.mul_(torch.linspace(1, 3, CLASSES))
    built.mask_in_training = True
    return built.eval()


@pytest.fixture(autouse=True)
def float32_is_float32(net: PercentileNet) -> Iterator[None]:
    """On CUDA cuDNN would else take TF32 for it; and what follows has the network on the CPU again."""
    with arithmetic(fast=False):
        yield
    net.to("cpu")


def images(batch: int) -> Tensor:
    return torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def blob(top: int, left: int, height: int, width: int) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


def checkerboard() -> Tensor:
    rows, columns = (torch.arange(length) for length in SIZE)
    return (rows[:, None] + columns) % 2 == 0


def borders() -> Tensor:
    return ~blob(1, 1, SIZE[0] - 2, SIZE[1] - 2)


MASKS = {
    "empty": blob(0, 0, 0, 0),
    "full": blob(0, 0, *SIZE),
    "a pixel": blob(17, 23, 1, 1),
    "a corner": blob(SIZE[0] - 1, SIZE[1] - 1, 1, 1),
    "borders": borders(),
    "checkerboard": checkerboard(),
    "regions": blob(3, 5, 13, 30) | blob(20, 50, 25, 20),
}


@pytest.mark.parametrize(("kind", "precision"), [("cuda", "fp32"), ("cuda bf16", "bf16")])
def test_prices_are_those_that_were_measured(kind: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `auto` weighs on CUDA is, rounded, what follows from an H100's times for tiles of today's size."""
    from benchmarks.networks import sparse as script

    results = Path(__file__).parents[4] / "benchmarks/results/cuda/nvidia-h100-80gb-hbm3/sparse.json"
    rows = json.loads(results.read_text())["rows"]
    (row,) = (row for row in rows if row["precision"] == precision and row["side"] == SIDE["cuda"])
    times = {f"{each['active']:g}": each["ratio_of_stages_2_and_3"] for each in row["rows"]}
    monkeypatch.setitem(SIDE, "cpu", row["side"])  # the work is counted here
    height, width = row["size"]
    masks = {
        float(share): script.masks_of(float(share), (height, width), torch.device("cpu"), seed=7) for share in times
    }
    network = cast("PercentileNet", segmodels.build("percentile", row["classes"], (height, width)))
    fitted = script.fitted(network, masks, times | {"dense": 1.0, "percentiles": 0.0})
    assert PRICES[kind] == pytest.approx([fitted["product"], fitted["copy"], fitted["start"]], rel=0.06)


def planted(net: PercentileNet, skip: str, first: Tensor, second: Tensor, device: str = "cpu") -> Prediction:
    """The answer where `first` (B, H, W) goes on from stage 1 and, of it, `second` from stage 2."""
    goes_on = iter((first, second))
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(net, "_goes_on", lambda logits, reached: next(goes_on)[:, None].to(device))
        net.to(device).set_skip(skip)
        prediction: Prediction = net(images(len(first)).to(device))
    return prediction


def check_same(found: Prediction, expected: Prediction) -> None:
    """The same classes on at least 99.99 % of the pixels, float32 logits within 1e-4."""
    assert torch.equal(found.extras["masks"], expected.extras["masks"])
    same = found.logits.argmax(dim=1) == expected.logits.argmax(dim=1)
    assert same.float().mean() >= 0.9999
    for one, other in zip((found.logits, *found.steps), (expected.logits, *expected.steps), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


# ---- the same answer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("skip", ["sparse", "auto"])
@pytest.mark.parametrize("name", MASKS)
def test_same_answer_on_planted_masks(net: PercentileNet, name: str, skip: str, device: str) -> None:
    """An image alone; from stage 2 every second row of the mask goes on."""
    first = MASKS[name][None]
    second = first.clone()
    second[:, ::2] = False
    check_same(planted(net, skip, first, second, device), planted(net, "dense", first, second, device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("skip", ["sparse", "auto"])
def test_same_answer_on_a_batch_of_mixed_densities(net: PercentileNet, skip: str, device: str) -> None:
    """All masks in one batch, each followed by another one; each image has the answer it has alone."""
    first = torch.stack(list(MASKS.values()))
    second = first.roll(1, 0)
    together = planted(net, skip, first, second, device)
    check_same(together, planted(net, "dense", first, second, device))
    assert [int(mask.sum()) for mask in together.extras["masks"][:, 1]] == [int(mask.sum()) for mask in first]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("skip", ["sparse", "auto"])
@pytest.mark.parametrize("q", [0.0, 0.2, 0.5, 1.0, [0.1, 0.9, 0.5, 0.0, 1.0, 0.25]])
@torch.no_grad()
def test_same_answer_on_the_networks_own_masks(
    net: PercentileNet, q: float | list[float], skip: str, device: str
) -> None:
    """By the percentiles of its own confidences, scattered and compact at once."""
    net.to(device).set_q(q)
    net.set_skip("dense")
    expected = net(images(3).to(device))
    net.set_skip(skip)
    check_same(net(images(3).to(device)), expected)
    net.set_q(0.5)
    assert len(expected.logits.argmax(dim=1).unique()) >= 4  # the classes are really mixed


@pytest.mark.parametrize("device", DEVICES)
def test_in_bfloat16_tiles_are_as_close_to_float32_as_everywhere_is(net: PercentileNet, device: str) -> None:
    """Under autocast sums are rounded in another order: no larger error than that of the dense execution."""
    first = torch.stack(list(MASKS.values()))
    exact = planted(net, "dense", first, first, device).logits
    with torch.autocast(device, torch.bfloat16):
        dense, tiles = (planted(net, skip, first, first, device).logits.float() for skip in ("dense", "sparse"))
    error = (dense - exact).abs().mean()
    assert (tiles - exact).abs().mean() <= 1.05 * error
    assert (tiles - dense).abs().mean() <= 0.2 * error
    assert (tiles.argmax(dim=1) == dense.argmax(dim=1)).float().mean() >= 0.9999


@pytest.mark.parametrize("tiled", ["refine", "classify"])
@torch.no_grad()
def test_refinements_and_classifier_choose_alone(net: PercentileNet, tiled: str) -> None:
    """`auto` may put one of them on tiles and leave the other dense."""
    stage = cast("Stage", net.stages[1])
    active = torch.stack(list(MASKS.values()))[:, None]
    features = torch.randn(len(active), 16, *SIZE)
    plan = plan_stage(stage, active, "sparse")
    half = Plan(refine=plan.refine) if tiled == "refine" else Plan(classify=plan.classify)
    found, expected = run_stage(stage, features, active, half), stage(features, active)
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(found[1] * active, expected[1] * active, rtol=0, atol=1e-4)


@torch.no_grad()
def test_dense_where_all_pixels_count(net: PercentileNet) -> None:
    """Training, and the published rule, whose settled pixels have logits of their own, are never on tiles."""
    for name, value in (("training", True), ("as_published", True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(net, name, value)
            work = {}
            for skip in ("dense", "sparse"):
                net.set_skip(skip)
                with FlopCounterMode(display=False) as flops:
                    net(images(1))
                work[skip] = flops.get_total_flops()
        assert work["dense"] == work["sparse"]


def test_a_wrong_skip_is_refused(net: PercentileNet) -> None:
    """With the names that there are."""
    with pytest.raises(SegmodelsError, match="skip is 'half', expected one of dense, sparse, auto"):
        net.set_skip("half")


# ---- the work --------------------------------------------------------------------------------------------------


def naive_macs(net: PercentileNet, masks: Tensor, side: int) -> int:
    """Of one image (3, H, W): for each convolution the pixels of the squares that hold one it is needed at."""

    def grown(mask: Tensor, reach: int) -> Tensor:
        out = torch.zeros_like(mask)
        for y, x in mask.nonzero().tolist():
            out[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = True
        return out

    def pixels(needed: Tensor) -> int:
        return side**2 * len({(y // side, x // side) for y, x in needed.nonzero().tolist()})

    per_pixel = {name: weight.numel() for name, weight in net.named_parameters() if weight.dim() == 4}  # products
    total = SIZE[0] * SIZE[1] * sum(each for name, each in per_pixel.items() if name.startswith(("stem", "stages.0")))
    for stage in (1, 2):
        for name, each in per_pixel.items():
            if name.startswith(f"stages.{stage}.refinements"):
                total += each * pixels(masks[stage])
        for number, reach in enumerate((3 + 2, 2, 0)):  # of the 7x7 and 5x5 that follow
            each = per_pixel[f"stages.{stage}.classifier.{number}.0.weight"]
            total += each * pixels(grown(masks[stage], reach))
    return total


@pytest.mark.parametrize("name", MASKS)
def test_macs_against_a_loop_over_pixels(net: PercentileNet, name: str) -> None:
    """On tiles those of whole tiles; needed are those of single pixels."""
    masks = torch.stack([MASKS["full"], MASKS[name], MASKS[name] & MASKS["checkerboard"]])[None]
    net.set_skip("sparse")
    assert executed_macs(net, masks).tolist() == [naive_macs(net, masks[0], SIDE["cpu"])]
    assert needed_macs(net, masks).tolist() == [naive_macs(net, masks[0], 1)]


@pytest.mark.parametrize("skip", SKIPS)
def test_macs_are_those_that_torch_counts(net: PercentileNet, skip: str) -> None:
    """Over a batch of mixed densities: what the convolutions were really asked for."""
    first = torch.stack(list(MASKS.values()))
    with FlopCounterMode(display=False) as flops:
        masks = planted(net, skip, first, first.roll(1, 0)).extras["masks"]
    assert int(executed_macs(net, masks).sum()) == flops.get_total_flops() // 2


def test_macs_of_an_image_do_not_depend_on_its_batch(net: PercentileNet) -> None:
    """On tiles each image pays for its own pixels, and the more the more there are."""
    net.set_skip("sparse")
    masks = torch.stack([MASKS["full"], MASKS["regions"], MASKS["a pixel"]])
    masks = torch.stack([masks, MASKS["full"].expand(3, -1, -1), masks[[0, 2, 2]], masks & MASKS["empty"]])
    masks[3, 0] = True
    together = executed_macs(net, masks)
    assert together.tolist() == [int(executed_macs(net, each[None])) for each in masks]
    assert together[1] > together[0] > together[2] > together[3]


def test_auto_takes_tiles_where_few_pixels_are_active(net: PercentileNet) -> None:
    """Everything active: as dense; nothing: as on tiles; and in between never more than dense."""
    work = {}
    for skip in SKIPS:
        net.set_skip(skip)
        for name in MASKS:
            masks = torch.stack([MASKS["full"], MASKS[name], MASKS[name]])[None]
            work[skip, name] = int(executed_macs(net, masks))
    assert work["auto", "full"] == work["dense", "full"] < work["sparse", "full"]
    assert work["auto", "empty"] == work["sparse", "empty"] < work["dense", "empty"]
    assert all(work["auto", name] <= work["dense", name] for name in MASKS)
