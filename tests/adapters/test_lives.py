"""A network of each library from the training to the exported file, and folders of Hugging Face."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

import segmodels
from segdata import ShardSet
from segdata.labels.taxonomy import load_taxonomy
from segmodels import SegmodelsError
from segmodels.config.config import TrainConfig
from segmodels.config.recipes import make_config
from segmodels.inference.export import export
from segmodels.inference.segmenter import load_segmenter
from segmodels.inference.trained import load_trained
from segmodels.networks import spec
from segmodels.runs.checkpoint import load_weights, save_weights
from segmodels.scoring.evaluate import evaluate
from segmodels.training.train import train
from segmodels.training.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries

CPU = torch.device("cpu")
TINY = '{"depths":[1,1,1,1],"hidden_sizes":[8,16,24,32],"num_attention_heads":[1,1,2,2],"decoder_hidden_size":16}'
ONE_OF_EACH = {
    "smp:FPN/resnet18": {"encoder_depth": 5},
    "timm:mobilenetv3_small_050/fpn": {"width": 16},
    "torchvision:lraspp_mobilenet_v3_large": {},
    "hf:segformer": {"config": TINY},
}


@pytest.mark.parametrize("network", ONE_OF_EACH)
def test_a_life(network: str, lesson: Callable[..., TrainConfig], lessons: Path, tmp_path: Path) -> None:
    """Trained at once, and killed and resumed with other workers: the same bytes. Scored, verified, exported."""
    options = {"options": ONE_OF_EACH[network], "steps": 4}
    whole = train(lesson("whole", network, **options)).run
    train(lesson("parts", network, **options), until=2)
    parts = train(lesson("parts", network, **options, workers=2)).run
    assert parts.weights.read_bytes() == whole.weights.read_bytes()
    assert not verify(whole.path, None, 2).wrong
    segmenter = load_trained(whole.path, CPU)
    scores = evaluate(segmenter, ShardSet(lessons, "val"), None).document
    assert scores["miou"] == whole.results()["miou"]
    assert dict(segmenter.declared.origin.parts) and whole.document()["config"]["plugin"]
    found = export(segmenter, tmp_path / "network.onnx")
    assert found.difference <= 1e-4 * found.scale


# ---- folders of Hugging Face ---------------------------------------------------------------------------------

NAMES = ("sky", "a class that nobody else has", "road")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `save_pretrained` writes of a small network for three classes, and how its images are prepared."""
    torch.manual_seed(3)
    names = {"id2label": dict(enumerate(NAMES)), "label2id": {name: at for at, name in enumerate(NAMES)}}
    config = transformers.SegformerConfig(**json.loads(TINY), **names)
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(tmp_path / "hf")
    prepared = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3], "do_flip_channel_order": True}
    (tmp_path / "hf/preprocessor_config.json").write_text(json.dumps(prepared))
    return tmp_path / "hf"


def config_of(folder: Path, lessons: Path, out: Path, **given: Any) -> TrainConfig:
    """As the command line makes it."""
    declared = spec(f"hf:{folder}")
    small = {
        "steps": 1,
        "batch_size": 4,
        "crop": (32, 64),
        "workers": 0,
        "device": "cpu",
        "shards": lessons,
        "out": out,
    }
    return make_config(declared.name, None, small | given, declared=declared)


def test_a_folder(folder: Path, lessons: Path, tmp_path: Path) -> None:
    """Its weights are the start, its classes by their names, its colours and its order of channels the run's own;
    the run is scored where the folder no longer is."""
    said = list[str]()
    run = train(config_of(folder, lessons, tmp_path / "run"), show=said.append).run
    assert any("2 of 20 taken over (road, sky)" in line for line in said)
    config = run.document()["config"]
    assert (config["network"], config["mean"], config["std"]) == ("hf:segformer", [0.4, 0.5, 0.6], [0.1, 0.2, 0.3])
    assert dict(config["options"])["channels"] == "bgr"
    folder.rename(tmp_path / "elsewhere")
    segmenter = load_trained(run.path, CPU)
    image = torch.rand(1, 3, 32, 64)
    assert segmenter.network(image).logits.shape == (1, 20, 32, 64)
    assert not torch.equal(segmenter.network(image).logits, segmenter.network(image.flip(1)).logits)


def test_the_weights_of_a_folder(folder: Path) -> None:
    """They are the library's: the same logits as its own, for an image whose channels it sees in its order."""
    declared = spec(f"hf:{folder}")
    ours = declared.build(3, (32, 64), declared.resolve({})).eval()
    theirs = transformers.SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    weights = declared.renamed(ours, load_file(folder / "model.safetensors"), 3)
    assert weights.keys() == ours.state_dict().keys()
    ours.load_state_dict(weights)
    image = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        wanted = torch.nn.functional.interpolate(theirs(image.flip(1)).logits, (32, 64), mode="bilinear")
        torch.testing.assert_close(ours(image).logits, wanted)


@pytest.mark.parametrize(
    ("file", "values", "line"),
    [
        ("config.json", {"model_type": "bert"}, r"config.json: model_type is 'bert', expected one for semantic"),
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "x"}, r"model_type is 'x', expected"),
        ("config.json", {"hidden_sizes": "many"}, r"^hf:.*/hf cannot be built: its library says "),
        ("preprocessor_config.json", {"do_rescale": False}, r"do_rescale is False .*, expected images from 0 to 1"),
        ("preprocessor_config.json", {"image_mean": [0.5]}, r"image_mean or image_std"),
        ("config.json", None, r"^hf:.*: the folder has no config.json, which save_pretrained writes$"),
    ],
)
def test_folders_that_are_refused(folder: Path, file: str, values: dict[str, Any] | None, line: str) -> None:
    """In one line."""
    if values is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | values))
    with pytest.raises(SegmodelsError, match=line) as refused:
        segmodels.build(f"hf:{folder}", 3, (32, 64))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        ("smp:Unet/resnet19", r"^smp has no encoder 'resnet19' \(did you mean resnet1.*as tu-NAME$"),
        ("smp:Unett/resnet18", r"^smp has no decoder 'Unett' \(did you mean Unet"),
        ("timm:resnet19", r"^timm has no model 'resnet19' \(did you mean resnet"),
        ("torchvision:fcn_resnet5", r"^torchvision has no network 'fcn_resnet5' \(did you mean fcn_resnet50"),
        ("hf:segfromer", r"^hf has no type of networks 'segfromer' \(did you mean segformer"),
        ("hf:beit", r"^hf:beit cannot be built: its library says ValueError: .*out_indices"),
        ("smp:PAN/vgg11", r"^smp:PAN/vgg11 (cannot be built: its library says|takes no images)"),
    ],
)
def test_names_that_are_refused(network: str, line: str) -> None:
    """In one line, with what is near."""
    with pytest.raises(SegmodelsError, match=line) as refused:
        segmodels.build(network, 3, (64, 64))
    assert "\n" not in str(refused.value)


def test_a_size_that_is_not_square(tmp_path: Path) -> None:
    """A network that takes squares alone says so when it is built, not in the middle of a training."""
    small = '{"hidden_size":32,"intermediate_size":64,"num_attention_heads":2,"num_hidden_layers":4,' + (
        '"backbone_out_indices":[0,1,2,3],"neck_hidden_sizes":[8,8,8,8],"fusion_hidden_size":8}'
    )
    with pytest.raises(SegmodelsError, match=r"^hf:dpt takes no images of 64x96: "):
        segmodels.build("hf:dpt", 3, (64, 96), config=small)


@pytest.mark.parametrize("network", ["timm:vit_tiny_patch16_224/fcn", "smp:FPN/tu-resnet18", "smp:Segformer/mit_b0"])
def test_weights_that_are_read_again(network: str, tmp_path: Path) -> None:
    """Libraries build more than they keep, and read numbers meanwhile: the guard against large files lets them."""
    declared = spec(network)
    options, taxonomy = declared.resolve({}), load_taxonomy("cityscapes-20")
    built = declared.build(20, (64, 96), options)
    about = {"network": declared.name, "options": options, "size": [64, 96], "mean": [0.5] * 3, "std": [0.5] * 3}
    about |= {"taxonomy": taxonomy.document(), "run": "0" * 64, "step": 1}
    save_weights(tmp_path / "weights.safetensors", built.state_dict(), about | {"training": {}})
    read = load_segmenter(tmp_path / "weights.safetensors", CPU).network.state_dict()
    assert all(torch.equal(each, read[name]) for name, each in built.state_dict().items())


def test_weights_that_declare_more_than_they_hold(lesson: Callable[..., TrainConfig], tmp_path: Path) -> None:
    """A file that asks for a network of a hundred thousand layers is refused before that is built."""
    run = train(lesson("run", "hf:segformer", options={"config": TINY}, steps=1)).run
    weights, about = load_weights(run.weights)
    about["options"] = about["options"] | {"config": json.dumps({"depths": [100_000] * 4})}
    save_weights(tmp_path / "large.safetensors", weights, about)
    with pytest.raises(SegmodelsError, match="more tensors"):
        load_segmenter(tmp_path / "large.safetensors", CPU)
