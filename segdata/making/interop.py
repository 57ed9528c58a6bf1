"""Side files that let other readers take the shard folder as it is: Hugging Face, wids, Energon, DALI."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segdata.base.canonical import pretty_json
from segdata.format.finished import Finished, Shards
from segdata.format.manifest import SIDE, SUMS, content_digest
from segdata.format.receipt import Receipt
from segdata.format.shard import BLOCK
from segdata.making.job import Conversion
from segdata.version import __version__

MAGIC = re.compile(r"[][*?{}#]")  # what some loader takes for a pattern, or for the end of a URL's path
STATED = re.compile(r'^    description: "content ([0-9a-f]{64})"$', re.MULTILINE)  # the card's line of it


def path_note(out: Path) -> str:
    """What other loaders make of a folder's path that holds a pattern; "" of any other."""
    found = "".join(dict.fromkeys(MAGIC.findall(str(out))))
    return f"{out}: other loaders take {found} in a path for a pattern, and may read other folders too" if found else ""


def card(
    name: str, conversion: Conversion, licence: str, painted: bool, splits: Mapping[str, Any], notes: str = ""
) -> str:
    """The dataset card; its front matter lets Hugging Face's load_dataset(folder) find the splits. `notes` are
    paragraphs on these.

    `datasets` keeps what it read under the folder's last name and this front matter, and looks at no file again:
    the digest of the shards in `description` is what makes another set, or the next version, another one to it.
    The splits with most parts come last there: `datasets` takes the columns of the last split for all of them,
    and would drop every target when an unlabelled one closes the list.
    """
    files = "".join(
        f"      - split: {split}\n        path:\n"
        + "".join(f'          - "{row["name"]}"\n' for row in entry["shards"])
        for split, entry in sorted(splits.items(), key=lambda item: len(item[1]["parts"]))
    )
    rows = "".join(
        f"| {split} | {entry['samples']} | {len(entry['shards'])} | {', '.join(entry['parts'])} |\n"
        for split, entry in splits.items()
    )
    taxonomy = conversion.taxonomy
    names = ", ".join(f"{i} {row.name}" for i, row in enumerate(taxonomy.classes))
    return (
        "---\nlicense: other\ntask_categories:\n  - image-segmentation\nconfigs:\n"
        f'  - config_name: default\n    description: "content {content_digest(splits)}"\n'
        f"    data_files:\n{files}---\n\n"
        f"# {name}\n\n"
        f"Shards of {conversion.source}{' (painted data)' if painted else ''}, written by "
        f"segdata {__version__}. Licence of the frames: {licence}.\n\n"
        f"| split | samples | shards | parts |\n|---|---|---|---|\n{rows}\n{notes}"
        f"Taxonomy {taxonomy.name}: {names}; 255 is ignored. Targets by the rule "
        f"`{conversion.rule}`.\n\nCheck with `segdata verify` or `sha256sum -c {SUMS}`.\n"
    )


def stated_content(text: str) -> str | None:
    """The digest of the shards that a card states, None in one that an older version wrote."""
    found = STATED.search(text)
    return found and found[1]


def wids(name: str, split: str, shards: Sequence[Finished]) -> dict[str, Any]:
    """The shard list of one split; wids resolves its urls against the folder that the list lies in."""
    return {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": f"{name}-{split}",
        "shardlist": [
            {"url": f"../{row.name}", "nsamples": row.samples, "filesize": row.size}
            for row in (shard.entry for shard in shards)
        ],
    }


def write_energon(folder: Path, shards: Shards) -> None:
    """Megatron Energon's metadata (its `.nv-meta`): samples per shard, shards per split, and that they are crude."""
    folder.mkdir(exist_ok=True)
    counts = {shard.entry.name: shard.entry.samples for finished in shards.values() for shard in finished}
    (folder / ".info.json").write_bytes(pretty_json({"shard_counts": counts}))
    parts = "".join(
        f"  {split}:\n" + "".join(f"  - {shard.entry.name}\n" for shard in finished)
        for split, finished in shards.items()
    )
    (folder / "split.yaml").write_text(f"exclude: []\nsplit_parts:\n{parts}", encoding="ascii")
    (folder / "dataset.yaml").write_text("__module__: megatron.energon\n__class__: CrudeWebdataset\n", encoding="ascii")


def write_energon_index(folder: Path, name: str, receipt: Receipt) -> None:
    """`<shard>.tar.idx` beside a shard, without which Energon does not open it: every sample's offset, then the end."""
    starts = [min(at for at, _ in row.places.values()) - BLOCK for row in receipt.samples]
    at, size = max(receipt.samples[-1].places.values())
    end = at + size + -size % BLOCK
    (folder / f"{name}.idx").write_bytes(np.array([*starts, end], "<u8").tobytes())


def write_dali(folder: Path, name: str, receipt: Receipt) -> None:
    """DALI's index, version 1.2: a line a sample of (extension, offset, bytes, member) in the archive's order."""
    folder.mkdir(exist_ok=True)
    lines = [f"v1.2 {len(receipt.samples)}"]
    for row in receipt.samples:
        places = sorted(row.places.items())
        lines.append(" ".join(f"{part} {at} {size} {row.key}.{part}" for part, (at, size) in places))
    (folder / f"{name.removesuffix('.tar')}.idx").write_text("\n".join([*lines, ""]), encoding="ascii")


def write_loader_files(folder: Path, name: str, shards: Shards, receipts: Mapping[str, Receipt]) -> None:
    """All of these but the card, of shards whose receipts (by their names) are in memory."""
    (folder / SIDE).mkdir(exist_ok=True)
    write_energon(folder / ".nv-meta", shards)
    for split, finished in shards.items():
        (folder / SIDE / f"{split}.wids.json").write_bytes(pretty_json(wids(name, split, finished)))
        for shard in finished:
            write_dali(folder / SIDE / "dali", shard.entry.name, receipts[shard.entry.name])
            write_energon_index(folder, shard.entry.name, receipts[shard.entry.name])
