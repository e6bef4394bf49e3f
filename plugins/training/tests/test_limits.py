"""Limits written into a model file: what changes, what stays, what is refused."""

from __future__ import annotations

import json

import pytest
import torch

from tessera_training.__main__ import main
from tessera_training.files import safetensors_io


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "generator.safetensors"
    tensors = {"b": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3), "a": torch.tensor([1.5, -2.0])}
    safetensors_io.save(path, tensors, {"kind": "mar_weights", "config": "{}"})
    return path


def data_of(path):
    raw = path.read_bytes()
    return raw[8 + int.from_bytes(raw[:8], "little"):]


def test_weights_stay_byte_for_byte(model):
    before, tensors = data_of(model), list(safetensors_io.load(model)[0])
    assert main(["limits", str(model), "tokens=-6:6", "guidance=0:8.5"]) == 0
    metadata = safetensors_io.load_metadata(model)
    assert json.loads(metadata.pop("limits")) == {"tokens": [-6.0, 6.0], "guidance": [0.0, 8.5]}
    assert metadata == {"kind": "mar_weights", "config": "{}"}
    assert data_of(model) == before
    assert list(safetensors_io.load(model)[0]) == tensors
    assert int.from_bytes(model.read_bytes()[:8], "little") % 8 == 0


def test_one_is_changed_or_taken_out(model, capsys):
    main(["limits", str(model), "tokens=-6:6", "guidance=0:8"])
    main(["limits", str(model), "tokens=-4:4"])
    assert json.loads(safetensors_io.load_metadata(model)["limits"]) == {"guidance": [0, 8], "tokens": [-4, 4]}
    main(["limits", str(model), "tokens=", "guidance="])
    assert "limits" not in safetensors_io.load_metadata(model)
    capsys.readouterr()
    main(["limits", str(model)])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["tokens", "tokens=1", "tokens=2:1", "tokens=a:b", "=1:2", "tokens=0:inf", "tokens=0:1:2"])
def test_nonsense_is_refused_and_nothing_written(model, text, capsys):
    before = model.read_bytes()
    assert main(["limits", str(model), text]) == 1
    assert "NAME=LOW:HIGH" in capsys.readouterr().err
    assert model.read_bytes() == before
