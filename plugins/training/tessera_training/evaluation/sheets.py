"""Contact sheets: grids of images in one file."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw

from ..pictures.pixels import to_bytes


def grid(images: torch.Tensor, columns: int, gap: int = 2) -> torch.Tensor:
    """[B,H,W,3] uint8 -> one [h,w,3] picture, row by row."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    out = torch.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=torch.uint8)
    for index in range(count):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        out[top:top + height, left:left + width] = images[index]
    return out


def save(path: Path, images: torch.Tensor, columns: int) -> None:
    """Write [B,3,H,W] images in [-1,1] as a grid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid(to_bytes(images), columns).numpy()).save(path)


def save_classes(path: Path, images: torch.Tensor, names: list[str]) -> None:
    """Write [classes * n,3,H,W] images in [-1,1]: one labelled row per class, in two blocks side by side.

    For WebP, a quarter of the bytes of PNG: these sheets lie next to models in git.
    """
    each, height = len(images) // len(names), images.shape[2]
    blocks = 2 if len(names) > 8 else 1
    rows, margin = -(-len(names) // blocks), 96
    width = margin + each * (images.shape[3] + 2)
    sheet = Image.new("RGB", (blocks * width, rows * (height + 2)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, name in enumerate(names):
        left, top = index // rows * width, index % rows * (height + 2)
        draw.text((left + 4, top + height // 2 - 6), name, fill="black")
        row = grid(to_bytes(images[index * each:(index + 1) * each]), each)
        sheet.paste(Image.fromarray(row.numpy()), (left + margin, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=80, method=6)
