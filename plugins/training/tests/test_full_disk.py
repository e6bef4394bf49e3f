"""A disk that runs full: the file is named, what was there stays, no piece is left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tessera_training.config import TrainConfig
from tessera_training.errors import UserError
from tessera_training.files import safetensors_io
from tessera_training.trainer import Trainer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB, where mounting is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True,
                       capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_model_file(small_disk: Path) -> None:
    path = small_disk / "model.safetensors"
    safetensors_io.save(path, {"x": torch.ones(100)})
    with pytest.raises(UserError, match=r"model\.safetensors: the disk is full \(4 MB were to be written\)"):
        safetensors_io.save(path, {"x": torch.ones(1_000_000)})
    assert torch.equal(safetensors_io.load(path)[0]["x"], torch.ones(100))
    assert [entry.name for entry in small_disk.iterdir()] == ["model.safetensors"]


class _Large(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(200_000))


def test_checkpoint(small_disk: Path) -> None:
    trainer = Trainer("generator", _Large(), torch.arange(4), TrainConfig(steps=1, batch=2), 0, small_disk)
    with pytest.raises(UserError, match=r"generator\.checkpoint\.pt: cannot be written .*disk full"):
        trainer.save()
    assert not list(small_disk.iterdir())
