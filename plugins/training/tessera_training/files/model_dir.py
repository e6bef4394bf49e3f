"""A model directory as the runtime sees it, loaded back into PyTorch: a texture model, or MAR with its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config import TokenizerConfig
from ..errors import UserError
from ..networks.kl_vae import KlVae, KlVaeConfig
from ..networks.codes import nearest
from ..networks.causal import CausalConfig, CausalMar, orders_of
from ..networks.causal import sample as sample_causal
from ..networks.mar import Mar, MarConfig, SampleSettings, sample, seeded_noise
from ..networks.tokenizer import TextureVae
from ..networks.vq_vae import VqVae, VqVaeConfig
from . import safetensors_io, texture_file
from .texture_file import TextureModel


def tokenizer_config(text: str) -> TokenizerConfig:
    """From `config` metadata; keys of later versions are ignored."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                              for name, value in json.loads(text).items()
                              if name in TokenizerConfig.__dataclass_fields__}
    return TokenizerConfig(**values)


def load_tokenizer(path: Path) -> TextureVae | KlVae | VqVae:
    """The autoencoder in a file of ours, in float32."""
    tensors, metadata = _load(path)
    kind = metadata.get("kind", "")
    vae: TextureVae | KlVae | VqVae
    if kind == "texture_vae_weights":
        vae = TextureVae(tokenizer_config(metadata["config"]))
    elif kind == "klvae_weights":
        vae = KlVae(KlVaeConfig.from_json(metadata["config"]))
    elif kind == "vqvae_weights":
        vae = VqVae(VqVaeConfig.from_json(metadata["config"]))
    else:
        raise UserError(f"{path}: kind '{kind}', expected texture_vae_weights, klvae_weights or vqvae_weights")
    _fill(vae, tensors, path)
    return vae


def load_generator(path: Path) -> tuple[Mar | CausalMar, dict[str, str]]:
    """The generator in a file of ours, in float32, and its metadata."""
    tensors, metadata = _load(path)
    if metadata.get("kind") != "mar_weights":
        raise UserError(f"{path}: kind '{metadata.get('kind', '')}', expected mar_weights")
    model: Mar | CausalMar
    if "variant" in json.loads(metadata["config"]):
        model = CausalMar(CausalConfig.from_json(metadata["config"]))
    else:
        model = Mar(MarConfig.from_json(metadata["config"]))
    _fill(model, tensors, path)
    return model, metadata


def _load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    tensors, metadata = safetensors_io.load(path)
    if "config" not in metadata:
        raise UserError(f"{path}: metadata 'config' is missing")
    return {name: value.float() for name, value in tensors.items()}, metadata


def _fill(module: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{path}: {error}") from error
    module.eval().requires_grad_(False)


@dataclass
class Model:
    """Generator and tokenizer of one directory."""

    path: Path
    generator: Mar | CausalMar
    tokenizer: TextureVae | KlVae | VqVae
    metadata: dict[str, str]

    @property
    def name(self) -> str:
        return self.metadata.get("name") or self.path.name

    @property
    def classes(self) -> list[str]:
        count = self.generator.config.class_num
        names: list[str] = json.loads(self.metadata.get("classes", "[]"))
        return names if len(names) == count else [f"class {number}" for number in range(count)]

    @property
    def settings(self) -> SampleSettings:
        """The sampling defaults the directory comes with."""
        chosen = json.loads(self.metadata.get("defaults", "{}"))
        config = self.generator.config
        return SampleSettings(min(int(chosen.get("steps", 16)), config.tokens), float(chosen.get("guidance", 1.0)),
                              chosen.get("guidance_schedule", "linear"), float(chosen.get("temperature", 1.0)),
                              str(chosen.get("denoise_steps", config.num_sampling_steps)))

    @torch.no_grad()
    def images(self, labels: torch.Tensor, seed: int, settings: SampleSettings) -> torch.Tensor:
        """Generated images [B,3,H,W], about [-1,1]; one seed gives one batch."""
        config = self.generator.config
        generator = torch.Generator().manual_seed(seed)
        noise = seeded_noise(seed, config.token_width)
        if isinstance(self.generator, CausalMar):
            order = orders_of(self.generator.config, len(labels), generator)
            latents = sample_causal(self.generator, labels, order, settings, noise)
        else:
            orders = torch.rand(len(labels), config.tokens, generator=generator).argsort(1)
            latents = sample(self.generator, labels, orders, settings, noise)
        return self.tokenizer.decode(latents / config.latent_scale)

    @torch.no_grad()
    def rebuilt(self, images: torch.Tensor) -> torch.Tensor:
        """Pictures through the tokenizer and back."""
        latents, config = self.tokenizer.encode(images)[0], self.generator.config
        if config.codebook and not isinstance(self.tokenizer, VqVae):  # which rounds by itself
            codebook = self.generator.codebook / config.latent_scale
            latents = codebook[nearest(latents.permute(0, 2, 3, 1), codebook)].permute(0, 3, 1, 2)
        return self.tokenizer.decode(latents)


def load(path: Path) -> Model | TextureModel:
    """The model in a directory that holds `generator.safetensors`, and the tokenizer it names."""
    if not path.is_dir():
        raise UserError(f"{path}: no such model directory")
    file = path / "generator.safetensors"
    if file.is_file() and safetensors_io.load_metadata(file).get("kind") == texture_file.KIND:
        return texture_file.load(file)
    generator, metadata = load_generator(file)
    tokenizer = load_tokenizer(path / metadata.get("tokenizer", "tokenizer.safetensors"))
    return Model(path, generator, tokenizer, metadata)
