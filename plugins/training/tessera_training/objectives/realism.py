"""The decoder's second objective: plausible grain, which no pixel loss brings back.

A patch discriminator judges reconstructions while the encoder stays frozen, so latents keep their meaning
and a generator trained on them stays valid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..config import TrainConfig
from ..data import ImagePack
from ..tokenizer import TextureVae
from .tokenizer import Draws, gradient_loss


class PatchDiscriminator(nn.Module):
    """Image [B,3,H,W] -> logits [B,1,H/8,W/8]; `frozen` uses the weights as constants."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        widths = [3 * 4, width, 2 * width, 2 * width]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2) if i < 2 else nn.Conv2d(a, b, 3)
            for i, (a, b) in enumerate(zip(widths, widths[1:])))
        self.head = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, image: torch.Tensor, frozen: bool = False) -> torch.Tensor:
        h = F.pixel_unshuffle(image, 2)
        for layer in (*self.layers, self.head):
            weight, bias = (layer.weight.detach(), layer.bias.detach()) if frozen else (layer.weight, layer.bias)
            if layer is self.head:
                return F.conv2d(h, weight, bias)
            h = F.leaky_relu(F.conv2d(F.pad(h, (1, 1, 1, 1), mode="circular"), weight, bias, layer.stride), 0.2)
        raise AssertionError("unreachable")


def spread_loss(out: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Difference in local contrast of three detail bands, per image and colour.

    A blurred reconstruction has too little of it, whatever its pixels.
    """
    total = out.new_zeros(())
    for _ in range(3):
        low_out, low_image = F.avg_pool2d(out, 2), F.avg_pool2d(image, 2)
        bands = [x - F.interpolate(low, scale_factor=2.0, mode="nearest")
                 for x, low in ((out, low_out), (image, low_image))]
        energy = [(F.avg_pool2d(band**2, min(16, band.shape[-1])) + 1e-5).sqrt() for band in bands]
        total = total + (energy[0] - energy[1]).abs().mean()
        out, image = low_out, low_image
    return total


def balance(first: torch.Tensor, second: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """The factor that makes the gradient of `second` at a tensor as large as that of `first`."""
    norms = [torch.autograd.grad(loss, at, retain_graph=True)[0].norm() for loss in (first, second)]
    return (norms[0] / (norms[1] + 1e-8)).clamp(max=100.0)


class RealismObjective(nn.Module):
    """L1 + contrast statistics + hinge adversarial loss on the decoder, one optimiser for both players.

    `latent_noise` is added to the latents, so that the decoder forgives what the generator gets wrong.
    """

    def __init__(self, vae: TextureVae, pack: ImagePack, train: TrainConfig) -> None:
        super().__init__()
        self.vae, self.pack, self.train_config = vae, pack, train
        self.vae.encoder.requires_grad_(False)
        if train.adversarial_weight:
            self.discriminator = PatchDiscriminator()

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        image = self.pack.augmented(ids, generator)
        side = image.shape[-1] // self.vae.config.stride
        shape = (len(ids), self.vae.config.latent_channels, side, side)
        return {"image": image, "noise": torch.randn(shape, generator=generator)}

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        image, config = draws["image"], self.train_config
        with torch.no_grad():
            mean, logvar = self.vae.encode(image)
            deviation = (logvar.exp() + config.latent_noise**2).sqrt()
        out = self.vae.decode(mean + deviation * draws["noise"])
        pixel = (out - image).abs().mean() + config.gradient_weight * gradient_loss(out, image)
        spread = spread_loss(out, image)
        faithful = pixel + config.statistics_weight * spread
        parts = {"pixel": pixel.detach(), "spread": spread.detach()}
        if not config.adversarial_weight:
            return faithful, parts
        fool = -self.discriminator(out, frozen=True).mean()
        weight = config.adversarial_weight * balance(faithful, fool, out) if self.training else 0.0
        real, fake = self.discriminator(image), self.discriminator(out.detach())
        judge = (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
        loss = faithful + weight * fool + judge
        return loss, {**parts, "fool": fool.detach(), "judge": judge.detach(),
                      "gap": (real.mean() - fake.mean()).detach()}
