"""Reading golden files, and comparing within the limits of the fixtures' description."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tessera_training.files import safetensors_io
from tessera_training.networks.mar import Mar, MarConfig

Tensors = dict[str, torch.Tensor]


# Sets too large to travel with the project; everything else has to be there.
ELSEWHERE = ("mar_loss/loss_eval.safetensors", "mar_rect/case_steps25_cfg2_linear.safetensors",
             "checkpoints/official_tiny_released.pth", "checkpoints/kl_tiny.ckpt")


def fixture_file(fixtures: Path, name: str) -> Path:
    """A file of the fixtures; skips the test for those that live elsewhere."""
    if name in ELSEWHERE and not (fixtures / name).is_file():
        pytest.skip(f"{name} does not travel with the project; TESSERA_FIXTURES_DIR names a folder that has it")
    return fixtures / name


def load(path: Path) -> tuple[Tensors, dict[str, object]]:
    """Tensors, and the metadata with JSON texts parsed."""
    tensors, metadata = safetensors_io.load(path)
    values: dict[str, object] = {}
    for key, text in metadata.items():
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return tensors, values


def load_mar(path: Path) -> Mar:
    """The model in a weights file; strict about names and shapes."""
    tensors, metadata = safetensors_io.load(path)
    model = Mar(MarConfig.from_json(metadata["config"]))
    model.load_state_dict(tensors)
    return model.eval()


def assert_close(actual: torch.Tensor, expected: torch.Tensor, limit: float, name: str) -> None:
    """The largest absolute difference must not exceed `limit`."""
    assert actual.shape == expected.shape, f"{name}: {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    worst = float((actual.detach().double() - expected.double()).abs().max()) if actual.numel() else 0.0
    assert worst <= limit, f"{name}: off by {worst:.3g}, limit {limit:.3g}"


def top(tensor: torch.Tensor) -> float:
    return float(tensor.abs().max())
