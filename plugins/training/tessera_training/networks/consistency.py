"""A decoder that takes noise off a picture by the latents, in few steps (a consistency model, arXiv 2303.01469).

The encoder is that of the KL autoencoder. This is the reference of the runtime's codec kind
`consistency_vae_weights`; nothing here trains it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .kl_vae import Encoder, KlVaeConfig, ResBlock, _norm

STEPS = 1024  # times that there are


@dataclass(frozen=True)
class ConsistencyConfig(KlVaeConfig):
    decoder_width: int = 64
    decoder_blocks: int = 2
    decoder_patch: int = 2  # pixels along a cell that the decoder works on
    decoder_times: tuple[int, ...] = (1008, 512)
    sigma_data: float = 0.5

    @classmethod
    def from_json(cls, text: str) -> ConsistencyConfig:
        values = json.loads(text)
        known: dict[str, Any] = {name: tuple(values[name]) if isinstance(values[name], list) else values[name]
                                 for name in cls.__dataclass_fields__ if name in values}
        return cls(**known)


def signal() -> list[float]:
    """alpha^2 of every time: the squared cosine, no beta above 0.999."""
    def survives(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    kept, values = 1.0, []
    for step in range(STEPS):
        kept *= 1 - min(1 - survives((step + 1) / STEPS) / survives(step / STEPS), 0.999)
        values.append(kept)
    return values


class NoisyDecoder(nn.Module):
    def __init__(self, config: ConsistencyConfig) -> None:
        super().__init__()
        self.config = config
        width, patch = config.decoder_width, config.decoder_patch
        self.noisy_in = nn.Conv2d((config.out_ch + 1) * patch**2, width, 3, padding=1)
        self.latent_in = nn.Conv2d(config.embed_dim, width, 3, padding=1)
        self.latent_up = nn.Conv2d(width, width, 3, padding=1)
        self.block = nn.ModuleList(ResBlock(width, width) for _ in range(config.decoder_blocks))
        self.norm_out = _norm(width)
        self.conv_out = nn.Conv2d(width, config.out_ch * patch**2, 3, padding=1)

    def forward(self, x: torch.Tensor, time: int, z: torch.Tensor) -> torch.Tensor:
        """x [B,3,H,W], latents z [B,C,h,w] -> [B,3,H,W]."""
        patch = self.config.decoder_patch
        plane = torch.full_like(x[:, :1], 2 * time / STEPS - 1)
        h = self.noisy_in(F.pixel_unshuffle(torch.cat([x, plane], 1), patch))
        factor = h.shape[-1] // z.shape[-1]
        h = h + self.latent_up(F.interpolate(self.latent_in(z), scale_factor=float(factor), mode="nearest"))
        for block in self.block:
            h = block(h)
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), patch)


class ConsistencyVae(nn.Module):
    def __init__(self, config: ConsistencyConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), NoisyDecoder(config)
        self.quant_conv = nn.Conv2d(2 * config.z_channels, 2 * config.embed_dim, 1)

    def moments(self, image: torch.Tensor) -> torch.Tensor:
        return self.quant_conv(self.encoder(image))

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, logvar = self.moments(image).chunk(2, 1)
        return mean, logvar.clamp(-30, 20)

    def decode(self, z: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """z [B,C,h,w], noise [steps,B,3,H,W] -> [B,3,H,W] in [-1,1]."""
        kept, data = signal(), self.config.sigma_data
        clean = torch.zeros_like(noise[0])
        for time, draw in zip(self.config.decoder_times, noise):
            level = kept[time]
            x = math.sqrt(level) * clean + math.sqrt(1 - level) * draw
            sigma = math.sqrt(1 / level - 1)
            whole = sigma**2 + data**2
            net = self.decoder(x / math.sqrt(level * whole), time, z)
            clean = (sigma * data / math.sqrt(whole) * net + data**2 / (math.sqrt(level) * whole) * x).clamp(-1, 1)
        return clean
