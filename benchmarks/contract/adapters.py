"""The contract asked of networks of other libraries: one of each kind that was ever another story.

    build/adapters/bin/python -m benchmarks.contract.adapters

in the environment of `make test-adapters`, writes benchmarks/results/cpu/adapters.json, with which the tests compare.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from segdata.base.canonical import pretty_json
from segdata.cli.script import Parser
from segmodels.contract.check import check
from segmodels.networks import spec

OUT = Path("benchmarks/results/cpu/adapters.json")
SMALL_VIT = (
    '{"hidden_size":32,"intermediate_size":64,"num_attention_heads":2,"num_hidden_layers":4,"out_indices":[0,1,2,3]}'
)
NETWORKS: dict[str, dict[str, str]] = {  # with the options that are asked about
    "torchvision:lraspp_mobilenet_v3_large": {},
    "torchvision:deeplabv3_mobilenet_v3_large": {},  # an auxiliary head
    "smp:Unet/resnet18": {},
    "smp:FPN/resnet18": {},
    "smp:DeepLabV3Plus/mobilenet_v2": {},
    "smp:PSPNet/resnet18": {},  # most of its encoder is never used
    "smp:Segformer/mit_b0": {},  # numbers are read while it is built
    "timm:resnet18/fpn": {},
    "timm:mobilenetv3_small_050/fcn": {},
    "timm:vit_tiny_patch16_224/fpn": {},  # one size, maps that are equally large
    "timm:swin_tiny_patch4_window7_224/fpn": {},
    "hf:segformer": {},
    "hf:mobilevit": {},  # sees blue first
    "hf:data2vec-vision": {"config": SMALL_VIT},  # one size, an auxiliary head
}
SIZES = {"hf:data2vec-vision": (64, 64)}  # it takes squares alone


def row(network: str) -> dict[str, Any]:
    """The report of one network, as JSON has it, with the versions of its library."""
    declared = spec(network)
    report = check(declared, size=SIZES.get(network), options=declared.parse(NETWORKS[network]))
    return report.document() | {"origin": [list(each) for each in declared.origin.parts]}


def main() -> None:
    """Ask all, or some anew."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="+", default=[], choices=list(NETWORKS))
    options = parser.parse_args()
    there = json.loads(options.out.read_text())["rows"] if options.only else []
    rows = {each["network"]: each for each in there}
    for network in options.only or NETWORKS:
        rows[network] = row(network)
        print(network, *(f"{name}: {each['state']}" for name, each in rows[network]["checks"].items()), flush=True)
    found = {"torch": torch.__version__, "rows": [rows[network] for network in NETWORKS if network in rows]}
    options.out.write_bytes(pretty_json(found))


if __name__ == "__main__":
    main()
