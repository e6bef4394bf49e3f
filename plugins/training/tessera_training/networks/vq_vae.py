"""The vector-quantised autoencoder of latent diffusion (VQ-16): the KL one with a codebook in place of a variance."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .codes import nearest
from .kl_vae import Decoder, Encoder, KlVaeConfig


@dataclass(frozen=True)
class VqVaeConfig(KlVaeConfig):
    """Keys as in the metadata of exported files; the defaults are VQ-16."""

    z_channels: int = 8
    embed_dim: int = 8
    encoder_attn_resolutions: tuple[int, ...] = (16,)
    decoder_attn_resolutions: tuple[int, ...] = (16,)
    double_z: bool = False
    n_embed: int = 16384

    @property
    def stride(self) -> int:
        return 2 ** (len(self.ch_mult) - 1)

    @property
    def latent_channels(self) -> int:
        return self.embed_dim

    @classmethod
    def from_json(cls, text: str) -> VqVaeConfig:
        values = json.loads(text)
        known: dict[str, Any] = {name: tuple(values[name]) if isinstance(values[name], list) else values[name]
                                 for name in cls.__dataclass_fields__ if name in values}
        return cls(**known)


class Quantizer(nn.Module):
    """The codebook under its official name."""

    def __init__(self, entries: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(entries, width)
        nn.init.uniform_(self.embedding.weight, -1 / entries, 1 / entries)

    def codes(self, z: torch.Tensor) -> torch.Tensor:
        """[B,C,h,w] -> [B,h,w]."""
        return nearest(z.permute(0, 2, 3, 1), self.embedding.weight)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """The entry nearest to each latent, [B,C,h,w]."""
        return self.embedding(self.codes(z)).permute(0, 3, 1, 2)


class VqVae(nn.Module):
    def __init__(self, config: VqVaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantize = Quantizer(config.n_embed, config.embed_dim)
        self.quant_conv = nn.Conv2d(config.z_channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    @torch.no_grad()
    def start_from(self, images: torch.Tensor, generator: torch.Generator) -> None:
        """The codebook becomes latents of these images: codes that start far from all are never chosen."""
        latents = torch.cat([self.encode(part)[0] for part in images.split(8)]).permute(0, 2, 3, 1).flatten(0, 2)
        picked = torch.randint(len(latents), (self.config.n_embed,), generator=generator)
        noise = torch.randn(len(picked), latents.shape[1], generator=generator)
        self.quantize.embedding.weight.copy_(latents[picked] + 0.01 * latents.std(0) * noise)

    def moments(self, image: torch.Tensor) -> torch.Tensor:
        """Image [B,3,H,W] in [-1,1] -> latents before quantisation [B,C,h,w]."""
        return self.quant_conv(self.encoder(image))

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents before quantisation, and the log variance of what is certain."""
        z = self.moments(image)
        return z, torch.full_like(z, -math.inf)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Latents, quantised or not, through the nearest codes."""
        return self.decoder(self.post_quant_conv(self.quantize(z)))
