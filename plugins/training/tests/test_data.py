"""Bad data is named and refused or skipped; seamless cutting does what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tessera_training import config as configuration
from tessera_training.errors import UserError
from tessera_training.files import safetensors_io
from tessera_training.pictures.data import ImagePack, make_seamless, pack


def test_corrupt_image_is_skipped_by_name(image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (image_folder / "red" / "broken.png").write_bytes(b"not an image")
    settings = configuration.DataConfig(path=str(image_folder), size=32)
    pack(settings, tmp_path / "pack")
    assert "broken.png" in capsys.readouterr().out
    assert len(ImagePack(tmp_path / "pack", settings).labels) == 10


def test_empty_class_is_refused(image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "green").mkdir()
    with pytest.raises(UserError, match="green"):
        pack(configuration.DataConfig(path=str(image_folder), size=32), tmp_path / "pack")


def test_class_of_bad_images_is_refused(image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "green").mkdir()
    (image_folder / "green" / "a.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="green"):
        pack(configuration.DataConfig(path=str(image_folder), size=32), tmp_path / "pack")


def test_too_many_small_images_are_refused(image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="40x40"):
        pack(configuration.DataConfig(path=str(image_folder), size=64), tmp_path / "pack")


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        pack(configuration.DataConfig(path=str(tmp_path / "nowhere")), tmp_path / "pack")


def test_seamless_finds_the_period() -> None:
    rows = np.sin(np.arange(128) * 2 * np.pi / 20)
    image = np.repeat((rows[:, None, None] * 80 + 128), 128, 1).repeat(3, 2).astype(np.uint8)
    image = image + np.random.default_rng(0).integers(0, 6, image.shape).astype(np.uint8)
    cut = make_seamless(image, 8, 0.5)
    assert cut is not None and cut.shape[0] % 20 == 0
    jump = np.abs(cut[0].astype(int) - cut[-1]).mean()
    inside = np.abs(np.diff(cut.astype(int), axis=0)).mean(axis=(1, 2)).max()
    assert jump <= 1.5 * inside


def test_unknown_setting_is_named(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[data]\nsise = 3\n")
    with pytest.raises(UserError, match="data.sise"):
        configuration.load(file)


def test_wrong_type_is_named(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[data]\nsize = \"big\"\n")
    with pytest.raises(UserError, match="data.size = 'big': expected int"):
        configuration.load(file)


def test_seed_decides_the_augmentation(image_folder: Path, tmp_path: Path) -> None:
    from tessera_training.trainer import step_generator
    settings = dataclasses.replace(configuration.DataConfig(path=str(image_folder), size=32), tileable=True)
    pack(settings, tmp_path / "pack")
    images = ImagePack(tmp_path / "pack", settings)
    ids = images.ids("train")[:4]
    first, again = (images.augmented(ids, step_generator(1, 5)) for _ in range(2))
    assert first.equal(again) and not first.equal(images.augmented(ids, step_generator(1, 6)))


def test_not_a_safetensors_file(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(UserError, match="x.safetensors"):
        safetensors_io.load(tmp_path / "x.safetensors")
