"""Where the files of a set lie: beside dataset.json, or below `revisions/`, as `publish` lays them out in a store."""

from segdata.format.manifest import FILE, Manifest
from segdata.stores.store import Files

REVISIONS = "revisions"


def revision(manifest: Manifest) -> str:
    """The folder of one version of a set, below the set's place."""
    return f"{REVISIONS}/{manifest.fingerprint[:32]}/"


def find_home(files: Files, manifest: Manifest) -> str:
    """Where the set's files are, below the set's place: "revisions/…/", or "" beside dataset.json."""
    home = revision(manifest)
    return home if files.has(home + FILE) else ""
