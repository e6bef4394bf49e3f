"""Checkpoints that are cut off, of another configuration, or half written when the power went."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import pytest
import torch

from tessera_training.config import Config, TrainConfig
from tessera_training.errors import UserError
from tessera_training.files import checkpoint
from tessera_training.pipeline import Run, run_stages
from tessera_training.trainer import Trainer

ARGUMENTS = argparse.Namespace(restart=False, threads=0, minutes=None)
TRAIN = TrainConfig(steps=9, batch=2)


class _Model(torch.nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(width, 3))


def _trainer(folder: Path, config: TrainConfig = TRAIN, *, images: int = 4, seed: int = 0, width: int = 4) -> Trainer:
    return Trainer("generator", _Model(width), torch.arange(images), config, seed, folder)


def _saved(folder: Path, steps: int = 2) -> Trainer:
    """Checkpoints of step 1 to `steps`; the weights hold the number of the step."""
    trainer = _trainer(folder)
    for step in range(1, steps + 1):
        trainer.step = step
        with torch.no_grad():
            trainer.objective.weight.fill_(step)
        trainer.save()
    return trainer


def _damage_kinds(whole: bytes) -> dict[str, bytes]:
    return {"empty": b"", "cut": whole[:len(whole) // 2], "end missing": whole[:-30], "zeros": bytes(len(whole)),
            "another file": b"<html>404</html>", "zeros in the middle": whole[:300] + bytes(400) + whole[700:],
            "no checkpoint": b"\x80\x02K\x01."}


@pytest.mark.parametrize("kind", _damage_kinds(b""))
def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture,
                                                         kind: str) -> None:
    path = _saved(tmp_path).checkpoint
    path.write_bytes(_damage_kinds(path.read_bytes())[kind])
    trainer = _trainer(tmp_path)
    assert trainer.resume() and trainer.step == 1
    assert torch.equal(trainer.objective.weight.detach(), torch.ones(4, 3))
    out = capsys.readouterr().out
    assert str(path) in out and "continuing from generator.checkpoint.previous.pt, step 1" in out


@pytest.mark.parametrize("kind", _damage_kinds(b""))
def test_only_damaged_checkpoints_offer_a_restart(tmp_path: Path, kind: str) -> None:
    path = _saved(tmp_path, steps=1).checkpoint
    path.write_bytes(_damage_kinds(path.read_bytes())[kind])
    with pytest.raises(UserError, match=r"generator\.checkpoint\.pt: .*`--restart`"):
        _trainer(tmp_path).resume()


def test_code_in_a_checkpoint_never_runs(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {tmp_path / 'ran'}",)
    torch.save({"model": Hostile()}, tmp_path / "generator.checkpoint.pt")
    with pytest.raises(UserError, match="--restart"):
        _trainer(tmp_path).resume()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("change,message", [
    ({"config": dataclasses.replace(TRAIN, batch=4)}, "batch was 2 and is 4 now"),
    ({"config": dataclasses.replace(TRAIN, lr=0.5)}, "lr was 0.0008 and is 0.5 now"),
    ({"config": dataclasses.replace(TRAIN, muon_lr=0.01)}, "muon_lr was 0.0 and is 0.01 now"),
    ({"images": 6}, "images was 4 and is 6 now"), ({"seed": 7}, "seed was 0 and is 7 now"),
    ({"width": 5}, r"size mismatch for weight"),
])
def test_changed_configuration_is_named(tmp_path: Path, change: dict, message: str) -> None:
    _saved(tmp_path)
    with pytest.raises(UserError, match=message) as raised:
        _trainer(tmp_path, **change).resume()
    assert "`--restart`" in str(raised.value) and "generator.checkpoint.pt" in str(raised.value)


def test_a_longer_budget_is_no_change(tmp_path: Path) -> None:
    _saved(tmp_path)
    assert _trainer(tmp_path, dataclasses.replace(TRAIN, steps=90, log_every=1, checkpoint_minutes=1.0)).resume()


def test_older_checkpoints_still_resume(tmp_path: Path) -> None:
    path = _saved(tmp_path).checkpoint
    state = torch.load(path)
    del state["settings"]
    torch.save(state, path)
    assert _trainer(tmp_path).resume()
    with pytest.raises(UserError, match="seed was 0 and is 7 now"):
        _trainer(tmp_path, seed=7).resume()


class _PowerCut(BaseException):
    """Not caught by anything: what is on disk at that moment is what remains."""


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [1, 2])
def test_power_cut_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    trainer = _saved(tmp_path)
    calls = 0
    original = getattr(os, call)

    def cut(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            raise _PowerCut
        return original(*arguments)
    trainer.step = 3
    with monkeypatch.context() as patch, pytest.raises(_PowerCut):
        patch.setattr(os, call, cut)
        trainer.save()
    survivor = _trainer(tmp_path)
    assert survivor.resume() and survivor.step >= 2


def test_bytes_are_on_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, order = _saved(tmp_path), []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("fsync"), fsync(number))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(f"-> {Path(b).name}"), replace(a, b))[1])
    trainer.save()
    assert order == ["fsync", "-> generator.checkpoint.previous.pt", "-> generator.checkpoint.pt", "fsync"]
    assert not list(tmp_path.glob("*.part"))


def test_stages_read_the_checkpoint_before(tiny_config: Config, tmp_path: Path) -> None:
    short = dataclasses.replace(tiny_config.tokenizer_training, steps=2, checkpoint_minutes=0)
    config = dataclasses.replace(tiny_config, tokenizer_training=short)
    run_stages(config, ["pack", "tokenizer"], ARGUMENTS)
    path = Path(config.run_dir) / "tokenizer.checkpoint.pt"
    path.write_bytes(path.read_bytes()[:500])
    assert Run(config).tokenizer() is not None
    damaged = Path(config.run_dir) / "pack.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert len(Run(config).pack().labels) == 10
    other = dataclasses.replace(config, tokenizer=dataclasses.replace(config.tokenizer, latent_channels=5))
    with pytest.raises(UserError, match="configuration has changed.*`--restart`"):
        Run(other).tokenizer()
