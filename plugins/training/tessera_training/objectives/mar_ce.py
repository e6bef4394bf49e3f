"""The objective over codes: cross-entropy of the entries of a codebook, causal or masked.

Inputs are the entries themselves; the model's `codebook` holds them as tokens.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..config import GeneratorConfig
from ..networks.blocks import patchify
from ..networks.causal import CausalMar, orders_of
from ..networks.codes import nearest
from ..networks.mar import Mar
from ..pictures.latents import LatentPack
from .mar import mask_of, mask_rate

Draws = dict[str, torch.Tensor]


class MarCeObjective(nn.Module):
    """Holds the model; draws latents, and orders or masks."""

    def __init__(self, model: CausalMar | Mar, pack: LatentPack, config: GeneratorConfig) -> None:
        super().__init__()
        self.model, self.pack, self.settings = model, pack, config

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        config, settings = self.model.config, self.settings
        tokens = patchify(self.pack.draw(ids, generator), config.patch_size)
        draws = {"codes": nearest(tokens, self.model.codebook), "labels": self.pack.labels[ids],
                 "dropped": torch.rand(len(ids), generator=generator) < settings.label_drop_prob}
        if isinstance(self.model, CausalMar):
            return {**draws, "order": orders_of(self.model.config, len(ids), generator).contiguous()}
        rate = mask_rate(generator, settings.mask_ratio_min, settings.mask_schedule)
        orders = torch.rand(len(ids), config.tokens, generator=generator).argsort(1)
        return {**draws, "mask": mask_of(orders, max(1, math.ceil(config.tokens * rate)))}

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean over all tokens of a causal model, over the unknown ones of a masked one."""
        codes, model = draws["codes"], self.model
        tokens = model.codebook[codes]
        classes = model.class_vector(draws["labels"], len(codes), draws["dropped"])
        if isinstance(model, CausalMar):
            z = model(tokens, draws["order"], classes).flatten(0, 1)
            target = torch.gather(codes, 1, draws["order"]).flatten()
        else:
            mask = draws["mask"]
            z = model.decode(model.encode(tokens, mask, classes), mask, tokens)[mask]
            target = codes[mask]
        logits = model.codebook_logits(z).float()
        loss = F.cross_entropy(logits, target)
        hit = (logits.detach().argmax(-1) == target).float().mean()
        return loss, {"ce": loss.detach(), "hit": hit}
