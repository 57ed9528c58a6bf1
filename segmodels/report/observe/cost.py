"""What a network costs at the size of the images that it was scored on."""

from __future__ import annotations

from segmodels.bench.summary import summarize
from segmodels.data.images import windows
from segmodels.spec import ModelSpec, Options, Size


def cost(spec: ModelSpec, classes: int, built: Size, options: Options, image: Size) -> tuple[int, int]:
    """Trainable parameters, and multiply-accumulates of one image (H, W).

    As `evaluate` shows it: padded to a size that fits, or through as many windows as a fixed-size network needs.
    """
    geometry = spec.geometry(options)
    if not geometry.fixed_size:
        fitting = (geometry.neighbours(image[0])[1], geometry.neighbours(image[1])[1])
        network = summarize(spec, classes, fitting, options)[0]
        return network.parameters, network.macs
    stride = geometry.stride
    height, width = (max(-(-side // stride) * stride, part) for side, part in zip(image, built, strict=True))
    network = summarize(spec, classes, built, options)[0]
    return network.parameters, network.macs * len(windows((height, width), built, stride))
