"""The whole way from images to a model directory, and resuming in the middle of it."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tessera_training.config import Config
from tessera_training.errors import UserError
from tessera_training.files import safetensors_io
from tessera_training.networks.mar import Mar, MarConfig
from tessera_training.pipeline import STAGES, Run, run_stages
from tessera_training.trainer import Trainer, pick_device

ARGUMENTS = argparse.Namespace(restart=False, threads=0, minutes=None)


def test_train_and_export(tiny_config: Config) -> None:
    run_stages(tiny_config, list(STAGES), ARGUMENTS)
    model = Path(tiny_config.export.path)
    weights, metadata = safetensors_io.load(model / "generator.safetensors")
    assert metadata["kind"] == "mar_weights" and json.loads(metadata["classes"]) == ["blue", "red"]
    config = MarConfig.from_json(metadata["config"])
    assert config.latent_scale == 1.0 and config.vae_stride == 8
    Mar(config).load_state_dict({name: value.float() for name, value in weights.items()})
    assert all(value.dtype == torch.bfloat16 for value in weights.values())
    assert (model / "contact_sheet.webp").exists() and (model / "tokenizer.safetensors").exists()


def test_devices() -> None:
    assert pick_device("cpu", "generator") == torch.device("cpu")
    with pytest.raises(UserError, match="generator: device = 'gpu', expected 'cpu', 'cuda' or 'auto'"):
        pick_device("gpu", "generator")
    if not torch.cuda.is_available():
        assert pick_device("auto", "generator") == torch.device("cpu")
        with pytest.raises(UserError, match="finds no CUDA device"):
            pick_device("cuda", "generator")


class Killed(Exception):
    pass


def _killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Trainer.train_step

    def train_step(self: Trainer, module: torch.nn.Module) -> dict[str, torch.Tensor]:
        if self.stage == "generator" and self.step == step:
            self.save()
            raise Killed
        return original(self, module)
    monkeypatch.setattr(Trainer, "train_step", train_step)


def _curve(path: Path) -> list[tuple[str, ...]]:
    """Step, loss, mse, vb and gradient norm of each row (not the timings)."""
    with path.open() as file:
        return [tuple(row[:5]) for row in csv.reader(file)]


def test_resume_repeats_the_curve(tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = ["pack", "tokenizer", "generator"]
    run_stages(tiny_config, stages, ARGUMENTS)
    whole = Path(tiny_config.run_dir)
    broken = dataclasses.replace(tiny_config, run_dir=str(tmp_path / "broken"))
    with monkeypatch.context() as patch:
        _killed_at(3, patch)
        with pytest.raises(Killed):
            run_stages(broken, stages, ARGUMENTS)
    run_stages(broken, stages, ARGUMENTS)
    assert _curve(tmp_path / "broken" / "generator.csv") == _curve(whole / "generator.csv")
    first, second = (torch.load(folder / "generator.checkpoint.pt") for folder in (whole, tmp_path / "broken"))
    for name, value in first["ema"].items():
        assert torch.equal(value, second["ema"][name]), name


def test_folding_keeps_the_images(tiny_config: Config) -> None:
    run_stages(tiny_config, ["pack", "tokenizer"], ARGUMENTS)
    run = Run(tiny_config)
    vae, encoded, images = run.tokenizer(), run.latents(), run.pack()
    image = images.plain(torch.arange(4))
    with torch.no_grad():
        z, _ = vae.encode(image)
        before = vae.decode(z)
        vae.fold_normalisation(encoded.channel_mean, encoded.channel_std)
        folded, _ = vae.encode(image)
        after = vae.decode(folded)
    assert torch.allclose(after, before, atol=1e-4)
    assert torch.allclose(encoded.restore(folded), z, atol=1e-4)


def test_circular_tokenizer_follows_shifts(tiny_config: Config) -> None:
    run_stages(tiny_config, ["pack", "tokenizer"], ARGUMENTS)
    run = Run(tiny_config)
    vae, image = run.tokenizer(), run.pack().plain(torch.arange(2))
    with torch.no_grad():
        z, _ = vae.encode(image)
        shifted, _ = vae.encode(torch.roll(image, (8, -16), (2, 3)))
        assert torch.allclose(shifted, torch.roll(z, (1, -2), (2, 3)), atol=1e-5)
        assert torch.allclose(vae.decode(shifted), torch.roll(vae.decode(z), (8, -16), (2, 3)), atol=1e-5)
