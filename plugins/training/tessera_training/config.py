"""Configuration: one TOML file per model, read into frozen dataclasses; unknown keys are refused."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

from .errors import UserError
from .networks.darl import DarlConfig
from .networks.saim import SaimConfig
from .networks.texture import TextureConfig, TextureSettings
from .networks.umd import UmdConfig


@dataclass(frozen=True)
class DataConfig:
    path: str = ""
    size: int = 128  # pixels of a training image
    max_images: int = 0  # 0: all
    test_share: float = 0.1  # folders without an index: every tenth image is held out
    tileable: bool = False  # folders without an index: the images repeat without a seam
    make_seamless: bool = False  # cut images that do not tile to a period of theirs where they have one
    seamless_classes: tuple[str, ...] = ()  # noise-like, so that a wide cross-fade of the edges always works
    turn_classes: tuple[str, ...] = ()  # may also be flipped vertically and turned by 90 degrees
    colour_jitter: float = 0.06

    def fingerprint(self) -> str:
        """What a pack depends on; another value means that it has to be written again."""
        packed = {name: getattr(self, name) for name in
                  ("path", "size", "max_images", "test_share", "tileable", "make_seamless", "seamless_classes")}
        return json.dumps({**packed, "reader": 2})  # 2: 16 bits, orientation and transparency are seen


@dataclass(frozen=True)
class TokenizerConfig:
    """Levels go from coarse (latent resolution) to fine (stride `patch`)."""

    image_channels: int = 3
    latent_channels: int = 8
    patch: int = 4
    widths: tuple[int, ...] = (160, 96)
    blocks: tuple[int, ...] = (2, 2)
    encoder_widths: tuple[int, ...] = (128, 64)
    encoder_blocks: tuple[int, ...] = (2, 1)
    padding: str = "circular"
    encoder_padding: str = "circular"
    linear_skip: bool = True

    @property
    def stride(self) -> int:
        return self.patch * 2 ** (len(self.widths) - 1)

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.blocks) == len(self.encoder_widths) == len(self.encoder_blocks):
            raise UserError("tokenizer: widths, blocks, encoder_widths and encoder_blocks need one entry per level")
        for name in ("padding", "encoder_padding"):
            if getattr(self, name) not in ("circular", "zeros"):
                raise UserError(f"tokenizer.{name} = '{getattr(self, name)}': expected 'circular' or 'zeros'")


@dataclass(frozen=True)
class VqConfig:
    """A tokenizer with a codebook in the place of the other; the keys of latent diffusion."""

    n_embed: int = 0  # entries; 0: the tokenizer above
    ch: int = 32  # times ch_mult: multiples of 32
    ch_mult: tuple[int, ...] = (1, 1, 2)  # one entry per level; each but the last halves the picture
    num_res_blocks: int = 1
    z_channels: int = 4
    embed_dim: int = 4


@dataclass(frozen=True)
class GeneratorConfig:
    """The keys of the reference implementation (arXiv 2406.11838), see `MarConfig` for what derives."""

    variant: str = ""  # causal, "raster" or "random", of the four keys after it; empty: encoder and decoder
    width: int = 256
    depth: int = 12
    heads: int = 4
    prefix: int = 1
    patch_size: int = 2
    encoder_embed_dim: int = 256
    encoder_depth: int = 6
    encoder_num_heads: int = 4
    decoder_embed_dim: int = 256
    decoder_depth: int = 6
    decoder_num_heads: int = 4
    mlp_ratio: float = 4.0
    buffer_size: int = 8
    diffloss_d: int = 3
    diffloss_w: int = 256
    num_sampling_steps: str = "100"
    dropout: float = 0.0
    objective: str = "mar"  # the diffusion head; "mar_causal": with a variant; "mar_ce": entries of a codebook
    codes: int = 0  # of "mar_ce" on a tokenizer without a codebook: entries found by k-means among its latents
    label_drop_prob: float = 0.1
    diffusion_batch_mul: int = 4
    prediction: str = "epsilon"  # what the diffusion head predicts: the noise, or "v" (arXiv 2202.00512)
    local_kernel: int = 0  # 3: the decoder sees known neighbours as they are, and guesses tokens; see `MarConfig`
    mask_schedule: str = "normal"  # share of unknown tokens: truncated normal as published, or "cosine" as sampled
    mask_ratio_min: float = 0.7
    torus_positions: bool = False  # positions start as waves that repeat with the grid, for images that tile
    smooth_channel_weight: float = 0.0  # extra loss on latent channels in the measure that neighbours agree in them
    time_power: float = 1.0  # times are 1000 u^power, u uniform: below 1 more of the noisy ones
    tileable_only: bool = False  # learn only from images that tile, so that every sample does
    latent_versions: int = 8  # augmented copies of each image encoded ahead


@dataclass(frozen=True)
class TrainConfig:
    minutes: float = 0.0  # time budget; 0: use `steps`
    steps: int = 0
    batch: int = 32
    lr: float = 8e-4  # peak of AdamW
    muon_lr: float = 0.0  # peak of Muon for the matrices of the blocks; 0: AdamW for all
    final_lr: float = 0.02  # share of lr at the end of the cosine
    warmup: int = 100  # steps
    weight_decay: float = 0.02
    clip: float = 3.0
    ema: float = 0.999
    bf16: bool = False  # mixed precision: bf16 products, float32 weights, norms and losses
    device: str = "cpu"  # "cuda": the GPU of this process; "auto": that if there is one
    compile: bool = False  # torch.compile of the transformer and head blocks (PyTorch 2.2 and later)
    start: str = ""  # texture model file whose weights the training starts from; a tokenizer to take as it is
    checkpoint_minutes: float = 3.0
    sheet_minutes: float = 10.0
    log_every: int = 20
    # tokenizer losses
    kl_weight: float = 1e-3
    gradient_weight: float = 0.5
    evenness_weight: float = 0.05  # of a codebook: that all entries are chosen alike


@dataclass(frozen=True)
class TextureLossConfig:
    """What the texture model is trained on."""

    sizes: tuple[int, ...] = (128,)  # of pictures, parts of the packed one; the bank has styles of the last
    shares: tuple[float, ...] = (1.0,)  # of the progress that each size begins its part with
    smaller: float = 0.3  # share of steps that still see the size before
    style_noise: float = 0.3
    t_mean: float = 0.3  # times are sigmoid(normal)
    t_std: float = 1.3
    level_weights: tuple[float, ...] = (6.0, 3.0, 1.5, 0.6)  # coarsest first; chroma counts half
    known_share: float = 0.5  # of pictures with a known set
    free_share: float = 0.1  # that see neither class nor style, for guidance
    classless_share: float = 0.1  # that see the style alone
    balance: float = 0.3  # pictures of a class come with chance count^-balance


@dataclass(frozen=True)
class PixelsConfig:
    """A model on patches of pixels; its shape is in the table with the name of the objective."""

    objective: str = ""  # "darl", "umd" or "saim"
    classes: bool = True  # learn the class of each picture
    label_drop_prob: float = 0.1


@dataclass(frozen=True)
class Defaults:
    """Sampling defaults written into the exported model."""

    steps: int = 16
    guidance: float = 3.0
    guidance_schedule: str = "linear"
    temperature: float = 1.0
    denoise_steps: str = "50"  # "N", "a,b,c" or "ddimN"; N starts at time 999, which short trainings handle badly
    head: str = "noise"  # of UMD: "noise", "clean" or "both"
    annealing: str = "none"  # by the runtime alone: "none", "linear", "cosine" or "two-stage" (arXiv 2505.20297)
    denoise_steps_last: int = 5  # where annealing ends
    top_k: int = 0  # of codes, by the runtime alone: so many of the likeliest; 0: all


@dataclass(frozen=True)
class ExportConfig:
    path: str = ""  # model directory
    license: str = ""
    dtype: str = "bf16"  # of the weights: bf16, fp16 or f32 (texture models: fp16)
    columns: int = 4  # samples per class on the contact sheet
    hardware: str = ""  # what it was trained on, for the metadata
    defaults: Defaults = field(default_factory=Defaults)
    texture: TextureSettings = field(default_factory=TextureSettings)  # defaults of a texture model


@dataclass(frozen=True)
class Config:
    name: str = ""
    seed: int = 0
    run_dir: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    texture: TextureConfig = field(default_factory=TextureConfig)
    texture_loss: TextureLossConfig = field(default_factory=TextureLossConfig)
    texture_training: TrainConfig = field(default_factory=TrainConfig)  # without minutes or steps: no texture model
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    tokenizer_training: TrainConfig = field(default_factory=TrainConfig)
    vq: VqConfig = field(default_factory=VqConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    generator_training: TrainConfig = field(default_factory=TrainConfig)
    pixels: PixelsConfig = field(default_factory=PixelsConfig)
    darl: DarlConfig = field(default_factory=DarlConfig)
    umd: UmdConfig = field(default_factory=UmdConfig)
    saim: SaimConfig = field(default_factory=SaimConfig)
    pixels_training: TrainConfig = field(default_factory=TrainConfig)  # without minutes or steps: no such model
    export: ExportConfig = field(default_factory=ExportConfig)


def _build(kind: type, values: dict, where: str) -> object:
    hints = typing.get_type_hints(kind)
    arguments = {}
    for key, value in values.items():
        label = f"{where}.{key}" if where else key
        if key not in hints:
            raise UserError(f"unknown setting '{label}'; expected one of: {', '.join(sorted(hints))}")
        hint = hints[key]
        if typing.get_origin(hint) is types.UnionType:  # X | None: no value means None
            hint = next(part for part in typing.get_args(hint) if part is not type(None))
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise UserError(f"{label}: expected a table, got {value!r}")
            arguments[key] = _build(typing.cast(type, hint), value, label)
        elif typing.get_origin(hint) is tuple:
            if not isinstance(value, list) or not all(isinstance(v, typing.get_args(hint)[0]) for v in value):
                raise UserError(f"{label} = {value!r}: expected a list of {typing.get_args(hint)[0].__name__}")
            arguments[key] = tuple(value)
        else:
            if hint is float and type(value) is int:
                value = float(value)
            if type(value) is not hint:
                raise UserError(f"{label} = {value!r}: expected {hint.__name__}")
            arguments[key] = value
    return kind(**arguments)


def load(path: Path) -> Config:
    """Read a TOML configuration; relative paths in it are relative to its own folder."""
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such configuration file") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}") from error
    config = typing.cast(Config, _build(Config, values, ""))
    base = path.resolve().parent

    def resolve(text: str) -> str:
        return str((base / text).resolve()) if text else ""

    return dataclasses.replace(
        config, name=config.name or path.stem, run_dir=resolve(config.run_dir or f"../runs/{path.stem}"),
        data=dataclasses.replace(config.data, path=resolve(config.data.path)),
        texture_training=dataclasses.replace(config.texture_training, start=resolve(config.texture_training.start)),
        tokenizer_training=dataclasses.replace(config.tokenizer_training,
                                               start=resolve(config.tokenizer_training.start)),
        export=dataclasses.replace(config.export, path=resolve(config.export.path)))
