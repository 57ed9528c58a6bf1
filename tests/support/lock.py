"""Write requirements.lock: every package of the environment of `make test` but torch and what only torch brings.

`make lock` runs it in a fresh environment that the bounds of pyproject.toml have filled; what came there is pinned,
with the hashes of all its files for Linux and macOS and these versions of Python, as the package index tells them.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path
from unittest import mock

from pip._internal.commands import create_command
from pip._internal.models.wheel import Wheel
from pip._vendor.packaging.requirements import Requirement

LOCK = Path(__file__).parents[2] / "requirements.lock"
EXTRAS = ("models", "report", "pipeline", "remote", "ray", "test")
FILE = re.compile(
    r".*-(py3|py2\.py3|cp3\d*|cp311|cp312|cp313)-(none|abi3|cp31[123])-(any|.*manylinux.*|.*macosx.*)\.whl"
)
HEAD = """\
# What `make test` installs beside torch, with the digests of its files. `make lock` writes it anew from the bounds in
# pyproject.toml; torch is pinned in constraints.txt, as its builds differ from machine to machine.
"""


def main() -> None:
    """Pins of the environment that runs this."""
    names = sorted(needed("segdata", EXTRAS) - {"segdata", "torch"})
    files = Files()
    text = HEAD + "".join(entry(distribution(name), files) for name in names)
    LOCK.write_text(text, encoding="utf-8")
    print(f"{LOCK}: {len(names)} packages, {text.count('--hash')} files")


def needed(name: str, extras: tuple[str, ...] = (), seen: set[tuple[str, str]] | None = None) -> set[str]:
    """The distribution and all that it needs here; torch without what it needs."""
    seen = set() if seen is None else seen
    for extra in ("", *extras):
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in [] if name == "torch" else distribution(name).requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed(canonical(requirement.name), tuple(requirement.extras), seen)
    return {found for found, _ in seen}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class Files:
    """The files of a release on the package index that pip is set up to ask, whatever machine they are for."""

    def __init__(self) -> None:
        command = create_command("download")
        options, _ = command.parse_args(["x"])
        with command.main_context():
            self._finder = command._build_package_finder(options, command.get_default_session(options))

    def digests(self, name: str, version: str) -> list[str]:
        """SHA-256 of each; of the source archive only where there is no wheel."""
        everything = mock.patch.multiple(Wheel, supported=lambda *_: True, support_index_min=lambda *_: 0)
        with everything, mock.patch.object(Wheel, "find_most_preferred_tag", lambda *_: 0):
            found = self._finder.find_all_candidates(name)
        links = [each.link for each in found if str(each.version) == version and each.link.hash_name == "sha256"]
        wheels = [link for link in links if FILE.fullmatch(link.filename)]
        return sorted({str(link.hash) for link in wheels or links})


def entry(package: Distribution, files: Files) -> str:
    name, version = canonical(package.metadata["Name"]), package.version
    digests = files.digests(name, version)
    if not digests:
        sys.exit(f"{name} {version}: the package index tells no SHA-256 of its files.")
    return f"{name}=={version}" + "".join(f" \\\n    --hash=sha256:{each}" for each in digests) + "\n"


if __name__ == "__main__":
    main()
