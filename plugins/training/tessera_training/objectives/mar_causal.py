"""The causal objective: every token from those before it, by the diffusion loss."""

from __future__ import annotations

import torch
from torch import nn

from ..networks import diffusion
from ..networks.blocks import patchify
from ..networks.causal import CausalMar, orders_of
from ..config import GeneratorConfig
from ..pictures.latents import LatentPack

Draws = dict[str, torch.Tensor]


class MarCausalObjective(nn.Module):
    """Holds the model; draws latents, orders, times and noise. The loss is on all tokens; there is no mask."""

    def __init__(self, model: CausalMar, pack: LatentPack, config: GeneratorConfig) -> None:
        super().__init__()
        self.model, self.pack, self.settings = model, pack, config
        self.table = diffusion.tables()

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        config, settings = self.model.config, self.settings
        tokens = patchify(self.pack.draw(ids, generator), config.patch_size)
        rows = settings.diffusion_batch_mul * len(ids) * config.tokens
        times = torch.rand(rows, generator=generator) ** settings.time_power * diffusion.TRAIN_STEPS
        return {"tokens": tokens, "order": orders_of(config, len(ids), generator).contiguous(),
                "labels": self.pack.labels[ids],
                "dropped": torch.rand(len(ids), generator=generator) < settings.label_drop_prob,
                "t": times.long().clamp(max=diffusion.TRAIN_STEPS - 1),
                "noise": torch.randn(rows, tokens.shape[2], generator=generator)}

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean over the rows of all images in generation order, the list tiled `diffusion_batch_mul` times."""
        tokens, order = draws["tokens"], draws["order"]
        classes = self.model.class_vector(draws["labels"], len(tokens), draws["dropped"])
        z = self.model(tokens, order, classes).flatten(0, 1)
        x0 = torch.gather(tokens, 1, order[..., None].expand_as(tokens)).flatten(0, 1)
        copies = len(draws["t"]) // len(x0)
        x0, z = x0.repeat(copies, 1), z.repeat(copies, 1)
        x_t = diffusion.noised(self.table, x0, draws["t"], draws["noise"])
        net = self.model.diffloss.net(x_t, draws["t"], z).float()
        mse, bound = diffusion.loss_rows(self.table, net, x0, x_t, draws["t"], draws["noise"],
                                         prediction=self.model.config.prediction)
        parts = {"mse": mse.mean(), "vb": bound.mean()}
        return parts["mse"] + parts["vb"], {name: value.detach() for name, value in parts.items()}
