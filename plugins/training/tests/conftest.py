"""Common to all tests: the package on the path, few threads, numeric fixtures, a tiny data set."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest

PACKAGE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PACKAGE))
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from PIL import Image  # noqa: E402

from tessera_training import config as configuration  # noqa: E402
from tessera_training.checks.check import find_program  # noqa: E402
from tessera_training.errors import UserError  # noqa: E402
from tessera_training.networks.texture import TextureSettings  # noqa: E402

_REPOSITORY = PACKAGE.parents[1]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # the tests are too small to share, and the cores may be busy


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of golden tensors recorded from the official code: the project's, or a fuller one."""
    return Path(os.environ.get("TESSERA_FIXTURES_DIR", _REPOSITORY / "tests" / "golden" / "data" / "official"))


@pytest.fixture(scope="session")
def check_case() -> Path:
    """The program that replays cases; skips the test where none has been built."""
    try:
        return find_program(None)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture()
def image_folder(tmp_path: Path) -> Path:
    """Two classes of five 40x40 noise images."""
    random = np.random.default_rng(0)
    for name, colour in (("red", (200, 60, 40)), ("blue", (40, 60, 200))):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(5):
            pixels = np.clip(random.normal(colour, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture()
def tiny_config(image_folder: Path, tmp_path: Path) -> configuration.Config:
    """A model of a few thousand parameters for 32x32 images."""
    train = configuration.TrainConfig(steps=6, batch=4, warmup=2, log_every=1, muon_lr=0.01, checkpoint_minutes=1e9)
    return configuration.Config(
        name="tiny", seed=3, run_dir=str(tmp_path / "run"),
        data=configuration.DataConfig(path=str(image_folder), size=32, tileable=True, test_share=0.2),
        tokenizer=configuration.TokenizerConfig(latent_channels=4, widths=(16, 8), blocks=(1, 1),
                                                encoder_widths=(16, 8), encoder_blocks=(1, 1)),
        tokenizer_training=train,
        generator=configuration.GeneratorConfig(
            encoder_embed_dim=32, encoder_depth=1, encoder_num_heads=2, decoder_embed_dim=32, decoder_depth=1,
            decoder_num_heads=2, buffer_size=2, diffloss_d=1, diffloss_w=32, num_sampling_steps="5",
            latent_versions=2),
        generator_training=train,
        export=configuration.ExportConfig(path=str(tmp_path / "model"), license="CC0-1.0",
                                          defaults=configuration.Defaults(steps=2, denoise_steps="5")))


@pytest.fixture()
def texture_config(tiny_config: configuration.Config) -> configuration.Config:
    """Only a model of textures, of 16 and 32 pixels; its shape is the test's."""
    train = dataclasses.replace(tiny_config.generator_training, batch=8, ema=0.5)
    off = dataclasses.replace(train, steps=0)
    return dataclasses.replace(
        tiny_config, tokenizer_training=off, generator_training=off, texture_training=train,
        texture_loss=configuration.TextureLossConfig(sizes=(16, 32), shares=(0.5, 0.5)),
        export=configuration.ExportConfig(path=tiny_config.export.path, license="CC0-1.0", columns=1,
                                          texture=TextureSettings(steps=2, width=32, height=32, denoise_steps="5")))
