"""How files name the trunk of a SegFormer, the mix transformer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from segmodels.networks.segformer_b0 import BLOCKS, HEADS
from segmodels.pretrained.naming import Naming

# Layers of a block here -> there. The authors' own files, and mmsegmentation's, hold keys and values as one tensor, and
# are not read.
ON_THE_HUB = {
    "attention_norm": "layer_norm_1",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "attention.reduce": "attention.self.sr",
    "attention.norm": "attention.self.layer_norm",
    "perceptron_norm": "layer_norm_2",
    "perceptron.widen": "mlp.dense1",
    "perceptron.mix": "mlp.dwconv.dwconv",
    "perceptron.narrow": "mlp.dense2",
}
IN_TRANSFORMERS_5 = {
    "attention_norm": "layernorm_before",
    "attention.query": "attention.q_proj",
    "attention.key": "attention.k_proj",
    "attention.value": "attention.v_proj",
    "attention.out": "attention.o_proj",
    "attention.reduce": "attention.sequence_reduction.sequence_reduction",
    "attention.norm": "attention.sequence_reduction.layer_norm",
    "perceptron_norm": "layernorm_after",
    "perceptron.widen": "mlp.fc1",
    "perceptron.mix": "mlp.dwconv.dwconv",
    "perceptron.narrow": "mlp.fc2",
}


def transformer_namings() -> Iterator[Naming]:
    """Those of `transformers`: of the files that people share, and of the library since version 5."""
    yield Naming(
        "transformers",
        dict(_layers("encoder.patch_embeddings.{0}", "encoder.block.{0}.{1}", "encoder.layer_norm.{0}", ON_THE_HUB)),
    )
    yield Naming(
        "transformers 5",
        dict(
            _layers("stages.{0}.patch_embeddings", "stages.{0}.blocks.{1}", "stages.{0}.layer_norm", IN_TRANSFORMERS_5)
        ),
    )


def _layers(patches: str, block: str, norm: str, in_block: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Layer here, layer there: of each stage the patches, the blocks and the norm behind them."""
    for stage in range(len(HEADS)):
        yield f"stages.{stage}.0.conv", f"{patches.format(stage)}.proj"
        yield f"stages.{stage}.0.norm", f"{patches.format(stage)}.layer_norm"
        for number in range(BLOCKS):
            for here, there in in_block.items():
                yield f"stages.{stage}.{number + 1}.{here}", f"{block.format(stage, number)}.{there}"
        yield f"stages.{stage}.{BLOCKS + 1}", norm.format(stage)
