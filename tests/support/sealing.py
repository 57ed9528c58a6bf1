"""A set's digests made true again after its files were changed, as somebody who means harm would."""

import json
from pathlib import Path
from typing import Any

from segdata.base.canonical import digest_bytes, digest_file
from segdata.format.manifest import FILE, SUMS, manifest_bytes


def reseal_sums(folder: Path, document: dict[str, Any] | None = None) -> None:
    """SHA256SUMS of what lies in the folder, and dataset.json as it is, or as `document` says."""
    document = document or json.loads((folder / FILE).read_bytes())
    document.pop("fingerprint", None)
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    sums = "".join(f"{digest_file(folder / path)}  {path}\n" for path in paths if path not in {FILE, SUMS}).encode()
    (folder / SUMS).write_bytes(sums)
    (folder / FILE).write_bytes(manifest_bytes({**document, "sha256sums": digest_bytes(sums)}))
