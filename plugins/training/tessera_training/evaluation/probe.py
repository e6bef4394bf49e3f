"""`probe`: what a model's representations know of the classes of pictures that it was not shown.

Features of the held-out pictures are told apart by k nearest neighbours and by a linear layer (ridge regression in
closed form, its strength chosen on a part of the training pictures), next to the pixels themselves, the same networks
with random weights, and the feature network of `evaluate`. One table, row by row as they are made.

With `--generate` the runtime makes the features, of any model that encodes, from the picture files themselves; without
it PyTorch does, of models on patches of pixels.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .. import config as configuration
from .. import pixel_models
from ..errors import UserError
from ..files import model_dir, safetensors_io, texture_file
from ..pictures.data import ImagePack
from .evaluate import open_images
from .features import FeatureNet

NEIGHBOURS = 5
STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10000.0)
_PIXELS = 16  # side of the pictures that stand for raw pixels

_BUNDLED = Path(__file__).resolve().parents[3] / "models"

Features = Callable[[torch.Tensor], torch.Tensor]  # [B,3,H,W] in [-1,1] -> [B,width]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", help="models that encode: bundled names, folders or weight files")
    parser.add_argument("--config", type=Path, required=True, help="training configuration, for its [data]")
    parser.add_argument("--data", type=Path, help="image folder instead of the configured one")
    parser.add_argument("--generate", type=Path, metavar="PROGRAM", help="tessera-generate, which then makes the features")
    parser.add_argument("--cache", type=Path, help="folder for packed images (default: in the run directory)")
    parser.add_argument("--images", type=int, default=0, help="at most so many pictures of each split")
    parser.add_argument("--seed", type=int, default=1, help="of the random weights")
    parser.add_argument("--threads", type=int, default=0)


def run(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = configuration.load(arguments.config)
    if arguments.data:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(arguments.data.resolve())))
    images = open_images(config.data, arguments.cache or Path(config.run_dir) / "evaluation")
    splits = [_spread(images.ids(name), arguments.images) for name in ("train", "test")]
    if not len(splits[1]):
        raise UserError(f"'{config.data.path}' holds no test picture (data.test_share)")
    labels = [images.labels[ids] for ids in splits]
    print(HEAD, flush=True)

    def add(name: str, features: list[torch.Tensor], fresh: list[torch.Tensor] | None = None) -> None:
        random = _accuracies(fresh, labels) if fresh else None
        print(row(name, features[0].shape[1], _accuracies(features, labels), random), flush=True)

    add(f"raw pixels ({_PIXELS} x {_PIXELS})",
        [features_of(images, ids, lambda x: F.adaptive_avg_pool2d(x, _PIXELS).flatten(1)) for ids in splits])
    with tempfile.TemporaryDirectory() as folder:
        for path in map(weight_file, arguments.models):
            random = Path(folder) / "generator.safetensors"
            name = randomise(path, random, arguments.seed)
            if arguments.generate:
                files = [[picture(config.data, images.files[i]) for i in ids.tolist()] for ids in splits]
                sides = config.data.size if safetensors_io.load_metadata(path)["kind"] == texture_file.KIND else 0
                made = [[by_runtime(arguments.generate, file, part, sides, Path(folder) / "features.safetensors")
                         for part in files] for file in (path, random)]
            else:
                made = [[features_of(images, ids, by_pytorch(file)) for ids in splits] for file in (path, random)]
            add(name, *made)
    try:
        net = FeatureNet()
        add(net.name, [features_of(images, ids, net.pooled) for ids in splits])
    except UserError as error:
        print(f"without the feature network: {error}", flush=True)
    chance = float(labels[1].bincount().max()) / len(labels[1])
    print(f"\n{len(images.classes)} classes, {len(splits[0])} pictures to learn from, {len(splits[1])} to tell apart; "
          f"the commonest class is {100 * chance:.1f}%.")
    return 0


HEAD = (f"| features | numbers | {NEIGHBOURS}-NN | linear probe | with random weights |\n"
        "| --- | --- | --- | --- | --- |")


def row(name: str, width: int, accuracies: tuple[float, float], random: tuple[float, float] | None = None) -> str:
    """Numbers of a picture, and the accuracies of neighbours and linear layer; the same with random weights."""
    shares, others = ([f"{100 * value:.1f}%" for value in values or ()] for values in (accuracies, random))
    return f"| {name} | {width} | {' | '.join(shares)} | {', '.join(others)} |"


def weight_file(model: Path) -> Path:
    """A bundled name before a file's, as in all programs."""
    folder = _BUNDLED / model if len(model.parts) == 1 and (_BUNDLED / model).is_dir() else model
    path = folder / "generator.safetensors" if folder.is_dir() else folder
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return path


def picture(data: configuration.DataConfig, name: str) -> Path:
    """A packed picture's file, below `images` where a table lists them."""
    inner = Path(data.path) / "images" / name
    return inner if inner.exists() else Path(data.path) / name


def by_pytorch(path: Path) -> Features:
    kind, model, metadata = pixel_models.load(path)
    if "tokenizer" in metadata:
        raise UserError(f"{path}: a model of latents; give --generate, for the runtime to encode pictures")
    return lambda x: kind.encode(model, x)


def by_runtime(program: Path, model: Path, pictures: list[Path], sides: int, target: Path) -> torch.Tensor:
    """What `tessera-generate --encode` writes; models of any size see pictures of `sides` pixels."""
    command = [str(program), "--model", str(model), "--features", str(target), "--encode", *map(str, pictures)]
    for side in ("width", "height") if sides else ():
        command += ["--set", f"{side}={sides}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{program}: {done.stderr.strip()[-500:]}")
    pooled = safetensors_io.load(target)[0]["pooled"]
    if len(pooled) != len(pictures):
        raise UserError(f"{target}: features of {len(pooled)} pictures, expected {len(pictures)}")
    return pooled.float()


def randomise(path: Path, target: Path, seed: int) -> str:
    """Write the model in `path` with random weights, and return its name."""
    torch.manual_seed(seed)
    metadata = safetensors_io.load_metadata(path)
    kind = metadata.get("kind", "")
    if kind == texture_file.KIND:
        texture = texture_file.load(path)
        texture.trunk = texture_file.build(texture.trunk.config)
        _fill(texture.trunk)
        texture_file.save(target, texture, {})
    elif kind == "mar_weights":
        mar, _ = model_dir.load_generator(path)
        fresh = type(mar)(mar.config)  # type: ignore[arg-type]
        _fill(fresh)
        safetensors_io.save(target, dict(fresh.state_dict()), metadata | _tokenizer_of(path, metadata))
    else:
        known, model, metadata = pixel_models.load(path)
        pixel_models.save(target, kind.removesuffix("_weights"), untrained(known, model.config),
                          json.loads(metadata.get("classes", "[]")), _tokenizer_of(path, metadata))
    return path.parent.name if path.name == "generator.safetensors" else path.stem


def _tokenizer_of(path: Path, metadata: dict[str, str]) -> dict[str, str]:
    """Where it is, from anywhere."""
    return {"tokenizer": str((path.parent / metadata["tokenizer"]).resolve())} if "tokenizer" in metadata else {}


def untrained(kind: pixel_models.Kind, config: Any) -> nn.Module:
    """Random weights; what training starts at zero is random too, or the network would see nothing."""
    model = kind.build(config)
    _fill(model)
    return model


def _fill(model: nn.Module) -> None:
    model.eval().requires_grad_(False)
    for value in model.parameters():
        if not bool(value.any()):
            nn.init.normal_(value, std=0.1)


def _spread(ids: torch.Tensor, most: int) -> torch.Tensor:
    return ids if not most or len(ids) <= most else ids[torch.linspace(0, len(ids) - 1, most).long()]


@torch.no_grad()
def features_of(images: ImagePack, ids: torch.Tensor, encode: Features) -> torch.Tensor:
    return torch.cat([encode(images.plain(part)) for part in ids.split(64)])


def _accuracies(features: list[torch.Tensor], labels: list[torch.Tensor]) -> tuple[float, float]:
    train, test = standardised(*features)
    return neighbours(train, labels[0], test, labels[1]), linear(train, labels[0], test, labels[1])


def standardised(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """By the mean and deviation of the training pictures, in float64."""
    mean, deviation = train.double().mean(0), train.double().std(0) + 1e-5
    return (train.double() - mean) / deviation, (test.double() - mean) / deviation


def neighbours(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, wanted: torch.Tensor,
               count: int = NEIGHBOURS) -> float:
    """Share of test pictures whose nearest ones by cosine vote for their class, the nearer with more weight."""
    likeness = F.normalize(test, dim=1) @ F.normalize(train, dim=1).T
    near = likeness.topk(min(count, len(train)), 1)
    votes = torch.zeros(len(test), int(max(labels.max(), wanted.max())) + 1, dtype=near.values.dtype)
    votes.scatter_add_(1, labels[near.indices], (near.values / 0.07).exp())
    return float((votes.argmax(1) == wanted).double().mean())


def linear(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, wanted: torch.Tensor) -> float:
    """Share of test pictures that a linear layer on the features gets right."""
    held = torch.arange(len(train)) % 5 == 4
    best = max(STRENGTHS, key=lambda strength: _right(train[~held], labels[~held], train[held], labels[held], strength))
    return _right(train, labels, test, wanted, best)


def _right(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, wanted: torch.Tensor,
           strength: float) -> float:
    """Of a ridge regression on targets of -1 and 1, with a constant feature."""
    ones = torch.ones(len(train), 1, dtype=train.dtype)
    x = torch.cat([train, ones], 1)
    y = torch.full((len(train), int(max(labels.max(), wanted.max())) + 1), -1.0, dtype=train.dtype)
    y[torch.arange(len(train)), labels] = 1.0
    weight = torch.linalg.solve(x.T @ x + strength * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
    made = test @ weight[:-1] + weight[-1]
    return float((made.argmax(1) == wanted).double().mean())
