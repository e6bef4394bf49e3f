"""Pictures as wavelet tokens and back: fixed, exact, periodic, no weights.

RGB becomes YCoCg, each channel goes through three levels of the CDF 9/7 wavelet on the torus, and every place
of 8x8 pixels gathers its numbers: 64 of luma, 16 of each chroma (whose finest level is left out, 52 dB). Within
a channel the coarsest come first: low-pass, then per level the bands that are high in x, high in y, high in both,
each row by row.
"""

from __future__ import annotations

import functools
import math

import torch

LEVELS, CELL, TOKEN = 3, 8, 96
_LIFT = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
_GAIN = 1.149604398860241  # of the low-pass; minus its inverse is that of the high-pass

_SIZES = [1] + [4**level for level in range(LEVELS) for _ in range(3)]  # numbers of a luma band in a token
_CHROMA = _SIZES[:7]
SIZES = _SIZES + 2 * _CHROMA
_BANDS = [(0, 0)] + [(level + 1, band) for level in range(LEVELS) for band in range(3)]
CHANNEL = torch.tensor([0] * 64 + [1] * 16 + [2] * 16)  # of each number of a token: Y, Co, Cg
BAND = torch.tensor([index for count in (10, 7, 7) for index, size in enumerate(_SIZES[:count]) for _ in range(size)])
LEVEL = torch.tensor([_BANDS[index][0] for index in BAND.tolist()])  # 0 the low-pass, 3 the finest


def _lift(x: torch.Tensor) -> torch.Tensor:
    """One level along the first axis: [n,...] -> low half, high half."""
    even, odd = x[0::2].clone(), x[1::2].clone()
    odd += _LIFT[0] * (even + even.roll(-1, 0))
    even += _LIFT[1] * (odd + odd.roll(1, 0))
    odd += _LIFT[2] * (even + even.roll(-1, 0))
    even += _LIFT[3] * (odd + odd.roll(1, 0))
    return torch.cat([even * _GAIN, odd / -_GAIN])


def _unlift(x: torch.Tensor) -> torch.Tensor:
    even, odd = (part.clone() for part in x.chunk(2))
    even, odd = even / _GAIN, odd * -_GAIN
    even -= _LIFT[3] * (odd + odd.roll(1, 0))
    odd -= _LIFT[2] * (even + even.roll(-1, 0))
    even -= _LIFT[1] * (odd + odd.roll(1, 0))
    odd -= _LIFT[0] * (even + even.roll(-1, 0))
    return torch.stack([even, odd], 1).flatten(0, 1)


@functools.lru_cache(maxsize=64)
def _matrices(size: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Analysis and synthesis of one level of a circle of `size` samples, as matrices: fastest on any device."""
    unit = torch.eye(size, dtype=torch.float64)
    return _lift(unit).to(device, dtype), _unlift(unit).to(device, dtype)


def _transform(x: torch.Tensor, inverse: bool) -> torch.Tensor:
    rows, columns = (_matrices(side, x.device, x.dtype)[inverse] for side in x.shape[-2:])
    return rows @ x @ columns.T


def to_ycocg(rgb: torch.Tensor) -> torch.Tensor:
    r, g, b = rgb.unbind(1)
    return torch.stack([(r + 2 * g + b) / 4, (r - b) / 2, (2 * g - r - b) / 4], 1)


def to_rgb(ycocg: torch.Tensor) -> torch.Tensor:
    y, co, cg = ycocg.unbind(1)
    return torch.stack([y - cg + co, y + cg, y - cg - co], 1)


def tokens_of(rgb: torch.Tensor) -> torch.Tensor:
    """[B,3,H,W] in [-1,1], sides multiples of 8 -> [B,H/8,W/8,96]."""
    x, height, width = to_ycocg(rgb), rgb.shape[2] // CELL, rgb.shape[3] // CELL
    bands: list[torch.Tensor] = []  # [B,3,H,W,n], coarse first
    for _ in range(LEVELS):
        x, h, w = _transform(x, False), x.shape[2] // 2, x.shape[3] // 2
        triple = (x[..., :h, w:], x[..., h:, :w], x[..., h:, w:])
        bands = [_cells(band, height, width) for band in triple] + bands
        x = x[..., :h, :w]
    parts = [_cells(x, height, width), *bands]
    return torch.cat([part[:, channel] for channel, count in enumerate((10, 7, 7)) for part in parts[:count]], -1)


def rgb_of(tokens: torch.Tensor) -> torch.Tensor:
    """[B,H,W,96] -> [B,3,8H,8W], not clipped."""
    split = list(tokens.split(SIZES, -1))
    silent = [torch.zeros(*tokens.shape[:3], 16, dtype=tokens.dtype, device=tokens.device)] * 3
    channels = (split[:10], split[10:17] + silent, split[17:] + silent)
    parts = [_plane(torch.stack(parts, 1)) for parts in zip(*channels)]
    x = parts[0]
    for level in range(LEVELS):
        a, b, c = parts[1 + 3 * level:4 + 3 * level]
        x = _transform(torch.cat([torch.cat([x, a], -1), torch.cat([b, c], -1)], -2), True)
    return to_rgb(x)


def _cells(band: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[B,C,h,w] -> [B,C,height,width,n]: the samples of each token, row by row."""
    batch, channels, h, w = band.shape
    rows, columns = h // height, w // width
    return (band.reshape(batch, channels, height, rows, width, columns).transpose(3, 4)
            .reshape(batch, channels, height, width, rows * columns))


def _plane(cells: torch.Tensor) -> torch.Tensor:
    """The inverse of `_cells`."""
    batch, channels, height, width, count = cells.shape
    side = math.isqrt(count)
    return (cells.reshape(batch, channels, height, width, side, side).transpose(3, 4)
            .reshape(batch, channels, height * side, width * side))
