"""What other packages must or may be here: those of an extra, which some commands need, and those that register
something of their own; and a system like Unix.

An extra is a group of optional packages in pyproject.toml. One function, `advice`, says how an extra is installed here.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

from segdata.errors import SegdataError

NAME = "segdata"  # the distribution; it has both packages
EXTRAS = {  # the modules that each extra of pyproject.toml brings; a test compares them
    "models": ("torch", "safetensors", "matplotlib"),
    "remote": ("fsspec", "s3fs", "aiohttp", "webdataset"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "energy": ("pynvml",),
    "report": ("altair", "vl_convert", "jinja2"),
    "ray": ("ray",),
    "pipeline": ("dvc",),
    "smp": ("segmentation_models_pytorch",),
    "timm": ("timm",),
    "torchvision": ("torchvision",),
    "hf": ("transformers",),
}
WINDOWS = (
    "this system lacks what segdata needs to lock files and to read them safely: Windows is not supported. "
    "Use Linux or macOS; on Windows, use WSL (the Windows Subsystem for Linux)."
)


class RequirementError(SegdataError, ImportError):
    """A package of an extra is not installed, or the system is Windows."""


def check_system() -> None:
    """Raise RequirementError on Windows."""
    if find_spec("fcntl") is None:
        raise RequirementError(WINDOWS)


@cache
def registered(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """What installed packages register in a group of entry points, by name, which several of them may have taken.

    None of them is imported.
    """
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for each in entry_points(group=group):
        found[each.name] = (*found.get(each.name, ()), each)
    return found


def need(what: str, extra: str, modules: Iterable[str] = (), error: type[SegdataError] | None = None) -> None:
    """Raise `error`, else RequirementError, where a module of the extra is not installed; `what` needs it.

    modules: those that are looked for, by default all of the extra.
    """
    missing = [name for name in modules or EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise (error or RequirementError)(lacking(what, extra, missing))


def explained(error: ModuleNotFoundError, what: str) -> RequirementError | None:
    """The same in our words, where the module is of an extra."""
    name = (error.name or "").partition(".")[0]
    found = [extra for extra, modules in EXTRAS.items() if name in modules]
    return RequirementError(lacking(what, found[0], [name])) if found else None


def lacking(what: str, extra: str, missing: list[str]) -> str:
    """The whole line: "segmodels train needs the extra `models`: torch is not installed. Run: pip install …"."""
    verb = "is" if len(missing) == 1 else "are"
    return f"{what} needs the extra `{extra}`: {', '.join(missing)} {verb} not installed. Run: {advice(extra)}"


def advice(extra: str) -> str:
    """The command that adds an extra to this installation. The package index does not have this distribution.

    A clone, or another folder from which segdata was installed, is named by its path; a repository or an archive by
    its URL. Where nothing tells the place, the packages are named one by one.
    """
    tree = Path(__file__).resolve().parents[1]
    if (tree / "pyproject.toml").is_file():  # a clone, installed by `pip install -e` or not at all
        return f"pip install -e {shlex.quote(f'{tree}[{extra}]')}"
    try:
        ours = distribution(NAME)
    except PackageNotFoundError:
        return _by_name(extra, [])
    origin = json.loads(ours.read_text("direct_url.json") or "{}")  # PEP 610; absent where an index had it
    url = str(origin.get("url", ""))
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    if "dir_info" in origin:
        folder = Path(unquote(url.removeprefix("file://")))
        return f"pip install {shlex.quote(f'{folder}[{extra}]')}" if folder.is_dir() else _by_name(extra, ours.requires)
    return f"pip install {shlex.quote(f'{NAME}[{extra}] @ {url}')}" if url else _by_name(extra, ours.requires)


def _by_name(extra: str, requires: list[str] | None) -> str:
    """`pip install 'fsspec>=2024.6' …`, from the bounds in the metadata of this installation."""
    found = [
        requirement.strip()
        for requirement, _, marker in (line.partition(";") for line in requires or [])
        if marker.replace("'", '"').strip() == f'extra == "{extra}"'
    ]
    return f"pip install {shlex.join(found or EXTRAS[extra])}"
