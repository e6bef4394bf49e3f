"""The objective of a learned tokenizer: reconstruction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..config import TrainConfig
from ..networks.tokenizer import TextureVae
from ..networks.vq_vae import VqVae
from ..pictures.data import ImagePack

Draws = dict[str, torch.Tensor]


def gradient_loss(out: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of horizontal and vertical steps (wrapping), [B,3,H,W]."""
    error = out - image
    across, down = ((error - torch.roll(error, 1, axis)).abs().mean() for axis in (3, 2))
    return (across + down) / 2


class TokenizerObjective(nn.Module):
    """L1 + gradient loss at two scales + KL to the unit Gaussian."""

    def __init__(self, vae: TextureVae, pack: ImagePack, train: TrainConfig) -> None:
        super().__init__()
        self.vae, self.train_config = vae, train
        self.pack = pack

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        image = self.pack.augmented(ids, generator)
        side = image.shape[-1] // self.vae.config.stride
        shape = (len(ids), self.vae.config.latent_channels, side, side)
        return {"image": image, "noise": torch.randn(shape, generator=generator)}

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        image = draws["image"]
        mean, logvar = self.vae.encode(image)
        out = self.vae.decode(mean + (logvar / 2).exp() * draws["noise"])
        pixel = (out - image).abs().mean()
        half_out, half_image = F.avg_pool2d(out, 2), F.avg_pool2d(image, 2)
        edges = gradient_loss(out, image) + gradient_loss(half_out, half_image)
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        loss = pixel + self.train_config.gradient_weight * edges + self.train_config.kl_weight * kl
        with torch.no_grad():
            square = ((out.clamp(-1, 1) - image) ** 2).mean((1, 2, 3))
            psnr = (10 * torch.log10(4 / square.clamp(min=1e-8))).mean()
        return loss, {"l1": pixel.detach(), "edges": edges.detach(), "kl": kl.detach(), "psnr": psnr}


@torch.no_grad()
def test_psnr(vae: TextureVae | VqVae, pack: ImagePack, count: int = 0) -> float:
    """Mean over the held-out images of the reconstruction PSNR in dB (data range 2)."""
    ids = pack.ids("test")
    ids = ids[torch.linspace(0, len(ids) - 1, min(count or len(ids), len(ids))).long()]
    values = []
    for chunk in ids.split(16):
        image = pack.plain(chunk)
        out = vae.decode(vae.encode(image)[0]).clamp(-1, 1)
        values.append(10 * torch.log10(4 / ((out - image) ** 2).mean((1, 2, 3))))
    return float(torch.cat(values).mean())
