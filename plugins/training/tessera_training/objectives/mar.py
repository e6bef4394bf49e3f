"""The MAR objective: predict masked tokens with the diffusion loss (arXiv 2406.11838, section 3)."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..config import GeneratorConfig
from ..networks import diffusion
from ..networks.blocks import patchify
from ..networks.mar import Mar
from ..pictures.latents import LatentPack

Draws = dict[str, torch.Tensor]


def mask_rate(generator: torch.Generator, low: float, schedule: str = "normal") -> float:
    """Truncated normal: mean 1, deviation 0.25, support [low, 1]; or what a random step of sampling finds."""
    if schedule == "cosine":
        return math.cos(math.pi / 2 * float(torch.rand((), generator=generator)))
    while True:
        rate = 1 - abs(float(torch.randn((), generator=generator))) * 0.25
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
        self.weight: torch.Tensor | None  # [d], mean 1
        self.register_buffer("weight", None, persistent=False)
        if config.smooth_channel_weight:
            weight = 1 + config.smooth_channel_weight * pack.smoothness()
            self.weight = (weight / weight.mean()).repeat_interleave(model.config.patch_size**2)

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        config, batch = self.model.config, len(ids)
        tokens = patchify(self.pack.draw(ids, generator), config.patch_size)
        orders = torch.rand(batch, config.tokens, generator=generator).argsort(1)
        rate = mask_rate(generator, self.settings.mask_ratio_min, self.settings.mask_schedule)
        masked = max(1, math.ceil(config.tokens * rate))
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
        z = self.model.decode(self.model.encode(tokens, mask, classes), mask, tokens)[mask]
        missed = tokens[mask] - self.model.guesses(z)
        copies = draws["t"].shape[-1]
        x0 = missed.detach().repeat_interleave(copies, 0)  # [B masked copies, d]
        t, noise = draws["t"].reshape(-1), draws["noise"].reshape(-1, x0.shape[-1])
        x_t = diffusion.noised(self.table, x0, t, noise)
        net = self.model.diffloss.net(x_t, t, z.repeat_interleave(copies, 0)).float()
        mse, bound = diffusion.loss_rows(self.table, net, x0, x_t, t, noise, self.weight,
                                         self.model.config.prediction)
        parts = {"mse": mse.mean(), "vb": bound.mean()}
        if self.model.config.local_kernel:
            parts["guess"] = (missed**2 if self.weight is None else missed**2 * self.weight).mean()
        return sum(parts.values(), torch.zeros(())), {name: value.detach() for name, value in parts.items()}
