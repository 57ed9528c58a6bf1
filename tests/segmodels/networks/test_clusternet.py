"""Spectral clustering of channels, and the two networks that are built on it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn

import segmodels
from segmodels import SegmodelsError
from segmodels.networks.pspnet.clustering import canonical, cluster_channels, descriptors, group_means, membership
from segmodels.networks.pspnet.groups import ChannelGroups
from segmodels.networks.pspnet.matching import best_matching, keep_slots

NAMES = ("clusternet", "clusternet_concat")
SMALL = {"backbone_depth": 18, "clusters": 8}
PER_IMAGE = SMALL | {"assignment": "per_image"}


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def planted(groups: int, channels: int, side: int, seed: int, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Maps (1, C, side, side) that are scaled, shifted, noisy copies of `groups` patterns, and whose copies."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(groups, side, side, generator=generator)
    truth = torch.cat([torch.arange(groups), torch.randint(groups, (channels - groups,), generator=generator)])
    truth = truth[torch.randperm(channels, generator=generator)]
    scale = 0.2 + 3 * torch.rand(channels, 1, 1, generator=generator)
    shift = torch.randn(channels, 1, 1, generator=generator)
    blur = noise * torch.randn(channels, side, side, generator=generator)
    return ((patterns[truth] + blur) * scale + shift)[None], truth


# Clustering


@pytest.mark.parametrize(
    ("groups", "channels", "side", "noise"),
    [(40, 512, 23, 0.3), (10, 256, 8, 0.2), (5, 64, 40, 0.0), (2, 30, 12, 0.5), (12, 12, 9, 0.0)],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_groups_are_found(groups: int, channels: int, side: int, noise: float, seed: int) -> None:
    """Copies of one pattern share a group, exactly: adjusted Rand index 1."""
    maps, truth = planted(groups, channels, side, seed, noise)
    assert adjusted_rand_score(truth, cluster_channels(maps, groups, 0.5)) == 1


@pytest.mark.slow
def test_planted_groups_at_full_size() -> None:
    """2048 maps of 90x90 in 40 groups, as in the published network."""
    maps, truth = planted(40, 2048, 90, seed=0, noise=1.0)
    assert adjusted_rand_score(truth, cluster_channels(maps, 40, 0.5)) == 1


def test_groups_are_found_in_a_batch() -> None:
    """Two patterns that only the second image tells apart are two groups of the batch."""
    first, second = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    images = [torch.cat([first, first, second]), torch.cat([first, second, second])]
    assert cluster_channels(torch.stack(images), 3, 0.5).tolist() == [0, 1, 2]
    assert cluster_channels(images[0][None], 3, 0.5).tolist() == [0, 0, 1]


def test_permuted_channels_permute_their_labels() -> None:
    """The partition goes along with the channels; only the groups' numbers may change."""
    maps, truth = planted(6, 100, 10, seed=3, noise=0.3)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(4))
    labels, permuted = cluster_channels(maps, 6, 0.5), cluster_channels(maps[:, order], 6, 0.5)
    assert torch.equal(canonical(labels[order], 6), permuted)
    assert adjusted_rand_score(truth[order], permuted) == 1


def test_twice_the_same() -> None:
    """Maps without any groups in them still fall into the same ones each time."""
    maps = torch.randn(1, 128, 9, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(cluster_channels(maps, 20, 0.5), cluster_channels(maps.clone(), 20, 0.5))


def test_fewer_distinct_maps_than_groups() -> None:
    """Ten distinct maps, one of them constant and some of them single, are ten groups of forty."""
    maps, truth = planted(10, 60, 16, seed=5)
    maps[:, truth == 3] = torch.linspace(-1, 1, int((truth == 3).sum()))[:, None, None]
    labels = cluster_channels(maps, 40, 0.5)
    assert adjusted_rand_score(truth, labels) == 1
    assert labels.unique().tolist() == list(range(10))


@pytest.mark.parametrize("value", [0.0, 1.0, 1e6])
def test_constant_maps_are_one_group(value: float) -> None:
    """Maps in which nothing is to be seen: one group, and no NaN."""
    assert not cluster_channels(torch.full((1, 16, 5, 7), value), 4, 0.5).any()


def test_maps_that_are_not_finite_do_not_stop_the_clustering() -> None:
    """A diverged channel counts as constant: the others keep their groups, and the loss tells the rest."""
    maps, truth = planted(4, 30, 8, seed=0)
    maps[0, 0, 2, 2], maps[0, 1, 3, 3] = torch.nan, torch.inf
    labels = cluster_channels(maps, 5, 0.5)
    assert adjusted_rand_score(truth[2:], labels[2:]) == 1
    assert labels[0] == labels[1] == 0


def test_canonical_order() -> None:
    """Groups are numbered by their smallest member, and empty ones are last."""
    labels = torch.tensor([5, 2, 5, 0, 2, 7])
    assert canonical(labels, 8).tolist() == [0, 1, 0, 2, 1, 3]


def test_descriptors() -> None:
    """A channel's descriptor is its map, pooled to 23x23 at most, centred, at unit length (NumPy's way)."""
    maps = torch.randn(1, 3, 46, 10, generator=torch.Generator().manual_seed(0))
    pooled = maps[0].numpy().reshape(3, 23, 2, 10).mean(axis=2).reshape(3, -1)
    centred = pooled - pooled.mean(axis=1, keepdims=True)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(descriptors(maps).numpy(), expected, atol=1e-6)


# Slots: which number a group has


@pytest.mark.parametrize("highest", [1, 3, 50])
def test_the_best_matching(highest: int) -> None:
    """Each column once, and a sum that is SciPy's: with many ties, with few, with one row."""
    generator = np.random.default_rng(0)
    for count in range(1, 26):
        gain = generator.integers(0, highest + 1, (count, count))
        columns = best_matching(gain)
        assert sorted(columns) == list(range(count))
        assert gain[range(count), columns].sum() == gain[linear_sum_assignment(gain, maximize=True)].sum()


def test_groups_keep_their_slots() -> None:
    """Renumbered groups come back under the numbers of before; groups that are the same stay the same, to the bit."""
    generator = torch.Generator().manual_seed(0)
    before = torch.randint(40, (512,), generator=generator)
    for _ in range(5):
        renumbered = torch.randperm(40, generator=generator)[before]
        assert torch.equal(keep_slots(renumbered, before, 40), before)
    assert torch.equal(keep_slots(canonical(before, 40), before, 40), before)


def test_one_channel_moves_alone() -> None:
    """It goes to the third group, whose smallest member it now is; in canonical order the five others change number."""
    before, maps_to = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([2, 0, 1, 1, 2, 2])
    anew = canonical(maps_to, 4)
    assert (anew != before)[1:].all()
    assert torch.equal(keep_slots(anew, before, 4), maps_to)


def test_a_group_that_is_new_takes_a_slot_that_is_free() -> None:
    """Two groups of before are one now, and another came to be: the others stay, and no two share a slot."""
    before, groups = torch.tensor([3, 3, 1, 1, 0, 0, 0]), torch.tensor([0, 0, 0, 0, 1, 2, 2])
    assert keep_slots(groups, before, 4).tolist() == [1, 1, 1, 1, 2, 0, 0]


# Means


def test_group_means() -> None:
    """Each group's mean, by a loop; zeros for an empty group."""
    maps = torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1, 0, 3, 3, 3], [2, 2, 2, 2, 2, 2]])
    means = group_means(maps, membership(labels, 4))
    for image in range(2):
        for group in range(4):
            members = [channel for channel in range(6) if labels[image, channel] == group]
            expected = maps[image, members].mean(dim=0) if members else torch.zeros(4, 5)
            torch.testing.assert_close(means[image, group], expected)


def test_gradient_of_a_mean() -> None:
    """Each of a group's n maps gets 1/n of the gradient of their mean."""
    maps = torch.randn(1, 6, 2, 2).requires_grad_()
    members = membership(torch.tensor([[0, 1, 0, 1, 1, 2]]), 4)
    (gradient,) = torch.autograd.grad(group_means(maps, members).sum(), maps)
    assert torch.equal(gradient[0, :, 0, 0], torch.tensor([1 / 2, 1 / 3, 1 / 2, 1 / 3, 1 / 3, 1]))


# Networks


@pytest.mark.parametrize(
    ("name", "classes", "aux", "count"),
    [
        ("clusternet", 35, False, 23_640_499),
        ("clusternet", 35, True, 26_009_302),
        ("clusternet", 19, True, 26_003_894),
        ("clusternet", 20, True, 26_004_232),
        ("clusternet_concat", 35, False, 46_723_555),
        ("clusternet_concat", 35, True, 49_092_358),
    ],
)
@pytest.mark.parametrize("assignment", ["per_image", "shared"])
def test_published_count(name: str, classes: int, aux: bool, count: int, assignment: str) -> None:
    """The counts of the source; whose groups it is costs no parameter."""
    with torch.device("meta"):
        network = segmodels.build(name, classes, (713, 713), aux=aux, assignment=assignment)
    assert parameters(network) == count


@pytest.fixture(params=NAMES)
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A small one of each, whose images have groups of their own, its norms' statistics moved by one batch."""
    torch.manual_seed(0)
    built = segmodels.build(request.param, 3, (64, 96), **PER_IMAGE)
    built(torch.randn(2, 3, 64, 96))
    return built.eval()


def second_head(network: nn.Module, maps: Tensor, labels: Tensor) -> Tensor:
    """Logits of one image at 1/8 from the maps (1, C, h, w) of layer4, with means by a loop."""

    def part(name: str) -> nn.Module:
        return network.get_submodule(f"head.{name}")

    concat = isinstance(part("classifier"), nn.Sequential)
    normed = maps if concat else part("norm_maps")(maps)
    means = torch.stack(
        [normed[0, labels == j].mean(dim=0) if (labels == j).any() else 0 * normed[0, 0] for j in range(8)]
    )[None]
    seen = means[:, labels] if concat else part("norm_means")(means)
    pyramid = [
        F.interpolate(branch(F.adaptive_avg_pool2d(seen, bins)), maps.shape[-2:], mode="bilinear", align_corners=True)
        for bins, branch in zip((2, 3, 6, 8), part("pyramid.branches").children(), strict=True)
    ]
    out: Tensor = part("classifier")(torch.cat([maps if concat else seen, *pyramid], dim=1))
    return out


def test_wiring(network: nn.Module) -> None:
    """The head computes what the table says of the groups that it reports."""
    image = torch.randn(1, 3, 60, 83)
    with torch.no_grad():
        logits, steps, extras = network(image)
        maps = network.get_submodule("trunk")(image)[1]
        labels = extras["assignment"][0]
        seen = network.get_submodule("head.norm_maps")(maps) if hasattr(network.head, "norm_maps") else maps
        assert torch.equal(labels, cluster_channels(seen, 8, 0.5))
        coarse = second_head(network, maps, labels)
        expected = F.interpolate(coarse, (60, 83), mode="bilinear", align_corners=True)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert steps == (logits,)
    assert len(labels.unique()) == 8


def test_two_together_are_two_alone(network: nn.Module) -> None:
    """Each image has groups of its own, and does not see its neighbour's."""
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        together = network(images)
        for number in range(2):
            alone = network(images[number : number + 1])
            assert torch.equal(alone.extras["assignment"][0], together.extras["assignment"][number])
            torch.testing.assert_close(alone.logits[0], together.logits[number], rtol=1e-5, atol=1e-5)
    assert not torch.equal(*together.extras["assignment"])


def test_twice_the_same_bytes(network: nn.Module) -> None:
    """Clustering has no random start: the same image gives the same bytes."""
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(network(image).logits, network(image).logits)


def test_no_image_gives_nan(network: nn.Module) -> None:
    """A black image has next to no distinct maps; forward and backward stay finite."""
    logits = network(torch.zeros(1, 3, 64, 96)).logits
    logits.square().sum().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(each.grad).all() for each in network.parameters() if each.grad is not None)


def test_autocast_does_not_change_groups() -> None:
    """The assignment is taken in float32, whatever the precision around it."""
    maps, truth = planted(6, 48, 12, seed=0, noise=0.3)
    plain = cluster_channels(maps, 6, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cluster_channels(maps, 6, 0.5), plain)
    assert adjusted_rand_score(truth, plain) == 1


@pytest.mark.parametrize("assignment", ["per_image", "shared"])
@pytest.mark.parametrize("name", NAMES)
def test_one_image_trains(name: str, assignment: str) -> None:
    """A batch of one: two supervised outputs, and a gradient for every parameter."""
    torch.manual_seed(0)
    network = segmodels.build(name, 3, (64, 64), assignment=assignment, **SMALL)
    steps = network(torch.randn(1, 3, 64, 64)).steps
    assert len(steps) == 2
    sum(step.square().mean() for step in steps).backward()
    assert all(each.grad is not None and each.grad.any() for each in network.parameters())


def shared_network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return segmodels.build(name, 3, (64, 64), assignment="shared", **SMALL)


def test_shared_assignment_is_refreshed_at_powers_of_two() -> None:
    """Batches 1, 2, 4, … 1024 make the groups; the batches between and after leave them alone."""
    groups = shared_network("clusternet").get_submodule("head.groups")
    generator = torch.Generator().manual_seed(0)
    changed = []
    for number in (1, 2, 3, 4, 5, 1023, 1024, 1025, 2048):
        groups.get_buffer("batches").fill_(number - 1)
        before = groups.get_buffer("assignment").clone()
        groups(torch.randn(1, 512, 4, 4, generator=generator))
        if not torch.equal(before, groups.get_buffer("assignment")):
            changed.append(number)
    assert changed == [1, 2, 4, 1024]


def test_shared_groups_keep_their_slots_when_they_are_made_anew() -> None:
    """One channel shows another group's pattern from the second batch on: it moves, and all others stay."""
    maps, truth = planted(8, 64, 12, seed=0)
    groups = ChannelGroups(64, 8, 0.5, shared=True).train()
    first = groups(maps)[0].clone()
    assert adjusted_rand_score(truth, first) == 1
    moving, into = 0, int((truth != truth[0]).nonzero()[-1])
    maps[0, moving] = 2 * maps[0, into]
    expected = first.clone()
    expected[moving] = first[into]
    assert not torch.equal(canonical(expected, 8), expected), "a smaller member, and its groups are numbered otherwise"
    assert torch.equal(groups(maps)[0], expected)


def test_shared_groups_go_on_where_they_were() -> None:
    """The slots of the fourth batch depend on those of the second: a resumed network has them in its weights."""
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(4, 2, 32, 6, 6, generator=generator)
    one, other = (ChannelGroups(32, 8, 0.5, shared=True).train() for _ in range(2))
    for maps in batches[:2]:
        one(maps)
    other.load_state_dict(one.state_dict())
    for maps in batches[2:]:
        assert torch.equal(one(maps), other(maps))
    assert int(other.batches) == 4
    fresh = ChannelGroups(32, 8, 0.5, shared=True).train()
    fresh.batches.fill_(3)
    assert not torch.equal(fresh(batches[3]), one.assignment.expand(2, -1)), "the same groups under other numbers"


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_shared_by_default(name: str) -> None:
    """Each image has its own where that is asked for alone; `--recipe published` asks (test_config)."""
    assert segmodels.spec(name).resolve({})["assignment"] == "shared"
    with torch.device("meta"):
        kept = {"head.groups.assignment", "head.groups.batches"}
        assert kept <= segmodels.build(name, 3, (64, 64), **SMALL).state_dict().keys()
        assert not kept & segmodels.build(name, 3, (64, 64), **PER_IMAGE).state_dict().keys()


@pytest.mark.parametrize("name", NAMES)
def test_shared_assignment_is_kept(name: str) -> None:
    """In evaluation the groups of training serve every image, and travel with the weights."""
    network = shared_network(name)
    network(torch.randn(2, 3, 64, 64))
    network.eval()
    learned = network.get_buffer("head.groups.assignment").clone()
    with torch.no_grad():
        prediction = network(torch.randn(2, 3, 64, 64))
    assert torch.equal(prediction.extras["assignment"], learned.expand(2, -1))
    other = segmodels.build(name, 3, (64, 64), assignment="shared", **SMALL)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.get_buffer("head.groups.assignment"), learned)


@pytest.mark.parametrize("name", NAMES)
def test_shared_groups_export_without_clustering(name: str) -> None:
    """The exported graph is one fixed matrix product: the same logits, and no eigenvectors in it."""
    network = shared_network(name)
    network(torch.randn(2, 3, 64, 64))
    network.eval()
    image = torch.randn(1, 3, 64, 64)
    program = torch.export.export(network, (image,))
    assert "linalg_eigh" not in program.graph_module.print_readable(print_output=False)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(image)[0], network(image).logits)


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_the_way_of_onnx(name: str) -> None:
    """Clustering, which a network with groups of its own for each image does, and one with shared groups does not."""
    reason = segmodels.spec(name).not_in_onnx
    with torch.device("meta"):
        assert reason(segmodels.build(name, 3, (64, 64), **SMALL)) == ""
        assert "eigenvectors" in reason(segmodels.build(name, 3, (64, 64), **PER_IMAGE))


def test_clusters_share_the_pyramid() -> None:
    """Clusters that the four bins cannot share evenly are refused; the concat variant takes any number."""
    with pytest.raises(SegmodelsError, match="6 clusters, expected a multiple of 4"):
        segmodels.build("clusternet", 3, (64, 64), backbone_depth=18, clusters=6)
    segmodels.build("clusternet_concat", 3, (64, 64), backbone_depth=18, clusters=6)
