"""How a run came about: all that must be known to make it again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segdata.base.canonical import canonical_json, digest_bytes
from segmodels.config.config import NOT_DIGESTED, TrainConfig
from segmodels.report.read.fields import Fields
from segmodels.runs.identity import identity

APART = {*NOT_DIGESTED, "network", "options", "device"}  # shown elsewhere, or of no weight


@dataclass(frozen=True)
class Provenance:
    """Of one run, from its run.json."""

    id: str
    commit: str | None  # None outside git
    config_digest: str
    seed: int
    but_for_seed: str  # digest of all that decides the result except the seed
    shards: str  # digest of what it was trained on
    shards_name: str
    device: str
    deterministic: bool
    ranks: int
    resumed: int  # times it went on under other versions
    versions: Mapping[str, str]
    options: Mapping[str, Any]  # of the network
    config: Mapping[str, Any]  # what decides the result, but for these
    changed: frozenset[str]  # names in `config` that are not as in the recipe `default`


def read_provenance(about: Fields) -> Provenance:
    """Raises SegmodelsError."""
    config, shards, device = about.inside("config"), about.inside("shards"), about.inside("device")
    values = {name: value for name, value in config.values.items() if name not in APART}
    threads = device.whole("threads") if "threads" in device.values else 0
    used = f", {threads} thread{'s' if threads > 1 else ''}" if threads else ""
    versions = about.inside("versions")
    return Provenance(
        id=about.text("id"),
        commit=about.text("commit") if about.values.get("commit") is not None else None,
        config_digest=about.text("config_digest"),
        seed=config.whole("seed"),
        but_for_seed=_but_for_seed(about.values),
        shards=shards.text("digest"),
        shards_name=shards.text("name"),
        device=device.text("name") + used,
        deterministic=about.values.get("deterministic") is True,
        ranks=about.whole("ranks"),
        resumed=len(about.each("resumed")) if "resumed" in about.values else 0,
        versions={name: versions.text(name) for name in sorted(versions.values)},
        options=dict(sorted(config.pairs("options").items())),
        config=dict(sorted(values.items())),
        changed=frozenset(name for name, value in values.items() if value != _DEFAULTS.get(name, value)),
    )


def _but_for_seed(document: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in identity(dict(document)).items() if name != "seed"}
    return digest_bytes(canonical_json(kept))


def _defaults() -> dict[str, Any]:
    """TrainConfig's, as JSON has them."""
    found = {
        each.name: each.default for each in dataclasses.fields(TrainConfig) if each.default is not dataclasses.MISSING
    }
    digested = {name: value for name, value in found.items() if name not in NOT_DIGESTED}
    plain: dict[str, Any] = json.loads(canonical_json(digested))
    return plain


_DEFAULTS = _defaults()
