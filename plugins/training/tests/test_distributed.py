"""Two processes do what one would: the gradients of a step, and the whole run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tessera_training.config import TrainConfig
from tessera_training.trainer import Trainer

STEPS = 3
PACKAGE = Path(__file__).resolve().parents[1]
SECOND = """
import sys
sys.path[:0] = [{package!r}, {tests!r}]
import torch
torch.set_num_threads(1)
from pathlib import Path
from test_distributed import joined, train
with joined(Path({folder!r}), 1):
    train(Path({folder!r}) / "two")
"""


@contextlib.contextmanager
def joined(folder: Path, rank: int) -> Iterator[None]:
    """Member `rank` of a group of two that meets over a file (no port to collide with)."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        yield
    finally:
        dist.destroy_process_group()


class Regression(torch.nn.Module):
    """A small objective that draws as the real ones do: everything for the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_blocks = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.Tanh(), torch.nn.Linear(12, 12))
        self.head = torch.nn.Linear(12, 6)

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        noise = torch.randn(len(ids), 6, generator=generator)
        return {"x": noise + ids[:, None] / 10, "y": noise}

    def forward(self, draws: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = ((self.head(self.encoder_blocks(draws["x"])) - draws["y"]) ** 2).mean()
        return loss, {}


def train(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """A few steps, Muon for the inner matrices; the last gradients, the parameters and their average."""
    torch.manual_seed(0)
    objective = Regression()
    config = TrainConfig(steps=STEPS, batch=8, lr=1e-2, muon_lr=0.02, warmup=1, clip=1e9, checkpoint_minutes=1e9)
    trainer = Trainer("test", objective, torch.arange(20), config, seed=5, run_dir=folder)
    trainer.run()
    average = {name: value.detach().clone() for name, value in objective.named_parameters()}
    trainer.ema.swap(objective)  # back to the trained values
    return {"grad": {name: value.grad.clone() for name, value in objective.named_parameters()
                     if value.grad is not None},
            "value": {name: value.detach().clone() for name, value in objective.named_parameters()},
            "average": average}


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="PyTorch without gloo")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    one = train(tmp_path / "one")
    script = tmp_path / "second.py"
    script.write_text(SECOND.format(package=str(PACKAGE), tests=str(PACKAGE / "tests"), folder=str(tmp_path)))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as second:
        with joined(tmp_path, 0):
            two = train(tmp_path / "two")
        output = second.communicate(timeout=300)[0]
    assert second.returncode == 0, output
    for part in one:
        assert set(two[part]) == set(one[part])
        for name, value in one[part].items():
            assert torch.allclose(two[part][name], value, rtol=1e-5, atol=1e-6), f"{part} {name}"
    assert any(float(value.abs().max()) > 1e-3 for value in one["grad"].values())
