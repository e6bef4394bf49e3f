"""A texture model as a file that the runtime loads: trunk, bank of styles and range of tokens, and its reading back."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import UserError
from ..networks import style, wavelet
from ..networks.style import Bank
from ..networks.texture import Texture, TextureConfig, TextureSettings, sample
from . import safetensors_io

KIND = "texture_weights"
GENERATOR = "org.tessera.texture"  # the plugin that runs it


@dataclass
class TextureModel:
    """All that sampling needs."""

    trunk: Texture
    bank: Bank
    limit: torch.Tensor  # [96] range of the tokens
    classes: list[str]
    settings: TextureSettings
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    path: Path = Path()

    @property
    def name(self) -> str:
        return self.metadata.get("name") or self.path.name

    def tokens(self, labels: torch.Tensor, generator: torch.Generator, settings: TextureSettings,
               grid: tuple[int, int], styles: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised tokens and the styles they belong to."""
        chosen = self.bank.draw(labels, settings.jitter, generator) if styles is None else styles
        noise = torch.randn(len(labels), *grid, wavelet.TOKEN, generator=generator)
        return sample(self.trunk, self.limit, labels, chosen, noise, settings), chosen

    def picture(self, tokens: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        """[B,3,H,W], about [-1,1]."""
        return wavelet.rgb_of(style.put_back(tokens, self.bank.exact(styles)))

    @torch.no_grad()
    def images(self, labels: torch.Tensor, seed: int, settings: TextureSettings | None = None, size: int = 0
               ) -> torch.Tensor:
        """Generated images [B,3,H,W], square with a `size`; one seed gives one batch."""
        settings = settings or self.settings
        generator = torch.Generator().manual_seed(seed)
        grid = (size or settings.height) // wavelet.CELL, (size or settings.width) // wavelet.CELL
        return self.picture(*self.tokens(labels, generator, settings, grid))

    def completed(self, pictures: torch.Tensor, labels: torch.Tensor, known: torch.Tensor, seed: int = 1
                  ) -> torch.Tensor:
        """Pictures [B,3,H,W] with the tokens that are not `known` [B,H/8,W/8] made again, in the pictures' own style."""
        given, raw = style.of(pictures)
        noise = torch.randn(given.shape, generator=torch.Generator().manual_seed(seed))
        tokens = sample(self.trunk, self.limit, labels, self.bank.standardised(raw), noise, self.settings, known, given)
        return wavelet.rgb_of(style.put_back(tokens, raw))

    def style_alone(self, labels: torch.Tensor, size: int, seed: int = 1) -> torch.Tensor:
        """White noise of the styles' means and deviations: what the network has to beat."""
        generator = torch.Generator().manual_seed(seed)
        styles = self.bank.draw(labels, self.settings.jitter, generator)
        side = size // wavelet.CELL
        return self.picture(torch.randn(len(labels), side, side, wavelet.TOKEN, generator=generator), styles)

    @staticmethod
    def rebuilt(images: torch.Tensor) -> torch.Tensor:
        """Pictures through the codec and back."""
        return wavelet.rgb_of(wavelet.tokens_of(images))


def save(path: Path, model: TextureModel, metadata: dict[str, str], dtype: torch.dtype = torch.float16) -> None:
    """`model` in one file; `metadata` adds name, licence and the record of the training."""
    tensors = {name: value.to(dtype) for name, value in model.trunk.state_dict().items()}
    tensors |= {"bank.styles": model.bank.styles.to(torch.float16), "bank.mean": model.bank.mean.float(),
                "bank.deviation": model.bank.deviation.float(), "limit": model.limit.float()}
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"tensor '{name}' holds values that are not finite in {dtype}; nothing was exported")
    config = json.loads(model.trunk.config.to_json()) | {"bank_counts": model.bank.counts}
    safetensors_io.save(path, tensors, {
        "format": "tessera-model/1", "kind": KIND, "generator": GENERATOR, "config": json.dumps(config, sort_keys=True),
        "classes": json.dumps(model.classes), "defaults": json.dumps(dataclasses.asdict(model.settings)), **metadata})


def load(path: Path) -> TextureModel:
    """The model in a file, in float32."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    tensors, metadata = safetensors_io.load(path)
    if metadata.get("kind") != KIND:
        raise UserError(f"{path}: kind '{metadata.get('kind', '')}', expected {KIND}")
    tensors = {name: value.float() for name, value in tensors.items()}
    try:
        trunk = Texture(TextureConfig.from_json(metadata["config"]))
        bank = Bank(tensors.pop("bank.styles"), json.loads(metadata["config"])["bank_counts"],
                    tensors.pop("bank.mean"), tensors.pop("bank.deviation"))
        limit = tensors.pop("limit")
        trunk.load_state_dict(tensors)
        classes = json.loads(metadata["classes"])
        settings = TextureSettings(**{name: value for name, value in json.loads(metadata["defaults"]).items()
                                      if name in TextureSettings.__dataclass_fields__})
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error
    trunk.eval().requires_grad_(False)
    return TextureModel(trunk, bank, limit, classes, settings, metadata, path.parent)
