"""Optimisers, schedules, clipping and EMA against torch's own and closed forms."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from segmodels.errors import SegmodelsError
from segmodels.training import ema, optim


class Gated(nn.Module):
    """A small network with everything that is treated apart: norms, biases, α, a trunk, a shared weight."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.field_norm = nn.LayerNorm((6, 6))
        self.up = nn.ConvTranspose2d(4, 4, 2)
        self.alpha = nn.Parameter(torch.zeros(()))
        self.tied = nn.ConvTranspose2d(4, 4, 2, bias=False)
        self.tied.weight = self.up.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk(x)  # (B, 4, 6, 6)
        return self.field_norm(x) + self.alpha * self.up(x)[..., 1:, 1:]


@pytest.fixture
def model() -> Gated:
    torch.manual_seed(0)
    return Gated()


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()


# --- Optimisers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("adam", lambda p: torch.optim.Adam(p, 0.01, foreach=False)),
        ("adamw", lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.0, foreach=False)),
        ("sgd", lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, foreach=False)),
    ],
)
def test_optimizer_is_torchs(name: str, theirs: Callable[..., torch.optim.Optimizer], model: Gated) -> None:
    """Without weight decay, five steps move the weights as torch's plain optimiser does."""
    twin = Gated()
    twin.load_state_dict(model.state_dict())
    ours = optim.make_optimizer(name, model, 0.01, momentum=0.9, weight_decay=0.0)
    reference = theirs(twin.parameters())
    for seed in range(5):
        train_step(model, ours, seed)
        train_step(twin, reference, seed)
    torch.testing.assert_close(model.state_dict(), twin.state_dict(), rtol=1e-5, atol=1e-6)


def test_only_kernels_decay_and_each_parameter_is_in_one_group(model: Gated) -> None:
    """Convolution weights decay; norms (of any rank), biases and α do not; the tied one counts once."""
    groups = optim.parameter_groups(model, weight_decay=0.1)
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(model.trunk[0].weight), id(model.up.weight)}
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())


def test_all_decay_where_that_is_asked_for(model: Gated) -> None:
    """Norms, biases and α as well, at either rate; each in one group."""
    groups = optim.parameter_groups(model, weight_decay=0.1, trunk_lr=0.5, decay="all")
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())
    assert [(group["weight_decay"], group["lr_factor"]) for group in groups] == [(0.1, 1.0), (0.1, 0.5)]


def test_trunk_learns_at_its_own_rate(model: Gated) -> None:
    """Every parameter of the trunk, and no other, gets trunk_lr times the rate, also after a change."""
    optimizer = optim.make_optimizer("sgd", model, 0.01, momentum=0.9, weight_decay=1e-4, trunk_lr=0.1)
    optim.set_learning_rate(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    trunk = {id(p) for p in model.trunk.parameters()}
    assert all(rate == pytest.approx(0.05 if key in trunk else 0.5) for key, rate in rates.items())


def test_a_trunk_rate_without_trunk_is_refused() -> None:
    """The option would do nothing, so it is an error that says so."""
    with pytest.raises(SegmodelsError, match="no part named `trunk`"):
        optim.parameter_groups(nn.Conv2d(3, 4, 1), 0.0, trunk_lr=0.1)


def test_implementation_is_pinned(model: Gated) -> None:
    """No group leaves the choice of implementation to torch."""
    for name in ("adam", "adamw", "sgd"):
        optimizer = optim.make_optimizer(name, model, 0.1, momentum=0.9, weight_decay=0.1)
        assert all(group["foreach"] is True and not group["fused"] for group in optimizer.param_groups)


# --- Schedules ----------------------------------------------------------------------------------------


def torchs(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler], steps: int) -> list[float]:
    """The factors a scheduler of torch gives to steps 0 … steps-1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    scheduler = make(optimizer)
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ("constant", lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        ("linear", lambda o: lr_scheduler.PolynomialLR(o, total_iters=50, power=1.0)),
        ("poly", lambda o: lr_scheduler.PolynomialLR(o, total_iters=50, power=0.9)),
        ("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=50)),
    ],
)
def test_smooth_schedules_are_torchs(
    schedule: str, make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]
) -> None:
    """Step by step the same factor."""
    ours = [optim.learning_rate_factor(schedule, step, 50) for step in range(50)]
    assert ours == pytest.approx(torchs(make, 50), rel=1e-9)


def test_step_schedule_switches_at_its_milestones() -> None:
    """0.5, 0.1, 0.05 from epochs 40, 60, 80 of 300 on, whatever the steps an epoch."""
    milestones = [(40 / 300, 0.5), (60 / 300, 0.1), (80 / 300, 0.05)]
    for steps_per_epoch in (1, 7):
        for step in range(300 * steps_per_epoch):
            epoch = step // steps_per_epoch
            expected = 1.0 if epoch < 40 else 0.5 if epoch < 60 else 0.1 if epoch < 80 else 0.05
            total = 300 * steps_per_epoch
            assert optim.learning_rate_factor("step", step, total, milestones=milestones) == expected


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.6])
def test_milestones_are_shares_of_the_whole_run(warmup: float) -> None:
    """Step 25 of 50 is 0.5 of the run, however long the warm-up; one inside the warm-up counts once that is over."""
    warm = round(50 * warmup)
    factors = [
        optim.learning_rate_factor("step", step, 50, warmup=warmup, milestones=[(0.5, 0.1)]) for step in range(50)
    ]
    assert factors[warm:] == [1.0 if step < 25 else 0.1 for step in range(warm, 50)]


def test_warm_up_rises_in_a_line_and_leaves_the_rest_to_the_schedule() -> None:
    """10 % of 50 steps: 1/6 … 5/6, then the cosine of 45 steps from its beginning."""
    factors = [optim.learning_rate_factor("cosine", step, 50, warmup=0.1) for step in range(50)]
    assert factors[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert factors[5:] == pytest.approx([optim.cosine(done / 45) for done in range(45)])


@pytest.mark.parametrize(("seed", "threshold"), [*((seed, 1e-4) for seed in range(4)), (4, 1e-3), (5, 0.1)])
def test_plateau_is_torchs(seed: int, threshold: float) -> None:
    """After every epoch of a wandering loss it gives what ReduceLROnPlateau has come to."""
    generator = torch.Generator().manual_seed(seed)
    losses = (torch.rand(80, generator=generator) * 0.3 + torch.linspace(1, 0.8, 80)).tolist()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1e-4)
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=5, cooldown=5, min_lr=1e-5, threshold=threshold
    )
    factors = []
    for epoch, loss in enumerate(losses):
        theirs.step(loss)
        factors.append(optim.learning_rate_factor("plateau", 0, 1, losses=losses[: epoch + 1], threshold=threshold))
        assert 1e-4 * factors[-1] == pytest.approx(optimizer.param_groups[0]["lr"])
    assert {1.0, 0.1} == set(factors)


def test_plateau_cools_down_before_it_counts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a lower floor the reductions of a flat loss are those of ReduceLROnPlateau, 11 epochs apart."""
    monkeypatch.setattr(optim, "PLATEAU_FLOOR", 1e-6)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=5, cooldown=5)
    for epochs in range(1, 40):
        theirs.step(1.0)
        assert optim.plateau_factor([1.0] * epochs) == pytest.approx(optimizer.param_groups[0]["lr"])


# --- Clipping -----------------------------------------------------------------------------------------


def test_clipping_leaves_the_residual_scales_out(model: Gated) -> None:
    """The joint norm is over everything but α, is brought to the limit, and α's gradient stays as it was."""
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    model.alpha.grad = torch.tensor(1e4)
    others = sum(p.numel() for name, p in model.named_parameters() if name != "alpha")
    norm = optim.clip_gradients(model, 1.0)
    assert norm.item() == pytest.approx(0.5 * math.sqrt(others))
    assert model.alpha.grad.item() == 1e4
    after = torch.cat([p.grad.flatten() for n, p in model.named_parameters() if n != "alpha"])  # type: ignore[union-attr]
    assert after.norm().item() == pytest.approx(1.0, rel=1e-4)


def test_small_gradients_are_not_scaled(model: Gated) -> None:
    """Below the limit no bit changes."""
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-4)
    optim.clip_gradients(model, 1.0)
    assert all((p.grad == 1e-4).all() for p in model.parameters() if p.grad is not None)


# --- EMA ----------------------------------------------------------------------------------------------


def test_ema_has_its_closed_form() -> None:
    """Weights 1, 2, 3, … average to the sum with products of decays, those of the start being smaller."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = ema.start_ema(model)
    expected = 0.0
    for step in range(20):
        nn.init.constant_(model.weight, step + 1.0)
        ema.update_ema(average, model, 0.6, step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1)
        assert average["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_ema_averages_statistics_and_copies_counters(model: Gated) -> None:
    """Running means move by the same rule; the number of batches is the network's own."""
    average = ema.start_ema(model)
    model.trunk[1].running_mean.fill_(1.0)  # type: ignore[operator, union-attr]
    model.trunk[1].num_batches_tracked.fill_(7)  # type: ignore[operator, union-attr]
    ema.update_ema(average, model, 0.999, 0)
    torch.testing.assert_close(average["trunk.1.running_mean"], torch.full((4,), 0.9))
    assert average["trunk.1.num_batches_tracked"].item() == 7


def test_weights_are_given_back_even_after_an_error(model: Gated) -> None:
    """Inside the block the network is the average, afterwards bit for bit itself."""
    before = ema.start_ema(model)
    average = {name: tensor + 1 for name, tensor in before.items()}
    with pytest.raises(RuntimeError, match="stop"), ema.using_weights(model, average):
        assert all(torch.equal(tensor, average[name]) for name, tensor in model.state_dict().items())
        raise RuntimeError("stop")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
