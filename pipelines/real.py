"""Point the pipeline at a real dataset: python pipelines/real.py cityscapes|tas500|camvid ROOT

ROOT is the dataset as downloaded, a folder of folders or of zips; it is read where it lies. data.yaml and runs.yaml are
written anew: painted sets go, with the runs on them; the dataset comes, with the sets and recipes of real.yaml. Once
for each dataset that you have, then `dvc repro`. What was made of painted sets is removed, so that the report is of
what is built now; DVC's cache keeps it, and `git checkout pipelines && dvc repro` brings it back.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from segdata.documents.yaml import read_yaml
from segdata.errors import SegdataError

HERE = Path(__file__).parent
PAINTED = "data/painted/"
PLACES = (
    *(f"data/{kind}/{{}}" for kind in ("painted", "shards", "scores", "bench")),
    *("data/checks/{}.json", "data/stats/{}.json", "runs/{}"),
)
Document = dict[str, Any]


def main(dataset: str, root: Path) -> str:
    """Edit the two files; returns what is built now."""
    if not root.exists():
        sys.exit(f"Error: no {root}. Give the folder that {dataset} was downloaded to, or unpacked in")
    data, runs, real = map(read, ("data.yaml", "runs.yaml", "real.yaml"))
    remove(without_painted(data, runs))
    data["sets"] |= {name: {"root": str(root.resolve())} | row for name, row in real[dataset]["sets"].items()}
    runs["runs"] |= real[dataset]["runs"]
    runs["sweeps"] |= real[dataset]["sweeps"]
    write(HERE / "data.yaml", data)
    write(HERE / "runs.yaml", runs)
    return f"{', '.join(data['sets'])}: {len(runs['runs'])} runs. Now: dvc repro"


def read(name: str) -> Document:
    """A file of this folder, which people edit: what is wrong in it is told with its line, before anything is done."""
    try:
        return dict(read_yaml((HERE / name).read_bytes(), f"pipelines/{name}", SegdataError, aliases=True).plain())
    except SegdataError as error:
        sys.exit(f"Error: {error}")


def without_painted(data: Document, runs: Document) -> list[str]:
    """Take out what is painted, what is trained on it, and the options that only suit a demo; returns its names."""
    before = {*data["painted"], *data["sets"], *runs["runs"]}
    if data["painted"]:
        runs["demo"] = {}
    data["painted"] = {}
    data["sets"] = {name: row for name, row in data["sets"].items() if not row["root"].startswith(PAINTED)}
    for part in ("runs", "sweeps"):
        runs[part] = {name: row for name, row in runs[part].items() if row["set"] in data["sets"]}
    return sorted(before - {*data["sets"], *runs["runs"]})


def remove(names: Iterable[str]) -> None:
    """What the stages of these names have made."""
    for path in (HERE.parent / place.format(name) for name in names for place in PLACES):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def write(path: Path, document: Document) -> None:
    note = "# Written by pipelines/real.py; `git checkout pipelines` brings back what was painted.\n"
    path.write_text(note + yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=["cityscapes", "tas500", "camvid"])
    parser.add_argument("root", type=Path)
    given = parser.parse_args()
    print(main(given.dataset, given.root))
