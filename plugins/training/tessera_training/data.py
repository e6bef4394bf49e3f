"""Labelled images: found on disk, checked, packed into one file, and augmented when drawn."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import safetensors_io
from .config import DataConfig
from .errors import UserError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_MOST_BAD = 0.1  # refuse a data set with more than this share of unusable images


@dataclass(frozen=True)
class Item:
    """One image file and what is known about it."""

    path: Path
    class_name: str
    split: str
    tileable: bool


def scan(config: DataConfig) -> list[Item]:
    """All images of a folder of class folders, or of an `index.csv`."""
    root = Path(config.path)
    if (root / "index.csv").is_file():
        items = _scan_index(root)
    elif root.is_dir():
        items = _scan_folders(root, config)
    else:
        raise UserError(f"data.path '{root}': expected a folder of class folders or one with an index.csv")
    if config.max_images:
        items = _spread(items, config.max_images)
    if not any(item.split == "train" for item in items):
        raise UserError(f"data.path '{root}': no training image found")
    return items


def _scan_index(root: Path) -> list[Item]:
    with (root / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    missing = {"id", "class_name", "split"} - set(rows[0] if rows else ())
    if missing:
        raise UserError(f"{root / 'index.csv'}: missing column(s) {', '.join(sorted(missing))}")
    return [Item(root / "images" / row["class_name"] / f"{row['id']}.jpg", row["class_name"], row["split"],
                 row.get("tileable", "0") == "1") for row in rows]


def _scan_folders(root: Path, config: DataConfig) -> list[Item]:
    items: list[Item] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
        if not files:
            raise UserError(f"class folder '{folder}' holds no image ({', '.join(sorted(_SUFFIXES))})")
        every = round(1 / config.test_share) if config.test_share else 0
        for number, path in enumerate(files):
            split = "test" if every and number % every == every - 1 else "train"
            items.append(Item(path, folder.name, split, config.tileable))
    return items


def _spread(items: list[Item], count: int) -> list[Item]:
    """At most `count` items, taken in turn from every class."""
    by_class: dict[str, list[Item]] = {}
    for item in items:
        by_class.setdefault(item.class_name, []).append(item)
    queues = list(by_class.values())
    turns = [item for turn in range(max(map(len, queues))) for queue in queues for item in queue[turn:turn + 1]]
    return turns[:count]


def make_seamless(image: np.ndarray, overlap: int) -> np.ndarray:
    """[H,W,3] -> [H-overlap,W-overlap,3] whose opposite edges meet, by cross-fading the margins.

    Weights of squared sum one around the local mean keep the contrast of noise-like material.
    """
    for axis in (0, 1):
        moved = np.moveaxis(image.astype(np.float32), axis, 0)
        ramp = (np.arange(overlap, dtype=np.float32) + 0.5) / overlap
        ramp = ramp.reshape(-1, 1, 1)
        head, tail = moved[:overlap], moved[-overlap:]
        mean = moved.mean(axis=(0, 1), keepdims=True)
        norm = np.sqrt(ramp**2 + (1 - ramp) ** 2)
        blend = mean + (ramp * (head - mean) + (1 - ramp) * (tail - mean)) / norm
        image = np.moveaxis(np.concatenate([blend, moved[overlap:-overlap]]), 0, axis)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _resize(image: np.ndarray, size: int, wrap: bool) -> np.ndarray:
    """Area-resize a square [H,H,3] image; `wrap` lets the filter see the opposite edge."""
    side = image.shape[0]
    if side == size:
        return image
    margin = side // 8 if wrap and side % 8 == 0 and size % 8 == 0 else 0
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="wrap")
    cut = size // 8 if margin else 0
    full = Image.fromarray(padded).resize((size + 2 * cut,) * 2, Image.BOX if side > size else Image.BICUBIC)
    return np.asarray(full)[cut:cut + size, cut:cut + size]


def read_image(item: Item, config: DataConfig) -> tuple[np.ndarray, bool]:
    """A [size,size,3] uint8 image and whether it tiles; raises ValueError for an unusable file."""
    with Image.open(item.path) as opened:
        image = opened.convert("RGB")
    side = min(image.size)
    if side < config.size:
        raise ValueError(f"{image.width}x{image.height} pixels, at least {config.size} on the short side needed")
    left, top = (image.width - side) // 2, (image.height - side) // 2
    pixels = np.asarray(image)[top:top + side, left:left + side]
    tileable = item.tileable and image.width == image.height
    if not tileable and item.class_name in config.seamless_classes:
        overlap = side * 3 // 16
        pixels, tileable = make_seamless(pixels, overlap), True
    if pixels.std() < 0.5:
        raise ValueError("one flat colour")
    return _resize(pixels, config.size, tileable), tileable


def pack(config: DataConfig, target: Path) -> None:
    """Check and resize every image once; write them to `target`. Reports bad files by name."""
    items = scan(config)
    names = sorted({item.class_name for item in items})
    images, labels, tileable, test, files, bad = [], [], [], [], [], []
    for item in items:
        try:
            pixels, tiles = read_image(item, config)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            bad.append(f"{item.path}: {error}")
            print(f"skipped {bad[-1]}", flush=True)
            continue
        images.append(pixels)
        labels.append(names.index(item.class_name))
        tileable.append(tiles)
        test.append(item.split != "train")
        files.append(f"{item.class_name}/{item.path.name}")
    _refuse_poor_data(items, bad, names, labels, test)
    safetensors_io.save(target, {
        "images": torch.from_numpy(np.stack(images)),
        "labels": torch.tensor(labels), "tileable": torch.tensor(tileable), "test": torch.tensor(test),
    }, {"kind": "image_pack", "classes": json.dumps(names), "files": json.dumps(files),
        "settings": config.fingerprint()})
    print(f"packed {len(images)} images of {len(names)} classes ({sum(test)} for testing, "
          f"{sum(tileable)} tileable, {len(bad)} skipped) into {target}", flush=True)


def _refuse_poor_data(items: list[Item], bad: list[str], names: list[str], labels: list[int],
                      test: list[bool]) -> None:
    if len(bad) > _MOST_BAD * len(items):
        raise UserError(f"{len(bad)} of {len(items)} images cannot be used (at most {_MOST_BAD:.0%} may fail); "
                        f"first: {bad[0]}")
    trained = {label for label, held_out in zip(labels, test) if not held_out}
    for label, name in enumerate(names):
        if label not in trained:
            raise UserError(f"class '{name}' has no usable training image")


class ImagePack:
    """A packed data set; images stay on disk (memory-mapped) until drawn."""

    def __init__(self, path: Path, config: DataConfig) -> None:
        tensors, metadata = safetensors_io.load(path, mapped=True)
        self.images, self.labels = tensors["images"], tensors["labels"]  # [N,S,S,3] uint8, [N]
        self.tileable, self.test = tensors["tileable"], tensors["test"]
        self.classes: list[str] = json.loads(metadata["classes"])
        self.files: list[str] = json.loads(metadata["files"])
        self.config = config
        turnable = torch.tensor([name in config.turn_classes for name in self.classes])
        self.turnable = turnable[self.labels]

    def ids(self, split: str) -> torch.Tensor:
        return torch.nonzero(self.test if split == "test" else ~self.test).flatten()

    def plain(self, ids: torch.Tensor) -> torch.Tensor:
        """[B,3,S,S] in [-1,1], not augmented."""
        return self.images[ids].permute(0, 3, 1, 2).float() / 127.5 - 1

    def augmented(self, ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """[B,3,S,S] in [-1,1]: rolled if tileable, flipped and turned where gravity allows, colours varied."""
        out = self.plain(ids)
        size = out.shape[-1]
        shifts = torch.randint(size, (len(ids), 2), generator=generator)
        chances = torch.rand(len(ids), 3, generator=generator)
        strength = self.config.colour_jitter
        gains = 1 + strength * (torch.rand(len(ids), 1, generator=generator) * 2 - 1) \
            + 0.4 * strength * (torch.rand(len(ids), 3, generator=generator) * 2 - 1)
        for row, index in enumerate(ids.tolist()):
            image = out[row]
            if self.tileable[index]:
                image = torch.roll(image, tuple(shifts[row].tolist()), (1, 2))
            if chances[row, 0] < 0.5:
                image = image.flip(2)
            if self.turnable[index]:
                image = image.flip(1) if chances[row, 1] < 0.5 else image
                image = image.transpose(1, 2) if chances[row, 2] < 0.5 else image
            out[row] = ((image + 1) * gains[row].view(3, 1, 1) - 1).clamp(-1, 1)
        return out
