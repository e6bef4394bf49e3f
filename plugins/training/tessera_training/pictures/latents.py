"""Encoded images: several augmented versions of each, written once, so that training never encodes."""

from __future__ import annotations

from pathlib import Path

import torch

from ..files import safetensors_io
from ..networks.tokenizer import TextureVae
from ..networks.vq_vae import VqVae
from ..trainer import step_generator
from .data import ImagePack


@torch.no_grad()
def encode_pack(vae: TextureVae | VqVae, pack: ImagePack, ids: torch.Tensor, versions: int, seed: int,
                target: Path) -> None:
    """Write mean and deviation of the posterior of the images `ids`; version 0 is not augmented."""
    side = pack.images.shape[1] // vae.config.stride
    shape = (len(ids), versions, vae.config.latent_channels, side, side)
    mean, std = torch.empty(shape, dtype=torch.float16), torch.empty(shape, dtype=torch.float16)
    for version in range(versions):
        generator = step_generator(seed, version)
        for rows in torch.arange(len(ids)).split(32):
            chosen = ids[rows]
            image = pack.augmented(chosen, generator) if version else pack.plain(chosen)
            centre, logvar = vae.encode(image)
            mean[rows, version], std[rows, version] = centre.half(), (logvar / 2).exp().half()
        print(f"encoded version {version + 1} of {versions}", flush=True)
    safetensors_io.save(target, {"mean": mean, "std": std, "labels": pack.labels[ids],
                                 "tileable": pack.tileable[ids]}, {"kind": "latent_pack"})


def latent_statistics(mean: torch.Tensor, std: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of samples per channel, [C] each, from [N,V,C,H,W] posteriors."""
    axes = (0, 1, 3, 4)
    first = mean.float().mean(axes)
    second = (mean.float() ** 2 + std.float() ** 2).mean(axes)
    return first, (second - first**2).sqrt()


class LatentPack:
    """Latents of the training images: normalised to mean 0 and deviation 1 per channel ("channels"), only divided by
    one number, so that distances to codes keep their order ("one"), or "as is".
    """

    def __init__(self, path: Path, scale: str = "channels") -> None:
        tensors, _ = safetensors_io.load(path)
        self.labels, self.tileable = tensors["labels"], tensors["tileable"]
        self.mean, self.std = tensors["mean"], tensors["std"]  # [N,V,C,H,W] float16
        self.channel_mean, self.channel_std = latent_statistics(self.mean, self.std)
        if scale != "channels":
            size = (self.channel_std**2 + self.channel_mean**2).mean().sqrt()
            self.channel_std = (size if scale == "one" else torch.ones(())).expand_as(self.channel_std)
            self.channel_mean = torch.zeros_like(self.channel_mean)

    def smoothness(self) -> torch.Tensor:
        """Correlation of each channel with its neighbour to the right and below, [C] in 0..1."""
        z = (self.mean[:, 0].float() - self.channel_mean.view(1, -1, 1, 1)) / self.channel_std.view(1, -1, 1, 1)
        products = [(z * torch.roll(z, 1, axis)).mean((0, 2, 3)) for axis in (2, 3)]
        return ((products[0] + products[1]) / 2 / (z**2).mean((0, 2, 3))).clamp(0, 1)

    def plain_rows(self) -> torch.Tensor:
        """Normalised latents [rows,C] of the pictures as they are."""
        z = self.mean[:, 0].float() - self.channel_mean.view(1, -1, 1, 1)
        return (z / self.channel_std.view(1, -1, 1, 1)).permute(0, 2, 3, 1).flatten(0, 2)

    def __len__(self) -> int:
        return len(self.labels)

    def restore(self, z: torch.Tensor) -> torch.Tensor:
        """Normalised latents [B,C,H,W] back to what the tokenizer decodes."""
        return z * self.channel_std.view(1, -1, 1, 1) + self.channel_mean.view(1, -1, 1, 1)

    def augmented(self, ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """As an image pack's, for models that are told no more than what patches are cut from."""
        return self.draw(ids, generator)

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A posterior sample [B,C,H,W] of a random version of each image, rolled if it tiles.

        The tokenizer is equivariant to shifts by whole latents when it pads circularly, so rolling latents
        is rolling images.
        """
        version = torch.randint(self.mean.shape[1], (len(ids),), generator=generator)
        mean, std = self.mean[ids, version].float(), self.std[ids, version].float()
        z = mean + std * torch.randn(mean.shape, generator=generator)
        z = (z - self.channel_mean.view(1, -1, 1, 1)) / self.channel_std.view(1, -1, 1, 1)
        shifts = torch.randint(z.shape[-1], (len(ids), 2), generator=generator)
        return torch.stack([torch.roll(image, tuple(shift.tolist()), (1, 2)) if self.tileable[index] else image
                            for image, shift, index in zip(z, shifts, ids.tolist())])
