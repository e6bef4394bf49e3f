"""The UMD objective: clean pictures much masked, noisy ones little or not (arXiv 2406.17688).

The published loss weighs the two kinds by their shares of the batch and averages each over its pictures: that is
the mean over all pictures of what each one misses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..networks.blocks import patchify
from ..networks.umd import Umd, alphas_cumprod, visible_tokens

if TYPE_CHECKING:
    from ..pictures.data import ImagePack

Draws = dict[str, torch.Tensor]


class UmdObjective(nn.Module):
    """Holds the model; draws pictures, which of them are clean, times, noise, masks."""

    def __init__(self, model: Umd, pack: ImagePack | None, label_drop_prob: float = 0.1) -> None:
        super().__init__()
        self.model, self.pack, self.label_drop_prob = model, pack, label_drop_prob
        self.alphas: torch.Tensor
        self.register_buffer("alphas", alphas_cumprod(model.config), persistent=False)

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        assert self.pack is not None
        config, batch = self.model.config, len(ids)
        images = self.pack.augmented(ids, generator)
        places = torch.arange(batch + 1) * int(batch * config.no_noise_prob) // batch
        return {
            "images": images, "labels": self.pack.labels[ids], "clean": places[1:] > places[:-1],
            "dropped": torch.rand(batch, generator=generator) < self.label_drop_prob,
            "t": torch.randint(config.timesteps, (batch,), generator=generator),
            "noise": torch.randn(images.shape, generator=generator),
            "scores": torch.rand(batch, config.tokens, generator=generator),
        }

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        clean = draws["clean"]
        missed, parts = torch.zeros(len(clean)), {}
        if bool(clean.any()):
            values = self._clean({name: value[clean] for name, value in draws.items()})
            missed = missed.to(values.dtype).masked_scatter(clean, values)
            parts["mae_loss"] = values.detach().mean()
        if bool((~clean).any()):
            eps, x0 = self._noisy({name: value[~clean] for name, value in draws.items()})
            missed = missed.to(eps.dtype).masked_scatter(~clean, (eps + x0) / 2)
            parts |= {"eps_loss": eps.detach().mean(), "x0_loss": x0.detach().mean()}
        return missed.mean(), parts

    def _clean(self, draws: Draws) -> torch.Tensor:
        """[B]: what the clean head misses of the removed tokens; no class."""
        config = self.model.config
        tokens = patchify(draws["images"], config.patch_size)
        visible = visible_tokens(draws["scores"], config.mask_ratio_no_noise)
        times = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        made, _ = self.model(tokens, times, None, visible)
        return self._mean(made - tokens, visible, removed=True)

    def _noisy(self, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """[B] each: of the noise in the visible tokens, of the picture in the removed ones, or of both everywhere."""
        config = self.model.config
        x0, noise = (patchify(draws[name], config.patch_size) for name in ("images", "noise"))
        abar = self.alphas[draws["t"]][:, None, None]
        x = abar.sqrt().to(x0.dtype) * x0 + (1 - abar).sqrt().to(x0.dtype) * noise
        labels = None
        if config.num_classes is not None:
            labels = torch.where(draws["dropped"], config.num_classes, draws["labels"])
        visible = visible_tokens(draws["scores"], config.mask_ratio) if config.mask_ratio > 0 else None
        made, eps = self.model(x, draws["t"] + 1, labels, visible)
        if visible is None:
            return ((eps - noise) ** 2).mean((1, 2)), ((made - x0) ** 2).mean((1, 2))
        return self._mean(eps - noise, visible, removed=False), self._mean(made - x0, visible, removed=True)

    @staticmethod
    def _mean(error: torch.Tensor, visible: torch.Tensor, removed: bool) -> torch.Tensor:
        """Mean square of the removed or of the visible tokens, [B]."""
        weight = torch.full(error.shape[:2], 1.0 if removed else 0.0, device=error.device)
        weight = weight.scatter(1, visible, 0.0 if removed else 1.0)
        return ((error**2).mean(2) * weight).sum(1) / weight.sum(1).clamp(min=1)
