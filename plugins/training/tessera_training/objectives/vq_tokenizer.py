"""The objective of a tokenizer with a codebook: reconstruction through the nearest codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..config import TrainConfig
from ..pictures.data import ImagePack
from ..networks.vq_vae import VqVae
from .tokenizer import gradient_loss

Draws = dict[str, torch.Tensor]
COMMITMENT = 0.25  # of the encoder to the codes (arXiv 1711.00937, equation 3)


class VqTokenizerObjective(nn.Module):
    """L1 and gradient loss, codes drawn to latents and latents to codes; gradients pass the choice unchanged."""

    def __init__(self, vae: VqVae, pack: ImagePack, train: TrainConfig) -> None:
        super().__init__()
        self.vae, self.pack, self.train_config = vae, pack, train

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        return {"image": self.pack.augmented(ids, generator)}

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        image = draws["image"]
        z = self.vae.moments(image)
        codes = self.vae.quantize.codes(z.detach())
        chosen = self.vae.quantize.embedding(codes).permute(0, 3, 1, 2)
        straight = z + (chosen - z).detach()
        out = self.vae.decoder(self.vae.post_quant_conv(straight))
        pixel = (out - image).abs().mean()
        edges = gradient_loss(out, image)
        codebook = ((chosen - z.detach()) ** 2).mean() + COMMITMENT * ((chosen.detach() - z) ** 2).mean()
        loss = pixel + self.train_config.gradient_weight * edges + codebook
        with torch.no_grad():
            used = torch.bincount(codes.flatten(), minlength=self.vae.config.n_embed)
            share = used / used.sum()
            perplexity = torch.exp(-(share * torch.log(share.clamp(min=1e-10))).sum())
            square = ((out.clamp(-1, 1) - image) ** 2).mean((1, 2, 3))
            psnr = (10 * torch.log10(4 / square.clamp(min=1e-8))).mean()
        return loss, {"l1": pixel.detach(), "edges": edges.detach(), "codebook": codebook.detach(),
                      "perplexity": perplexity, "psnr": psnr}
