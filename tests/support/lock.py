"""Write requirements.lock: every package of the environment of `make test` but torch and what only torch brings.

`make lock` runs it in a fresh environment that the bounds of pyproject.toml have filled; what came there is pinned,
with the hashes of all its files for Linux and macOS and these versions of Python, as the package index tells them.
What only another system or Python needs (ipykernel's appnope on macOS) is pinned under the marker that asks for it.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from itertools import product
from pathlib import Path
from unittest import mock

from pip._internal.commands import create_command
from pip._internal.models.candidate import InstallationCandidate
from pip._internal.models.wheel import Wheel
from pip._vendor.packaging.requirements import Requirement

LOCK = Path(__file__).parents[2] / "requirements.lock"
EXTRAS = ("models", "report", "pipeline", "remote", "ray", "test")
FILE = re.compile(
    r".*-(py3|py2\.py3|cp3\d*|cp311|cp312|cp313)-(none|abi3|cp31[123])-(any|.*manylinux.*|.*macosx.*)\.whl"
)
SYSTEMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
)
PYTHONS = tuple({"python_version": each, "python_full_version": f"{each}.0"} for each in ("3.11", "3.12", "3.13"))
PLACES = [{**system, **python} for system, python in product(SYSTEMS, PYTHONS)]  # where the lock must be whole
HEAD = """\
# What `make test` installs beside torch, with the digests of its files. `make lock` writes it anew from the bounds in
# pyproject.toml; torch is pinned in constraints.txt, as its builds differ from machine to machine.
"""


def main() -> None:
    """Pins of the environment that runs this."""
    markers = needed("segdata", EXTRAS)
    names = sorted(markers.keys() - {"segdata", "torch"})
    files = Files()
    text = HEAD + "".join(entry(name, markers[name], files) for name in names)
    LOCK.write_text(text, encoding="utf-8")
    print(f"{LOCK}: {len(names)} packages, {text.count('--hash')} files")


def needed(name: str, extras: tuple[str, ...] = ()) -> dict[str, str]:
    """The distribution and all that it needs in any of PLACES, each with the marker that asked for it first, or ""."""
    found: dict[str, str] = {}
    seen = {(name, extra) for extra in ("", *extras)}
    waiting = [(each, "") for each in sorted(seen)]
    while waiting:
        (name, extra), marker = waiting.pop()
        found.setdefault(name, marker)
        for requirement in map(Requirement, requirements(name)):
            if any(wanted(requirement, extra, place) for place in PLACES):
                asked = str(requirement.marker or "")
                more = {(canonical(requirement.name), each) for each in ("", *requirement.extras)} - seen
                waiting += [(each, asked) for each in sorted(more)]
                seen |= more
    return found


def requirements(name: str) -> list[str]:
    """What it says that it needs; nothing for torch, and for what is not installed here because it is for elsewhere."""
    try:
        return [] if name == "torch" else distribution(name).requires or []
    except PackageNotFoundError:
        return []


def wanted(requirement: Requirement, extra: str, place: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**place, "extra": extra})


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
        links = [each.link for each in self._candidates(name) if str(each.version) == version]
        links = [link for link in links if link.hash_name == "sha256"]
        wheels = [link for link in links if FILE.fullmatch(link.filename)]
        return sorted({str(link.hash) for link in wheels or links})

    def newest(self, name: str) -> str:
        return str(max(each.version for each in self._candidates(name) if not each.version.is_prerelease))

    def _candidates(self, name: str) -> list[InstallationCandidate]:
        everything = mock.patch.multiple(Wheel, supported=lambda *_: True, support_index_min=lambda *_: 0)
        with everything, mock.patch.object(Wheel, "find_most_preferred_tag", lambda *_: 0):
            return self._finder.find_all_candidates(name)


def entry(name: str, marker: str, files: Files) -> str:
    """The lines of one package: the version that is installed here, else the newest, for where its marker holds."""
    try:
        version, condition = distribution(name).version, ""
    except PackageNotFoundError:
        version, condition = files.newest(name), f" ; {marker}"
    digests = files.digests(name, version)
    if not digests:
        sys.exit(f"{name} {version}: the package index tells no SHA-256 of its files.")
    return f"{name}=={version}{condition}" + "".join(f" \\\n    --hash=sha256:{each}" for each in digests) + "\n"


if __name__ == "__main__":
    main()
