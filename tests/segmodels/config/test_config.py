"""TrainConfig: what it refuses, what its digest sees, and the published recipes."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

import segmodels
from segmodels.config import config as configs
from segmodels.config.config import TrainConfig
from segmodels.config.options import options_of
from segmodels.config.recipes import PUBLISHED, make_config
from segmodels.errors import SegmodelsError
from segmodels.training import losses, optim

PLACES: dict[str, Any] = {"shards": Path("shards/cs"), "out": Path("runs/a")}
OPTIONS = {each.field: each for each in options_of(TrainConfig)}


def config(**values: Any) -> TrainConfig:
    return TrainConfig(network="pspnet", **(PLACES | values))


# --- What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"loss": "mse"}, "--loss is 'mse', expected one of ce, ce.dice, ohem"),
        ({"batch_size": 0}, "--batch-size is 0, expected 1 to 1000000000"),
        ({"ema": 1.0}, "--ema is 1.0, expected 0 to below 1"),
        ({"lr": math.nan}, "--lr is nan"),
        ({"lr": 0.0}, "--lr is 0.0"),
        ({"trunk_lr": 0.0}, "--trunk-lr is 0.0, expected above 0, or an --init to freeze"),
        ({"freeze": "norms"}, "--freeze is 'norms', expected none, or an --init to freeze"),
        ({"freeze": "all"}, "--freeze is 'all', expected one of none, trunk, norms"),
        ({"freeze": "trunk", "trunk_lr": 0.1, "init": Path("x")}, "--trunk-lr is 0.1, expected 0, or nothing, beside"),
        ({"epochs": 3, "steps": 5}, "this or steps"),
        ({"epochs": None}, "this or steps"),
        ({"batch_size": 8, "accumulate": 3}, "--accumulate is 3, expected a divisor of 8"),
        ({"crop": (0, 64)}, "--crop"),
        ({"centre_crop": True}, "--centre-crop"),
        ({"scale": (2.0, 0.5)}, "smaller first"),
        ({"shuffle": False, "reader": "stream"}, "--shuffle is False, expected --reader shards: a stream has its own"),
        ({"rotation_probability": 0.4}, "--rotation-probability is 0.4, expected some --rotations to go with it"),
        ({"std": (1.0, 0.0, 1.0)}, "--std"),
        ({"mean": (123.675, 116.28, 103.53)}, "--mean is .*divide those of 0 … 255 by 255"),
        ({"std": (58.395, 57.12, 57.375)}, "--std is .*divide those of 0 … 255 by 255"),
        ({"scale": (50.0, 200.0)}, "--scale is .*50 per cent is 0.5"),
        ({"brightness": 20.0}, "--brightness is 20.0, expected 0 to 1: 20 per cent is 0.2"),
        ({"warmup": 5.0}, "--warmup is 5.0, .*a share of the run; epoch 5 of 100 is 0.05"),
        ({"warmup": 300.0, "epochs": None, "steps": 600}, "step 300 of 600 is 0.5"),
        ({"rotations": (15.0, -15.0)}, "--rotations is .*degrees, to either side"),
        ({"crop": (32769, 64)}, "--crop is .*1 to 32768: height x width in pixels"),
        ({"epochs": 6, "schedule": "step", "milestones": ((2.0, 0.1), (4.0, 0.01))}, "epoch 2 of 6 is 0.333"),
        ({"schedule": "step", "milestones": ((0.5, -0.1),)}, "factors above 0 to 1000: times --lr"),
        ({"schedule": "step", "milestones": ((0.5, 0.1), (0.5, 0.01))}, "in ascending order, none twice"),
        ({"schedule": "step"}, "--milestones"),
        ({"milestones": ((0.5, 0.1),)}, "--milestones"),
        ({"schedule": "step", "milestones": ((0.5, 0.1), (0.2, 0.5))}, "ascending"),
    ],
)
def test_values_without_sense_are_refused(values: dict[str, Any], said: str) -> None:
    """The message names the option as it is typed, what was found and what was expected."""
    with pytest.raises(SegmodelsError, match=said):
        config(**values)


@pytest.mark.parametrize("field", dataclasses.fields(TrainConfig), ids=lambda field: field.name)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e300], ids=str)
def test_every_number_has_bounds(field: dataclasses.Field[Any], number: float) -> None:
    """NaN, infinite and absurd values are refused in every field that holds numbers, alone, in pairs and in lists."""
    if not any(kind in str(field.type) for kind in ("float", "int", "Colour", "Size")):
        assert field.name not in OPTIONS or OPTIONS[field.name].bound is None
        return
    there = {"crop": (64, 64), "milestones": ((0.5, 0.1),), "rotations": (15.0,)}.get(field.name, field.default)
    for value in with_one(there, number):
        with pytest.raises(SegmodelsError, match="--" + field.name.replace("_", "-")):
            config(schedule="step" if field.name == "milestones" else "cosine", **{field.name: value})


def with_one(value: Any, number: float) -> list[Any]:
    """The value with the number in the place of each of its own."""
    if not isinstance(value, tuple):
        return [number]
    return [(*value[:i], one, *value[i + 1 :]) for i, each in enumerate(value) for one in with_one(each, number)]


def test_choices_are_those_that_exist() -> None:
    """Every loss and schedule on offer is implemented, and none is missing."""
    assert set(OPTIONS["loss"].choices) == set(losses.LOSSES)
    assert OPTIONS["schedule"].choices == optim.SCHEDULES


@pytest.mark.parametrize("network", ["pspnet", "nobodys"])
@pytest.mark.parametrize("name", sorted(name for name, each in OPTIONS.items() if each.choices))
def test_an_empty_word_is_no_choice(network: str, name: str) -> None:
    """It does not stand for the default, of no option that has choices."""
    given = PLACES | {name: ""}
    with pytest.raises(SegmodelsError, match=f"^--{name.replace('_', '-')} is '', expected one of "):
        make_config(network, given.pop("recipe", None), given)


# --- The digest ---------------------------------------------------------------------------------------

SAME = {
    "plugin_file": Path("my.py"),
    "shards": Path("/elsewhere/cs"),
    "out": Path("runs/b"),
    "workers": 7,
    "replace": True,
    "recipe": "published",  # its values count, not its name
    "init": Path("weights.safetensors"),  # the file's digest is part of the run id
}
OTHER = {
    "plugin": (("my.py", "0f"),),
    "network": "clusternet",
    "options": (("aux", False),),
    "epochs": 3,
    "validate_every": 2,
    "train_scores": 3,
    "early_stop": 4,
    "batch_size": 16,
    "accumulate": 2,
    "crop": (64, 128),
    "pad": True,
    "scale": (1.0, 1.0),
    "flip": False,
    "vertical_flip": True,
    "rotations": (15.0,),
    "brightness": 0.1,
    "contrast": 0.1,
    "saturation": 0.1,
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
    "loss": "ohem",
    "class_weights": "median",
    "optimizer": "sgd",
    "lr": 0.01,
    "momentum": 0.95,
    "weight_decay": 0.1,
    "decay": "all",
    "trunk_lr": 0.1,
    "schedule": "poly",
    "plateau_threshold": 0.01,
    "warmup": 0.1,
    "clip": 0.0,
    "ema": 0.0,
    "seed": 1,
    "reader": "stream",
    "precision": "bf16",
    "channels_last": True,
    "fast": True,
    "compile": True,
    "device": "cuda",
}
TOGETHER = {  # these cannot change alone, or not together with the others
    "shuffle": {"shuffle": False},
    "steps": {"epochs": None, "steps": 100},
    "centre_crop": {"crop": (64, 128), "centre_crop": True},
    "milestones": {"schedule": "step", "milestones": ((0.5, 0.1),)},
    "rotation_probability": {"rotations": (15.0,), "rotation_probability": 0.4},
    "freeze": {"init": Path("x"), "freeze": "norms"},
}


@pytest.mark.parametrize("name", sorted(SAME))
def test_digest_does_not_see_where_and_how(name: str) -> None:
    """Paths, workers and the recipe's name change nothing that is computed."""
    assert dataclasses.replace(config(), **{name: SAME[name]}).digest == config().digest


@pytest.mark.parametrize("name", sorted(OTHER | TOGETHER))
def test_digest_sees_what_matters(name: str) -> None:
    """Any other field gives another digest."""
    values = TOGETHER.get(name, {name: OTHER.get(name)})
    assert dataclasses.replace(config(), **values).digest != config().digest


def test_what_is_not_digested_is_declared() -> None:
    """The identity leaves out these fields and no other: one more would make two trainings one run."""
    assert set(configs.NOT_DIGESTED) == set(SAME)
    assert {name for name, each in OPTIONS.items() if not each.digested} == {*SAME} - {"plugin_file"}  # no option


def test_every_field_is_one_or_the_other() -> None:
    """A new field must be put into one of the lists above."""
    assert {field.name for field in dataclasses.fields(TrainConfig)} == {*SAME, *OTHER, *TOGETHER}


def test_digest_sees_the_kind_of_device_and_not_its_index() -> None:
    """A run may move to another GPU, not from GPU to CPU."""
    assert config(device="cuda:1").digest == config(device="cuda").digest
    assert config(device="cpu").digest != config(device="cuda").digest


def test_run_id_sees_configuration_shards_and_first_weights() -> None:
    """Each of the three changes it; paths do not."""
    ids = {
        configs.run_id(config(), "a", None),
        configs.run_id(config(), "b", None),
        configs.run_id(config(), "a", "c"),
        configs.run_id(config(seed=1), "a", None),
    }
    assert len(ids) == 4
    assert configs.run_id(config(out=Path("x")), "a", None) in ids


# --- To JSON and back ---------------------------------------------------------------------------------


def test_a_config_survives_json() -> None:
    """Written as JSON and read again it is equal, paths, tuples and None included, and has its digest."""
    for values in (OTHER, SAME, *TOGETHER.values(), {}):
        original = dataclasses.replace(config(), **values)
        again = configs.config_from_document(json.loads(json.dumps(original.document())))
        assert again == original
        assert again.digest == original.digest


def test_a_field_that_runs_of_before_do_not_have() -> None:
    """With its default it stands in no document, so that their ids stay; their documents are read without it."""
    added = {name for name, each in OPTIONS.items() if each.added}
    assert added == {"pad", "train_scores", "shuffle", "rotation_probability", "decay", "plateau_threshold", "freeze"}
    assert not added & config().document().keys()
    others = {name: OTHER.get(name) for name in added} | TOGETHER["rotation_probability"] | TOGETHER["shuffle"]
    others |= TOGETHER["freeze"]
    assert added <= config(**others).document().keys()
    assert configs.config_from_document(config().document()) == config()


def test_a_frozen_trunk_is_one_training() -> None:
    """However it is said. A factor that waits for what --init holds is settled at once without an --init."""
    init = Path("x")
    frozen = [{"freeze": "trunk"}, {"trunk_lr": 0.0}, {"freeze": "norms", "trunk_lr": 0.0}]
    assert len({config(init=init, **values).digest for values in frozen}) == 1
    assert [config(init=init).trunk_lr, config(init=init, trunk_lr=1.0).trunk_lr, config().trunk_lr] == [None, 1.0, 1.0]
    published = make_config("clusternet", "published", PLACES | {"init": init, "freeze": "trunk"})
    assert published.trunk_lr == 0


def test_a_document_of_another_version_is_refused() -> None:
    """Missing and unknown fields are named."""
    document = config().document()
    document["colour"] = document.pop("seed")
    with pytest.raises(SegmodelsError, match=r"missing \['seed'\], unknown \['colour'\]"):
        configs.config_from_document(document)


# --- Recipes ------------------------------------------------------------------------------------------


def test_every_network_has_its_published_recipe() -> None:
    """The recipes are those of the registry's networks, no more and no fewer."""
    assert set(PUBLISHED) == set(segmodels.names())


@pytest.mark.parametrize("network", sorted(PUBLISHED))
def test_published_recipes_are_configurations(network: str) -> None:
    """Each makes a valid configuration, in the fields' own types, that survives JSON."""
    made = make_config(network, "published", PLACES, no_init=True)
    assert configs.config_from_document(json.loads(json.dumps(made.document()))) == made
    for name, value in PUBLISHED[network].items():
        default = getattr(config(), name)
        assert default is None or type(value) is type(default), name


def test_published_recipes_say_what_their_sources_say() -> None:
    """The figures of networks.md, sections 1 to 5, typed in again."""
    made = {name: make_config(name, "published", PLACES, no_init=True) for name in PUBLISHED}
    fcn, cluster, psp = made["fcn_resnet_v2"], made["clusternet"], made["pspnet"]
    for epoch in range(300):  # the source's `epoch > 40`, and so on, with 367 steps an epoch
        factor = 0.05 if epoch > 80 else 0.1 if epoch > 60 else 0.5 if epoch > 40 else 1.0
        for step in (367 * epoch, 367 * epoch + 366):
            assert optim.learning_rate_factor("step", step, 300 * 367, milestones=fcn.milestones) == factor
    assert fcn.lr == 1e-3
    assert (fcn.epochs, fcn.batch_size, fcn.mean, fcn.std) == (300, 1, (0, 0, 0), (1, 1, 1))
    assert (cluster.lr * cluster.trunk_lr, cluster.lr) == pytest.approx((1e-3, 1e-2))
    assert (cluster.crop, cluster.centre_crop, cluster.batch_size, cluster.epochs) == ((713, 713), True, 1, 50)
    assert (cluster.decay, cluster.weight_decay, cluster.shuffle) == ("all", 1e-4, False)
    assert (psp.schedule, psp.lr, psp.batch_size, psp.scale, psp.flip) == ("poly", 0.01, 16, (0.5, 2.0), True)
    unet = made["dilated_unet"]
    assert (unet.optimizer, unet.lr, unet.schedule, unet.loss, unet.flip) == (
        "adam",
        1e-4,
        "plateau",
        "ce",
        False,
    )
    for each in (cluster, made["clusternet_concat"]):
        assert segmodels.spec(each.network).resolve(each.network_options)["assignment"] == "per_image"
    assert (unet.batch_size, unet.plateau_threshold) == (16, 1e-3)
    family = made["iterative_v6"]
    assert (family.optimizer, family.lr, family.loss, family.crop) == ("adam", 1e-3, "ce+dice", (384, 768))
    assert (family.flip, family.vertical_flip, family.rotations) == (True, True, (15.0, 30.0))
    assert family.rotation_probability == 0.4
    ddrnet, segformer = made["ddrnet23_slim"], made["segformer_b0"]
    assert (ddrnet.epochs, ddrnet.batch_size, ddrnet.crop, ddrnet.loss) == (484, 12, (1024, 1024), "ohem")
    assert (ddrnet.optimizer, ddrnet.lr, ddrnet.momentum, ddrnet.weight_decay) == ("sgd", 0.01, 0.9, 5e-4)
    assert (ddrnet.schedule, ddrnet.warmup, ddrnet.decay, ddrnet.trunk_lr) == ("poly", 0.0, "all", 1.0)
    assert (segformer.steps, segformer.batch_size, segformer.optimizer) == (160_000, 8, "adamw")
    assert (segformer.lr * segformer.trunk_lr, segformer.lr) == pytest.approx((6e-5, 6e-4))
    assert round(segformer.warmup * 160_000) == 1_500
    assert optim.learning_rate_factor("linear", 80_750, 160_000, warmup=segformer.warmup) == pytest.approx(0.5)
    assert all((each.scale, each.flip, each.pad) == ((0.5, 2.0), True, True) for each in (ddrnet, segformer))


@pytest.mark.parametrize("network", ["pspnet", "clusternet", "clusternet_concat", "ddrnet23_slim", "segformer_b0"])
def test_a_recipe_that_starts_from_a_trained_trunk(network: str) -> None:
    """Without one it is refused, in a line that says what to give; --no-init agrees to random weights."""
    with pytest.raises(SegmodelsError, match=r"trained on ImageNet, .*--init .*, or --no-init to start from random"):
        make_config(network, "published", PLACES)
    assert make_config(network, "published", PLACES, no_init=True).init is None
    given = PLACES | {"init": Path("resnet50.pth")}
    published = make_config(network, "published", given)
    assert published.init == Path("resnet50.pth") and published.trunk_lr in {0.1, 1.0}  # the source's, never ours
    assert make_config(network, "default", PLACES) == make_config(network, None, PLACES, no_init=True)
    with pytest.raises(SegmodelsError, match=r"--init resnet50\.pth and --no-init are two starts"):
        make_config(network, "published", given, no_init=True)


def test_a_recipe_is_left_with_what_goes_with_it() -> None:
    """Another schedule takes none of the recipe's milestones, nor its threshold; given ones are refused as ever."""
    cosine = make_config("fcn_resnet_v2", "published", PLACES | {"schedule": "cosine"})
    assert (cosine.schedule, cosine.milestones) == ("cosine", ())
    assert len(make_config("fcn_resnet_v2", "published", PLACES | {"schedule": "step"}).milestones) == 3
    with pytest.raises(SegmodelsError, match="--milestones"):
        given = {"schedule": "cosine", "milestones": ((0.5, 0.1),)}
        make_config("fcn_resnet_v2", "published", PLACES | given)
    assert make_config("dilated_unet", "published", PLACES | {"schedule": "cosine"}).plateau_threshold == 1e-4
    assert make_config("distill_x8", "published", PLACES | {"rotations": ()}).rotation_probability == 0.5


def test_an_option_that_nothing_reads_is_refused() -> None:
    """--momentum is SGD's, --plateau-threshold the plateau's; a value that was not given is nobody's mistake."""
    with pytest.raises(
        SegmodelsError, match=r"--momentum 0\.5 is for --optimizer sgd, and --optimizer is adamw: leave"
    ):
        make_config("pspnet", "default", PLACES | {"momentum": 0.5})
    assert make_config("pspnet", "default", PLACES | {"momentum": 0.5, "optimizer": "sgd"}).momentum == 0.5
    needs = {name: each.needs for name, each in OPTIONS.items() if each.needs}
    assert needs == {"momentum": ("optimizer", "sgd"), "plateau_threshold": ("schedule", "plateau")}


def test_given_options_override_the_recipe() -> None:
    """Only those given (not None); a length in epochs takes the place of one in steps, and the reverse."""
    made = make_config("pspnet", "published", PLACES | {"lr": 0.1, "seed": None, "epochs": 3}, no_init=True)
    assert (made.lr, made.batch_size, made.seed) == (0.1, 16, 0)
    assert (made.epochs, made.steps) == (3, None)
    made = make_config("clusternet", "published", PLACES | {"steps": 10}, no_init=True)
    assert (made.epochs, made.steps) == (None, 10)
    made = make_config("pspnet", "published", PLACES, no_init=True)
    assert (made.epochs, made.steps) == (None, 90_000)
    with pytest.raises(SegmodelsError, match="this or steps"):
        make_config("pspnet", "default", PLACES | {"steps": 10, "epochs": 3})


def test_given_options_of_a_network_override_those_of_its_recipe() -> None:
    """One by one: the recipe's others stay, and all are sorted by name."""
    made = make_config("clusternet", "published", PLACES | {"options": (("clusters", 8), ("aux", False))}, no_init=True)
    assert made.options == (("assignment", "per_image"), ("aux", False), ("clusters", 8))
    made = make_config("clusternet", "published", PLACES | {"options": (("assignment", "shared"),)}, no_init=True)
    assert made.options == (("assignment", "shared"),)
    assert make_config("clusternet", "default", PLACES | {"options": (("clusters", 8),)}).options == (("clusters", 8),)


def test_the_default_recipe_is_the_defaults() -> None:
    """Nothing stands between TrainConfig and the command line."""
    assert make_config("pspnet", "default", PLACES) == config()


def test_a_network_without_published_recipe_is_told_so() -> None:
    """The way out is named."""
    with pytest.raises(SegmodelsError, match="use --recipe default"):
        make_config("mine", "published", PLACES)
