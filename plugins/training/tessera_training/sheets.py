"""Contact sheets: grids of images as PNG files."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """[B,3,H,W] in [-1,1] -> [B,H,W,3] uint8, rounded half to even."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)


def grid(images: torch.Tensor, columns: int, gap: int = 2) -> torch.Tensor:
    """[B,H,W,3] uint8 -> one [h,w,3] picture, row by row."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    out = torch.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=torch.uint8)
    for index in range(count):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        out[top:top + height, left:left + width] = images[index]
    return out


def save(path: Path, images: torch.Tensor, columns: int, names: list[str] | None = None) -> None:
    """Write [B,3,H,W] images in [-1,1] as a grid; `names` labels the rows."""
    picture = Image.fromarray(grid(to_bytes(images), columns).numpy())
    if names:
        step = images.shape[2] + 2
        labelled = Image.new("RGB", (picture.width + 96, picture.height), "white")
        labelled.paste(picture, (96, 0))
        draw = ImageDraw.Draw(labelled)
        for row, name in enumerate(names):
            draw.text((4, row * step + images.shape[2] // 2 - 6), name, fill="black")
        picture = labelled
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
