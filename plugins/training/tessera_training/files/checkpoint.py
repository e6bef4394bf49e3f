"""Checkpoints of a training run: a power cut at any moment leaves the last good one, and resuming says what differs.

Next to `generator.checkpoint.pt` lies `generator.checkpoint.previous.pt`, the one before it.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from ..config import TrainConfig
from ..errors import UserError
from .torch_file import Refused, TorchFile

State = dict

# What may change between two runs of one training: how long it goes on, where it runs, how often it reports.
_FREE = {"minutes", "steps", "device", "compile", "bf16", "checkpoint_minutes", "sheet_minutes", "log_every"}


def previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def exists(path: Path) -> bool:
    return path.exists() or previous(path).exists()


def write(path: Path, state: State) -> None:
    """Write, bring to disk, then rename; what was there becomes the previous one."""
    packed = io.BytesIO()  # PyTorch 1.13 ends the process when a file it writes itself cannot grow
    torch.save(state, packed)
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            file.write(packed.getbuffer())
            file.flush()
            _to_disk(file.fileno())
        if path.exists():
            os.replace(path, previous(path))
        os.replace(part, path)
        _folder_to_disk(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error}); is the disk full?") from error


def _to_disk(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # some network shares cannot
        os.fsync(descriptor)


def _folder_to_disk(folder: Path) -> None:
    """Only then do the new names survive a power cut."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(path: Path) -> State:
    """The newest whole checkpoint: that of `path`, else the previous one; says so when it falls back."""
    faults: list[str] = []
    for candidate in (path, previous(path)):
        try:
            state = _read_one(candidate)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            faults.append(f"{candidate}: {error}")
            continue
        if faults:
            print(f"{faults[0]}; continuing from {candidate.name}, step {state['step']}", flush=True)
        return state
    if not faults:
        raise UserError(f"{path}: no such checkpoint")
    raise UserError(f"{'; '.join(faults)}; `--restart` begins this training again")


def _read_one(path: Path) -> State:
    """Read as data (see `torch_file`), so nothing in it runs; ValueError when it is no whole checkpoint."""
    try:
        file = TorchFile(path)
        file.check_sums()
        state = file.content()
    except Refused as error:
        raise ValueError(f"not a whole checkpoint, {path.stat().st_size} bytes, cut off or damaged "
                         f"({str(error).removeprefix(f'{path}: ')})") from error
    missing = [key for key in ("model", "ema", "optimizer", "step", "seconds", "done", "seed")
               if not isinstance(state, dict) or key not in state]
    if missing:
        raise ValueError(f"not a checkpoint of a training run (has no '{missing[0]}')")
    assert isinstance(state, dict)
    return state


def settings(seed: int, images: int, config: TrainConfig) -> dict[str, object]:
    """What has to be the same for a resumed run to repeat the interrupted one; kept in the checkpoint."""
    fixed = {name: getattr(config, name) for name in TrainConfig.__dataclass_fields__ if name not in _FREE}
    return {"seed": seed, "images": images, **fixed}


def check_settings(path: Path, state: State, now: dict[str, object]) -> None:
    """Refuses a checkpoint of another configuration; those of older versions know their seed only."""
    then = state.get("settings", {"seed": state["seed"]})
    changes = [f"{name} was {then[name]!r} and is {now[name]!r} now" for name in now
               if name in then and then[name] != now[name]]
    if changes:
        raise _changed(path, "; ".join(changes))


@contextlib.contextmanager
def same_shapes(path: Path) -> Iterator[None]:
    """Turns PyTorch's complaints about a checkpoint of another model into the message."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise _changed(path, " ".join(lines[1:3] if len(lines) > 1 else lines)) from error


def _changed(path: Path, what: str) -> UserError:
    return UserError(f"{path}: the configuration has changed since it was written: {what}. "
                     "Change it back to continue, or give `--restart` to begin this training again")
