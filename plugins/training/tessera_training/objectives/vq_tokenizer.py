"""The objective of a tokenizer with a codebook: reconstruction through the nearest codes."""

from __future__ import annotations

import math

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
    """L1 and gradient loss, codes drawn to latents and latents to codes, and that all codes are chosen alike.

    Gradients pass the choice unchanged.
    """

    def __init__(self, vae: VqVae, pack: ImagePack, train: TrainConfig) -> None:
        super().__init__()
        self.vae, self.pack, self.train_config = vae, pack, train

    def unevenness(self, z: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """What the mean of soft choices lacks of the greatest entropy, in nats (arXiv 2310.05737, section 3).

        A soft choice is a softmax over squared distances, in units of their mean to the nearest code. Without it the
        latents leave most codes behind in the first minute, and a code that nothing chooses never moves again.
        """
        rows, entries = z.permute(0, 2, 3, 1).flatten(0, 2), self.vae.quantize.embedding.weight
        distances = (rows**2).sum(1, keepdim=True) - 2 * rows @ entries.T + (entries**2).sum(1)  # [N,K]
        unit = ((z - chosen) ** 2).sum(1).mean().detach().clamp(min=1e-8)
        shares = (-distances / unit).softmax(1).mean(0)
        return math.log(len(entries)) + (shares * shares.clamp(min=1e-10).log()).sum()

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
        if self.train_config.evenness_weight:
            loss = loss + self.train_config.evenness_weight * self.unevenness(z, chosen)
        with torch.no_grad():
            used = torch.bincount(codes.flatten(), minlength=self.vae.config.n_embed)
            share = used / used.sum()
            perplexity = torch.exp(-(share * torch.log(share.clamp(min=1e-10))).sum())
            square = ((out.clamp(-1, 1) - image) ** 2).mean((1, 2, 3))
            psnr = (10 * torch.log10(4 / square.clamp(min=1e-8))).mean()
        return loss, {"l1": pixel.detach(), "edges": edges.detach(), "codebook": codebook.detach(),
                      "perplexity": perplexity, "psnr": psnr}
