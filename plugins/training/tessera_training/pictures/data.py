"""Labelled images: found on disk, checked, packed into one file, and augmented when drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..config import DataConfig
from ..errors import UserError
from ..files import safetensors_io
from .picture import open_picture
from .pixels import from_bytes
from .table import read_table

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_LITTER = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found",
           "system volume information"}
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
        items = [Item(root / "images" / row.class_name / f"{row.id}.jpg", row.class_name, row.split, row.tileable)
                 for row in read_table(root / "index.csv")]
    elif root.is_dir():
        items = _scan_folders(root, config)
    else:
        raise UserError(f"data.path '{root}': expected a folder of class folders or one with an index.csv")
    if config.max_images:
        items = _spread(items, config.max_images)
    if not any(item.split == "train" for item in items):
        raise UserError(f"data.path '{root}': no training image found")
    return items


def _is_litter(path: Path) -> bool:
    """What desktops, archives and notebooks leave in folders: hidden names and their relatives."""
    return path.name.startswith((".", "~$")) or path.name.lower() in _LITTER


def _scan_folders(root: Path, config: DataConfig) -> list[Item]:
    items: list[Item] = []
    others: dict[str, int] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not _is_litter(path)):
        files = []
        for path in sorted(path for path in folder.iterdir() if path.is_file() and not _is_litter(path)):
            suffix = path.suffix.lower()
            if suffix in _SUFFIXES:
                files.append(path)
            else:
                others[suffix] = others.get(suffix, 0) + 1
        if not files:
            raise UserError(f"class folder '{folder}' holds no image ({', '.join(sorted(_SUFFIXES))})")
        every = round(1 / config.test_share) if config.test_share else 0
        for number, path in enumerate(files):
            split = "test" if every and number % every == every - 1 else "train"
            items.append(Item(path, folder.name, split, config.tileable))
    if others:
        kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(others.items()))
        print(f"ignored files that are no image by their name: {kinds}", flush=True)
    return items


def _spread(items: list[Item], count: int) -> list[Item]:
    """At most `count` items, taken in turn from every class."""
    by_class: dict[str, list[Item]] = {}
    for item in items:
        by_class.setdefault(item.class_name, []).append(item)
    queues = list(by_class.values())
    turns = [item for turn in range(max(map(len, queues))) for queue in queues for item in queue[turn:turn + 1]]
    return turns[:count]


def _best_period(image: np.ndarray, overlap: int) -> tuple[int, float]:
    """Rows after which [H,W,3] repeats best, and how well: 0 perfect, about 1 unrelated."""
    image = image[:, ::3]  # every third column is enough to compare rows
    first = image[:overlap]
    spread = 2 * image.var(axis=(0, 1)).sum() + 1e-6
    shortest = max(len(image) * 9 // 16, overlap)
    errors = {period: float(((image[period:period + overlap] - first) ** 2).mean((0, 1)).sum() / spread)
              for period in range(shortest, len(image) - overlap + 1)}
    best = min(errors, key=lambda period: errors[period])
    return best, errors[best]


def make_seamless(image: np.ndarray, overlap: int, worst: float) -> np.ndarray | None:
    """Cut [H,W,3] to about one period per axis and cross-fade `overlap` pixels, so that opposite edges meet.

    None if the parts to be faded differ more than `worst` (see `_best_period`). Weights of squared sum one
    around the mean keep the contrast of noise-like material.
    """
    values = image.astype(np.float32)
    ramp = ((np.arange(overlap, dtype=np.float32) + 0.5) / overlap).reshape(-1, 1, 1)
    for axis in (0, 1):
        values = np.moveaxis(values, axis, 0)
        period, mismatch = _best_period(values, overlap)
        if mismatch > worst:
            return None
        head, tail = values[:overlap], values[period:period + overlap]
        mean = values.mean(axis=(0, 1), keepdims=True)
        likeness = max(0.0, 1 - mismatch)  # correlated parts need less than full compensation
        norm = np.sqrt(ramp**2 + (1 - ramp) ** 2 + 2 * likeness * ramp * (1 - ramp))
        blend = mean + (ramp * (head - mean) + (1 - ramp) * (tail - mean)) / norm
        values = np.moveaxis(np.concatenate([blend, values[overlap:period]]), 0, axis)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _resize(image: np.ndarray, size: int, wrap: bool) -> np.ndarray:
    """Area-resize [H,W,3] to [size,size,3]; `wrap` lets the filter see the opposite edge."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    margins = [(side // 4, side // 4) if wrap else (0, 0) for side in (height, width)]
    padded = Image.fromarray(np.pad(image, (*margins, (0, 0)), mode="wrap"))
    left, top = margins[1][0], margins[0][0]
    box = (left, top, left + width, top + height)
    if not wrap:
        return np.asarray(padded.resize((size, size), Image.Resampling.BOX if min(height, width) >= size else Image.Resampling.BICUBIC))
    # filter a wrapped area of three halves, then cut: PIL itself would clamp at the box
    scale_x, scale_y = width / size, height / size
    cut = size // 8
    wide = (box[0] - cut * scale_x, box[1] - cut * scale_y, box[2] + cut * scale_x, box[3] + cut * scale_y)
    full = padded.resize((size + 2 * cut,) * 2, Image.Resampling.BOX if min(scale_x, scale_y) >= 1 else Image.Resampling.BICUBIC, box=wide)
    return np.asarray(full)[cut:cut + size, cut:cut + size]


def read_image(item: Item, config: DataConfig) -> tuple[np.ndarray, bool]:
    """A [size,size,3] uint8 image and whether it tiles; raises ValueError for an unusable file."""
    image = open_picture(item.path)
    side = min(image.size)
    if side < config.size:
        raise ValueError(f"{image.width}x{image.height} pixels, at least {config.size} on the short side needed")
    left, top = (image.width - side) // 2, (image.height - side) // 2
    pixels = np.asarray(image)[top:top + side, left:left + side]
    tileable = item.tileable and image.width == image.height
    if not tileable and config.make_seamless:
        noisy = item.class_name in config.seamless_classes
        seamless = make_seamless(pixels, side * 3 // 16 if noisy else side // 16, np.inf if noisy else 0.8)
        if seamless is not None:
            pixels, tileable = seamless, True
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

    def plain(self, ids: torch.Tensor, size: int = 0) -> torch.Tensor:
        """[B,3,S,S] in [-1,1], not augmented; means of pixels where a smaller `size` is given."""
        images = from_bytes(self.images[ids])
        return F.avg_pool2d(images, images.shape[-1] // size) if 0 < size < images.shape[-1] else images

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
