"""How weights move: optimisers, learning rate schedules, clipping.

A schedule is a pure function of the step (and, for `plateau`, of the losses so far), so a resumed run
needs no scheduler state: the step and the history say it all.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from segmodels.errors import SegmodelsError

# Every implementation (one by one, foreach, fused) rounds differently, and torch chooses by device and type: pinned,
# so that a run has one. Fused is one kernel where foreach is a dozen a tensor list; the CPU's byte promise is older.
IMPLEMENTATION: dict[str, dict[str, bool]] = {"cpu": {"foreach": True}, "cuda": {"fused": True}}

# What each remembers of a parameter between steps.
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
STATE: dict[type[Optimizer], set[str]] = {Adam: MOMENTS, AdamW: MOMENTS, SGD: {"momentum_buffer"}}

RESIDUAL_SCALES = ("alpha", "beta")  # the α and β of networks.md: scalars that gate whole branches
TRUNK = "trunk"  # the usual name of a network's pretrained part, where it has one

POLY_POWER = 0.9
PLATEAU_FACTOR, PLATEAU_PATIENCE, PLATEAU_COOLDOWN, PLATEAU_FLOOR = 0.1, 5, 5, 0.1
PLATEAU_THRESHOLD = 1e-4  # torch's default

Milestones = Sequence[tuple[float, float]]  # (share of the run, factor from there on), ascending


# --- Optimisers ---------------------------------------------------------------------------------------


def make_optimizer(
    name: str,
    model: nn.Module,
    lr: float,
    *,
    momentum: float,
    weight_decay: float,
    trunk_lr: float = 1.0,
    decay: str = "weights",
    trunk: str = TRUNK,
) -> Optimizer:
    """Adam, AdamW or SGD over the groups of `parameter_groups`; `momentum` concerns SGD only.

    The model is on the device that it will be trained on.
    """
    groups = parameter_groups(model, weight_decay, trunk_lr, decay, trunk)
    how: Any = IMPLEMENTATION.get(next(model.parameters()).device.type, IMPLEMENTATION["cpu"])
    match name:
        case "adam":
            optimizer: Optimizer = Adam(groups, lr, **how)
        case "adamw":
            optimizer = AdamW(groups, lr, **how)
        case "sgd":
            optimizer = SGD(groups, lr, momentum, **how)
        case _:
            raise SegmodelsError(f"optimizer is {name!r}, expected adam, adamw or sgd")
    set_learning_rate(optimizer, lr)
    return optimizer


def restore_optimizer(optimizer: Optimizer, state: Mapping[int, Mapping[str, Any]]) -> None:
    """Take over the state of another's `state_dict()`; the settings stay this one's. Raises where it does not fit."""
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, values in optimizer.state.items():
        if values.keys() != STATE[type(optimizer)]:
            raise ValueError(f"the optimiser's state is {', '.join(map(str, values)) or 'nothing'}")
        for name, value in values.items():
            shape = () if name == "step" else parameter.shape
            if value is None and name == "momentum_buffer":  # SGD without momentum
                continue
            if not isinstance(value, Tensor) or value.shape != shape or value.layout is not torch.strided:
                raise ValueError(f"{name} of the optimiser is no tensor of shape {tuple(shape)}")
            values[name] = value.clone()  # `load_state_dict` copies nothing on the CPU


def parameter_groups(
    model: nn.Module, weight_decay: float, trunk_lr: float = 1.0, decay: str = "weights", trunk: str = TRUNK
) -> list[dict[str, Any]]:
    """Up to four groups: (trunk, rest) x (decayed, not decayed), each parameter in exactly one.

    `decay` is `weights`: only those of convolutions and linear layers, and no norm, bias, α or β; or `all`. The
    submodule of the name `trunk` learns at `trunk_lr` times the learning rate; what is frozen is in no group.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter, is_kernel in _parameters(model):
        decays = is_kernel or decay == "all"
        in_trunk = trunk_lr != 1.0 and bool(trunk) and name.startswith(f"{trunk}.")
        groups.setdefault((in_trunk, decays), []).append(parameter)
    if trunk_lr not in {0.0, 1.0} and not any(in_trunk for in_trunk, _ in groups):
        raise SegmodelsError(f"trunk_lr is {trunk_lr}, but this network has no part named `{trunk}`: leave it at 1")
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if decays else 0.0,
            "lr_factor": trunk_lr if in_trunk else 1.0,
        }
        for (in_trunk, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every group its learning rate, `lr` times the group's own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """Name, parameter and whether it is the weight of a convolution or linear layer; a shared parameter once."""
    seen: set[nn.Parameter] = set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix=path, recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                is_kernel = isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and name.endswith("weight")
                yield name, parameter, is_kernel


# --- Schedules ----------------------------------------------------------------------------------------


def constant(done: float) -> float:
    """The learning rate as it is."""
    del done
    return 1.0


def linear(done: float) -> float:
    """A line from 1 to 0: the poly schedule of power 1, as in SegFormer."""
    return 1 - done


def poly(done: float) -> float:
    """(1 - done)^0.9, as in PSPNet and DeepLab."""
    return float((1 - done) ** POLY_POWER)


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts)."""
    return (1 + math.cos(math.pi * done)) / 2


SMOOTH_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear,
    "poly": poly,
    "cosine": cosine,
}
SCHEDULES = (*SMOOTH_SCHEDULES, "step", "plateau")


def learning_rate_factor(
    schedule: str,
    step: int,
    total: int,
    *,
    warmup: float = 0.0,
    milestones: Milestones = (),
    losses: Sequence[float] = (),
    threshold: float = PLATEAU_THRESHOLD,
) -> float:
    """What the learning rate of step `step` of `total` (from 0) is multiplied by.

    The first `warmup` of the run (a share) rises linearly; the smooth schedules take the rest. `milestones` are
    `step`'s, shares of the whole run; `losses` and `threshold` are `plateau`'s: the training loss of every epoch
    finished so far, and the share by which one has to be lower to be better.
    """
    warm = round(warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    if schedule == "step":
        return step_factor(step / total, milestones)
    if schedule == "plateau":
        return plateau_factor(losses, threshold)
    return SMOOTH_SCHEDULES[schedule]((step - warm) / max(1, total - warm))


def step_factor(done: float, milestones: Milestones) -> float:
    """The factor of the last milestone reached after a share `done` of the run, 1 before the first."""
    return next((factor for share, factor in reversed(milestones) if done >= share), 1.0)


def plateau_factor(losses: Sequence[float], threshold: float = PLATEAU_THRESHOLD) -> float:
    """Reduce by 10 after 5 epochs without a loss that is lower by this share, then wait 5; not below 1/10.

    `torch.optim.lr_scheduler.ReduceLROnPlateau` replayed from the losses of all epochs so far.
    """
    factor, best, bad_epochs, cooldown = 1.0, math.inf, 0, 0
    for loss in losses:
        better = loss < best * (1 - threshold)
        best, bad_epochs = (loss, 0) if better else (best, bad_epochs + 1)
        if cooldown > 0:
            cooldown, bad_epochs = cooldown - 1, 0
        if bad_epochs > PLATEAU_PATIENCE:
            factor, bad_epochs, cooldown = max(factor * PLATEAU_FACTOR, PLATEAU_FLOOR), 0, PLATEAU_COOLDOWN
    return factor


# --- Clipping -----------------------------------------------------------------------------------------


def clip_gradients(model: nn.Module, limit: float) -> Tensor:
    """Scale the gradients down to a joint norm of `limit` at most; returns the norm before, shape ().

    α and β are left out of both: at their start of 0 some networks see the image through them alone,
    their gradient is hundreds of times all others', and clipping would stop everything else.
    """
    clipped = [p for name, p in model.named_parameters() if name.rpartition(".")[2] not in RESIDUAL_SCALES]
    return torch.nn.utils.clip_grad_norm_(clipped, limit, foreach=True)
