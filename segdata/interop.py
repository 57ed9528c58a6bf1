"""Side files that let other readers take the shard folder as it is: Hugging Face, wids, Energon, DALI."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segdata import __version__
from segdata.canonical import pretty_json
from segdata.convert import Conversion
from segdata.manifest import SIDE, SUMS
from segdata.receipt import Receipt

Shards = Mapping[str, Sequence[tuple[str, Receipt]]]  # split -> (shard's file name, receipt) in order


def card(name: str, conversion: Conversion, licence: str, painted: bool, splits: Mapping[str, Any]) -> str:
    """The dataset card; its front matter lets Hugging Face's load_dataset(folder) find the splits."""
    files = "".join(
        f'      - split: {split}\n        path: "{name}-{split}-*.tar"\n' for split in splits
    )
    rows = "".join(
        f"| {split} | {entry['samples']} | {len(entry['shards'])} | {', '.join(entry['parts'])} |\n"
        for split, entry in splits.items()
    )
    taxonomy = conversion.taxonomy
    names = ", ".join(f"{i} {row.name}" for i, row in enumerate(taxonomy.classes))
    return (
        "---\nlicense: other\ntask_categories:\n  - image-segmentation\nconfigs:\n"
        f"  - config_name: default\n    data_files:\n{files}---\n\n"
        f"# {name}\n\n"
        f"Shards of {conversion.source}{' (painted data)' if painted else ''}, written by "
        f"segdata {__version__}. Licence of the frames: {licence}.\n\n"
        f"| split | samples | shards | parts |\n|---|---|---|---|\n{rows}\n"
        f"Taxonomy {taxonomy.name}: {names}; 255 is ignored. Targets by the rule "
        f"`{conversion.rule}`.\n\nCheck with `segdata verify` or `sha256sum -c {SUMS}`.\n"
    )


def wids(name: str, split: str, entries: Sequence[tuple[str, Receipt]]) -> dict[str, Any]:
    shards = [
        {"url": f"../{shard}", "nsamples": len(receipt.samples), "filesize": receipt.size}
        for shard, receipt in entries
    ]
    return {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": f"{name}-{split}",
        "shardlist": shards,
    }


def write_energon(folder: Path, shards: Shards) -> None:
    """Megatron Energon's metadata; its own `*.tar.idx` are made on request (`--for energon`)."""
    folder.mkdir(exist_ok=True)
    counts = {name: len(receipt.samples) for entries in shards.values() for name, receipt in entries}
    (folder / ".info.json").write_bytes(pretty_json({"shard_counts": counts}))
    parts = "".join(
        f"  {split}:\n" + "".join(f"  - {name}\n" for name, _ in entries) for split, entries in shards.items()
    )
    (folder / "split.yaml").write_text(f"exclude: []\nsplit_parts:\n{parts}", encoding="ascii")
    (folder / "dataset.yaml").write_text(
        "__module__: megatron.energon\n__class__: CrudeWebdataset\n", encoding="ascii"
    )


def write_dali(folder: Path, name: str, receipt: Receipt) -> None:
    """DALI's webdataset index, version 1.2: a line a sample of (extension, offset, bytes, member)."""
    folder.mkdir(exist_ok=True)
    lines = [f"v1.2 {len(receipt.samples)}"]
    for row in receipt.samples:
        places = sorted(row.places.items())
        lines.append(" ".join(f"{part} {at} {size} {row.key}.{part}" for part, (at, size) in places))
    (folder / f"{name.removesuffix('.tar')}.idx").write_text("\n".join([*lines, ""]), encoding="ascii")
