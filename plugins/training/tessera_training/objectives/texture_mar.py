"""The MAR objective on wavelet tokens: the diffusion loss of unknown tokens, sampled for each from what the trunk says."""

from __future__ import annotations

import torch

from ..config import TextureLossConfig
from ..networks import diffusion
from ..networks.style import Bank
from ..networks.texture import Trunk
from ..networks.texture_mar import PREDICTION, TextureMar
from ..pictures.data import ImagePack
from .texture import Draws, TextureObjective, known_sets

_ROWS, _COPIES = 32, 2  # unknown tokens of a picture that are looked at, and noises of each


class TextureMarObjective(TextureObjective):
    """Pictures, styles and sizes as for the joint model. Known sets are those that a step of sampling finds: random
    tokens of a cosine share; for the other pictures some shape."""

    model: TextureMar

    def __init__(self, model: Trunk, images: ImagePack, bank: Bank, config: TextureLossConfig) -> None:
        super().__init__(model, images, bank, config)
        self.table = diffusion.tables()

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        draws = super().draw(ids, generator)
        device, (batch, side) = generator.device, draws["known"].shape[:2]

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(batch, *shape, generator=generator, device=device)
        share = 1 - torch.cos(torch.pi / 2 * uniform(1, 1))
        places = uniform(side, side)
        known = torch.where(uniform(1, 1) < self.config.known_share, known_sets(batch, side, 1.0, generator),
                            (places < share).float())
        known[:, 0, 0] *= (known.flatten(1).amin(1) == 0).float()  # something is always unknown
        unknown = (1 - known).flatten(1)
        rows = torch.multinomial(unknown, _ROWS, replacement=True, generator=generator)
        del draws["t"]
        return {**draws, "known": known, "rows": rows,
                "times": (uniform(_ROWS, _COPIES) * diffusion.TRAIN_STEPS).long().clamp(max=diffusion.TRAIN_STEPS - 1),
                "noise": torch.randn(batch, _ROWS, _COPIES, draws["noise"].shape[-1], generator=generator, device=device)}

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted squared error of v, and the bound that trains the variance."""
        with torch.no_grad(), torch.autocast(draws["ids"].device.type, enabled=False):
            tokens, styles = self.normalised(draws)
        labels = torch.where(draws["drop"][:, 1], self.model.config.classes, self.labels[draws["ids"]])
        who = self.model.who(labels, styles, draws["drop"][:, 0])
        z = self.model.conditions(tokens, draws["known"], who, self.offset).flatten(1, 2)

        def picked(values: torch.Tensor) -> torch.Tensor:
            chosen = values.gather(1, draws["rows"][..., None].expand(-1, -1, values.shape[-1]))
            return chosen[:, :, None].expand(-1, -1, _COPIES, -1).flatten(0, 2)
        x0, t, noise = picked(tokens.flatten(1, 2)), draws["times"].flatten(), draws["noise"].flatten(0, 2)
        x_t = diffusion.noised(self.table, x0, t, noise)
        out = self.model.diffloss.net(x_t, t, picked(z)).float()
        mse, bound = diffusion.loss_rows(self.table, out, x0, x_t, t, noise, self.weight, PREDICTION)
        parts = {"mse": mse.mean(), "vb": bound.mean()}
        return parts["mse"] + parts["vb"], {name: value.detach() for name, value in parts.items()}
