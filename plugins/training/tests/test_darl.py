"""DARL: model, objective and sampler against recorded tensors, then from pictures to a model."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from golden import Tensors, assert_close, load, top

from tessera_training import pixel_models
from tessera_training.config import Config, ExportConfig, PixelsConfig
from tessera_training.errors import UserError
from tessera_training.networks import darl
from tessera_training.networks.blocks import TimeEmbedding
from tessera_training.networks.darl import Darl, DarlConfig, SampleSettings
from tessera_training.objectives import darl as objective
from tessera_training.pipeline import run_stages
from tessera_training.trainer import Trainer

DATA = Path(__file__).resolve().parents[3] / "tests" / "golden" / "data" / "darl_tiny"
ROWS = 1e-5  # of max(1, largest)
GRADIENT_LIMIT = 1e-5  # of the largest entry of the whole gradient


def load_darl(name: str) -> Darl:
    tensors, metadata = load(DATA / f"weights_{name}.safetensors")
    assert isinstance(metadata["config"], dict)
    model = Darl(DarlConfig(**metadata["config"]))
    model.load_state_dict(tensors)
    return model.eval()


@pytest.fixture(params=["a", "b"])
def case(request: pytest.FixtureRequest) -> tuple[Tensors, Darl]:
    tensors, model = load(DATA / f"teacher_{request.param}.safetensors")[0], load_darl(request.param)
    return {"labels": torch.empty(0), **tensors}, model


def _close(actual: torch.Tensor, tensors: Tensors, name: str) -> None:
    assert_close(actual, tensors[name], ROWS * max(1.0, top(tensors[name])), name)


def _labels(tensors: Tensors) -> torch.Tensor | None:
    return tensors["labels"] if len(tensors["labels"]) else None


def test_tables() -> None:
    tensors, _ = load(DATA / "tables.safetensors")
    u = tensors["beta.u"]
    for a in (0.03, 0.5, 1.0):
        name = f"beta.{a:g}_1"
        log_g = objective.log_share(u, a)
        assert_close(log_g, tensors[f"{name}.ln_gamma"], 1e-9, name)
        assert_close(objective.log_snr(log_g), tensors[f"{name}.lambda"], 1e-6, name)
    assert_close(objective.half_share(u), tensors["beta.half_half.gamma"], 1e-12, "half_half")
    _close(TimeEmbedding.features(tensors["level.lambda"]), tensors, "level.features")
    for name in ("a", "b", "dh64"):
        prefix = f"rope.{name}"
        turns = darl.rotation(tensors[f"{prefix}.col"], tensors[f"{prefix}.row"],
                              2 * tensors[f"{prefix}.cos"].shape[1], 10000.0)
        assert_close(turns[0], tensors[f"{prefix}.cos"], 1e-12, prefix)
        assert_close(turns[1], tensors[f"{prefix}.sin"], 1e-12, prefix)
        if f"{prefix}.q" in tensors:
            turned = darl.turn(tensors[f"{prefix}.q"], turns[0].float(), turns[1].float())
            _close(turned, tensors, f"{prefix}.q_rotated")


def test_both_heads_and_gradients(case: tuple[Tensors, Darl]) -> None:
    tensors, model = case
    patches = darl.cut(tensors["images"], model.config.patch_size)
    assert torch.equal(patches, tensors["patches"])
    assert torch.equal(darl.join(patches, model.config), tensors["images"])
    z = model.conditions(patches[:, :-1], _labels(tensors))
    _close(z, tensors, "z")
    mean = model.head_linear(z)
    _close(mean, tensors, "mean_patch")
    log_g = tensors["gamma"].double().log()
    x = objective.noised(patches, log_g, tensors["noise"])
    _close(x, tensors, "x_noisy")
    level = tensors["lambda"]
    pair = model.patch_decoder.pair(z.flatten(0, 1), x.flatten(0, 1), level.flatten()).reshape(x.shape)
    _close(pair, tensors, "pair_x0")
    _close(((pair - patches) ** 2).mean(-1), tensors, "pair_rows")
    prefix = model.patch_decoder.prefix(z, x, level)
    _close(prefix, tensors, "prefix_x0")
    losses = {"mse_loss": ((mean - patches) ** 2).mean(), "pair_loss": ((pair - patches) ** 2).mean(),
              "prefix_loss": ((prefix - patches) ** 2).mean()}
    for name, value in losses.items():
        assert abs(float(value.detach()) - float(tensors[name])) < 1e-5, name
    (losses["mse_loss"] + losses["pair_loss"]).backward()
    _check_gradients(model, tensors)


def _check_gradients(model: Darl, tensors: Tensors) -> None:
    recorded = {name[5:]: value for name, value in tensors.items() if name.startswith("grad.")}
    parameters = dict(model.named_parameters())
    assert len(recorded) > 20 and not set(recorded) - set(parameters)
    limit = GRADIENT_LIMIT * max(map(top, recorded.values()))
    for name, value in recorded.items():
        grad = parameters[name].grad
        assert grad is not None, name
        assert_close(grad, value, limit, f"grad.{name}")


def test_the_objective_is_the_recorded_loss(case: tuple[Tensors, Darl]) -> None:
    tensors, model = case
    for context in ("pair", "prefix"):
        held = Darl(dataclasses.replace(model.config, context=context)).eval()
        held.load_state_dict(model.state_dict())
        module = objective.DarlObjective(held, None)  # type: ignore[arg-type]
        loss, parts = module({
            "patches": tensors["patches"], "labels": _labels(tensors), "log_g": tensors["gamma"].double().log(),
            "noise": tensors["noise"], "context": torch.zeros(())})
        expected = float(tensors["mse_loss"]) + float(tensors[f"{context}_loss"])
        assert abs(float(loss.detach()) - expected) < 1e-4 and set(parts) == {"mean", "denoised"}


def test_features(case: tuple[Tensors, Darl]) -> None:
    tensors, model = case
    inner = int(2 * model.config.depth / 3 + 0.5)
    with torch.no_grad():
        for name, causal in (("features_causal", True), ("features_full", False)):
            rows = model.encode(tensors["patches"], _labels(tensors), causal)
            _close(rows, tensors, name)
            _close(rows[:, 1:].mean(1), tensors, f"{name}.mean")
        _close(model.encode(tensors["patches"], _labels(tensors), True, inner)[:, 1:].mean(1), tensors,
               "features_causal.inner_mean")


@pytest.mark.parametrize("name", ["a_cfg1_ancestral", "a_cfg3_ddim_t090", "b_uncond_ancestral_t080"])
def test_sampling(name: str) -> None:
    tensors, metadata = load(DATA / f"generate_{name}.safetensors")
    call, own = metadata["call"], metadata["f32_vs_f64_max_abs"]
    assert isinstance(call, dict) and isinstance(own, dict)
    model = load_darl(name[0])
    if "labels" not in tensors:
        model.class_emb.weight.data.zero_()
    settings = SampleSettings(call["cfg"], call["tau"], call["n"], call["eta"], *call["lam"])
    labels = tensors.get("labels", torch.zeros(tensors["patches"].shape[0], dtype=torch.long))

    def noise(patch: int, draw: int) -> torch.Tensor:
        return tensors["noise_init"][patch] if draw == 0 else tensors["noise_steps"][patch, draw - 1]
    limit = 8 * max(own["patches"], own["cached_vs_uncached_f32"])
    assert_close(darl.sample(model, labels, settings, noise), tensors["images"], limit, name)


def test_a_patch_sees_only_those_before_it() -> None:
    torch.manual_seed(0)
    config = DarlConfig(height=12, width_px=20, patch_size=4, width=16, depth=2, heads=2, num_classes=2, nested=2)
    model, patches = Darl(config).eval(), torch.randn(1, 15, 48)
    other = patches.clone()
    other[:, 6] += 1
    before, after = (model.conditions(p[:, :-1], torch.tensor([1])) for p in (patches, other))
    changed = (before - after).abs().amax((0, 2)) > 0
    assert changed.tolist() == [False] * 7 + [True] * 8


def test_nested_order() -> None:
    config = DarlConfig(height=6, width_px=10, patch_size=2, width=16, depth=1, heads=2, nested=2)
    assert darl.sequence(config).tolist() == [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]


def test_noise_of_a_patch_stays_with_it() -> None:
    torch.manual_seed(0)
    model = Darl(DarlConfig(height=8, width_px=8, patch_size=4, width=16, depth=1, heads=2, context="prefix"))
    z, x, level = torch.randn(1, 4, 16), torch.randn(1, 4, 48), torch.zeros(1, 4)
    other = x.clone()
    other[:, 1] += 1
    a, b = (model.patch_decoder.prefix(z, value, level) for value in (x, other))
    assert ((a - b).abs().amax((0, 2)) > 1e-6).tolist() == [False, True, False, False]


ARGUMENTS = argparse.Namespace(restart=False, threads=0, minutes=None)


@pytest.fixture()
def config(tiny_config: Config) -> Config:
    """Only a DARL model, of 32 pixels in patches of 8."""
    train = dataclasses.replace(tiny_config.generator_training, ema=0.5)
    off = dataclasses.replace(train, steps=0)
    return dataclasses.replace(
        tiny_config, tokenizer_training=off, generator_training=off, pixels_training=train,
        pixels=PixelsConfig(objective="darl"),
        darl=DarlConfig(patch_size=8, width=16, depth=2, heads=2, nested=2, noise="dual"),
        export=ExportConfig(path=tiny_config.export.path, license="CC0-1.0", dtype="f32"))


def test_train_and_export(config: Config) -> None:
    run_stages(config, ["pack", "pixels", "export"], ARGUMENTS)
    path = Path(config.export.path) / "generator.safetensors"
    kind, model, metadata = pixel_models.load(path)
    assert metadata["kind"] == "darl_weights" and json.loads(metadata["classes"]) == ["blue", "red"]
    assert isinstance(model, Darl) and kind.generator == metadata["generator"] == "org.tessera.darl"
    shape = model.config
    assert (shape.height, shape.width_px, shape.num_classes, shape.nested) == (32, 32, 2, 2)
    assert kind.encode(model, torch.zeros(2, 3, 32, 32)).shape == (2, 16)


class Killed(Exception):
    pass


def test_resume_is_exact(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stages(config, ["pack", "pixels"], ARGUMENTS)
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
            run_stages(broken, ["pack", "pixels"], ARGUMENTS)
    run_stages(broken, ["pack", "pixels"], ARGUMENTS)
    first, second = (torch.load(Path(folder) / "pixels.checkpoint.pt") for folder in (config.run_dir, broken.run_dir))
    assert first["step"] == second["step"] == 6
    for name, value in first["ema"].items():
        assert torch.equal(value, second["ema"][name]), name


@pytest.mark.parametrize("change,message", [
    ({"patch_size": 7}, "32 x 32 pixels are not filled by patches of 7"),
    ({"heads": 3}, "expected a divisor of the width 16"),
    ({"context": "all"}, "expected 'pair' or 'prefix'")])
def test_wrong_shapes_are_named(config: Config, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_stages(dataclasses.replace(config, darl=dataclasses.replace(config.darl, **change)), ["pack", "pixels"],
                   ARGUMENTS)
