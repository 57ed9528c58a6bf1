"""What holds for every registered network, whatever its family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError
from segmodels.bench.summary import count_macs, count_parameters
from segmodels.cli.sweep import KNOBS as COMMAND_KNOBS
from segmodels.contract.check import CHECKS, check
from segmodels.contract.result import Report

# Small versions, so that all of this fits into seconds: size and options.
FAMILY = {"width": 4, "depth": 2}
STEPS = FAMILY | {"steps": 3, "prenet": "x2"}
SMALL: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "percentile": ((16, 32), {"width_factor": 0.125}),
    "dilated_unet": ((32, 64), {"width_factor": 0.25}),
    "fcn_resnet_v2": ((32, 64), {"width_factor": 0.25, "depth": 11}),
    "pspnet": ((49, 66), {"backbone_depth": 18}),
    "clusternet": ((49, 66), {"backbone_depth": 18, "clusters": 8}),
    "clusternet_concat": ((49, 66), {"backbone_depth": 18, "clusters": 8, "assignment": "per_image"}),
    "ddrnet23_slim": ((49, 66), {"width": 4, "pyramid_width": 8, "head_width": 4}),
    "segformer_b0": ((49, 66), {"head_channels": 4, "decoder_channels": 8}),
    "distill_x1": ((16, 32), FAMILY),
    "distill_x2": ((16, 32), FAMILY),
    "distill_x4": ((32, 48), FAMILY),
    "distill_x8": ((32, 64), FAMILY),
    **{f"iterative_v{version}": ((16, 32), STEPS) for version in range(1, 7)},
    **{
        residual + "hourglass" + copy: ((16, 32), STEPS)
        for residual in ("", "res_")
        for copy in ("", "_iter", "_iter_ex")
    },
}
NAMES = tuple(SMALL)
CLASSES = 5

# Every parameter count of the specification: name, classes, size, options, count without dead ones.
TAS = (10, (384, 768))
COUNTS = [
    ("percentile", 10, (256, 512), {}, 5_736_952),
    ("percentile", 19, (256, 512), {}, 5_770_783),
    ("percentile", 20, (256, 512), {}, 5_774_542),
    ("percentile", 20, (256, 512), {"as_published": True}, 5_774_542),
    ("dilated_unet", 20, (512, 1024), {}, 887_840),
    ("dilated_unet", 19, (512, 1024), {}, 887_731),
    ("dilated_unet", 34, (512, 1024), {}, 889_366),
    ("distill_x8", *TAS, {}, 10_567_378),
    ("iterative_v1", *TAS, {}, 19_467_195),
    ("iterative_v2", *TAS, {}, 10_588_243),
    ("iterative_v3", *TAS, {}, 19_467_196),
    ("iterative_v4", *TAS, {}, 10_588_244),
    ("iterative_v5", *TAS, {}, 19_455_900),
    ("iterative_v6", *TAS, {}, 10_576_948),
    ("iterative_v6", *TAS, {"prenet": "x2", "width": 60, "growth": 1.5, "steps": 3}, 8_009_113),
    ("hourglass", *TAS, {}, 72_729_617),
    ("hourglass", *TAS, {"steps": 7}, 63_850_664),  # the 63.9 million of the figures in the source
    ("hourglass_iter", *TAS, {}, 72_740_913),
    ("hourglass_iter_ex", *TAS, {}, 72_808_689),
    ("res_hourglass", *TAS, {}, 72_729_624),
    ("res_hourglass_iter", *TAS, {}, 72_740_920),
    ("res_hourglass_iter_ex", *TAS, {}, 72_808_696),
    ("pspnet", 35, (713, 713), {"aux": False}, 46_723_555),
    ("pspnet", 35, (713, 713), {}, 49_092_358),
    ("clusternet", 35, (713, 713), {"aux": False}, 23_640_499),
    ("clusternet", 35, (713, 713), {}, 26_009_302),
    ("clusternet", 19, (713, 713), {}, 26_003_894),
    ("clusternet", 20, (713, 713), {}, 26_004_232),
    ("clusternet_concat", 35, (713, 713), {"aux": False}, 46_723_555),
    ("clusternet_concat", 35, (713, 713), {}, 49_092_358),
    ("fcn_resnet_v2", 4, (480, 640), {}, 15_236_964),
    ("fcn_resnet_v2", 19, (512, 1024), {}, 15_240_819),
    ("fcn_resnet_v2", 20, (512, 1024), {}, 15_241_076),
    ("fcn_resnet_v2", 4, (480, 640), {"n_layers": 3}, 11_105_892),
    ("segformer_b0", 150, (512, 512), {"head_channels": 64}, 13_715_798),
]


def small(name: str, *, seed: int = 0) -> nn.Module:
    """The small version, with α and β away from their zeros, where some networks do not see the image."""
    size, options = SMALL[name]
    torch.manual_seed(seed)
    network = segmodels.build(name, CLASSES, size, **options)
    with torch.no_grad():
        for path, parameter in network.named_parameters():
            if path.rpartition(".")[2] in {"alpha", "beta"}:
                parameter.fill_(0.5)
    return network


def images(name: str, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *SMALL[name][0], generator=torch.Generator().manual_seed(1))


def test_every_name_is_registered() -> None:
    """The registry holds the specified names and no other, so that no network escapes these tests."""
    assert sorted(segmodels.names()) == sorted(NAMES)


@pytest.mark.parametrize(("name", "classes", "size", "options", "count"), COUNTS)
def test_parameters_are_those_of_the_specification(
    name: str, classes: int, size: tuple[int, int], options: dict[str, Any], count: int
) -> None:
    """Exact to the parameter, dead parameters of the originals left out."""
    with torch.device("meta"):
        network = segmodels.build(name, classes, size, **options)
    assert count_parameters(network) == count


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_states_its_published_counts(name: str) -> None:
    """What a spec calls published, less its dead parameters, is what its network has."""
    for row in segmodels.spec(name).published:
        with torch.device("meta"):
            network = segmodels.build(name, row.classes, row.size, **row.options)
        assert count_parameters(network) == row.parameters - row.dead


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_cites_and_gives_its_own_setting(name: str) -> None:
    """Source and citation are there; the example fits the network's own size rule."""
    spec = segmodels.spec(name)
    assert spec.source.startswith("https://")
    assert spec.citation
    assert all(spec.geometry({}).fits(side) for side in spec.example[1])
    assert all(option.check(option.default) == option.default for option in spec.options.values())


def asked(name: str, *checks: str) -> Report:
    """What the contract says of a small version. (`check` demands deterministic algorithms.)"""
    size, options = SMALL[name]
    return check(segmodels.spec(name), CLASSES, size, options, checks)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract(name: str) -> None:
    """Every check that `segmodels check` does is `ok`. Counts are compared above; for files see `test_export`."""
    results = asked(name, *(CHECKS.keys() - {"count", "pt2", "onnx"})).results
    assert {each: result.detail for each, result in results.items() if result.state != "ok"} == {}
    assert len(results) == 8


@pytest.mark.parametrize("name", NAMES)
def test_ours_learn_everywhere(name: str) -> None:
    """No parameter is frozen; the last output is the answer, except of `percentile`, whose outputs are stages."""
    network = small(name)
    assert all(parameter.requires_grad for parameter in network.parameters())
    prediction = network(images(name))
    assert name == "percentile" or prediction.steps[-1] is prediction.logits


# Per-image clustering unrolls into thousands of nodes.
UNROLLED = {"clusternet_concat"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in UNROLLED else ()) for name in NAMES]
)
def test_export(name: str) -> None:
    """torch.export gives the same logits for another image (1e-5 of the largest), or the spec says why it cannot."""
    result = asked(name, "pt2").results["pt2"]
    assert result.state == ("not asked" if segmodels.spec(name).not_exportable else "ok"), result.detail
    assert result.figure <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_forward_refuses_a_wrong_image(name: str) -> None:
    """Four channels or a missing batch dimension are named, with what was expected."""
    network, image = small(name), images(name)
    for wrong in (torch.cat((image, image[:, :1]), dim=1), image[0]):
        with pytest.raises(SegmodelsError, match=r"expected \(B, 3, H, W\)"):
            network(wrong)


# ---- knobs and stages ----------------------------------------------------------------------------------

KNOBS = {name: ["steps"] for name in NAMES if name.startswith("iterative") or "hourglass" in name} | {
    "percentile": ["q"]
}


@pytest.mark.parametrize("name", NAMES)
def test_the_knobs_of_a_network(name: str) -> None:
    """Its spec declares these and no other; another is refused in a line that says what it has."""
    spec = segmodels.spec(name)
    declared = [knob.name for knob in spec.knobs]
    assert declared == KNOBS.get(name, [])
    assert [spec.knob(each, "a test") for each in declared] == list(spec.knobs)
    with pytest.raises(SegmodelsError, match=f"^a test: {name} has no volume, .*{', '.join(declared) or 'no knob'}$"):
        spec.knob("volume", "a test")


def test_the_command_names_every_knob() -> None:
    """`segmodels sweep --knob` offers what the specs declare, and the scale, which compares runs."""
    declared = {knob.name for name in NAMES for knob in segmodels.spec(name).knobs}
    assert set(COMMAND_KNOBS) == {*declared, "scale"}


@pytest.mark.parametrize("name", sorted(KNOBS))
@torch.no_grad()
def test_a_knob_turned(name: str) -> None:
    """At every position the network stands there, gives logits of the same shape, and has the weights that it had.

    Work rises from position to position, and at the last everything is computed.
    """
    (knob,) = segmodels.spec(name).knobs
    network, image = small(name).eval(), images(name, batch=1)
    size, before = SMALL[name][0], {path: each.clone() for path, each in network.state_dict().items()}
    everything, shape = count_macs(network, size), network(image).logits.shape
    work = []
    for position in knob.positions(network):
        knob.turn(network, position)
        now = knob.now(network)
        assert now == (position if isinstance(now, int) else (position,) * CLASSES)
        prediction = network(image)
        assert prediction.logits.shape == shape
        work.append(knob.executed(network, prediction) if knob.executed else count_macs(network, size))
    assert len(work) > 1 and work == sorted(work) and work[0] < work[-1] == everything
    assert all(torch.equal(before[path], each) for path, each in network.state_dict().items())


@pytest.mark.parametrize("name", sorted(KNOBS))
@pytest.mark.parametrize("position", [-1, 1.5, 1000])
def test_a_knob_has_no_such_position(name: str, position: float) -> None:
    """Refused with what was expected, and the network stands where it stood."""
    (knob,) = segmodels.spec(name).knobs
    network = small(name)
    before = knob.now(network)
    with pytest.raises(SegmodelsError, match=rf"^{knob.name} is {position:g}, expected a .*from [01] to [13]"):
        knob.turn(network, position)
    assert knob.now(network) == before


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_stages_of_a_network(name: str) -> None:
    """Of a staged one a mask and a confidence for each output, and no pixel comes back; of others nothing is asked."""
    stages = segmodels.spec(name).stages
    prediction = small(name).eval()(images(name))
    assert (stages is not None) == (name == "percentile")
    if stages is None:
        return
    reached, confidences = prediction.extras[stages.reached], prediction.extras[stages.confidences]
    assert reached.dtype == torch.bool and reached.shape == confidences.shape
    assert reached.shape == (2, len(prediction.steps), *SMALL[name][0])
    assert reached[:, 0].all() and not (reached[:, 1:] & ~reached[:, :-1]).any()
    assert confidences.min() > 0 and confidences.max() <= 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_deterministic_on_cuda(name: str) -> None:
    """No operation raises in deterministic mode, and two runs give the same bytes of gradient."""
    result = asked(name, "cuda").results["cuda"]
    assert result.state == "ok" and torch.cuda.get_device_name() in result.detail, result.detail
