"""The SAIM objective: every patch from those before it in a fresh random order (arXiv 2212.01610).

With a diffusion head, the loss of MAR's head on what the decoder says is added: it then samples patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..networks import diffusion
from ..networks.blocks import patchify
from ..networks.saim import Saim

if TYPE_CHECKING:
    from ..pictures.data import ImagePack

Draws = dict[str, torch.Tensor]


class SaimObjective(nn.Module):
    """Holds the model; draws pictures, orders, and the head's times and noise."""

    def __init__(self, model: Saim, pack: ImagePack | None, label_drop_prob: float = 0.1, copies: int = 2) -> None:
        super().__init__()
        self.model, self.pack, self.label_drop_prob, self.copies = model, pack, label_drop_prob, copies
        self.table = diffusion.tables()

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        assert self.pack is not None
        config, batch = self.model.config, len(ids)
        draws = {"images": self.pack.augmented(ids, generator), "labels": self.pack.labels[ids],
                 "dropped": torch.rand(batch, generator=generator) < self.label_drop_prob,
                 "u": torch.rand(batch, config.tokens, generator=generator)}
        if config.diffloss_d is not None:
            draws["t"] = torch.randint(diffusion.TRAIN_STEPS, (batch, config.tokens, self.copies), generator=generator)
            draws["noise"] = torch.randn(batch, config.tokens, self.copies, config.token_width, generator=generator)
        return draws

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config = self.model.config
        classes = None
        if config.class_num is not None:
            classes = self.model.class_emb(draws["labels"]) * (~draws["dropped"])[:, None]
        z = self.model.streams(draws["images"], draws["u"], classes)[:, 1:]
        error = self.model.prediction_head(z) - self.model.target(draws["images"])
        loss = error.abs().mean() if config.loss_type == "L1" else (error**2).mean()
        parts = {"expected": loss}
        if config.diffloss_d is not None:
            parts |= self._sampled(z, draws)
        return sum(parts.values(), torch.zeros(())), {name: value.detach() for name, value in parts.items()}

    def _sampled(self, z: torch.Tensor, draws: Draws) -> dict[str, torch.Tensor]:
        x0 = patchify(draws["images"], self.model.config.patch_size)
        copies = draws["t"].shape[2]
        x0 = x0[:, :, None].expand(-1, -1, copies, -1).flatten(0, 2)
        rows = z[:, :, None].expand(-1, -1, copies, -1).flatten(0, 2)
        t, noise = draws["t"].flatten(), draws["noise"].flatten(0, 2)
        x_t = diffusion.noised(self.table, x0, t, noise)
        net = self.model.diffloss.net(x_t, t, rows).float()
        mse, bound = diffusion.loss_rows(self.table, net, x0, x_t, t, noise,
                                         prediction=self.model.config.prediction)
        return {"mse": mse.mean(), "vb": bound.mean()}
