"""The MAR objective: predict masked tokens with the diffusion loss (arXiv 2406.11838, section 3)."""

from __future__ import annotations

import math

import torch
from torch import nn

from .. import diffusion
from ..blocks import patchify
from ..config import GeneratorConfig
from ..latents import LatentPack
from ..mar import Mar

Draws = dict[str, torch.Tensor]

GUESS_MOST_UNKNOWN = 0.85  # share of unknown tokens up to which they are guessed


def mask_rate(generator: torch.Generator, low: float, deviation: float = 0.25) -> float:
    """Truncated normal: mean 1, support [low, 1]."""
    while True:
        rate = 1 - abs(float(torch.randn((), generator=generator))) * deviation
        if rate >= low:
            return rate


def mask_of(orders: torch.Tensor, masked: int) -> torch.Tensor:
    """[B,S] bool: the first `masked` entries of each order [B,S] are unknown."""
    return torch.zeros(orders.shape, dtype=torch.bool).scatter_(1, orders[:, :masked], True)


class MarObjective(nn.Module):
    """Holds the model; draws latents, masks, times and noise."""

    def __init__(self, model: Mar, pack: LatentPack, config: GeneratorConfig) -> None:
        super().__init__()
        self.model, self.pack, self.settings = model, pack, config
        self.table = diffusion.tables()
        self.weight: torch.Tensor | None = None  # [d], mean 1
        # Guesses tokens straight from the conditions: for training only, exported models do not have it.
        self.guess: nn.Linear | None = None
        if config.guess_weight:
            self.guess = nn.Linear(model.config.decoder_embed_dim, model.config.token_width)
            self.guess_scale = 1 / pack.variance_within().repeat_interleave(model.config.patch_size**2)
        if config.smooth_channel_weight:
            weight = 1 + config.smooth_channel_weight * pack.smoothness()
            self.weight = (weight / weight.mean()).repeat_interleave(model.config.patch_size**2)

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        config, batch = self.model.config, len(ids)
        tokens = patchify(self.pack.draw(ids, generator), config.patch_size)
        orders = torch.rand(batch, config.tokens, generator=generator).argsort(1)
        masked = math.ceil(config.tokens * mask_rate(generator, self.settings.mask_ratio_min,
                                                     self.settings.mask_ratio_std))
        copies = self.settings.diffusion_batch_mul
        return {
            "tokens": tokens, "labels": self.pack.labels[ids], "mask": mask_of(orders, masked),
            "dropped": torch.rand(batch, generator=generator) < self.settings.label_drop_prob,
            "t": (torch.rand(batch, masked, copies, generator=generator) ** self.settings.time_power
                  * diffusion.TRAIN_STEPS).long().clamp(max=diffusion.TRAIN_STEPS - 1),
            "noise": torch.randn(batch, masked, copies, config.token_width, generator=generator),
        }

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean loss of the masked tokens; the known ones have weight zero and are not computed at all."""
        tokens, mask = draws["tokens"], draws["mask"]
        classes = self.model.class_vector(draws["labels"], len(tokens), draws["dropped"])
        z = self.model.decode(self.model.encode(tokens, mask, classes), mask)
        copies = draws["t"].shape[-1]
        x0 = tokens[mask].repeat_interleave(copies, 0)  # [B masked copies, d]
        t, noise = draws["t"].reshape(-1), draws["noise"].reshape(-1, x0.shape[-1])
        x_t = diffusion.noised(self.table, x0, t, noise)
        net = self.model.diffloss.net(x_t, t, z[mask].repeat_interleave(copies, 0)).float()
        mse, bound = diffusion.loss_rows(self.table, net, x0, x_t, t, noise, self.weight)
        parts = {"mse": mse.mean(), "vb": bound.mean()}
        loss = parts["mse"] + parts["vb"]
        if self.guess is not None:
            parts["guess"] = self._guess_error(z[mask], tokens[mask])
            counts = mask[0].sum() <= GUESS_MOST_UNKNOWN * mask.shape[1]
            loss = loss + self.settings.guess_weight * counts * parts["guess"]
        return loss, {name: value.detach() for name, value in parts.items()}

    def _guess_error(self, z: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Squared error of the tokens' conditional mean, read off z [N,D] by one linear layer; 1 is no better
        than the mean of the image.

        It tells the transformer what neighbours say about a token, without the noise of random times, and on the
        scale of differences inside an image. Where nearly nothing is known it would only tell images apart.
        """
        assert self.guess is not None
        return ((self.guess(z).float() - tokens) ** 2 * self.guess_scale).mean()
