"""Files that are complete, plain data, and byte-equal when their content is."""

import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from segdata.base.files import replacing
from segdata.errors import SegdataError
from segmodels.errors import SegmodelsError
from segmodels.runs import checkpoint as files
from segmodels.training import ema, optim

CPU = torch.device("cpu")
RUN = "0123456789abcdef" * 4


class Code:
    """Pickles to a call of os.system: what a hostile checkpoint does."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch hacked",)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d(0.5), nn.Conv2d(4, 2, 1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor], steps: range) -> None:
    """Training that draws its data, and the dropout, from torch's global generator."""
    for step in steps:
        optimizer.zero_grad()
        model(torch.randn(2, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        ema.update_ema(average, model, 0.9, step)


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor], step: int) -> Any:
    return files.Checkpoint(
        run=RUN,
        step=step,
        weights=model.state_dict(),
        optimizer=optimizer.state_dict(),
        ema=average,
        history=[{"loss": 0.1 + 0.2, "miou": 0.5}],
        running={"loss": 1 / 3},
        random=files.random_state(CPU),
    )


# --- Checkpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_restored_run_continues_bit_by_bit(name: str, tmp_path: Path) -> None:
    """Ten steps, or six, a checkpoint, another process' worth of fresh objects, and four: same bytes."""

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer, dict[str, Tensor]]:
        model = network()
        optimizer = optim.make_optimizer(name, model, 0.01, momentum=0.9, weight_decay=0.1)
        return model, optimizer, ema.start_ema(model)

    torch.manual_seed(0)
    whole = fresh()
    train(*whole, range(6))
    path = tmp_path / "last.pt"
    files.save_checkpoint(path, snapshot(*whole, 6))
    train(*whole, range(6, 10))

    torch.manual_seed(99)
    model, optimizer, _ = fresh()
    found = files.load_checkpoint(path, RUN)
    model.load_state_dict(found.weights)
    optimizer.load_state_dict(found.optimizer)
    files.restore_random_state(found.random, CPU)
    assert found.ema is not None
    train(model, optimizer, found.ema, range(found.step, 10))

    assert files.weights_digest(model.state_dict()) == files.weights_digest(whole[0].state_dict())
    assert files.weights_digest(found.ema) == files.weights_digest(whole[2])
    assert (found.history, found.running) == ([{"loss": 0.1 + 0.2, "miou": 0.5}], {"loss": 1 / 3})


def saved(path: Path) -> Path:
    model = network()
    optimizer = optim.make_optimizer("adam", model, 0.01, momentum=0.9, weight_decay=0.1)
    files.save_checkpoint(path, snapshot(model, optimizer, ema.start_ema(model), 0))
    return path


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that calls os.system is an error, and the call does not happen."""
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Code()}, "last.pt")
    with pytest.raises(SegmodelsError, match="Python code, which is never run"):
        files.load_checkpoint(Path("last.pt"), RUN)
    assert not Path("hacked").exists()
    Path("bare.pt").write_bytes(pickle.dumps(Code(), protocol=2))
    with pytest.raises(SegmodelsError, match=r"bare\.pt is no checkpoint: .*not a zip file"):
        files.load_checkpoint(Path("bare.pt"), RUN)
    assert not Path("hacked").exists()


@pytest.mark.parametrize("kept", [0, 10, 1000, -1])
def test_a_damaged_checkpoint_is_an_error_of_ours(kept: int, tmp_path: Path) -> None:
    """Cut off anywhere, it is named; torch's own error does not come through."""
    path = saved(tmp_path / "last.pt")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SegmodelsError, match=r"last\.pt"):
        files.load_checkpoint(path, RUN)


def test_a_flipped_bit_is_found_in_every_part(tmp_path: Path) -> None:
    """One bit in the middle of any record, tensors included, which `torch.load` alone would accept."""
    path = saved(tmp_path / "last.pt")
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    assert len(records) > 20
    for record in records:
        lengths = struct.unpack_from("<HH", whole, record.header_offset + 26)  # of name and extra field
        start = record.header_offset + 30 + sum(lengths)
        broken = bytearray(whole)
        broken[start + record.file_size // 2] ^= 1
        path.write_bytes(broken)
        with pytest.raises(SegmodelsError, match="damaged"):
            files.load_checkpoint(path, RUN)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    """Both runs are named, and what to do."""
    path = saved(tmp_path / "last.pt")
    with pytest.raises(SegmodelsError, match=r"of run 0123456789ab, this run is ffffffffffff.*--replace"):
        files.load_checkpoint(path, "f" * 64)


def test_other_torch_files_and_missing_ones_are_refused(tmp_path: Path) -> None:
    """Somebody else's file of weights is no checkpoint, and an absent file is said to be absent."""
    torch.save(network().state_dict(), tmp_path / "other.pt")
    with pytest.raises(SegmodelsError, match="not a checkpoint of this version"):
        files.load_checkpoint(tmp_path / "other.pt", RUN)
    with pytest.raises(SegmodelsError, match="no checkpoint"):
        files.load_checkpoint(tmp_path / "absent.pt", RUN)


# --- Weights ------------------------------------------------------------------------------------------

ABOUT = {
    "network": "dilated_unet",
    "classes": ["road", "naïve"],
    "mean": [0.1, 0.2],
    "options": {"b": 1, "a": 2},
}


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv": torch.randn(4, 3, 3, 3, generator=generator),
        "alpha": torch.tensor(0.5),
        "count": torch.tensor(3),
        "low": torch.randn(5, generator=generator).bfloat16(),
        "a.first": torch.randn(2, 2, generator=generator),
    }


def test_weights_come_back_with_what_was_said_of_them(tmp_path: Path) -> None:
    """Every tensor bit by bit in its type, and the metadata as given."""
    files.save_weights(tmp_path / "model.safetensors", weights(), ABOUT)
    found, about = files.load_weights(tmp_path / "model.safetensors")
    assert about == ABOUT
    assert {name: tensor.dtype for name, tensor in found.items()} == {n: t.dtype for n, t in weights().items()}
    assert all(torch.equal(found[name], tensor) for name, tensor in weights().items())


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    """Whatever the order of names and metadata, the memory layout, or gradients attached."""
    files.save_weights(tmp_path / "one", weights(), ABOUT)
    other = {name: weights()[name] for name in reversed(weights())}
    other["conv"] = nn.Parameter(other["conv"].to(memory_format=torch.channels_last))
    about = {name: ABOUT[name] for name in reversed(ABOUT)}
    files.save_weights(tmp_path / "two", other, about)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert files.weights_digest(weights()) == files.weights_digest(other)


def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """Another process, with other hash seeds, writes the same file; and so does this one eight times."""
    script = (
        "import sys, torch; from pathlib import Path; from segmodels.runs.checkpoint import save_weights\n"
        "weights = {f'w{i}': torch.full((i,), float(i)) for i in range(20)}\n"
        "for path in sys.argv[1:]: save_weights(Path(path), weights, {f'k{i}': i for i in range(20)})\n"
    )
    paths = [str(tmp_path / f"{index}") for index in range(9)]
    subprocess.run([sys.executable, "-c", script, paths[0]], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["here", *paths[1:]])
        exec(script, {})
    assert len({Path(path).read_bytes() for path in paths}) == 1


def test_metadata_is_one_key_of_canonical_json(tmp_path: Path) -> None:
    """Read by hand from the file's header: safetensors would shuffle several keys."""
    path = tmp_path / "model.safetensors"
    files.save_weights(path, weights(), {"b": 1, "a": "ü"})
    content = path.read_bytes()
    header = content[8 : 8 + struct.unpack("<Q", content[:8])[0]].decode()
    assert header.startswith(r'{"__metadata__":{"segmodels":"{\"a\":\"\\u00fc\",\"b\":1,\"content\":\"')


def test_tied_weights_are_written_under_both_names(tmp_path: Path) -> None:
    """A tensor that two names share is saved twice, so the file loads like any other."""
    shared = torch.ones(3)
    files.save_weights(tmp_path / "tied", {"one": shared, "two": shared}, {})
    found, _ = files.load_weights(tmp_path / "tied")
    assert torch.equal(found["one"], found["two"])


def test_digest_sees_every_bit_name_type_and_shape() -> None:
    """One flipped bit, another name, type or shape: another digest."""
    original = files.weights_digest(weights())
    flipped = weights()
    flipped["conv"].view(torch.int32)[3, 2, 1, 0] ^= 1
    renamed = {("beta" if name == "alpha" else name): tensor for name, tensor in weights().items()}
    retyped = weights() | {"count": torch.tensor(3.0)}
    reshaped = weights() | {"a.first": weights()["a.first"].flatten()}
    others = {files.weights_digest(each) for each in (flipped, renamed, retyped, reshaped)}
    assert len(others) == 4
    assert original not in others


def test_files_that_are_no_weights_of_ours_are_refused(tmp_path: Path) -> None:
    """Garbage, absence, and safetensors that do not say of which network they are."""
    (tmp_path / "garbage").write_bytes(b"abc")
    save_file({"w": torch.ones(1)}, tmp_path / "foreign")
    for name, said in [("garbage", "cannot read"), ("absent", "no weights"), ("foreign", "of which network")]:
        with pytest.raises(SegmodelsError, match=said):
            files.load_weights(tmp_path / name)


# --- Writing ------------------------------------------------------------------------------------------


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    """Whatever stops the block, the file is the old one and nothing lies beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_and_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    """The system takes no more bytes: the last good checkpoint still loads."""
    path = saved(tmp_path / "last.pt")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SegdataError, match=r"last\.pt: File too large.*intact"):
            saved(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files.load_checkpoint(path, RUN).step == 0
    assert list(tmp_path.iterdir()) == [path]


def test_killed_while_writing_the_old_checkpoint_stays(tmp_path: Path) -> None:
    """SIGKILL in the middle of the write: the old file loads, and the next write succeeds."""
    path = saved(tmp_path / "last.pt")
    script = (
        "import os, signal, sys; from pathlib import Path; from segdata.base.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -9
    assert files.load_checkpoint(path, RUN).step == 0
    assert files.load_checkpoint(saved(path), RUN).step == 0
    assert list(tmp_path.iterdir()) == [path]


def test_no_flipped_bit_of_weights_is_taken(tmp_path: Path) -> None:
    """Whatever bit of the file is another, reading it is refused, or gives what was written."""
    path, about = tmp_path / "model.safetensors", {"mean": [0.25, 0.5, 0.75], "network": "tiny"}
    files.save_weights(path, weights(), about)
    whole = path.read_bytes()
    refused = 0
    for i in range(0, len(whole), 3):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
        try:
            found, said = files.load_weights(path)
        except SegmodelsError:
            refused += 1
        else:
            assert files.weights_digest(found) == files.weights_digest(weights())
            assert {name: said[name] for name in about} == about
    assert refused > len(whole) // 3 * 0.9


def test_weights_of_before_there_was_a_digest(tmp_path: Path) -> None:
    """A file that does not hold its digest is read all the same."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(weights(), metadata={files.METADATA_KEY: '{"network":"tiny"}'}))
    found, about = files.load_weights(path)
    assert files.weights_digest(found) == files.weights_digest(weights())
    assert about == {"network": "tiny"}
