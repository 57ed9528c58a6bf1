"""A run with `seeds` becomes one run for each of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.pipelines.parsing import parse
from tests.pipelines.workspace import ROOT


def written_out(folder: Path, change: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What seeds.py says, and runs.yaml after it, where the options of `percentile` were changed before."""
    shutil.copyfile(ROOT / "pipelines/seeds.py", folder / "seeds.py")
    document = yaml.safe_load((ROOT / "pipelines/runs.yaml").read_text())
    document["runs"]["percentile"]["options"] |= change
    (folder / "runs.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run([sys.executable, folder / "seeds.py"], capture_output=True, text=True, cwd=ROOT, check=False)
    return done.stdout + done.stderr, yaml.safe_load((folder / "runs.yaml").read_text())


def test_a_run_with_seeds_is_written_as_one_a_seed(tmp_path: Path) -> None:
    """The others stay as they are; the sweep is of the first seed."""
    before = yaml.safe_load((ROOT / "pipelines/runs.yaml").read_text())
    said, after = written_out(tmp_path, {"seeds": [3, 1]})
    assert said == f"percentile-3, percentile-1: {len(before['runs']) + 1} runs in all. Now: dvc repro\n"
    run, sweep = before["runs"].pop("percentile"), before["sweeps"].pop("percentile")
    copies = {f"percentile-{seed}": run | {"options": run["options"] | {"seed": seed}} for seed in (3, 1)}
    assert after["runs"] == before["runs"] | copies
    assert after["sweeps"] == before["sweeps"] | {"percentile-3": sweep}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": [0, 0]}, "percentile: seeds are [0, 0], expected different numbers as [0, 1, 2]"),
        ({"seeds": 3}, "percentile: seeds are 3, expected"),
        ({"seeds": [0, True]}, "percentile: seeds are [0, True], expected"),
        ({"seeds": [0, 1], "seed": 2}, "percentile: both the options seeds and seed"),
    ],
)
def test_wrong_seeds_are_one_line(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    """And runs.yaml stays as it was."""
    found, after = written_out(tmp_path, change)
    assert found.startswith(f"Error: pipelines/runs.yaml, {said}") and found.count("\n") == 1
    assert after["runs"]["percentile"]["options"]["seeds"] == change["seeds"]


def test_seeds_that_nobody_wrote_out_train_nothing(tmp_path: Path) -> None:
    """What DVC makes of such a run is a command that `segmodels train` refuses."""
    with pytest.raises(click.UsageError, match=r"No such option '?--seeds"):
        parse(f"segmodels train pspnet --shards {tmp_path} --out runs/a --replace --seeds 0 --seeds 1 --steps 3")
