"""The family of thirteen against a second writing of its tables, of its bases and of its counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError
from segmodels.bench.summary import count_parameters
from segmodels.networks.hourglass import Layers, Level, Tas500Net, _body

ITERATIVE = tuple(f"iterative_v{version}" for version in range(1, 7))
HOURGLASS = ("hourglass", "hourglass_iter", "hourglass_iter_ex")
HOURGLASS = (*HOURGLASS, *(f"res_{name}" for name in HOURGLASS))
DISTILL = tuple(f"distill_x{scale}" for scale in (1, 2, 4, 8))
BASES = ("resUnet", "resnet", "UPresUnet", "UPresnet")
NORMS = ("layerHW", "batch", "layerCHW")


def build(name: str, classes: int, size: tuple[int, int], **options: Any) -> Tas500Net:
    """A network in float64 whose α and β, all different, are far from 0."""
    torch.manual_seed(0)
    network = segmodels.build(name, classes, size, **options)
    assert isinstance(network, Tas500Net)
    with torch.no_grad():
        for path, parameter in network.named_parameters():
            if path.rpartition(".")[2] in {"alpha", "beta"}:
                parameter.uniform_(0.3, 1.5)
    return network.double().eval()


# -- the wiring ---------------------------------------------------------------------------------------


def naive_segmentations(  # noqa: PLR0912  # as many branches as the table has rows
    net: Tas500Net, name: str, image: Tensor, steps: int
) -> list[Tensor]:
    """s_0 … s_{S-1}, one formula for each network and step, h, e and z kept in full."""

    def init(x: Tensor) -> Tensor:
        assert net.initial is not None
        return net.initial(x)

    def E(i: int, a: Tensor) -> Tensor:  # noqa: N802
        return net.copies[i - 1 if name.endswith("_ex") else 0](torch.cat((x0, a), dim=1))

    x0 = net.prenet(image)
    shared, cls, dec = net.bodies[0], net.classify, net.back
    h, e, z, s = {-1: x0}, {}, {-1: x0}, {}
    a = net.alpha
    match name:
        case "iterative_v1" | "iterative_v3":
            e[0] = E(0, x0)
            h[0] = init(e[0])
        case "iterative_v2" | "iterative_v4":
            e[0] = E(0, 0 * x0)
            h[0] = shared(a * e[0])
        case "iterative_v5":
            h[0] = init(x0)
        case "iterative_v6":
            h[0] = shared(a * x0)
        case _:
            h[0] = net.bodies[0](x0)
    z[0], s[0] = h[0], cls(h[0])
    for i in range(1, steps):
        d = dec(s[i - 1])
        if len(net.copies):
            e[i] = z[i] = E(i, h[i - 1])
        match name:
            case "iterative_v1" | "iterative_v2":
                h[i] = shared(d + a * e[i])
            case "iterative_v3" | "iterative_v4":
                h[i] = shared(net.beta * d + a * e[i] + e[i - 1])
            case "iterative_v5" | "iterative_v6":
                h[i] = shared(net.beta * d + a * h[i - 1] + h[i - 2])
            case "hourglass":
                h[i] = net.bodies[i](a[i - 1] * d + h[i - 1])
            case "hourglass_iter" | "hourglass_iter_ex":
                h[i] = net.bodies[i](a[i - 1] * d + a[i - 1] * e[i])
            case "res_hourglass":
                h[i] = net.bodies[i](net.beta[i - 1] * d + a[i - 1] * h[i - 1] + h[i - 2])
            case "res_hourglass_iter" | "res_hourglass_iter_ex":
                h[i] = net.bodies[i](net.beta[i - 1] * d + a[i - 1] * e[i] + z[i - 2])
        s[i] = cls(h[i])
    return [s[i] for i in range(steps)]


@pytest.mark.parametrize("name", [*ITERATIVE, *HOURGLASS])
@torch.no_grad()
def test_wiring_against_the_table(name: str) -> None:
    """All segmentations of five steps equal those of the table's formulas, α and β ≠ 0."""
    network = build(name, 3, (16, 24), width=4, depth=2, steps=5, prenet="x2")
    image = torch.randn(2, 3, 16, 24, dtype=torch.float64)
    expected = naive_segmentations(network, name, image, steps=5)
    for step, each in zip(network(image).steps, expected, strict=True):
        torch.testing.assert_close(step, each, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", DISTILL)
@torch.no_grad()
def test_distillation_is_prenet_body_classifier(name: str) -> None:
    """One step, without anything around it."""
    network = build(name, 3, (32, 32), width=4, depth=2)
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = network.classify(network.bodies[0](network.prenet(image)))
    (only,) = network(image).steps
    torch.testing.assert_close(only, expected)


# -- the bases and prenets ----------------------------------------------------------------------------


def apply(weights: dict[str, Tensor], path: str, x: Tensor) -> Tensor:
    """Convolution, norm and leaky ReLU of `path`, from their weights."""
    kernel = weights[f"{path}.0.weight"]
    x = F.conv2d(x, kernel, weights[f"{path}.0.bias"], padding=kernel.shape[-1] // 2)
    scale, shift = weights[f"{path}.1.weight"], weights[f"{path}.1.bias"]
    if f"{path}.1.running_mean" in weights:
        mean, var = weights[f"{path}.1.running_mean"], weights[f"{path}.1.running_var"]
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        x = x * scale[:, None, None] + shift[:, None, None]
    else:
        over = tuple(range(-scale.ndim, 0))
        x = (x - x.mean(over, keepdim=True)) / (x.var(over, unbiased=False, keepdim=True) + 1e-5).sqrt()
        x = x * scale + shift
    return torch.where(x > 0, x, 0.01 * x)


def naive_block(weights: dict[str, Tensor], path: str, x: Tensor) -> Tensor:
    y = x
    for layer in range(3):
        y = apply(weights, f"{path}.path.{layer}", y)
    if f"{path}.skip.weight" in weights:
        x = F.conv2d(x, weights[f"{path}.skip.weight"], weights[f"{path}.skip.bias"])
    return x + weights[f"{path}.alpha"] * y


def naive_level(weights: dict[str, Tensor], path: str, base: str, depth: int, x: Tensor) -> Tensor:
    below = F.max_pool2d(naive_block(weights, f"{path}down.0", x), 2)
    if depth > 1:
        below = naive_level(weights, f"{path}inner.", base, depth - 1, below)
    below = naive_block(weights, f"{path}high", below)
    if base.startswith("UP"):
        up = below.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    else:
        up = F.conv_transpose2d(below, weights[f"{path}up.weight"], weights[f"{path}up.bias"], stride=2)
    alpha = weights[f"{path}alpha"]
    if base in ("resnet", "UPresnet"):
        return x + alpha * up
    return apply(weights, f"{path}widen", x) + alpha * torch.cat((x, up), dim=1)


@pytest.mark.parametrize(("base", "norm"), [*itertools.product(BASES, NORMS)])
@torch.no_grad()
def test_a_base_against_its_formula(base: str, norm: str) -> None:
    """Three levels of every base with every norm, from the weights alone."""
    torch.manual_seed(0)
    body = _body(Layers(base, 1.5, norm, 0.7), 4, 3, (16, 24)).double().eval()
    x = torch.randn(2, 4, 16, 24, dtype=torch.float64)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    weights = dict(body.state_dict())
    level = "" if isinstance(body, Level) else "0."
    expected = naive_level(weights, level, base, 3, x)
    if not isinstance(body, Level):
        assert expected.shape[1] == 8
        expected = apply(weights, "1", expected)
    torch.testing.assert_close(body(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("scale", "layout"), [(1, "C"), (2, "CCP"), (4, "CCPCCP"), (8, "CCPCCPCCP")])
@torch.no_grad()
def test_a_prenet_against_its_layout(scale: int, layout: str) -> None:
    """Convolutions and pools in the order of the text; kernel 3 at x1, else 5."""
    network = build(f"distill_x{scale}", 3, (32, 32), width=4, depth=1)
    weights = {f"p.{path}": value for path, value in network.prenet.state_dict().items()}
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    x = image
    for position, layer in enumerate(layout):
        path = "p" if scale == 1 else f"p.{position}"
        x = F.max_pool2d(x, 2) if layer == "P" else apply(weights, path, x)
    kernels = {value.shape[-1] for value in weights.values() if value.ndim == 4}
    assert kernels == {3 if scale == 1 else 5}
    torch.testing.assert_close(network.prenet(image), x, rtol=1e-9, atol=1e-9)


# -- the counts ---------------------------------------------------------------------------------------


def expected_count(
    name: str, K: int, H: int, W: int, *, f: int, r: float, M: int, S: int, s: int, base: str, norm: str
) -> int:
    """Parameters, added up from the specification's text."""

    def norm_of(c: int, h: int, w: int) -> int:
        return 2 * {"layerHW": h * w, "layerCHW": c * h * w, "batch": c}[norm]

    def cna(a: int, b: int, k: int, h: int, w: int) -> int:
        return a * b * k * k + b + norm_of(b, h, w)

    def block(a: int, b: int, h: int, w: int) -> int:
        skip = 0 if a == b else a * b + b
        return cna(a, b, 3, h, w) + cna(b, b, 3, h, w) + cna(b, b, 1, h, w) + skip + 1

    def level(fi: int, m: int, h: int, w: int) -> int:
        fo = int(fi * r)
        unet = base in ("resUnet", "UPresUnet")
        total = block(fi, fo, h, w) + 1
        total += level(fo, m - 1, h // 2, w // 2) if m > 1 else 0
        total += block(2 * fo if unet and m > 1 else fo, fi, h // 2, w // 2)
        total += fi * fi * 4 + fi if base in ("resUnet", "resnet") else 0
        return total + (cna(fi, 2 * fi, 1, h, w) if unet else 0)

    h, w = H // s, W // s
    body = level(f, M, h, w) + (cna(2 * f, f, 3, h, w) if base in ("resUnet", "UPresUnet") else 0)
    prenet = cna(3, f, 3, H, W)
    if s > 1:
        prenet = cna(3, f, 5, H, W) + cna(f, f, 5, H, W)
        for halving in range(1, {2: 1, 4: 2, 8: 3}[s]):
            prenet += 2 * cna(f, f, 5, H // 2**halving, W // 2**halving)
    cls, dec, E = cna(f, K, 1, h, w), cna(K, f, 1, h, w), cna(2 * f, f, 1, h, w)
    around = {
        "distill": body,
        "iterative_v1": 2 * body + dec + E + 1,
        "iterative_v2": body + dec + E + 1,
        "iterative_v3": 2 * body + dec + E + 2,
        "iterative_v4": body + dec + E + 2,
        "iterative_v5": 2 * body + dec + 2,
        "iterative_v6": body + dec + 2,
        "hourglass": S * body + dec + S - 1,
        "hourglass_iter": S * body + dec + E + S - 1,
        "hourglass_iter_ex": S * body + dec + (S - 1) * E + S - 1,
        "res_hourglass": S * body + dec + 2 * (S - 1),
        "res_hourglass_iter": S * body + dec + E + 2 * (S - 1),
        "res_hourglass_iter_ex": S * body + dec + (S - 1) * E + 2 * (S - 1),
    }
    return prenet + cls + around["distill" if name.startswith("distill") else name]


@pytest.mark.parametrize("name", [*DISTILL, *ITERATIVE, *HOURGLASS])
def test_counts_of_other_settings(name: str) -> None:
    """Every base with every norm, while width, growth, depth, steps, prenet and classes change."""
    others = zip(
        itertools.product(BASES, NORMS),
        itertools.cycle(((5, 2.0, 1), (8, 1.5, 3), (7, 1.0, 2), (6, 2.5, 2), (9, 1.7, 3))),  # f, r, M
        itertools.cycle((2, 5, 3)),  # S
        itertools.cycle((8, 1, 4, 2, 4, 2, 1)),  # s
        itertools.cycle((2, 19)),  # K
    )
    for (base, norm), (f, r, M), S, scale, K in others:
        steps = {} if name.startswith("distill") else {"steps": S, "prenet": f"x{scale}"}
        s = int(name[-1]) if name.startswith("distill") else scale
        with torch.device("meta"):
            network = segmodels.build(name, K, (64, 128), width=f, growth=r, depth=M, base=base, norm=norm, **steps)
        count = expected_count(name, K, 64, 128, f=f, r=r, M=M, S=S, s=s, base=base, norm=norm)
        assert count_parameters(network) == count, (base, norm, f, r, M, S, s, K)


# -- options and refusals -----------------------------------------------------------------------------


def test_alpha_init_starts_every_alpha_and_beta() -> None:
    """0 as published; shape () where a body is shared, (S - 1,) where every step has its own."""
    for name, shape in (("iterative_v3", ()), ("res_hourglass", (3,))):
        for options, start in (({}, 0.0), ({"alpha_init": 0.25}, 0.25)):
            network = segmodels.build(name, 3, (32, 32), width=4, depth=1, steps=4, **options)
            scales = {
                path: value
                for path, value in network.named_parameters()
                if path.rpartition(".")[2] in {"alpha", "beta"}
            }
            assert all((value == start).all() for value in scales.values())
            assert scales["alpha"].shape == scales["beta"].shape == shape
            assert all(value.ndim == 0 for path, value in scales.items() if "." in path)


def test_plain_logits_leave_out_norm_and_activation() -> None:
    """Only the classifier's norm goes, and logits may be as negative as they like."""
    normed, plain = (
        segmodels.build("iterative_v6", 3, (32, 32), width=4, depth=1, steps=2, plain_logits=flag)
        for flag in (False, True)
    )
    assert count_parameters(normed) - count_parameters(plain) == 2 * 4 * 4
    assert isinstance(plain.classify, nn.Conv2d)


def refusals() -> list[tuple[str, Callable[[], object]]]:
    fixed = segmodels.build("hourglass", 3, (32, 32), width=4, depth=1, steps=2)
    free = segmodels.build("hourglass", 3, (32, 32), width=4, depth=1, steps=2, norm="batch")
    return [
        ("48x48.*built for 32x32", lambda: fixed(torch.zeros(1, 3, 48, 48))),
        ("multiples of 16", lambda: free(torch.zeros(1, 3, 40, 48))),
        ("multiples of 128.*384x640 and 384x768", lambda: segmodels.build("hourglass", 3, (384, 700))),
        ("multiples of 32", lambda: segmodels.build("iterative_v1", 3, (40, 64), prenet="x2")),
        ("steps is 1, expected a whole number from 2", lambda: segmodels.build("hourglass", 3, (32, 32), steps=1)),
        ("no option 'steps'", lambda: segmodels.build("distill_x2", 3, (32, 32), steps=2)),
    ]


def test_refusals() -> None:
    """Sizes and options that do not fit are named, with what would."""
    for message, call in refusals():
        with pytest.raises(SegmodelsError, match=message):
            call()


@torch.no_grad()
def test_batch_norm_frees_the_size() -> None:
    """Built for one size, run on another."""
    network = segmodels.build("iterative_v6", 3, (32, 32), width=4, depth=1, steps=2, norm="batch").eval()
    assert network(torch.zeros(1, 3, 48, 64)).logits.shape == (1, 3, 6, 8)
