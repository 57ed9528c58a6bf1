"""What the users of a run begin with: its finished network, the views that it takes, a folder for results."""

from __future__ import annotations

from pathlib import Path

import torch

from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter, load_segmenter
from segmodels.inference.views import Views
from segmodels.runs.run import Run, check_results
from segmodels.spec import SCALES, Size


def load_trained(path: Path, device: torch.device) -> Segmenter:
    """The network of a finished run, or of a weights file such as its best checkpoint; float32 throughout.

    Raises SegmodelsError where there is none.
    """
    path = weights_file(path)
    if not path.exists():
        raise SegmodelsError(f"no run {path}. Name the --out folder of `segmodels train`")
    segmenter = load_segmenter(path, device)
    segmenter.network.requires_grad_(False)
    return segmenter


def weights_file(path: Path) -> Path:
    """The weights of a finished run, checked by its run.json; a file is what it is. Raises SegmodelsError."""
    run = Run(path)
    if path.is_dir() and not run.about.is_file():
        raise SegmodelsError(f"{path} is no run: it has no run.json. Name the --out folder of `segmodels train`")
    if path.is_dir() and not run.finished:
        raise SegmodelsError(
            f"run {path} is unfinished. Run its `segmodels train` again to go on, or name a weights file, "
            f"such as {run.best}"
        )
    if not path.is_dir():
        return path
    check_results(run, "model")
    return run.weights


def choose_views(segmenter: Segmenter, *, flip: bool, scales: tuple[float, ...], window: Size | None) -> Views:
    """The views as asked for. Raises SegmodelsError where a window does not fit the network."""
    name, geometry, built_for = segmenter.name, segmenter.geometry, segmenter.size
    if not scales or not all(SCALES[0] <= scale <= SCALES[1] for scale in scales):
        found = ", ".join(map(str, scales)) or "none"
        raise SegmodelsError(f"--scales are {found}, expected numbers from {SCALES[0]:g} to {SCALES[1]:g}")
    if window and geometry.fixed_size and window != built_for:
        raise SegmodelsError(
            f"--window is {window[0]}x{window[1]}, but {name} was built for {built_for[0]}x{built_for[1]} alone"
        )
    if window and not all(geometry.fits(side) and side % geometry.stride == 0 for side in window):
        raise SegmodelsError(f"--window {window[0]}x{window[1]} does not fit {name}: {geometry.constraint}")
    return Views(flip, scales, window or segmenter.window)
