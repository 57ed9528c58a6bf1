"""The contract of all networks, kept by those of other libraries; its committed table says what was found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.contract.adapters import NETWORKS, OUT, row
from tests.adapters import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries


def committed() -> dict[str, dict[str, Any]]:
    return {each["network"]: each for each in json.loads((ROOT / OUT).read_text())["rows"]}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_contract(network: str) -> None:
    """Every promise is kept, or is none that this network makes; and the table has the same answers."""
    found = row(network)
    states = {name: each["state"] for name, each in found["checks"].items()}
    assert {name: found["checks"][name]["detail"] for name, state in states.items() if state == "wrong"} == {}
    assert [name for name, state in states.items() if state != "ok"] in ([], ["count"])
    there = committed()[network]
    again = "write it again: python -m benchmarks.contract.adapters"
    assert {name: each["state"] for name, each in there["checks"].items()} == states, again
    assert (there["parameters"], there["options"], there["origin"]) == (
        found["parameters"],
        found["options"],
        found["origin"],
    ), again


def test_the_table_has_these_networks() -> None:
    """And no others."""
    assert list(committed()) == list(NETWORKS)
