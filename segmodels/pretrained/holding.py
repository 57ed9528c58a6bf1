"""What a file of weights holds, in words, and which of our networks begin with it: `segmodels weights`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from segdata.base.canonical import digest_file, pretty_json
from segdata.base.files import parsing
from segdata.base.ownership import json_kind, write_result
from segmodels.compute.shapes import without_memory
from segmodels.errors import SegmodelsError
from segmodels.inference.trained import weights_file
from segmodels.networks import names, spec
from segmodels.pretrained.classrows import Classes, names_of
from segmodels.pretrained.contents import classes_of, read_contents
from segmodels.pretrained.known import Known, as_options, recognise
from segmodels.pretrained.naming import is_counter, is_statistic, some, tensors_in
from segmodels.pretrained.trunk import ANOTHER
from segmodels.pretrained.whole import find_whole
from segmodels.runs.origin import origin_of

JSON = json_kind("an answer of `weights`", "file", "holds", "tensors")
TRUNK_OPTION = "backbone"  # which the networks have that take any of our trunks


@dataclass(frozen=True)
class Holding:
    """One file of weights."""

    file: str
    bytes: int
    sha256: str  # what makes a run that starts from it another run
    holds: str
    place: str  # what stands before the names of its trunk
    tensors: int  # of weights, biases and statistics, without counters
    parameters: int
    classes: tuple[str, ...]  # by their numbers, where the file names them
    beside: tuple[str, ...]  # tensors that are no part of what it holds
    classifier: int | None  # so many classes the classifier beside a trunk has
    fits: tuple[str, ...]  # command lines
    why: str  # where none does

    @property
    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"file        {self.file}, {self.bytes:,} bytes, sha256 {self.sha256[:16]}…"
        yield f"holds       {self.holds}"
        if self.place:
            yield f"at          {self.place}*"
        yield f"tensors     {self.tensors:,}, with {self.parameters:,} parameters"
        if self.classes:
            yield f"classes     {len(self.classes)}: {some(self.classes, 12)}"
        if self.beside:
            of = f", the classifier of {self.classifier} classes among them" if self.classifier else ""
            yield f"beside it   {len(self.beside)} tensors ({some(self.beside, 4)}){of}"
        for command in self.fits:
            yield f"fits        {command}"
        if self.why:
            yield f"fits none   {self.why}"


def write_json(path: Path, holding: Holding) -> None:
    """For programs. Raises SegmodelsError."""
    write_result("--json", path, JSON, pretty_json(asdict(holding)))


def inspect(path: Path) -> Holding:
    """What a weights file, or the folder of a finished run, holds. Nothing in it is run, no network of others built.

    Raises SegmodelsError where it cannot be read, or holds two networks of which neither is meant.
    """
    file = weights_file(path)
    content, about = read_contents(file)
    tensors = {name: each for name, each in tensors_in(content).items() if not is_counter(name)}
    known = recognise(content, file)
    whole = [] if about or known else [*_whole_networks(content, file)]
    others = known.found.others if known and not about else {}
    fits = [*_of_run(about, path), *_on_trunk(known, about, path)]
    fits += [f"segmodels train {name} --init {shlex.quote(str(path))}" for name in whole]
    return Holding(
        file=str(path),
        bytes=file.stat().st_size,
        sha256=digest_file(file),
        holds=_described(about, known, whole, tensors),
        place=known.found.place if known and not about else "",
        tensors=len(tensors),
        parameters=sum(each.numel() for name, each in tensors.items() if not is_statistic(name)),
        classes=tuple(names_of(classes_of(about, file))) if about else (),
        beside=tuple(others),
        classifier=_classes(others),
        fits=tuple(fits),
        why="" if fits else _why(tensors),
    )


def _described(about: Mapping[str, Any], known: Known | None, whole: list[str], tensors: Mapping[str, Tensor]) -> str:
    if about:
        options = ", ".join(f"{name} {value}" for name, value in sorted(about["options"].items()))
        size, run = "x".join(map(str, about["size"])), about["run"][:12]
        chosen = f" with {options}" if options else ""
        return f"{about['network']}{chosen}, built for {size}, of run {run} after step {about.get('step', 'unknown')}"
    if known:
        return f"{known.title}; names as of {known.found.naming.whose}"
    if whole:
        return f"{whole[0]}, without its classes and options"
    first = next(iter(tensors), "")
    return f"a network that is none of ours: {first}, …" if first else "no tensors"


def _of_run(about: Mapping[str, Any], path: Path) -> Iterator[str]:
    """The same network goes on."""
    if about:
        name = about["network"]
        with parsing(f"what {path} says about its network", SegmodelsError, ANOTHER):
            code = origin_of(about.get("training", {}), weights_file(path)).path
        defaults = {key: each.default for key, each in spec(name).options.items()} if name in names() else {}
        chosen = {key: value for key, value in about["options"].items() if defaults.get(key, ...) != value}
        typed = " ".join(f"--option {key}={_typed(value)}" for key, value in sorted(chosen.items()))
        yield _command(_as_typed(name, code), path, typed)


def _as_typed(name: str, code: Path | None) -> str:
    """A network as `train` takes it: a plug-in's file with its path, for the name alone may lie elsewhere."""
    if code is None or not code.is_file():
        return name
    here = Path.cwd()
    place = code.relative_to(here) if code.is_relative_to(here) else code
    return f"{place}:{name.rpartition(':')[2]}"


def _on_trunk(known: Known | None, about: Mapping[str, Any], path: Path) -> Iterator[str]:
    """Other networks begin with its trunk."""
    if known:
        alone = known.kind.network
        for name in [alone] if alone else [each for each in names() if TRUNK_OPTION in spec(each).options]:
            if name != about.get("network"):
                yield _command(name, path, as_options(known.options))


def _whole_networks(content: Any, path: Path) -> Iterator[str]:
    """Our networks, with their default options, of which the file holds at least half by name and shape."""
    for name in names():
        declared = spec(name)
        with without_memory():
            network = declared.build(*declared.example, {})
        if find_whole(content, network, Classes({}, None, ()), declared.trunk, path) is not None:
            yield name


def _classes(others: Mapping[str, Tensor]) -> int | None:
    """Of the last layer that has a bias for each of its rows, as a classifier has."""
    rows = [
        int(each.shape[0])
        for name, each in others.items()
        if each.ndim in {2, 4}
        and others.get(name.removesuffix("weight") + "bias", each[..., 0]).shape == each.shape[:1]
    ]
    return rows[-1] if rows else None


def _why(tensors: Mapping[str, Tensor]) -> str:
    if not tensors:
        return "it holds no tensors by name"
    return (
        "no network has half of these tensors by name and shape, and no trunk has all of them under any of the names "
        "that docs/pretrained.md lists. A network of your own may: `segmodels train FILE.py:NAME --init` tries it"
    )


def _command(name: str, path: Path, options: str) -> str:
    return f"segmodels train {shlex.quote(name)} --init {shlex.quote(str(path))} {options}".rstrip()


def _typed(value: Any) -> str:
    """An option's value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else shlex.quote(str(value))
