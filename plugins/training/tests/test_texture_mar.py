"""MAR on wavelet tokens: what the trunk sees, sampler, objective, file, and the whole way from images to a model."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tessera_training import __main__ as program
from tessera_training.checks import record_texture
from tessera_training.config import Config
from tessera_training.files import safetensors_io, texture_file
from tessera_training.files.texture_file import TextureModel
from tessera_training.networks import diffusion, style, texture_mar
from tessera_training.networks.texture import TIMES, Texture, TextureConfig, TextureSettings
from tessera_training.networks.texture_mar import TextureMar
from tessera_training.objectives.texture_mar import TextureMarObjective
from tessera_training.pictures.data import ImagePack
from tessera_training.pipeline import Run, run_stages

ARGUMENTS = argparse.Namespace(restart=False, threads=0, minutes=None)
SMALL = TextureConfig(classes=2, width=32, condition=16, kernel=3, window=8, diffloss_w=24, diffloss_d=2,
                      layers=("mix", "attention", "mix"))


def _random(trunk: torch.nn.Module) -> None:
    torch.manual_seed(4)
    for parameter in trunk.parameters():
        parameter.data.normal_(std=.5 * max(1, parameter[0].numel() if parameter.ndim > 1 else 4) ** -.5)


@pytest.fixture()
def model() -> TextureModel:
    trunk = texture_file.build(SMALL)
    _random(trunk)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.cat([record_texture.made_up_picture(64, 64, generator) for _ in range(6)])
    bank = style.make_bank(style.of(pictures)[1], torch.tensor([0, 1, 0, 1, 1, 0]), 2)
    return TextureModel(trunk.eval().requires_grad_(False), bank, torch.full((96,), 6.0), ["a", "b"],
                        TextureSettings(steps=3, width=64, height=64, denoise_steps="5"))


def test_only_known_tokens_are_looked_at(model: TextureModel) -> None:
    trunk = model.trunk
    assert isinstance(trunk, TextureMar)
    tokens, known = torch.randn(1, 8, 8, 96), (torch.rand(1, 8, 8) < .5).float()
    who = trunk.who(torch.tensor([1]), model.bank.styles[:1], torch.tensor([False]))
    other = torch.where(known[..., None] > 0, tokens, torch.randn(1, 8, 8, 96))
    assert torch.equal(trunk.conditions(tokens, known, who), trunk.conditions(other, known, who))
    known[0, 3, 3] = 1 - known[0, 3, 3]
    assert not torch.allclose(trunk.conditions(tokens, known, who), trunk.conditions(other, known, who))


def test_starts_as_the_joint_model_does_at_noise(model: TextureModel) -> None:
    joint = Texture(dataclasses.replace(SMALL, diffloss_w=0))
    _random(joint)
    trunk = texture_file.build(SMALL)
    assert isinstance(trunk, TextureMar)
    trunk.start_from(joint)
    tokens, known = torch.randn(2, 8, 8, 96), torch.zeros(2, 8, 8)
    known[:, :4] = 1
    labels, free = torch.tensor([0, 1]), torch.tensor([False, True])
    noisy = joint.condition(labels, model.bank.styles[:2], free, torch.full((2,), TIMES[1]))
    expected = joint.rows(tokens * known[..., None], known, noisy)
    made = trunk.conditions(tokens, known, trunk.who(labels, model.bank.styles[:2], free))
    assert torch.allclose(made, expected, atol=1e-5)


def test_known_tokens_stay(model: TextureModel) -> None:
    given, known = torch.randn(1, 8, 8, 96), record_texture.hole(8, 8)
    tokens = model.sampled(torch.tensor([0]), model.bank.styles[:1], model.settings, (8, 8),
                           torch.Generator().manual_seed(1), known, given)
    kept = known[..., None].expand_as(given) > 0
    assert torch.equal(tokens[kept], given[kept]) and bool(torch.isfinite(tokens).all())


@pytest.fixture()
def config(texture_config: Config) -> Config:
    return dataclasses.replace(texture_config, texture=SMALL)


def test_something_is_always_unknown(config: Config, model: TextureModel) -> None:
    run_stages(config, ["pack"], ARGUMENTS)
    images = ImagePack(Path(config.run_dir) / "pack.safetensors", config.data)
    all_known = dataclasses.replace(config.texture_loss, known_share=1.0)
    for loss in (config.texture_loss, all_known):
        objective = TextureMarObjective(model.trunk, images, model.bank, loss)
        for step in range(20):
            objective.begin(1, step, 0.0)
            draws = objective.draw(torch.zeros(64, dtype=torch.long), torch.Generator().manual_seed(step))
            assert float(draws["known"].flatten(1).amin(1).max()) == 0
            assert float(draws["known"].flatten(1).gather(1, draws["rows"]).max()) == 0


def test_loss_is_that_of_the_head(config: Config, model: TextureModel) -> None:
    run_stages(config, ["pack"], ARGUMENTS)
    images = ImagePack(Path(config.run_dir) / "pack.safetensors", config.data)
    plain = dataclasses.replace(config.texture_loss, level_weights=(1.0, 1.0, 1.0, 1.0), style_noise=0.0)
    objective = TextureMarObjective(model.trunk, images, model.bank, plain)
    objective.weight.fill_(1.0)
    draws = objective.draw(torch.tensor([0, 3]), torch.Generator().manual_seed(1))
    _, parts = objective(draws)
    tokens, styles = objective.normalised(draws)
    trunk, table, errors = objective.model, diffusion.tables(), []
    labels = torch.where(draws["drop"][:, 1], 2, images.labels[draws["ids"]])
    z = trunk.conditions(tokens, draws["known"], trunk.who(labels, styles, draws["drop"][:, 0])).flatten(1, 2)
    for image in range(2):
        for row, place in enumerate(draws["rows"][image].tolist()):
            x0, noise, t = tokens.flatten(1, 2)[image, place], draws["noise"][image, row], draws["times"][image, row]
            x0 = x0.expand_as(noise)
            out = trunk.diffloss.net(diffusion.noised(table, x0, t, noise), t, z[image, place].expand(len(t), -1))
            errors.append(((out[:, :96] - diffusion.velocity(table, x0, t, noise)) ** 2).mean())
    assert torch.allclose(parts["mse"], torch.stack(errors).mean(), rtol=1e-4)


def test_train_export_and_sample(config: Config) -> None:
    run_stages(config, ["pack", "texture", "export"], ARGUMENTS)
    path = Path(config.export.path) / "generator.safetensors"
    metadata = safetensors_io.load_metadata(path)
    assert metadata["generator"] == "org.tessera.mar" and json.loads(metadata["config"])["variant"] == "torus"
    made = texture_file.load(path)
    assert isinstance(made.trunk, TextureMar) and made.settings == config.export.texture
    assert (path.parent / "contact_sheet.webp").is_file()
    run = Run(config)
    trained, _ = run.texture(run.pack())
    for name, value in trained.trunk.state_dict().items():
        assert torch.allclose(made.trunk.state_dict()[name], value, atol=2e-3), name


def test_recorded_cases(model: TextureModel, tmp_path: Path) -> None:
    texture_file.save(tmp_path / "generator.safetensors", model, {}, torch.float32)
    assert program.main(["check", str(tmp_path), "--write-case", str(tmp_path)]) == 0
    tensors, metadata = safetensors_io.load(tmp_path / "case_sets_hole.safetensors")
    settings = TextureSettings(**json.loads(metadata["settings"]))
    loaded = texture_file.load(tmp_path / "generator.safetensors")
    assert isinstance(loaded.trunk, TextureMar)

    def noise(step: int, draw: int, rows: int) -> torch.Tensor:
        made = tensors[f"step.{step:02d}.initial"] if draw == 0 else tensors[f"step.{step:02d}.noise"][draw - 1]
        assert len(made) == rows
        return made
    again = texture_mar.sample(
        loaded.trunk, tensors["labels"].long(), tensors["styles"], tensors["orders"].long(), (8, 12),
        texture_mar.sample_settings(settings), noise, tensors["known"].float(), tensors["given"])
    assert torch.equal(again, tensors["tokens"])


def test_the_runtime_agrees(model: TextureModel, check_case: Path, tmp_path: Path) -> None:
    texture_file.save(tmp_path / "generator.safetensors", model, {}, torch.float32)
    assert program.main(["check", str(tmp_path), "--program", str(check_case)]) == 0
