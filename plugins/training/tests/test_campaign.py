"""The portable folder: images that survive it, and a rehearsal of the whole run from an empty place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tessera_training import __main__ as program
from tessera_training import campaign
from tessera_training.checks import record_texture
from tessera_training.evaluation import metrics
from tessera_training.files import compressed, texture_file
from tessera_training.networks import wavelet
from tessera_training.networks.texture import Texture, TextureConfig

_WITHOUT_PIL = "import sys; sys.modules['PIL'] = None; sys.argv[0] = 'run.py'; import runpy; " \
    "runpy.run_path('run.py', run_name='__main__')"


def test_images_survive_compression(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.cat([record_texture.made_up_picture(64, 64, generator) for _ in range(3)])
    images = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous()
    compressed.save(tmp_path / "x", images, {"labels": torch.tensor([0, 1, 1])}, {"classes": ["a", "b"]}, 1 << 20)
    again, tensors, metadata = compressed.load(tmp_path / "x", torch.device("cpu"))
    before, after = (part.permute(0, 3, 1, 2).float() / 127.5 - 1 for part in (images, again))
    before = wavelet.rgb_of(wavelet.tokens_of(before))  # without the finest chroma, which no model sees
    assert float(metrics.psnr(before, after).min()) > 30 and tensors["labels"].tolist() == [0, 1, 1]
    coarser = compressed.save(tmp_path / "y", images, {}, {}, 5000)
    assert coarser > float(metadata["fineness"]) and (tmp_path / "y").stat().st_size < (tmp_path / "x").stat().st_size


def test_the_widest_model_fits_its_file() -> None:
    trunk = Texture(TextureConfig(classes=27, width=campaign._WIDTHS[0], layers=campaign._LAYERS))
    assert 2 * (sum(value.numel() for value in trunk.parameters()) + 99 * 4000) < campaign.MODEL_LIMIT


def test_rehearsal(tmp_path: Path) -> None:
    """A few noise images from class folders; the run sees neither this package nor PIL."""
    random = np.random.default_rng(0)
    for name in ("red", "blue"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(5):
            pixels = np.clip(random.normal((200, 60, 40), 30, (64, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    (tmp_path / "c.toml").write_text(f'name = "tiny"\n[data]\npath = "{tmp_path / "images"}"\ntileable = true\n'
                                     'size = 64\n[texture_loss]\nsizes = [16, 32, 64]\nshares = [0.2, 0.5, 0.3]\n'
                                     '[export]\nlicense = "CC0-1.0"\n[export.texture]\nguidance_low = 0.625\n')
    folder = tmp_path / "elsewhere" / "campaign"
    assert program.main(["campaign", str(folder), "--config", str(tmp_path / "c.toml")]) == 0
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '{folder}'); {_WITHOUT_PIL}",
                           "--minutes", "0.1", "--device", "cpu", "--widths", "32", "--batch", "16"],
                          cwd=folder, capture_output=True, text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pictures of 32 pixels a second" in done.stdout
    model = texture_file.load(folder / "model" / "generator.safetensors")
    assert model.name == "tiny" and model.classes == ["blue", "red"] and model.settings.guidance_low == 0.625


def test_wrong_device_is_named(capsys: pytest.CaptureFixture) -> None:
    assert campaign.run_here(["--device", "gpu"]) == 1
    assert "device = 'gpu'" in capsys.readouterr().out
