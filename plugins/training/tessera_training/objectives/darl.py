"""The DARL objective: the next patch from those before it, as its mean and by denoising (arXiv 2403.05196).

Levels of noise are not those of a schedule: the share of the signal's energy is drawn from a Beta distribution,
Beta(0.03, 1) for representations (four draws of five are noise alone), Beta(1/2, 1/2) for generation.
"""

from __future__ import annotations

import torch
from torch import nn

from ..networks.darl import LEVEL_LIMIT, Darl, cut
from ..pictures.data import ImagePack

Draws = dict[str, torch.Tensor]


def log_share(u: torch.Tensor, a: float) -> torch.Tensor:
    """ln of a draw of Beta(a, 1) from uniform u, cut below."""
    return (u.log() / a).clamp(min=-LEVEL_LIMIT)


def half_share(u: torch.Tensor) -> torch.Tensor:
    """A draw of Beta(1/2, 1/2) from uniform u."""
    return torch.sin(torch.pi / 2 * u) ** 2


def log_snr(log_g: torch.Tensor) -> torch.Tensor:
    """ln g - ln(1 - g) from ln g, cut to what networks are told."""
    return (log_g - torch.log(-torch.expm1(log_g))).clamp(-LEVEL_LIMIT, LEVEL_LIMIT)


def noised(patches: torch.Tensor, log_g: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """sqrt(g) x + sqrt(1 - g) noise, for ln g [B,L]."""
    share = log_g.exp()[..., None]
    return (share.sqrt() * patches.double() + (1 - share).sqrt() * noise.double()).float()


class DarlObjective(nn.Module):
    """Holds the model and the pictures."""

    def __init__(self, model: Darl, images: ImagePack, label_drop: float = 0.1) -> None:
        super().__init__()
        self.model, self.images, self.label_drop = model, images, label_drop

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        config, batch = self.model.config, len(ids)
        images = self.images.augmented(ids, generator)
        shape = (batch, config.patches)
        u = torch.rand(shape, generator=generator, dtype=torch.float64).clamp(min=1e-300)
        very_noisy = log_share(u, 0.03)
        any_noise = half_share(u).clamp(min=1e-300).log().clamp(-LEVEL_LIMIT, -1e-12)
        chance = torch.rand(shape, generator=generator) < 0.5
        log_g = {"repr": very_noisy, "gen": any_noise, "dual": torch.where(chance, very_noisy, any_noise)}
        return {
            "patches": cut(images, config.patch_size)[:, self.model.order.cpu()],
            "labels": torch.where(torch.rand(batch, generator=generator) < self.label_drop,
                                  config.num_classes, self.images.labels[ids]),
            "log_g": log_g[config.noise],
            "noise": torch.randn(*shape, config.patch_width, generator=generator),
            "context": torch.rand(batch, 1, 1, generator=generator) * config.context_noise
            * torch.randn(*shape, config.patch_width, generator=generator),
        }

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Squared error of both heads, every patch and number alike."""
        patches, log_g = draws["patches"], draws["log_g"]
        seen = patches + draws["context"]  # so that a run's own errors are nothing new
        z = self.model.conditions(seen[:, :-1], draws["labels"])
        mean = ((self.model.head_linear(z) - patches) ** 2).mean()
        x, level = noised(patches, log_g, draws["noise"]), log_snr(log_g).float()
        decoder = self.model.patch_decoder
        if self.model.config.context == "pair":
            clean = decoder.pair(z.flatten(0, 1), x.flatten(0, 1), level.flatten()).reshape(x.shape)
        else:
            clean = decoder.prefix(z, x, level)
        denoised = ((clean - patches) ** 2).mean()
        return mean + denoised, {"mean": mean.detach(), "denoised": denoised.detach()}
