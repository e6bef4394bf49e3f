"""Texture models: codec, style, trunk, sampler, objective, file, and the whole way from images to a model."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import cast

import pytest
import torch

from tessera_training import __main__ as program
from tessera_training.checks import record_texture
from tessera_training.config import Config
from tessera_training.errors import UserError
from tessera_training.files import model_dir, safetensors_io, texture_file
from tessera_training.files.texture_file import TextureModel
from tessera_training.networks import style, texture, wavelet
from tessera_training.networks.style import Bank
from tessera_training.networks.texture import Texture, TextureConfig, TextureSettings
from tessera_training.objectives.texture import balanced, known_sets
from tessera_training.pipeline import Run, run_stages
from tessera_training.trainer import Trainer

ARGUMENTS = argparse.Namespace(restart=False, threads=0, minutes=None)
SMALL = TextureConfig(classes=2, width=32, condition=16, kernel=3, layers=("mix", "attention", "mix"))


def _pictures(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([record_texture.made_up_picture(height, width, generator) for _ in range(count)])


@pytest.fixture()
def model() -> TextureModel:
    """Every parameter random, so that nothing hides behind a zero."""
    torch.manual_seed(4)
    trunk = Texture(SMALL)
    for parameter in trunk.parameters():
        parameter.data.normal_(std=.5 * max(1, parameter[0].numel() if parameter.ndim > 1 else 4) ** -.5)
    raw = style.of(_pictures(6, 64, 64))[1]
    bank = style.make_bank(raw, torch.tensor([0, 1, 0, 1, 1, 0]), 2, None)
    return TextureModel(trunk.eval().requires_grad_(False), bank, torch.full((96,), 6.0), ["a", "b"],
                        TextureSettings(steps=4))


def _band_limited(height: int, width: int) -> torch.Tensor:
    return wavelet.rgb_of(torch.randn(2, height // 8, width // 8, 96, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("sides", [(8, 8), (16, 40), (128, 64)])
def test_wavelet_is_exact_both_ways(sides: tuple[int, int]) -> None:
    picture = _band_limited(*sides)
    assert torch.allclose(wavelet.rgb_of(wavelet.tokens_of(picture)), picture, atol=1e-5)
    grey = torch.rand(1, 1, *sides).expand(1, 3, *sides)  # luma keeps all levels
    assert torch.allclose(wavelet.rgb_of(wavelet.tokens_of(grey)), grey, atol=1e-5)


def test_times_are_dense_at_noise() -> None:
    times = texture.run_times(dataclasses.replace(SMALL, time_power=2.0), 4)
    assert torch.allclose(times, torch.tensor([.996, .934, .748, .438, .004]))
    said = json.loads(SMALL.to_json())
    assert said.pop("time_power") == SMALL.time_power
    assert TextureConfig.from_json(json.dumps(said)).time_power == 0


def test_steps_at_one_time_do_nothing(model: TextureModel) -> None:
    model.trunk.config = dataclasses.replace(SMALL, time_power=0.0)
    assert texture.run_times(model.trunk.config, 300)[:2].unique().numel() == 1
    images = model.images(torch.tensor([1]), 3, dataclasses.replace(model.settings, steps=300), 32)
    assert bool(torch.isfinite(images).all())


def test_wavelet_follows_shifts_of_whole_tokens() -> None:
    picture = _band_limited(32, 48)
    moved = wavelet.tokens_of(picture.roll((8, -16), (2, 3)))
    assert torch.allclose(moved, wavelet.tokens_of(picture).roll((1, -2), (1, 2)), atol=1e-5)


def test_a_flat_picture_is_its_mean() -> None:
    tokens = wavelet.tokens_of(torch.full((1, 3, 16, 16), 0.5))
    assert torch.allclose(tokens[..., 0], torch.tensor(4.0), atol=1e-5) and float(tokens[..., 1:].abs().max()) < 1e-5


def test_style_goes_out_and_back() -> None:
    tokens = wavelet.tokens_of(_pictures(3, 64, 96))
    normalised, exact = style.take_out(tokens)
    assert exact.shape == (3, style.EXACT)
    assert torch.allclose(style.put_back(normalised, exact), tokens, atol=1e-4)
    assert float(normalised.mean((1, 2))[:, [0, 64, 80]].abs().max()) < 1e-5
    assert float((style.group_means(normalised**2) - 1).abs().max()) < 0.3  # of weak bands the floor takes some


def test_style_measures_waves_per_128_pixels() -> None:
    x = torch.arange(128) * 2 * torch.pi / 128
    stripes = (0.5 * torch.sin(6 * x)).expand(1, 3, 128, 128)  # 6 waves across: bin 5 has 5 <= f < 7
    raw = style.of(stripes)[1][0]
    assert int(raw[22:34].argmax()) == 5 and int(raw[34:46].argmax()) == 0
    wide = style.of(torch.cat([stripes, stripes], 3))[1][0]
    assert torch.allclose(wide[22:82], raw[22:82], atol=1e-3)


def test_bank_draws_styles_of_the_class(model: TextureModel) -> None:
    drawn = model.bank.draw(torch.tensor([1, 0]), 0.0, torch.Generator().manual_seed(0))
    assert any(torch.equal(drawn[0], row) for row in model.bank.styles[3:])
    assert any(torch.equal(drawn[1], row) for row in model.bank.styles[:3])


def test_styles_stray_as_those_of_the_class_differ() -> None:
    signs = torch.tensor([1., -1.]).repeat(32)
    styles = torch.full((65, style.SIZE), .5)
    styles[:64:8, 0] = .5 + torch.tensor([1., -1.]).repeat(4)
    styles[:64, 1:3] = 1 + 2 * signs[:, None]
    bank = Bank(styles, [64, 1], torch.zeros(style.SIZE), torch.ones(style.SIZE))
    drawn = bank.draw(torch.zeros(2000, dtype=torch.long), 1.0, torch.Generator().manual_seed(5))
    assert float(drawn[:, 1].var()) == pytest.approx(4, abs=.4)  # as in the bank
    assert float((drawn[:, 1] - drawn[:, 2]).square().mean()) == pytest.approx(1 / 64, abs=.004)
    assert float((drawn[:, 0] - .5).square().mean()) == pytest.approx(.42, abs=.06)  # brightness
    assert float(drawn[:, 0].min()) == -.5 and float(drawn[:, 0].max()) == 1.5
    assert float((drawn[:, 20] - .5).square().mean()) == pytest.approx(.5 / 64, abs=.002)
    assert float((drawn[:, 50] - .5).square().mean()) == pytest.approx(.16 / 1.16 / 64, abs=.0005)  # describes
    alone = bank.draw(torch.ones(2000, dtype=torch.long), .4, torch.Generator().manual_seed(5))
    assert float(alone[:, 20].std()) == pytest.approx(.4 * 1.16**-.5, abs=.03)


def test_trunk_lives_on_the_torus(model: TextureModel) -> None:
    """Shifted tokens, shifted result; on grids of several windows their places shift along."""
    condition = torch.randn(1, 16)
    for side in (5, 16):
        x, known = torch.randn(1, side, 12, 96), (torch.rand(1, side, 12) < .5).float()
        out = model.trunk(x, known, condition)
        moved = model.trunk(x.roll((2, 3), (1, 2)), known.roll((2, 3), (1, 2)), condition)
        assert torch.allclose(moved, out.roll((2, 3), (1, 2)), atol=1e-4)
    x, known = torch.randn(1, 24, 40, 96), torch.zeros(1, 24, 40)
    out = model.trunk(x, known, condition, (1, 2))
    moved = model.trunk(x.roll((2, 3), (1, 2)), known, condition, (3, 5))
    assert torch.allclose(moved, out.roll((2, 3), (1, 2)), atol=1e-4)


@pytest.mark.parametrize("side", [17, 24, 32, 40])
def test_windows_own_every_token_once(side: int) -> None:
    cut = texture.windows(side, 16, 5, torch.device("cpu"))
    assert cut.rows.shape == (-(-side // 16), 16)
    assert torch.equal(cut.rows[cut.owner, cut.place], torch.arange(side))


def test_known_tokens_stay_and_reach_the_others(model: TextureModel) -> None:
    labels, styles = torch.tensor([1]), model.bank.styles[3:4]
    noise, given = torch.randn(1, 6, 7, 96), torch.randn(1, 6, 7, 96)
    known = record_texture.hole(6, 7)
    seen: list[torch.Tensor] = []
    tokens = texture.sample(model.trunk, model.limit, labels, styles, noise, model.settings, known, given,
                            lambda *values: seen.append(values[3]))
    assert len(seen) == 4 and torch.equal(tokens[known > 0], given[known > 0])
    other = texture.sample(model.trunk, model.limit, labels, styles, noise, model.settings, known, given + 1)
    assert not torch.allclose(other[known == 0], tokens[known == 0])


@pytest.mark.parametrize("guidance,temperature", [(20.0, 2.0), (20.0, 0.0), (1.0, 2.0)])
def test_extreme_settings_stay_finite(model: TextureModel, guidance: float, temperature: float) -> None:
    settings = TextureSettings(steps=6, guidance=guidance, temperature=temperature)
    images = model.images(torch.tensor([0, 1]), 1, settings, 64)
    assert bool(torch.isfinite(images).all()) and float(images.std()) > 0.01


def test_guidance_only_between_its_times(model: TextureModel) -> None:
    def tokens(**settings: float) -> torch.Tensor:
        return model.tokens(torch.tensor([0]), torch.Generator().manual_seed(0),
                            TextureSettings(steps=4, **settings), (4, 4))[0]  # type: ignore[arg-type]
    assert torch.equal(tokens(guidance=3, guidance_low=.3, guidance_high=.3), tokens(guidance=1))
    assert not torch.equal(tokens(guidance=3, guidance_low=.3, guidance_high=.6), tokens(guidance=3))


class _Still(torch.nn.Module):
    """Predicts v = 0 whatever it is given."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.config = config

    def condition(self, labels: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return labels

    def forward(self, x: torch.Tensor, *_: object) -> torch.Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_noise_in_the_steps_keeps_what_noise_there_is(temperature: float) -> None:
    """Of data that is white noise itself v is 0, and x stays what it is at any time: as noisy as the temperature."""
    config = dataclasses.replace(SMALL, time_power=2.0)
    settings = TextureSettings(steps=200, guidance=1, eta=1, temperature=temperature)
    generator = torch.Generator().manual_seed(0)
    deviations = []

    def watch(_: int, time: float, v: torch.Tensor, clean: torch.Tensor) -> None:
        alpha, _sigma = texture.alpha_sigma(torch.tensor(time), texture.number_shifts(config))
        deviations.append(float((clean / alpha).std()))

    still = cast(Texture, _Still(config))
    noise = torch.randn(2, 16, 16, 96, generator=generator)
    known = torch.zeros(2, 16, 16)  # tokens of a whole picture are tamed
    texture.sample(still, torch.full((96,), 1e3), torch.tensor([0, 1]), torch.zeros(2, 99), noise, settings, known,
                   None, watch, generator)
    assert deviations == pytest.approx([temperature] * 200, rel=0.02)
    again = [texture.sample(still, torch.full((96,), 1e3), torch.tensor([0, 1]), torch.zeros(2, 99), noise, settings, known,
                            None, None, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(again[0], again[1]) and not torch.equal(again[0], again[2])


def test_a_seed_is_a_picture_of_any_size(model: TextureModel) -> None:
    labels = torch.tensor([0])
    assert torch.equal(model.images(labels, 3, size=64), model.images(labels, 3, size=64))
    assert not torch.equal(model.images(labels, 3, size=64), model.images(labels, 4, size=64))
    assert model.images(labels, 3, size=192).shape == (1, 3, 192, 192)


def test_file_keeps_the_model(model: TextureModel, tmp_path: Path) -> None:
    texture_file.save(tmp_path / "generator.safetensors", model, {"name": "small"}, torch.float32)
    again = model_dir.load(tmp_path)
    assert isinstance(again, TextureModel) and again.classes == ["a", "b"] and again.settings == model.settings
    assert not any(name.startswith("canvas") for name in json.loads(again.metadata["defaults"]))
    for name, value in model.trunk.state_dict().items():
        assert torch.equal(value, again.trunk.state_dict()[name]), name
    assert again.bank.counts == [3, 3] and torch.allclose(again.bank.styles, model.bank.styles, atol=3e-3)
    tensors, metadata = safetensors_io.load(tmp_path / "generator.safetensors")
    del tensors["output.weight"]
    safetensors_io.save(tmp_path / "generator.safetensors", tensors, metadata)
    with pytest.raises(UserError, match="output.weight"):
        model_dir.load(tmp_path)


def test_recorded_cases(model: TextureModel, tmp_path: Path) -> None:
    texture_file.save(tmp_path / "generator.safetensors", model, {})
    assert program.main(["check", str(tmp_path), "--write-case", str(tmp_path)]) == 0
    tensors, metadata = safetensors_io.load(tmp_path / "case_oblong_hole.safetensors")
    settings = TextureSettings(**json.loads(metadata["settings"]))
    assert metadata["kind"] == "texture_sample" and len(json.loads(metadata["times"])) == settings.steps
    loaded = texture_file.load(tmp_path / "generator.safetensors")
    again = texture.sample(loaded.trunk, loaded.limit, tensors["labels"].long(), tensors["styles"], tensors["noise"],
                           settings, tensors["known"], tensors["given"])
    assert torch.equal(again, tensors["tokens"])
    assert tensors["step.00.x"].shape == tensors["step.00.v_free"].shape == (1, 24, 32, 96)


def test_the_runtime_agrees(model: TextureModel, check_case: Path, tmp_path: Path) -> None:
    texture_file.save(tmp_path / "generator.safetensors", model, {})
    assert program.main(["check", str(tmp_path), "--program", str(check_case)]) == 0


def test_known_sets_have_every_shape() -> None:
    sets = known_sets(400, 16, 0.5, torch.Generator().manual_seed(0))
    share = sets.mean((1, 2))
    assert 0.35 < float((share == 0).float().mean()) < 0.65
    assert float(share.max()) < 1.0 and int((share > 0.8).sum()) > 5 and int(((share > 0) & (share < 0.2)).sum()) > 5


def test_small_classes_come_more_often() -> None:
    labels = torch.tensor([0] * 80 + [1] * 10)
    ids = balanced(torch.arange(90), labels, 0.5)
    ratio = float((labels[ids] == 1).sum() / (labels[ids] == 0).sum())
    assert 0.3 < ratio < 0.4  # (10/80)^0.5


@pytest.fixture()
def config(texture_config: Config) -> Config:
    return dataclasses.replace(texture_config, texture=SMALL)


def test_train_export_and_start_from_it(config: Config, tmp_path: Path) -> None:
    stages = ["pack", "texture", "tokenizer", "generator", "export"]
    run_stages(config, stages, ARGUMENTS)
    path = Path(config.export.path) / "generator.safetensors"
    made = texture_file.load(path)
    assert made.classes == ["blue", "red"] and made.bank.counts == [4, 4] and made.limit.shape == (96,)
    assert (path.parent / "contact_sheet.webp").is_file() and not (path.parent / "tokenizer.safetensors").exists()
    again = dataclasses.replace(config, run_dir=str(tmp_path / "second"), texture_training=dataclasses.replace(
        config.texture_training, start=str(path), steps=1, lr=1e-9, muon_lr=1e-9, weight_decay=0.0))
    run_stages(again, ["pack", "texture"], ARGUMENTS)
    run = Run(again)
    second, _ = run.texture(run.pack())
    for name, value in made.trunk.state_dict().items():
        assert torch.allclose(second.trunk.state_dict()[name], value, atol=1e-5), name
    assert torch.equal(second.bank.mean, made.bank.mean)


class Killed(Exception):
    pass


def test_resume_is_exact(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stages(config, ["pack", "texture"], ARGUMENTS)
    original = Trainer.train_step

    def killed(self: Trainer, module: torch.nn.Module) -> dict[str, torch.Tensor]:
        if self.step == 4:
            self.save()
            raise Killed
        return original(self, module)
    broken = dataclasses.replace(config, run_dir=str(tmp_path / "broken"))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(Killed):
            run_stages(broken, ["pack", "texture"], ARGUMENTS)
    run_stages(broken, ["pack", "texture"], ARGUMENTS)
    first, second = (torch.load(Path(folder) / "texture.checkpoint.pt") for folder in (config.run_dir, broken.run_dir))
    assert first["step"] == second["step"] == 6
    for name, value in first["ema"].items():
        assert torch.equal(value, second["ema"][name]), name
    assert any(not torch.equal(first["ema"][name], first["model"][name]) for name in first["ema"])


@pytest.mark.parametrize("change,message", [
    ({"sizes": (24,), "shares": (1.0,)}, "24 is no multiple of 8 that divides the packed 32 pixels"),
    ({"sizes": (16, 32), "shares": (1.0,)}, "one entry per size")])
def test_wrong_sizes_are_named(config: Config, change: dict, message: str) -> None:
    wrong = dataclasses.replace(config, texture_loss=dataclasses.replace(config.texture_loss, **change))
    with pytest.raises(UserError, match=message):
        run_stages(wrong, ["pack", "texture"], ARGUMENTS)
