"""What the JSON files of a run hold, by type: run.json, which `describe` begins and `train` completes; metrics.json."""

from __future__ import annotations

from typing import Any, TypedDict


class _Device(TypedDict):
    kind: str
    name: str


class Device(_Device, total=False):
    threads: int  # of the CPU


class _Environment(TypedDict):
    commit: str | None
    versions: dict[str, str]
    device: Device


class Environment(_Environment, total=False):
    settings: dict[str, str]  # absent in older runs
    ranks: int


class Shards(TypedDict):
    digest: str
    name: str
    files: dict[str, str]


class Begun(_Environment):
    format: int
    id: str
    config: dict[str, Any]
    config_digest: str
    init: str | None
    shards: Shards
    taxonomy: dict[str, Any]
    deterministic: bool
    ranks: int


class About(Begun, total=False):
    """All that run.json may hold."""

    settings: dict[str, str]
    resumed: list[Environment]  # where it went on under other versions
    weights: dict[str, str]  # step -> digest of the weights after it
    confusion: list[list[int]]  # (K, K)
    model: str  # digest of model.safetensors
    history: str  # and of history.csv and metrics.json; absent in older runs
    metrics: str
    ended: str  # why, where it ended before its last step


class Results(TypedDict):
    """What is used of metrics.json."""

    miou: float | None


class _AboutWeights(TypedDict):
    network: str
    options: dict[str, Any]
    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    taxonomy: dict[str, Any]
    run: str


class AboutWeights(_AboutWeights, total=False):
    """What is used of what a weights file says about itself."""

    training: dict[str, Any]  # the configuration, so far as it decides the result
