"""The network of percentile-based masking, dense and on tiles, and what it declares.

The search for its q belongs in `calibration`.
"""

from segmodels.networks.percentile.macs import executed_macs
from segmodels.networks.percentile.network import PercentileNet
from segmodels.networks.percentile.sparse import SKIPS
from segmodels.spec import Geometry, Knob, ModelSpec, Option, Published, Stages

__all__ = ["SPECS"]

TENTHS = tuple(tenth / 10 for tenth in range(11))

SPECS = (
    ModelSpec(
        name="percentile",
        family="percentile-based masking",
        factory=PercentileNet,
        source="https://github.com/dgirzadas/Segmentation-Percentile-Masking",
        citation="Giržadas, Controlling the Balance Between Computational Cost and Performance of "
        "Semantic Segmentation via Percentile-Based Masking (MSc thesis)",
        rule=lambda options: Geometry(),
        published=(
            Published(classes=10, size=(256, 512), parameters=5_736_952),
            Published(classes=19, size=(256, 512), parameters=5_770_783),
            Published(classes=20, size=(256, 512), parameters=5_774_542),
        ),
        options={
            "q": Option(0.5, "share of each class that goes on", low=0, high=1, many=True),
            "as_published": Option(False, "the original's masks: limits pooled over the batch"),
            "mask_in_training": Option(True, "false: while training, every stage sees every pixel"),
            "skip": Option("auto", "stages 2 and 3 in evaluation: on tiles, or everywhere", choices=SKIPS),
            "width_factor": Option(1.0, "on all channel counts", low=0.01, high=64),
        },
        knobs=(
            Knob(
                name="q",
                positions=lambda network: TENTHS,
                turn=PercentileNet.set_q,
                now=lambda network: network.q,
                executed=lambda network, said: int(executed_macs(network, said.extras["masks"]).sum()),
            ),
        ),
        stages=Stages(reached="masks", confidences="confidences"),
    ),
)
