"""A texture model as a file that the runtime loads: trunk, bank of styles and range of tokens, and its reading back."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import UserError
from ..networks import style, texture, texture_mar, wavelet
from ..networks.mar import seeded_noise
from ..networks.style import Bank
from ..networks.texture import Texture, TextureConfig, TextureSettings, Trunk
from ..networks.texture_mar import TextureMar
from . import safetensors_io

KIND = "texture_weights"
# How the runtime samples tokens of MAR: as well as `num_sampling_steps` of the published sampler, and faster.
_OF_THE_RUNTIME = {"guidance_schedule": "constant", "integrator": "dpm++2m", "denoise_steps": 6}
GENERATORS: dict[type[Trunk], str] = {Texture: "org.tessera.texture", TextureMar: "org.tessera.mar"}  # which run them


@dataclass
class TextureModel:
    """All that sampling needs."""

    trunk: Trunk
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
        return self.sampled(labels, chosen, settings, grid, generator), chosen

    def sampled(self, labels: torch.Tensor, styles: torch.Tensor, settings: TextureSettings, grid: tuple[int, int],
                generator: torch.Generator, known: torch.Tensor | None = None, given: torch.Tensor | None = None
                ) -> torch.Tensor:
        """Normalised tokens [B,H,W,96]; those `known` [B,H,W] keep their `given` values."""
        if isinstance(self.trunk, TextureMar):
            places = torch.rand(len(labels), grid[0] * grid[1], generator=generator)
            orders = (places if known is None else places + known.flatten(1)).argsort(1)
            chosen = texture_mar.sample_settings(settings)
            noise = seeded_noise(int(torch.randint(1 << 62, (), generator=generator)), wavelet.TOKEN)
            return texture_mar.sample(self.trunk, labels, styles, orders, grid, chosen, noise, known, given)
        assert isinstance(self.trunk, Texture)
        white = torch.randn(len(labels), *grid, wavelet.TOKEN, generator=generator)
        return texture.sample(self.trunk, self.limit, labels, styles, white, settings, known, given,
                              generator=generator)

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
        tokens = self.sampled(labels, self.bank.standardised(raw), self.settings, (given.shape[1], given.shape[2]),
                              torch.Generator().manual_seed(seed), known, given)
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
    defaults = {name: value for name, value in dataclasses.asdict(model.settings).items() if value is not None}
    steps = defaults.pop("denoise_steps")
    if isinstance(model.trunk, TextureMar):
        config["num_sampling_steps"] = steps
        defaults = {name: defaults[name] for name in ("steps", "guidance", "temperature", "jitter", "width", "height")}
        defaults |= _OF_THE_RUNTIME
    safetensors_io.save(path, tensors, {
        "format": "tessera-model/1", "kind": KIND, "generator": GENERATORS[type(model.trunk)], "config": json.dumps(config, sort_keys=True),
        "classes": json.dumps(model.classes), "defaults": json.dumps(defaults), **metadata})


def build(config: TextureConfig) -> Trunk:
    """An untrained network: of MAR where there is a head."""
    return TextureMar(config) if config.diffloss_w else Texture(config)


def load(path: Path) -> TextureModel:
    """The model in a file, in float32."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    tensors, metadata = safetensors_io.load(path)
    if metadata.get("kind") != KIND:
        raise UserError(f"{path}: kind '{metadata.get('kind', '')}', expected {KIND}")
    tensors = {name: value.float() for name, value in tensors.items()}
    try:
        trunk = build(TextureConfig.from_json(metadata["config"]))
        bank = Bank(tensors.pop("bank.styles"), json.loads(metadata["config"])["bank_counts"],
                    tensors.pop("bank.mean"), tensors.pop("bank.deviation"))
        limit = tensors.pop("limit")
        trunk.load_state_dict(tensors)
        classes = json.loads(metadata["classes"])
        chosen = json.loads(metadata["defaults"])
        if isinstance(trunk, TextureMar):
            chosen["denoise_steps"] = json.loads(metadata["config"])["num_sampling_steps"]
        settings = TextureSettings(**{name: value for name, value in chosen.items()
                                      if name in TextureSettings.__dataclass_fields__})
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error
    trunk.eval().requires_grad_(False)
    return TextureModel(trunk, bank, limit, classes, settings, metadata, path.parent)
