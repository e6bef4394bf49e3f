"""What people give the converter: copies in safetensors, wrapped names, foreign objects, files of another kind."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import load

from tessera_training import __main__ as program
from tessera_training.files import safetensors_io
from tessera_training.networks.kl_vae import KlVae, KlVaeConfig
from tessera_training.networks.mar import Mar, MarConfig

CONFIG = MarConfig(img_size=32, vae_stride=8, patch_size=1, vae_embed_dim=3, encoder_embed_dim=64, encoder_depth=1,
                   encoder_num_heads=1, decoder_embed_dim=128, decoder_depth=1, decoder_num_heads=2, class_num=3,
                   buffer_size=2, diffloss_d=1, diffloss_w=20)
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(1)
    return dict(Mar(CONFIG).state_dict())


def _converted(source: Path, *options: str) -> State:
    target = source.with_name("converted.safetensors")
    assert program.main(["convert", str(source), str(target), "--dtype", "f32", "--set", "vae_stride=8", *options]) == 0
    return load(target)[0]


def _failure(capsys: pytest.CaptureFixture, source: Path) -> str:
    target = source.with_name("never.safetensors")
    assert program.main(["convert", str(source), str(target), "--set", "vae_stride=8"]) == 1
    assert not target.exists()
    return capsys.readouterr().err


def _same(actual: State, expected: State) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


# ---- safetensors ---------------------------------------------------------------------------------------------------

def _shards(folder: Path, state: State, count: int = 3) -> Path:
    """An index and its shards, as the usual tools write them."""
    places = {name: f"model-{number % count + 1:05}-of-{count:05}.safetensors" for number, name in enumerate(state)}
    for shard in set(places.values()):
        safetensors_io.save(folder / shard, {name: state[name] for name in state if places[name] == shard})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


def test_safetensors_copies(state: State, tmp_path: Path) -> None:
    safetensors_io.save(tmp_path / "mar.safetensors", state)
    _same(_converted(tmp_path / "mar.safetensors"), state)
    (tmp_path / "mar.safetensors").rename(tmp_path / "mar.bin")  # the content decides, not the name
    _same(_converted(tmp_path / "mar.bin"), state)


def test_sharded_copies(state: State, tmp_path: Path) -> None:
    _same(_converted(_shards(tmp_path, state)), state)


def _change(index: Path, name: str, shard: object) -> None:
    content = json.loads(index.read_text())
    content["weight_map"][name] = shard
    index.write_text(json.dumps(content))


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", 5, None, "a\\b",
                                   "a\0b"])
def test_shards_outside_the_folder(state: State, tmp_path: Path, capsys: pytest.CaptureFixture, shard: object) -> None:
    index = _shards(tmp_path, state)
    _change(index, "mask_token", shard)
    message = _failure(capsys, index)
    assert "the shard of 'mask_token' is" in message and "next to the index" in message


def test_shards_that_do_not_fit_their_index(state: State, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    index = _shards(tmp_path, state)
    places = json.loads(index.read_text())["weight_map"]
    first, second, third = sorted(set(places.values()))
    name = next(name for name in places if places[name] == first)
    _change(index, name, second)
    assert f"holds '{name}', which the index {index.name} puts into {second}" in _failure(capsys, index)
    _change(index, name, first)
    _change(index, "extra", third)
    assert "has no tensor 'extra'" in _failure(capsys, index)
    (tmp_path / second).unlink()
    assert f"shard '{second}' is missing" in _failure(capsys, index)
    index.write_text('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}')
    assert "'a' occurs twice" in _failure(capsys, index)
    index.write_text("[1]")
    assert "has no 'weight_map'" in _failure(capsys, index)


@pytest.mark.parametrize("header,message", [
    ("{", "proper JSON"), ('{"a":' * 50_000, "proper JSON"), ('{"__metadata__": {"a": 1}}', "metadata"),
    ('{"a": 1}', "'a' is not described"), ('{"a": {"dtype": "F32", "shape": [1]}}', "'a' is not described"),
    ('{"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}', "has the type F8_E4M3"),
    ('{"a": {"dtype": [], "shape": [4], "data_offsets": [0, 4]}}', "has the type"),
    ('{"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}', "whole numbers"),
    ('{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}', "whole numbers"),
    ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1e400]}}', "whole numbers"),
    ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}', "whole numbers"),
    ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}}', "does not fit"),
    ('{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}', "cut off"),
    ('{"a": {"dtype": "F32", "shape": [1152921504606846976, 16], "data_offsets": [0, 4]}}', "does not fit"),
    ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": 1}', "'a' occurs twice"),
], ids=range(15))
def test_damaged_safetensors(tmp_path: Path, capsys: pytest.CaptureFixture, header: str, message: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(8))
    text = _failure(capsys, path)
    assert str(path) in text and message in text


# ---- names ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.module.",
                                    "model_ema.module.", "net.", "generator._orig_mod.", "ema_model."])
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_known_prefixes(state: State, tmp_path: Path, capsys: pytest.CaptureFixture, prefix: str, kind: str) -> None:
    path, wrapped = tmp_path / f"x.{kind}", {prefix + name: value for name, value in state.items()}
    torch.save({"model": wrapped}, path) if kind == "pth" else safetensors_io.save(path, wrapped)
    _same(_converted(path), state)
    assert f"stripped '{prefix}' from the front of all names" in capsys.readouterr().out


def test_autoencoder_inside_another_model(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    vae = KlVae(KlVaeConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, z_channels=3, embed_dim=2,
                            encoder_attn_resolutions=(), decoder_attn_resolutions=())).state_dict()
    safetensors_io.save(tmp_path / "vae.safetensors", {f"first_stage_model.{name}": value for name, value in vae.items()})
    target = tmp_path / "out.safetensors"
    assert program.main(["convert", str(tmp_path / "vae.safetensors"), str(target), "--dtype", "f32"]) == 0
    _same(load(target)[0], dict(vae))
    assert "stripped 'first_stage_model.'" in capsys.readouterr().out


def test_a_prefix_of_some_names_stays(state: State, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mixed = {("module." if number % 2 else "") + name: value for number, (name, value) in enumerate(state.items())}
    torch.save({"model": mixed}, tmp_path / "x.pth")
    assert "is missing" in _failure(capsys, tmp_path / "x.pth")


# ---- objects of other libraries ------------------------------------------------------------------------------------

class Logger:
    """Not to be made again by whoever reads the file."""

    def __init__(self, name: str = "run") -> None:
        self.name, self.rate = name, np.float64(0.1)

    def __setstate__(self, values: dict) -> None:
        raise AssertionError("an object of the checkpoint was made")

    def __reduce_ex__(self, protocol: object) -> tuple:
        return Logger, (self.name,), self.__dict__, iter([1, 2]), iter([("a", 1)])


class Options(dict):
    """A dictionary with attributes, as configuration libraries have them."""


def _foreign() -> dict[str, object]:
    import argparse
    import datetime
    import enum
    import fractions
    kind = enum.Enum("kind", "small large")
    globals()["kind"] = kind
    kind.__module__ = __name__
    options = Options(lr=1)
    options.extra = Logger()
    return {"logger": Logger(), "numbers": np.arange(3), "number": np.float32(2), "when": datetime.datetime(2026, 1, 1),
            "kind": kind.small, "by kind": {kind.large: 1, (1, 2): 3}, "options": options, "share": fractions.Fraction(1, 3),
            "many": defaultdict(list, a=[1]), "path": Path("x"), "names": {"a", "b"}, "frozen": frozenset((1, (2, 3))),
            "complex": torch.zeros(2, dtype=torch.complex64), "generator": torch.get_rng_state(), "kinds": [torch.float16],
            "device": torch.device("cpu"), "array": bytearray(b"abc"), "args": argparse.Namespace(logger=Logger())}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_foreign_objects_next_to_the_weights(state: State, tmp_path: Path, protocol: int) -> None:
    torch.save({**_foreign(), "model": OrderedDict(state)}, tmp_path / "x.pth", pickle_protocol=protocol)
    _same(_converted(tmp_path / "x.pth"), state)


def test_parameters_instead_of_tensors(state: State, tmp_path: Path) -> None:
    torch.save({"model": {name: torch.nn.Parameter(value) for name, value in state.items()}}, tmp_path / "x.pth")
    _same(_converted(tmp_path / "x.pth"), state)


@pytest.mark.parametrize("key", list(_foreign()))
def test_foreign_objects_inside_the_weights(state: State, tmp_path: Path, capsys: pytest.CaptureFixture, key: str) -> None:
    torch.save({"model": {**state, "foreign": _foreign()[key]}}, tmp_path / "x.pth")
    assert "'foreign' is" in _failure(capsys, tmp_path / "x.pth")


def test_whole_objects_instead_of_weights(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pth")
    assert "whole object of torch.nn.modules.linear.Linear" in _failure(capsys, tmp_path / "x.pth")
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "x.pth")
    assert "'model' is an object of torch.nn.modules.linear.Linear" in _failure(capsys, tmp_path / "x.pth")


def test_numbers_between_the_weights(state: State, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.save({**state, "epoch": 3, "logger": Logger()}, tmp_path / "x.pth")
    _same(_converted(tmp_path / "x.pth"), state)
    assert "no tensors, left out: epoch, logger" in capsys.readouterr().out


# ---- files of another kind -----------------------------------------------------------------------------------------

def _zip(path: Path, *members: str) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        for member in members:
            file.writestr(member, "x")
    return path.read_bytes()


@pytest.mark.parametrize("content,message", [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
    (b"GGUF\x03\0\0\0" + bytes(50), "GGUF"), (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
    (b"\x93NUMPY\x01\0", "NumPy"), (b"\x1f\x8b\x08" + bytes(9), "gzip"), (b"BZh9", "bzip2"),
    (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"Rar!\x1a", "RAR"),
    (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff\xe0", "JPEG"), (b"RIFF\0\0\0\0WEBP", "WebP"), (b"%PDF-1.7", "PDF"),
    (b"\x08\x07\x12\x07pytorch\x1a\x051.13", "ONNX"), (b"\x7fELF", "program"),
    (b"<!DOCTYPE html><html>Not found", "web page"), (b"\n <HTML>", "web page"),
    (b"Not found", "a text that begins with 'Not found'"), (b"", "empty"), (bytes(5000), "interrupted download"),
    (b'{"architectures": ["MAR"]}', "JSON"), (b'{"a": ', "cut off"), (b'{"weight_map": {}}', "index of shards"),
    (bytes([0x93, 0x17, 0x88, 0xFE]) * 20, "not known here"),
], ids=range(24))
def test_what_a_file_is(tmp_path: Path, capsys: pytest.CaptureFixture, content: bytes, message: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    text = _failure(capsys, path)
    assert str(path) in text and message in text
    assert program.main(["convert", str(path), str(tmp_path / "y.safetensors")]) == 1


def test_other_archives_and_places(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "x.pth"
    _zip(path, "model/saved_model.pb")
    assert "no PyTorch checkpoint" in _failure(capsys, path)
    whole = _zip(path, "a/data.pkl")
    path.write_bytes(whole[:-10])
    assert "was its download cut off?" in _failure(capsys, path)
    assert "directory" in _failure(capsys, tmp_path).lower()
    path.write_bytes(pickle.dumps({"x": 1}))
    assert str(path) in _failure(capsys, path)
