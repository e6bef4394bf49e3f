"""Pixels as bytes and as numbers."""

from __future__ import annotations

import torch


def from_bytes(images: torch.Tensor) -> torch.Tensor:
    """[B,H,W,3] bytes -> [B,3,H,W] in [-1,1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """[B,3,H,W] in [-1,1] -> [B,H,W,3] uint8, rounded half to even."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
