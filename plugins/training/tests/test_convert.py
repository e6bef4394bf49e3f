"""Published checkpoints become model files, bit for bit; files that want more than tensors are refused."""

from __future__ import annotations

import argparse
import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import Tensors, fixture_file, load

from tessera_training import __main__ as program
from tessera_training.errors import UserError
from tessera_training.files import convert, safetensors_io
from tessera_training.files.torch_file import Refused, TorchFile, open_checkpoint
from tessera_training.networks.kl_vae import KlVae, KlVaeConfig
from tessera_training.networks.mar import Mar, MarConfig

CONFIG = MarConfig(img_size=32, vae_stride=8, patch_size=1, vae_embed_dim=3, encoder_embed_dim=64, encoder_depth=1,
                   encoder_num_heads=1, decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=2, class_num=3,
                   buffer_size=2, diffloss_d=1, diffloss_w=20)


def _convert(source: Path, target: Path, *options: str) -> tuple[Tensors, dict]:
    assert program.main(["convert", str(source), str(target), *options]) == 0
    return load(target)


def _assert_same(actual: Tensors, expected: Tensors) -> None:
    assert list(actual) and set(actual) == set(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype and torch.equal(actual[name], value), name


@pytest.mark.parametrize("ema", ["model", "model_ema"])
@pytest.mark.parametrize("file", ["official_tiny_checkpoint.pth", "official_tiny_released.pth"])
def test_official_files(fixtures: Path, tmp_path: Path, file: str, ema: str) -> None:
    options = ["--dtype", "f32", "--ema" if ema == "model_ema" else "--no-ema"]
    if "released" in file:  # has no arguments next to the weights
        options += ["--heads", "2,3", "--set", "vae_stride=8", "--set", "num_sampling_steps=25"]
    actual, metadata = _convert(fixture_file(fixtures, f"checkpoints/{file}"), tmp_path / "out.safetensors", *options)
    expected, recorded = load(fixtures / "checkpoints" / f"official_tiny_checkpoint.expected_{ema}.safetensors")
    _assert_same(actual, expected)
    assert metadata["config"] == {**recorded["config"], "latent_scale": 0.2325}
    assert metadata["kind"] == "mar_weights" and metadata["format"] == "tessera-model/1"
    assert len(metadata["classes"]) == 5 and metadata["defaults"]["denoise_steps"] == 25


def test_official_autoencoder(fixtures: Path, tmp_path: Path) -> None:
    actual, metadata = _convert(fixture_file(fixtures, "checkpoints/kl_tiny.ckpt"), tmp_path / "out.safetensors",
                                "--dtype", "f32", "--set", "resolution=64")
    expected, recorded = load(fixtures / "klvae_tiny" / "weights.safetensors")
    _assert_same(actual, expected)
    assert metadata["config"] == recorded["config"] and metadata["kind"] == "klvae_weights"


@pytest.mark.parametrize("size,width,heads,depth", [("base", 768, 12, 12), ("large", 1024, 16, 16),
                                                    ("huge", 1280, 16, 20)])
def test_published_shapes(fixtures: Path, size: str, width: int, heads: int, depth: int) -> None:
    if size != "base" and int(torch.__version__.split(".")[0]) < 2:
        pytest.skip("this PyTorch cannot describe a large model without allocating it")
    entries = _described(fixtures / "state_dicts" / f"mar_{size}_state_dict.txt")
    config = convert.mar_config(entries, {})
    assert (config.encoder_embed_dim, config.encoder_num_heads, config.encoder_depth) == (width, heads, depth)
    assert (config.img_size, config.tokens, config.class_num, config.buffer_size) == (256, 256, 1000, 64)
    assert (config.vae_embed_dim, config.patch_size, config.mlp_ratio) == (16, 1, 4)
    assert convert.kind_of(entries, Path("x")) == "mar_weights"
    convert.check_shapes(entries, convert.expected_shapes(config), Path("x"))


def test_published_autoencoder_shape(fixtures: Path) -> None:
    entries = _described(fixtures / "state_dicts" / "kl16_state_dict.txt")
    config = convert.klvae_config(entries, {})
    assert config == KlVaeConfig() and convert.kind_of(entries, Path("x")) == "klvae_weights"
    convert.check_shapes(entries, convert.expected_shapes(config), Path("x"))


def _described(path: Path) -> dict[str, object]:
    lines = (line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name: torch.empty([int(n) for n in shape.split("x")], device="meta") for name, shape, _ in lines}


@pytest.fixture
def model() -> Mar:
    torch.manual_seed(1)
    return Mar(CONFIG)


def _save(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def test_half_precision_and_wrapped_names(model: Mar, tmp_path: Path) -> None:
    state = OrderedDict((f"module.{name}", value.half()) for name, value in model.state_dict().items())
    path = _save(tmp_path / "wrapped.pth", {"model": state, "args": argparse.Namespace(vae_stride=8)})
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        actual, metadata = _convert(path, tmp_path / f"{name}.safetensors", "--dtype", name)
        _assert_same(actual, {key[7:]: value.to(dtype) for key, value in state.items()})
        assert MarConfig.from_json(json.dumps(metadata["config"])).tokens == 16
    assert metadata["config"]["img_size"] == 32 and metadata["source"] == "wrapped.pth: model"


def test_views_of_one_storage(tmp_path: Path) -> None:
    whole = torch.arange(24.).reshape(4, 6)
    path = _save(tmp_path / "views.pth", {"rows": whole[1:3], "turned": whole.T, "empty": torch.empty(0, 3)})
    root, read = open_checkpoint(path)
    assert isinstance(root, dict)
    assert torch.equal(read(root["rows"]), whole[1:3]) and torch.equal(read(root["turned"]), whole.T)
    assert read(root["empty"]).shape == (0, 3)


def test_old_format(model: Mar, tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save({"model": model.state_dict()}, path, _use_new_zipfile_serialization=False)
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        with pytest.raises(Refused, match="needs PyTorch 2.6"):
            open_checkpoint(path)
        return
    actual, _ = _convert(path, tmp_path / "out.safetensors", "--dtype", "f32", "--set", "vae_stride=8")
    _assert_same(actual, dict(model.state_dict()))


def test_far_beyond_four_gigabytes(tmp_path: Path) -> None:
    """ZIP64: members that begin after the first 4 GiB (a hole, so the file takes no room)."""
    source = _save(tmp_path / "small.pth", {"model": {"x": torch.arange(5.)}})
    path = tmp_path / "large.pth"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for number, name in enumerate(old.namelist()):
            with new.open(name, "w", force_zip64=True) as member:
                member.write(old.read(name))
            new.start_dir += 5 << 30 if number == 0 else 0  # type: ignore[attr-defined]
    root, read = open_checkpoint(path)
    assert path.stat().st_size > 5 << 30 and isinstance(root, dict)
    assert torch.equal(read(root["model"]["x"]), torch.arange(5.))


def _failure(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    assert program.main(["convert", *map(str, arguments)]) == 1
    return capsys.readouterr().err


def test_wrong_contents_are_named(model: Mar, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, stride = tmp_path / "out.safetensors", ("--set", "vae_stride=8")
    state = dict(model.state_dict())

    def failure(changes: dict, *options: str) -> str:
        kept = {name: value for name, value in {**state, **changes}.items() if value is not None}
        return _failure(capsys, _save(tmp_path / "x.pth", {"model": kept}), out, *stride, *options)

    assert "'mask_token' is missing" in failure({"mask_token": None})
    assert "'extra' is unknown" in failure({"extra": torch.zeros(1)})
    assert "'mask_token' has shape (1, 1, 5)" in failure({"mask_token": torch.zeros(1, 1, 5)})
    assert "'z_proj.bias' holds values that are not finite" in failure({"z_proj.bias": torch.full((64,), torch.nan)})
    assert "'z_proj.bias'" in failure({"z_proj.bias": torch.full((64,), 1e5)}, "--dtype", "fp16")
    assert "expected a tensor" in failure({"step": 5})
    assert "has no model_ema" in failure({}, "--ema")
    assert "128 cannot have 3 attention heads" in failure({}, "--heads", "1,3")
    assert "--heads two" in failure({}, "--heads", "two")
    assert "--set depth=3" in failure({}, "--set", "depth=3")
    assert "no_names.txt" in failure({}, "--classes", str(tmp_path / "no_names.txt"))
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    assert "2 class names, the model has 3 classes" in failure({}, "--classes", str(tmp_path / "names.txt"))
    whole = _save(tmp_path / "good.pth", {"model": state})
    assert "cannot be written" in _failure(capsys, whole, whole / "inside.safetensors", *stride)
    assert not out.exists() and not list(tmp_path.glob("*.part"))


def test_unusable_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out.safetensors"
    assert "nowhere.pth" in _failure(capsys, tmp_path / "nowhere.pth", out)
    (tmp_path / "text.pth").write_text("not a checkpoint")
    assert "text.pth" in _failure(capsys, tmp_path / "text.pth", out)
    whole = _save(tmp_path / "whole.pth", {"model": {"x": torch.zeros(5000)}}).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[:len(whole) // 2])
    assert "cut.pth" in _failure(capsys, tmp_path / "cut.pth", out)
    assert "neither a MAR model nor a KL or VQ autoencoder" in _failure(capsys, tmp_path / "whole.pth", out)
    with zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", pickle.dumps({"model": "x" * 1000}))
    assert "is compressed" in _failure(capsys, tmp_path / "packed.pth", out)
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as file:
        file.writestr("word/document.xml", "<x/>")
    assert "no PyTorch checkpoint" in _failure(capsys, tmp_path / "other.pth", out)
    _save(tmp_path / "list.pth", [torch.zeros(2)])
    assert "expected a dictionary" in _failure(capsys, tmp_path / "list.pth", out)


class _Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


def _pickled(path: Path, description: bytes, storage: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", description)
        file.writestr("archive/data/0", storage)
    return path


def _tensor(offset: str = "K\x00", shape: str = "K\x02\x85", strides: str = "K\x01\x85", elements: str = "K\x02",
            key: str = "X\x01\x00\x00\x000", kind: str = "FloatStorage") -> bytes:
    """A hand-made description of {'x': tensor}."""
    return (b"\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
            + kind.encode("latin-1") + b"\n" + key.encode("latin-1") + b"X\x03\x00\x00\x00cpu" + elements.encode("latin-1") + b"tQ"
            + offset.encode("latin-1") + shape.encode("latin-1") + strides.encode("latin-1") + b"\x89ccollections\nOrderedDict\n)RtRs.")


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_code_in_the_file_never_runs(tmp_path: Path, protocol: int) -> None:
    import builtins
    import os
    import subprocess
    marker = tmp_path / "ran"
    for number, call in enumerate((
            _Call(os.system, f"touch {marker}"), _Call(builtins.eval, f"open({str(marker)!r}, 'w')"),
            _Call(subprocess.Popen, ["touch", str(marker)]), _Call(builtins.getattr, marker, "touch"),
            _Call(np.load, str(marker)), _Call(torch.load, str(marker)))):
        for content in (call, {"model": {"x": call}}, [OrderedDict(model=call)]):
            path = _pickled(tmp_path / f"{number}.pth", pickle.dumps(content, protocol))
            with pytest.raises(UserError):
                convert.select_state(TorchFile(path).root, None, path)
    assert not marker.exists()


@pytest.mark.parametrize("description", [
    b"", b".", b"\x80\x02", b"\x80\x02}", b"K\x01", b"(.", b"h\x05.",
    b"\x80\x02\x82\x01.",  # extension registry
    b"ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__K\x01sb.",  # attribute of a function
    b"ctorch._utils\n_rebuild_tensor_v2\nK\x01K\x02\x86R.", b"K\x01)R.", b"cos\nsystem\nK\x01R.",
    b"ccollections\nOrderedDict\nK\x05\x85R.",
    b"X\xff\xff\xff\xffabc.", b"\x8b\xff\xff\xff\x7f\x01.", b"X\x02\x00\x00\x00os\x85Q.",
    b"]" + b"]a" * 3 + b"K\x01K\x02s.",
])
def test_damaged_and_hostile_descriptions(tmp_path: Path, description: bytes) -> None:
    with pytest.raises(Refused):
        TorchFile(_pickled(tmp_path / "x.pth", description))


@pytest.mark.parametrize("description,name", [
    (b"cos\nsystem\nX\x04\x00\x00\x00true\x85R.", "os.system"),
    (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93X\x04\x00\x00\x00true\x85R.", "os.system"),  # STACK_GLOBAL
    (b"(S'true'\nios\nsystem\n.", "os.system"),  # INST
    (b"(cos\nsystem\nS'true'\no.", "os.system"),  # OBJ
    (b"ctorch\nFloatStorage\n)R.", "torch.FloatStorage"), (b"ctorch.serialization\n_load\n)R.", "torch.serialization._load"),
    (b"cnumpy\ndtype\n)R}b.", "numpy.dtype"), (b"cyacs\nCfg\n)\x81(K\x01K\x02u.", "yacs.Cfg"),
    (b"coptim\nPlan\n)}\x92K\x01a.", "optim.Plan"), (b"ca\nb\n)R)R.", "a.b"),
])
def test_calls_of_other_libraries_are_inert(tmp_path: Path, description: bytes, name: str) -> None:
    assert TorchFile(_pickled(tmp_path / "x.pth", description)).root.text == name


def test_nested_tuples_as_keys_are_not_hashed(tmp_path: Path) -> None:
    root = TorchFile(_pickled(tmp_path / "x.pth", b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.")).root
    assert [type(key).__name__ for key in root] == ["Placeholder"]


def test_shared_parts_are_read_once(tmp_path: Path) -> None:
    """A list of two times the same list, forty times over: 2^40 elements if each were read on its own."""
    doubled = b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(40))
    opened = TorchFile(_pickled(tmp_path / "x.pth", b"]q\x00" + doubled + b"."))
    assert isinstance(opened.content(), list)
    cyclic = TorchFile(_pickled(tmp_path / "y.pth", b"]q\x00h\x00a."))
    with pytest.raises(Refused, match="nested too deeply"):
        cyclic.content()


def test_large_memo_numbers_cost_nothing(tmp_path: Path) -> None:
    assert TorchFile(_pickled(tmp_path / "x.pth", b"}r\xff\xff\xff\x7f.")).root == {}


def test_tensors_outside_their_storage(tmp_path: Path) -> None:
    storage = torch.tensor([1., 2.]).numpy().tobytes()
    opened = TorchFile(_pickled(tmp_path / "good.pth", _tensor(), storage))
    assert torch.equal(opened.tensor(opened.root["x"]), torch.tensor([1., 2.]))
    for wrong in ({"offset": "K\x01"}, {"shape": "K\x03\x85"}, {"strides": "K\x02\x85"}, {"strides": ")"},
                  {"offset": "J\xff\xff\xff\x7f"}, {"offset": "I-1\n"}, {"shape": "I-1\n\x85"},
                  {"shape": "K\x09\x85", "strides": "K\x00\x85"}, {"offset": "G" + "\x00" * 8}):
        with pytest.raises(Refused):
            TorchFile(_pickled(tmp_path / "bad.pth", _tensor(**wrong), storage))
    for wrong in ({"elements": "K\x05"}, {"key": "X\x01\x00\x00\x001"}, {"kind": "DoubleStorage"}):
        opened = TorchFile(_pickled(tmp_path / "bad.pth", _tensor(**wrong), storage))
        with pytest.raises(Refused):
            opened.tensor(opened.root["x"])


def test_autoencoder_of_another_shape(tmp_path: Path) -> None:
    config = KlVaeConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, z_channels=3, embed_dim=2,
                         encoder_attn_resolutions=(128,), decoder_attn_resolutions=(256, 128))
    vae = KlVae(config)
    state = {**vae.state_dict(), "loss.discriminator.weight": torch.zeros(3)}
    actual, metadata = _convert(_save(tmp_path / "kl.ckpt", {"state_dict": state}), tmp_path / "out.safetensors",
                                "--dtype", "f32")
    _assert_same(actual, dict(vae.state_dict()))
    assert KlVaeConfig.from_json(json.dumps(metadata["config"])) == config


def test_saving_converts_only_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safetensors_io.save(path, {"ids": torch.arange(3), "x": torch.ones(2)}, dtype=torch.bfloat16)
    tensors, _ = safetensors_io.load(path)
    assert tensors["ids"].dtype == torch.int64 and tensors["x"].dtype == torch.bfloat16
    with pytest.raises(UserError, match="'x'"):
        safetensors_io.save(path, {"x": torch.tensor([70000.])}, dtype=torch.float16)
    assert path.exists() and len(list(tmp_path.iterdir())) == 1
