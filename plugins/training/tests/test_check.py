"""Recorded cases: complete, true to the sampler, and of any shape."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden import assert_close, load, load_mar, top

from tessera_training import __main__ as program
from tessera_training.files import model_dir
from tessera_training.networks.mar import SampleSettings, sample

SHAPE = ("img_size=64", "vae_stride=8", "patch_size=2", "vae_embed_dim=5", "encoder_embed_dim=36",
         "encoder_num_heads=3", "decoder_embed_dim=20", "decoder_num_heads=1", "diffloss_w=33", "num_sampling_steps=7")


def _write(folder: Path, *options: str) -> Path:
    shape = [part for setting in SHAPE for part in ("--set", setting)]
    assert program.main(["check", "--write-case", str(folder), "--batch", "3", *shape, *options]) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("case"), "--steps", "4", "--guidance-schedule", "constant",
                  "--temperature", "0.9")


def test_case_holds_what_the_sampler_did(folder: Path) -> None:
    tensors, metadata = load(folder / "case_sample.safetensors")
    assert metadata["kind"] == "mar_sample" and len(metadata["timestep_map"]) == 7
    assert metadata["call"] == {"bsz": 3, "cfg": 2.0, "cfg_schedule": "constant", "labels": [0, 2, 4], "num_iter": 4,
                                "num_sampling_steps": "7", "temperature": 0.9}
    model = load_mar(folder / "generator.safetensors")

    def recorded(step: int, draw: int, rows: int) -> torch.Tensor:
        name = f"step.{step:02d}.noise_" + ("init" if draw == 0 else "steps")
        return tensors[name] if draw == 0 else tensors[name][draw - 1]

    settings = SampleSettings(4, 2.0, "constant", 0.9, "7")
    again = sample(model, tensors["labels"], tensors["orders"], settings, recorded)
    assert torch.equal(again, tensors["latents"])
    assert_close(again, tensors["latents_f64"].float(), 1e-3 * top(again), "latents_f64")
    assert metadata["f32_vs_f64_max_abs"]["latents"] > 0


def test_case_follows_the_layout_of_the_fixtures(folder: Path) -> None:
    tensors, _ = load(folder / "case_sample.safetensors")
    rows = len(tensors["step.00.pred_index"])
    shapes = {name[8:]: tuple(value.shape) for name, value in tensors.items() if name.startswith("step.00.")}
    assert shapes == {
        "tokens_in": (3, 16, 20), "tokens_out": (3, 16, 20), "mask": (3, 16), "mask_next": (3, 16),
        "mask_to_pred": (3, 16), "mask_len": (1,), "cfg_iter": (1,), "enc_out": (6, 3, 36), "dec_out": (6, 16, 20),
        "pred_index": (rows, 2), "noise_init": (rows, 20), "noise_steps": (7, rows, 20),
        "x_steps": (8, rows, 20), "net_steps": (7, rows, 40), "raw_steps": (7, 2 * rows, 40), "sampled": (rows, 20)}
    assert "step.02.x_steps" not in tensors and "step.03.x_steps" in tensors
    assert tensors["step.00.mask"].dtype == torch.uint8 and tensors["step.00.mask_len"].dtype == torch.int64
    for step in range(4):
        prefix = f"step.{step:02d}"
        predicted = tensors[f"{prefix}.mask_to_pred"].bool()
        assert torch.equal(tensors[f"{prefix}.tokens_out"][predicted], tensors[f"{prefix}.sampled"])
        images, positions = tensors[f"{prefix}.pred_index"].T
        assert bool(predicted[images, positions].all())


def test_codec_and_pictures(folder: Path) -> None:
    codec, metadata = load(folder / "case_codec.safetensors")
    assert metadata["kind"] == "klvae_io"
    vae = model_dir.load_tokenizer(folder / "tokenizer.safetensors")
    with torch.no_grad():
        assert torch.equal(vae.decode(codec["z"]), codec["decoded"])
        assert torch.equal(vae.encode(codec["image"])[0], codec["mean"])
    pictures, metadata = load(folder / "case_pictures.safetensors")
    assert metadata["kind"] == "e2e" and float(metadata["latent_scale"]) == 1.0
    assert pictures["rgb8_round_half_even"].shape == (3, 64, 64, 3)
    assert 0 < float(pictures["rgb8_round_half_even"].float().mean()) < 255


def test_the_runtime_agrees(folder: Path, check_case: Path) -> None:
    assert program.main(["check", str(folder), "--program", str(check_case), "--batch", "2", "--no-labels",
                         "--guidance", "1"]) == 0


@pytest.mark.parametrize("options,message", [
    (["--set", "encoder_embed_dim=37"], "37 cannot have 2 attention heads"),
    (["--set", "img_size=50"], "img_size 50"), (["--set", "widths=3"], "--set widths=3"),
    (["--set", "diffloss_w=wide"], "'wide' is no number"), (["--batch", "0"], "--batch 0"),
    (["--steps", "0"], "--steps 0: expected 1 to 9"), (["--steps", "10"], "--steps 10"),
    (["--denoise-steps", "1"], "'1'"), (["nowhere"], "nowhere"), (["--program", "nothing"], "nothing"),
])
def test_wrong_requests_are_named(options: list[str], message: str, tmp_path: Path,
                                  capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tessera_training.checks.check._train", lambda *_: None)
    assert program.main(["check", "--write-case", str(tmp_path), *options]) == 1
    assert message in capsys.readouterr().err


def test_models_of_codes_and_causal_ones(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    models = Path(__file__).parents[2] / "models"
    assert program.main(["check", str(models / "materials_mar_codes"), "--write-case", str(tmp_path)]) == 0
    tensors, metadata = load(tmp_path / "case_sample.safetensors")
    assert metadata["kind"] == "mar_codes" and len(tensors["codes"].unique()) > 1
    assert program.main(["check", str(models / "materials_mar_raster"), "--write-case", str(tmp_path)]) == 1
    assert "a causal model with a diffusion head" in capsys.readouterr().err
