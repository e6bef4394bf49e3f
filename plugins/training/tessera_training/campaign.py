"""`campaign`: a folder for a few minutes of one GPU, with images, code and settings; it needs PyTorch and numpy.

`python -m tessera_training campaign FOLDER` writes it; on the machine with the card, `python run.py` in it trains
and leaves `model/generator.safetensors`. What the card can do is measured in the first seconds and decides width,
batch and layout of tensors; the clock decides when the learning rate is down.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from . import optim
from .config import TextureLossConfig, TrainConfig
from .errors import UserError
from .files import compressed, texture_file
from .files.texture_file import TextureModel
from .networks import style, texture
from .networks.texture import Texture, TextureConfig, TextureSettings
from .objectives.texture import TextureObjective, balanced
from .pictures.pixels import from_bytes
from .trainer import Trainer

LIMIT = 60 << 20  # bytes of the folder
MODEL_LIMIT = 16 << 20
_LAYERS = ("mix", "mix", "attention", "mix", "mix", "attention", "mix", "mix", "attention", "mix")
_WIDTHS = (320, 224, 160)
_ENOUGH = 1_000_000  # pictures of the middle size that a width must be able to see
_RESERVE = 25.0  # seconds at the end for the file
_RUN = '''"""Trains the texture model of this folder on its GPU; `python run.py -h` for options."""
import sys

from tessera_training import campaign

sys.exit(campaign.run_here(sys.argv[1:]))
'''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--config", type=Path, help="configuration, for its [data], [texture_loss] and "
                        "[export.texture] (default: configs/materials.toml)")
    parser.add_argument("--images", type=int, default=0, help="at most so many images, for a rehearsal")


def run(arguments: argparse.Namespace) -> int:
    """Write the folder."""
    from . import config as configuration
    from .pictures import data
    config = configuration.load(arguments.config or Path(__file__).parents[1] / "configs" / "materials.toml")
    wanted = dataclasses.replace(config.data, max_images=arguments.images)
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    packed = folder / "pack.safetensors"
    data.pack(wanted, packed)
    images = data.ImagePack(packed, wanted)
    ids = images.ids("train")
    ids = ids[images.tileable[ids]]
    package = folder / "tessera_training"
    shutil.copytree(Path(__file__).parent, package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "run.py").write_text(_RUN)
    used = _size(folder) - packed.stat().st_size
    fineness = compressed.save(
        folder / "images.safetensors", images.images[ids],
        {"labels": images.labels[ids], "turnable": images.turnable[ids]},
        {"classes": images.classes, "name": config.name, "license": config.export.license,
         "loss": dataclasses.asdict(config.texture_loss), "settings": dataclasses.asdict(config.export.texture)},
        LIMIT - used)
    packed.unlink()
    if _size(folder) > LIMIT:
        raise UserError(f"{folder}: {_size(folder) / 2**20:.1f} MiB, more than {LIMIT >> 20}")
    print(f"{folder}: {len(ids)} images, fineness {fineness}, {_size(folder) / 2**20:.1f} MiB; copy it to the machine "
          f"with the card and run `python run.py` there")
    return 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run_here(given: list[str]) -> int:
    """`run.py`: everything from the images to the model file, within `--minutes` from the start."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(prog="run.py")
    parser.add_argument("--minutes", type=float, default=7.0, help="all together")
    parser.add_argument("--device", default="auto", help="cuda, cpu or auto")
    parser.add_argument("--widths", type=int, nargs="+", default=_WIDTHS, help="widths to choose from")
    parser.add_argument("--batch", type=int, default=2048, help="pictures of the smallest size a step, at most")
    parser.add_argument("--out", type=Path, default=Path("model"))
    arguments = parser.parse_args(given)
    try:
        _run_here(arguments, began)
    except UserError as error:
        print(f"error: {error}")
        return 1
    return 0


def _run_here(arguments: argparse.Namespace, began: float) -> None:
    from .trainer import pick_device
    device = pick_device(arguments.device, "campaign")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.benchmark = True
    images, tensors, metadata = compressed.load(Path(__file__).parents[1] / "images.safetensors", device)
    pack: Any = SimpleNamespace(images=images, labels=tensors["labels"], turnable=tensors["turnable"].bool())
    classes = json.loads(metadata["classes"])
    ids = torch.arange(len(images))
    loss = TextureLossConfig(**json.loads(metadata["loss"]))
    bank, limit = style.measure(lambda part: from_bytes(images[part.to(device)]), ids, pack.labels, len(classes), None)
    print(f"{len(images)} images and their styles after {time.monotonic() - began:.0f} s", flush=True)
    trunk, batch = _choose(arguments, device, pack, bank, loss, began)
    model = TextureModel(trunk, bank, limit, classes, TextureSettings(**json.loads(metadata["settings"])))
    left = 60 * arguments.minutes - (time.monotonic() - began) - min(_RESERVE, 6 * arguments.minutes)
    left = max(left, 6 * arguments.minutes)  # a machine that took all the time to begin still trains a little
    train = TrainConfig(minutes=left / 60, batch=batch, lr=1.2e-3, muon_lr=.015, warmup=100, weight_decay=.02, clip=1.0,
                        ema=.9985, bf16=device.type == "cuda", device=device.type, checkpoint_minutes=2.0,
                        sheet_minutes=1e9, log_every=50 if device.type == "cuda" else 1)
    trainer = Trainer("texture", TextureObjective(trunk, pack, bank, loss),
                      balanced(ids, pack.labels, loss.balance), train, 1, arguments.out / "run")
    trainer.run()
    note = {"texture_steps": trainer.step, "texture_hours": round(trainer.seconds / 3600, 3), "batch": batch,
            "hardware": torch.cuda.get_device_name() if device.type == "cuda" else "CPU"}
    path = arguments.out / "generator.safetensors"
    texture_file.save(path, model, {"name": json.loads(metadata["name"]), "license": json.loads(metadata["license"]),
                                    "training": json.dumps(note)})
    texture_file.load(path)
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, {trainer.step} steps of {batch}, "
          f"{time.monotonic() - began:.0f} s in all", flush=True)


def _choose(arguments: argparse.Namespace, device: torch.device, pack: Any, bank: style.Bank, loss: TextureLossConfig,
            began: float) -> tuple[Texture, int]:
    """The widest trunk that sees enough pictures in the time left, the batch that fits and the faster layout."""
    for width in arguments.widths:
        config = TextureConfig(classes=len(bank.counts), width=width, layers=_LAYERS)
        torch.manual_seed(1)
        trunk = Texture(config)
        if 2 * sum(value.numel() for value in trunk.parameters()) + 2 * bank.styles.numel() > MODEL_LIMIT:
            print(f"width {width} does not fit {MODEL_LIMIT >> 20} MiB", flush=True)
            continue
        objective = TextureObjective(trunk, pack, bank, loss).to(device)
        best, batch = 0.0, arguments.batch
        while batch >= 16 and not best:
            try:
                speeds = {layout: _speed(objective, batch, layout, device) for layout in texture.LAYOUTS}
                texture.layout = max(speeds, key=lambda layout: speeds[layout])
                best = speeds[texture.layout]
            except torch.cuda.OutOfMemoryError:
                batch //= 2
        left = 60 * arguments.minutes - (time.monotonic() - began) - _RESERVE
        print(f"width {width}: {best:.0f} pictures of {_middle(loss)} pixels a second, batch {batch}, {texture.layout}",
              flush=True)
        if best * left >= _ENOUGH or width == arguments.widths[-1]:
            break
    torch.manual_seed(1)
    return Texture(config), batch


def _speed(objective: TextureObjective, batch: int, layout: str, device: torch.device) -> float:
    """Pictures of the middle size a second, from two steps after a first one; the largest are tried for their memory."""
    texture.layout = layout
    optimizer = optim.build(objective, 1e-6, 0.0, 1e-6)
    times, loss = [], objective.config
    for size in (loss.sizes[-1], *(_middle(loss),) * 3):
        objective.size = size
        started = time.monotonic()
        draws = objective.draw(torch.randint(len(objective.images), (batch,)), torch.Generator(device).manual_seed(1))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            value, _ = objective(draws)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        float(value.detach())
        times.append(time.monotonic() - started)
    return batch * loss.sizes[0] ** 2 / _middle(loss) ** 2 / (sum(times[2:]) / 2)


def _middle(loss: TextureLossConfig) -> int:
    return loss.sizes[len(loss.sizes) // 2]
