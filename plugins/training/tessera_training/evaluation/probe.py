"""`probe`: what a model's representations know of the classes of pictures that it was not shown.

Features of the held-out pictures are told apart by k nearest neighbours and by a linear layer (ridge regression in
closed form, its strength chosen on a part of the training pictures), next to the pixels themselves, the same network
with random weights, and the feature network of `evaluate`. One table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .. import config as configuration
from .. import pixel_models
from ..errors import UserError
from ..files import safetensors_io
from ..pictures.data import ImagePack
from .evaluate import open_images
from .features import FeatureNet

NEIGHBOURS = 5
STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10000.0)
_PIXELS = 16  # side of the pictures that stand for raw pixels

Features = Callable[[torch.Tensor], torch.Tensor]  # [B,3,H,W] in [-1,1] -> [B,width]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="weight file of a model that encodes, or its folder")
    parser.add_argument("--config", type=Path, required=True, help="training configuration, for its [data]")
    parser.add_argument("--features", type=Path, nargs=2, metavar=("TRAIN", "TEST"),
                        help="files of tessera-generate --features for the pictures of both splits, in their order")
    parser.add_argument("--cache", type=Path, help="folder for packed images (default: in the run directory)")
    parser.add_argument("--images", type=int, default=0, help="at most so many pictures of each split")
    parser.add_argument("--seed", type=int, default=1, help="of the random weights")
    parser.add_argument("--threads", type=int, default=0)


def run(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = configuration.load(arguments.config)
    images = open_images(config.data, arguments.cache or Path(config.run_dir) / "evaluation")
    splits = [_spread(images.ids(name), arguments.images) for name in ("train", "test")]
    if not len(splits[1]):
        raise UserError(f"'{config.data.path}' holds no test picture (data.test_share)")
    path = arguments.model / "generator.safetensors" if arguments.model.is_dir() else arguments.model
    kind, model, metadata = pixel_models.load(path)
    torch.manual_seed(arguments.seed)
    fresh = untrained(kind, model.config)
    sources: dict[str, Features] = {
        f"raw pixels ({_PIXELS} x {_PIXELS})": lambda x: F.adaptive_avg_pool2d(x, _PIXELS).flatten(1),
        "random weights": lambda x: kind.encode(fresh, x),
        metadata.get("name") or path.stem: lambda x: kind.encode(model, x)}
    try:
        net = FeatureNet()
        sources[net.name] = net.pooled
    except UserError as error:
        print(f"without the feature network: {error}", flush=True)
    labels = [images.labels[ids] for ids in splits]
    rows = {name: _accuracies([features_of(images, ids, encode) for ids in splits], labels)
            for name, encode in sources.items()}
    if arguments.features:
        rows["runtime"] = _accuracies([_read(file, len(ids)) for file, ids in zip(arguments.features, splits)], labels)
    chance = float(labels[1].bincount().max()) / len(labels[1])
    print(table(rows, chance, [len(ids) for ids in splits], len(images.classes)))
    return 0


def untrained(kind: pixel_models.Kind, config: Any) -> nn.Module:
    """Random weights; what training starts at zero is random too, or the network would see nothing."""
    model = kind.build(config).eval().requires_grad_(False)
    for value in model.parameters():
        if not bool(value.any()):
            nn.init.normal_(value, std=0.1)
    return model


def _spread(ids: torch.Tensor, most: int) -> torch.Tensor:
    return ids if not most or len(ids) <= most else ids[torch.linspace(0, len(ids) - 1, most).long()]


def _read(path: Path, count: int) -> torch.Tensor:
    pooled = safetensors_io.load(path)[0].get("pooled")
    if pooled is None or len(pooled) != count:
        raise UserError(f"{path}: expected a tensor 'pooled' of {count} pictures")
    return pooled


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


def table(rows: dict[str, tuple[float, float]], chance: float, counts: list[int], classes: int) -> str:
    lines = [f"| features | {NEIGHBOURS}-NN | linear probe |", "| --- | --- | --- |"]
    lines += [f"| {name} | {100 * near:.1f}% | {100 * right:.1f}% |" for name, (near, right) in rows.items()]
    lines.append(f"\n{classes} classes, {counts[0]} pictures to learn from, {counts[1]} to tell apart; the commonest "
                 f"class is {100 * chance:.1f}%.")
    return "\n".join(lines)
