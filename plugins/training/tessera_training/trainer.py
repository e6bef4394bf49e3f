"""The training loop of every objective: schedule, EMA, exact resume, curves, several processes.

Everything random in step n comes from a generator seeded by (seed, n); the order of the data by
(seed, epoch). A checkpoint therefore needs no random state and a resumed run repeats the killed one.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import torch
import torch.distributed as dist
from torch import nn

from . import optim
from .config import TrainConfig
from .errors import UserError
from .files import checkpoint
from .networks.blocks import Block, ResBlock
from .networks.texture import Attention, Mix
from .objectives.texture import TextureObjective

Hook = Callable[[nn.Module], None]


class Objective(Protocol):
    """What the trainer needs of an `nn.Module` (see `objectives`)."""

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Every random decision of one step, for the whole batch."""


def step_generator(seed: int, step: int, device: torch.device = torch.device("cpu")) -> torch.Generator:
    """The source of all randomness of one step, independent of how the run got there."""
    return torch.Generator(device).manual_seed((seed * 1_000_003 + step) * 2_654_435_761 % (1 << 63))


def batch_ids(ids: torch.Tensor, batch: int, seed: int, step: int) -> torch.Tensor:
    """The images of one step: permutations of all ids, one after the other."""
    first = step * batch
    epochs = range(first // len(ids), (first + batch - 1) // len(ids) + 1)
    orders = torch.cat([ids[torch.randperm(len(ids), generator=step_generator(seed + 7919, epoch))]
                        for epoch in epochs])
    start = first - epochs[0] * len(ids)
    return orders[start:start + batch]


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine down to `final_lr` of the peak."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.lr * warm * (config.final_lr + (1 - config.final_lr) * cosine)


def pick_device(name: str, stage: str) -> torch.device:
    """The device of this process: "cpu", "cuda" (of several, the one of its local rank) or "auto"."""
    if name not in ("cpu", "cuda", "auto"):
        raise UserError(f"{stage}: device = '{name}', expected 'cpu', 'cuda' or 'auto'")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{stage}: device = 'cuda', but this PyTorch ({torch.__version__}) finds no CUDA device")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def compile_blocks(module: nn.Module) -> None:
    """torch.compile of every block in place; names and checkpoints stay as they are."""
    if not hasattr(module, "compile"):
        raise UserError(f"compile = true needs PyTorch 2.2 or later, this is {torch.__version__}")
    for part in module.modules():
        if isinstance(part, (Block, ResBlock, Mix, Attention)):
            part.compile(dynamic=True)


class Ema:
    """Running average of the trained parameters, with a short memory while there is little to remember."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        trained = [(self.values[name], value) for name, value in module.named_parameters() if value.requires_grad]
        averages, values = [list(part) for part in zip(*trained)]
        torch._foreach_mul_(averages, decay)
        torch._foreach_add_(averages, values, alpha=1 - decay)

    def load(self, values: dict[str, torch.Tensor]) -> None:
        """Take up the averages of a checkpoint."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the averaged and the current values."""
        for name, value in module.named_parameters():
            current = value.detach().clone()
            value.copy_(self.values[name])
            self.values[name] = current


def _board(path: Path) -> Any:
    """A TensorBoard writer, or None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(path))


class Curve:
    """Rows of numbers in `<stage>.csv`, and in TensorBoard where it is installed."""

    def __init__(self, path: Path, resume_step: int) -> None:
        self.path = path
        self.columns: list[str] = []
        self.board = _board(path.with_suffix(".tensorboard"))
        rows = list(csv.reader(path.open())) if path.exists() and resume_step else []
        if rows:
            self.columns = rows[0]
            rows = rows[:1] + [row for row in rows[1:] if int(row[0]) <= resume_step]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    def add(self, step: int, values: dict[str, float]) -> None:
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if not self.columns:
                self.columns = ["step", *values]
                writer.writerow(self.columns)
            writer.writerow([step, *(f"{values[name]:.6g}" for name in self.columns[1:])])
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)


class Trainer:
    """Trains one objective until its steps or minutes are used up.

    The objective is on the configured device between steps, and on the CPU for sheets and afterwards. Random
    numbers are drawn on the CPU, so they are the same on every device; those of the texture
    model on that device.
    """

    def __init__(self, stage: str, objective: nn.Module, ids: torch.Tensor, config: TrainConfig, seed: int,
                 run_dir: Path, sheet: Hook | None = None) -> None:
        if not config.steps and not config.minutes:
            raise UserError(f"{stage}: give a number of steps or of minutes")
        self.stage, self.objective, self.ids, self.config, self.seed = stage, objective, ids, config, seed
        self.run_dir = run_dir
        self.sheet: Hook = sheet or (lambda _: None)
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        if config.batch % self.world:
            raise UserError(f"{stage}: batch {config.batch} cannot be shared by {self.world} processes")
        self.device = pick_device(config.device, stage)
        objective.to(self.device)
        if config.compile:
            compile_blocks(objective)
        self.optimizer = optim.build(objective, config.lr, config.weight_decay, config.muon_lr)
        self.ema = Ema(objective, config.ema)
        self.step, self.seconds, self.done = 0, 0.0, False

    @property
    def checkpoint(self) -> Path:
        return self.run_dir / f"{self.stage}.checkpoint.pt"

    def progress(self) -> float:
        """Share of the budget used, by steps if they are given, else by time."""
        if self.config.steps:
            return self.step / self.config.steps
        return self.seconds / (60 * self.config.minutes)

    def save(self) -> None:
        if self.rank:
            return
        checkpoint.write(self.checkpoint, {
            "model": self.objective.state_dict(), "ema": self.ema.values, "optimizer": self.optimizer.state_dict(),
            "step": self.step, "seconds": self.seconds, "done": self.done, "seed": self.seed,
            "settings": checkpoint.settings(self.seed, len(self.ids), self.config)})

    def resume(self) -> bool:
        """Continue from the checkpoint if there is one."""
        if not checkpoint.exists(self.checkpoint):
            return False
        state = checkpoint.read(self.checkpoint)
        checkpoint.check_settings(self.checkpoint, state, checkpoint.settings(self.seed, len(self.ids), self.config))
        with checkpoint.same_shapes(self.checkpoint):
            self.objective.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.ema.load(state["ema"])
        self.step, self.seconds, self.done = state["step"], state["seconds"], state["done"]
        return True

    def run(self) -> None:
        """The loop. Afterwards the objective holds the averaged parameters."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        curve = Curve(self.run_dir / f"{self.stage}.csv", self.step) if self.rank == 0 else None
        module = nn.parallel.DistributedDataParallel(self.objective) if self.world > 1 else self.objective
        saved = shown = self.seconds
        report = _bar(self)
        while not self.done:
            started = time.monotonic()
            values = self.train_step(module)
            self.step += 1
            self.seconds = self._agree(self.seconds + time.monotonic() - started)
            self.done = self.progress() >= 1
            if curve and (self.step % self.config.log_every == 0 or self.done):
                numbers = {name: float(value) for name, value in values.items()}
                if not math.isfinite(numbers["loss"]):
                    raise UserError(f"{self.stage}: the loss became {numbers['loss']} at step {self.step}; lower lr")
                curve.add(self.step, {**numbers, "images_per_second": self.step * self.config.batch / self.seconds,
                                      "minutes": self.seconds / 60})
                report(numbers)
            if self.done or self.seconds - saved > 60 * self.config.checkpoint_minutes:
                saved = self.seconds
                self.save()
            if self.rank == 0 and (self.done or self.seconds - shown > 60 * self.config.sheet_minutes):
                shown = self.seconds
                self._show()
        self.ema.swap(self.objective)
        self.objective.to("cpu")

    def train_step(self, module: nn.Module) -> dict[str, torch.Tensor]:
        """One update from this process's slice of the batch."""
        self.objective.train()
        rate = learning_rate(self.config, self.step, self.progress())
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        ids = batch_ids(self.ids, self.config.batch, self.seed, self.step)
        draws = {name: (self._mine(value) if value.ndim else value).to(self.device)
                 for name, value in self._draw(ids).items()}
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.bf16):
            loss, parts = module(draws)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.config.clip)
        self.optimizer.step()
        self.ema.update(self.objective, self.step)
        return {"loss": loss.detach(), **parts, "grad_norm": norm, "lr": torch.tensor(rate)}

    def _draw(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """The random decisions of this step, for all processes."""
        objective = cast(Objective, self.objective)
        if isinstance(objective, TextureObjective):
            objective.begin(self.seed, self.step, self.progress())
            return objective.draw(ids, step_generator(self.seed, self.step, self.device))
        generator = step_generator(self.seed, self.step)
        draws = objective.draw(ids, generator)
        torch.manual_seed(int(torch.randint(1 << 62, (), generator=generator)) + self.rank)  # for dropout
        return draws

    def _mine(self, value: torch.Tensor) -> torch.Tensor:
        return value[self.rank * len(value) // self.world:(self.rank + 1) * len(value) // self.world]

    def _agree(self, seconds: float) -> float:
        """All processes go by the clock of the first."""
        if self.world == 1:
            return seconds
        value = torch.tensor(seconds, dtype=torch.float64)
        dist.broadcast(value, 0)
        return float(value)

    def _show(self) -> None:
        """A sample sheet with the averaged parameters."""
        self.ema.swap(self.objective)
        self.objective.eval().to("cpu")
        with torch.no_grad():
            self.sheet(self.objective)
        self.objective.to(self.device)
        self.ema.swap(self.objective)


def _bar(trainer: Trainer) -> Callable[[dict[str, float]], None]:
    """A progress bar if tqdm is there and someone looks at it, else lines."""
    def line(values: dict[str, float]) -> None:
        speed = trainer.step * trainer.config.batch / trainer.seconds
        numbers = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        print(f"{trainer.stage} {min(1, trainer.progress()):6.1%} step {trainer.step} {numbers} {speed:.1f} images/s",
              flush=True)
    if not os.isatty(2):
        return line
    try:
        from tqdm import tqdm
    except ImportError:
        return line
    bar = tqdm(total=100, desc=trainer.stage, unit="%")

    def update(values: dict[str, float]) -> None:
        bar.n = round(100 * min(1, trainer.progress()), 1)
        bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()})
    return update
