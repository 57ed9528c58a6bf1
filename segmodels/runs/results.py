"""Where results of a run may be written: in no run's folder, and over nobody else's file."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from segdata.base import ownership
from segdata.base.ownership import Kind
from segdata.base.refusal import refusal
from segmodels.errors import SegmodelsError


def check_out(out: Path, files: Mapping[str, Kind] = MappingProxyType({}), option: str = "--out") -> None:
    """Make the folder for results, of which `files` names those that are known before.

    Raises SegdataError, before the work and not after it, where it is a run's, or would lose another file.
    """
    if (out / "run.json").exists():
        raise SegmodelsError(f"{option} {out} is the folder of a run, in which only `train` writes. Name another one")
    if out.exists() and not out.is_dir():
        raise SegmodelsError(f"cannot write to {option} {out}: it is a file, expected a folder")
    ownership.check_home(option, out, is_folder=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SegmodelsError(f"cannot write to {option} {refusal(error, out)}") from None
    for name, kind in files.items():
        ownership.check_file(option, out / name, kind)


def check_file(option: str, path: Path, kind: Kind) -> None:
    """Raise SegdataError, before the work and not after it, where a result file would lie nowhere, in a run, or in the
    place of another file."""
    if (path.parent / "run.json").exists():
        raise SegmodelsError(f"{option} {path} lies in the folder of a run, in which only `train` writes. Name another")
    if not path.parent.is_dir() or path.is_dir():
        why = "is a folder, expected a file" if path.is_dir() else f"there is no folder {path.parent}"
        raise SegmodelsError(f"{option} {path}: {why}")
    ownership.check_file(option, path, kind)
