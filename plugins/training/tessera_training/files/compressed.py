"""Training images in one small file that needs only PyTorch and numpy to read: quantised wavelet tokens.

A number of a token is rounded to a step that grows with its level and with the root of its group's deviation, so
that quiet pictures keep their grain; then planes of equal numbers are compressed with bz2.
"""

from __future__ import annotations

import bz2
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from ..networks import style, wavelet
from ..pictures.pixels import from_bytes, to_bytes
from . import safetensors_io

_CHUNK = 256  # pictures compressed together
_STEP = torch.tensor([.25, .4, .65, 1.1])[wavelet.LEVEL] * torch.where(wavelet.CHANNEL > 0, 1.4, 1.)
_FINENESS = (.3, .4, .5, .55, .6, .65, .7, .8, 1.0, 1.3)  # factors of the steps, finest first


def _steps(exact: torch.Tensor, fineness: float) -> torch.Tensor:
    """The step of each number of normalised tokens, [B,1,1,96]."""
    deviation = exact[:, 6:].exp()[:, style.GROUP]
    return (fineness * _STEP * deviation**-.5)[:, None, None]


def _encode(images: torch.Tensor, fineness: float) -> tuple[bytes, torch.Tensor]:
    """[B,S,S,3] bytes -> compressed numbers, and the exact style [B,22]."""
    tokens, exact = style.take_out(wavelet.tokens_of(from_bytes(images)))
    rounded = (tokens / _steps(exact, fineness)).round().clamp(-127, 127).to(torch.int8)
    return bz2.compress(rounded.permute(3, 0, 1, 2).contiguous().numpy().tobytes()), exact


def save(path: Path, images: torch.Tensor, tensors: dict[str, torch.Tensor], metadata: dict[str, object],
         limit: int) -> float:
    """Write images [N,S,S,3] as finely as `limit` bytes allow, with other tensors; returns the fineness (less is finer)."""
    sample = images[::max(1, len(images) // 128)]
    fits = [fineness for fineness in _FINENESS
            if len(_encode(sample, fineness)[0]) * len(images) / len(sample) < 0.97 * limit]
    fineness = fits[0] if fits else _FINENESS[-1]
    parts = [_encode(part, fineness) for part in images.split(_CHUNK)]
    blobs = {f"images.{number}": torch.frombuffer(bytearray(blob), dtype=torch.uint8)
             for number, (blob, _) in enumerate(parts)}
    exact = torch.cat([exact for _, exact in parts])
    safetensors_io.save(path, {**tensors, "exact": exact, **blobs}, {
        "side": str(images.shape[1]), "fineness": str(fineness),
        **{key: json.dumps(value) for key, value in metadata.items()}})
    return fineness


def load(path: Path, device: torch.device) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, str]]:
    """Images [N,S,S,3] as bytes on the device, the other tensors, and the metadata."""
    tensors, metadata = safetensors_io.load(path)
    exact, grid = tensors.pop("exact").to(device), int(metadata["side"]) // wavelet.CELL
    blobs = [tensors.pop(name) for name in sorted((name for name in tensors if name.startswith("images.")),
                                                  key=lambda name: int(name.split(".")[1]))]
    images = []
    with ThreadPoolExecutor() as pool:
        planes = list(pool.map(lambda blob: bz2.decompress(blob.numpy().tobytes()), blobs))
    for plane, part in zip(planes, exact.split(_CHUNK)):
        raw = torch.frombuffer(bytearray(plane), dtype=torch.int8)
        rounded = raw.view(wavelet.TOKEN, len(part), grid, grid).to(device).permute(1, 2, 3, 0).float()
        steps = _steps(part.cpu(), float(metadata["fineness"])).to(device)
        picture = wavelet.rgb_of(style.put_back(rounded * steps, part))
        images.append(to_bytes(picture))
    return torch.cat(images), tensors, metadata
