"""DARL (arXiv 2403.05196): a causal transformer over patches, with a linear and a denoising head.

Patches are numbered in the order in which they are made. Names and layouts of parameters are those of
`plugins/darl`, whose README describes the file.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import UserError
from .blocks import NORM_EPS, Block, TimeEmbedding

LEVEL_LIMIT = 16.0  # of log-SNR


@dataclass(frozen=True)
class DarlConfig:
    """`config` of the model's file; height, width_px and num_classes follow from the data."""

    height: int = 0  # of the pictures
    width_px: int = 0
    channels: int = 3
    patch_size: int = 8
    width: int = 192
    depth: int = 6
    heads: int = 3
    mlp_ratio: float = 4.0
    rope_base: float = 10000.0
    num_classes: int = 0
    clamp: bool = True
    nested: int = 0  # patches along a block of the nested order; 0: raster order
    context: str = "pair"  # what a noisy patch sees: its own condition, or "prefix": all up to its own
    noise: str = "gen"  # levels it was trained on: "gen" for generation, "repr" for representations, "dual": both
    context_noise: float = 0.1  # at most so much noise was on the patches that it saw
    latent_stride: int = 1  # pixels along a cell, of latents

    def __post_init__(self) -> None:
        if self.height % self.patch_size or self.width_px % self.patch_size:
            raise UserError(f"darl: {self.height} x {self.width_px} pixels are not filled by patches of "
                            f"{self.patch_size}")
        if self.width % self.heads or self.width // self.heads % 4:
            raise UserError(f"darl.heads = {self.heads}: expected a divisor of the width {self.width} that leaves "
                            "heads of a multiple of 4")
        if self.noise not in ("gen", "repr", "dual"):
            raise UserError(f"darl.noise = '{self.noise}': expected 'gen', 'repr' or 'dual'")
        if self.context not in ("pair", "prefix"):
            raise UserError(f"darl.context = '{self.context}': expected 'pair' or 'prefix'")

    @property
    def rows(self) -> int:
        return self.height // self.patch_size

    @property
    def columns(self) -> int:
        return self.width_px // self.patch_size

    @property
    def patches(self) -> int:
        return self.rows * self.columns

    @property
    def patch_width(self) -> int:
        return self.patch_size**2 * self.channels

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DarlConfig:
        """Keys of later versions are ignored."""
        return cls(**{name: value for name, value in json.loads(text).items() if name in cls.__dataclass_fields__})


def sequence(config: DarlConfig) -> torch.Tensor:
    """[L] places in raster order by when they are made: raster, or blocks in raster order and raster inside."""
    side = max(1, config.nested)
    order = [y * config.columns + x for top in range(0, config.rows, side) for left in range(0, config.columns, side)
             for y in range(top, min(top + side, config.rows)) for x in range(left, min(left + side, config.columns))]
    return torch.tensor(order) if config.nested else torch.arange(config.patches)


def cut(images: torch.Tensor, patch: int) -> torch.Tensor:
    """[B,C,H,W] -> [B,L,p p C] in raster order; inside a patch (row, column, channel)."""
    batch, channels, height, width = images.shape
    split = images.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return split.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, patch * patch * channels)


def join(patches: torch.Tensor, config: DarlConfig) -> torch.Tensor:
    """Inverse of `cut`."""
    p = config.patch_size
    split = patches.reshape(len(patches), config.rows, config.columns, p, p, config.channels)
    return split.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), config.channels, config.height, config.width_px)


def rotation(columns: torch.Tensor, rows: torch.Tensor, head: int, base: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [N,head/2]: the first half of the pairs turns by column, the second by row. In float64."""
    half = head // 2
    speeds = base ** (-2 * torch.arange(half // 2, dtype=torch.float64) / half)
    angles = torch.cat([columns.double()[:, None] * speeds, rows.double()[:, None] * speeds], 1)
    return angles.cos(), angles.sin()


def turn(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Adjacent columns of x [...,N,head] as pairs (a,b) -> (a cos - b sin, b cos + a sin)."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cosine - b * sine, b * cosine + a * sine], -1).flatten(-2)


def run_block(block: Block, x: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor] | None = None,
              mask: torch.Tensor | None = None) -> torch.Tensor:
    """A transformer block on x [B,N,width] with rotated heads; `mask` [N,N] is True where a row sees another."""
    batch, count, width = x.shape
    attention = block.attn
    q, k, v = attention.qkv(block.norm1(x)).reshape(batch, count, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
    if turns is not None:
        q, k = turn(q, *turns), turn(k, *turns)
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    x = x + attention.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, count, width))
    return x + block.mlp(block.norm2(x))


class LevelEmbedding(nn.Module):
    """Log-SNR [...] -> [...,width]: the time embedding of the diffusion head, of the number itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(256, width), nn.Linear(width, width)

    def forward(self, level: torch.Tensor) -> torch.Tensor:
        features = TimeEmbedding.features(level.reshape(-1)).to(self.fc1.weight.dtype)
        return self.fc2(F.silu(self.fc1(features))).reshape(*level.shape, -1)


class PatchDecoder(nn.Module):
    """A noisy patch next to what was said of it, through one block, to the clean patch."""

    def __init__(self, config: DarlConfig) -> None:
        super().__init__()
        self.noisy_embed = nn.Linear(config.patch_width, config.width)
        self.time = LevelEmbedding(config.width)
        self.block = Block(config.width, config.heads, config.mlp_ratio)
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.out = nn.Linear(config.width, config.patch_width)

    def noisy(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return self.noisy_embed(x) + self.time(level)

    def pair(self, z: torch.Tensor, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """z [N,width], x [N,D], level [N] -> clean [N,D]."""
        rows = torch.stack([z, self.noisy(x, level)], 1)
        return self.out(self.norm(run_block(self.block, rows)[:, 1]))

    def prefix(self, z: torch.Tensor, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """z [B,L,width], x [B,L,D], level [B,L] -> clean [B,L,D]; patch t sees z of 0 to t, and itself."""
        count = z.shape[1]
        rows = torch.cat([z, self.noisy(x, level)], 1)
        mask = torch.zeros(2 * count, 2 * count, dtype=torch.bool, device=z.device)
        past = torch.ones(count, count, dtype=torch.bool, device=z.device).tril()
        mask[:count, :count] = mask[count:, :count] = past
        mask[count:, count:] = torch.eye(count, dtype=torch.bool, device=z.device)
        return self.out(self.norm(run_block(self.block, rows, None, mask)[:, count:]))


class Darl(nn.Module):
    def __init__(self, config: DarlConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.order: torch.Tensor
        self.cosine: torch.Tensor
        self.sine: torch.Tensor
        self.sos = nn.Parameter(torch.randn(width) * 0.02)
        self.patch_embed = nn.Linear(config.patch_width, width)
        if config.num_classes:
            self.class_emb = nn.Embedding(config.num_classes + 1, width)  # the last: no class
            nn.init.normal_(self.class_emb.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        if config.nested:  # where in its block the next patch lies
            self.target_places = nn.Parameter(torch.randn(config.nested**2, width) * 0.02)
        self.head_linear = nn.Linear(width, config.patch_width)
        self.patch_decoder = PatchDecoder(config)
        self.register_buffer("order", sequence(config), persistent=False)
        y, x = self.order // config.columns, self.order % config.columns
        start = torch.zeros(1, dtype=torch.long)
        turns = rotation(torch.cat([start, x + 1]), torch.cat([start, y + 1]), width // config.heads, config.rope_base)
        self.register_buffer("cosine", turns[0].float(), persistent=False)
        self.register_buffer("sine", turns[1].float(), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier uniform linears; what says the noise level begins by saying nothing."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and name.endswith("weight") and "class_emb" not in name:
                nn.init.xavier_uniform_(parameter)
            elif parameter.ndim == 1 and name.endswith("bias"):
                nn.init.zeros_(parameter)
        nn.init.zeros_(self.patch_decoder.time.fc2.weight)

    def no_class(self, batch: int) -> torch.Tensor:
        return torch.full((batch,), self.config.num_classes, device=self.sos.device)

    def rows(self, patches: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """[B,N,D] in the order in which they are made -> [B,N+1,width]: the start token, then the patches."""
        start = self.sos.expand(len(patches), 1, -1)
        if labels is not None and self.config.num_classes:
            start = start + self.class_emb(labels)[:, None]
        return torch.cat([start, self.patch_embed(patches)], 1)

    def encode(self, patches: torch.Tensor, labels: torch.Tensor | None, causal: bool = True, layers: int | None = None
               ) -> torch.Tensor:
        """[B,N,D] -> [B,N+1,width]: after the last norm, or after `layers` blocks without one."""
        x = self.rows(patches, labels)
        count = x.shape[1]
        mask = torch.ones(count, count, dtype=torch.bool, device=x.device).tril() if causal else None
        for block in self.blocks[:layers]:
            assert isinstance(block, Block)
            x = run_block(block, x, (self.cosine[:count], self.sine[:count]), mask)
        return self.norm(x) if layers is None else x

    def conditions(self, patches: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """What the heads read of the patches after 0 to N given ones [B,N,D]: [B,N+1,width]."""
        z = self.encode(patches, labels)
        if not self.config.nested:
            return z
        side, order = self.config.nested, self.order[:z.shape[1]]
        place = order // self.config.columns % side * side + order % self.config.columns % side
        return z + self.target_places[place]


@dataclass(frozen=True)
class SampleSettings:
    """How patches are drawn: DDIM over even log-SNR, see `plugins/darl`."""

    guidance: float = 1.0
    temperature: float = 1.0
    denoise_steps: int = 12
    eta: float = 1.0
    level_low: float = -LEVEL_LIMIT
    level_high: float = 8.0


Noise = Callable[[int, int], torch.Tensor]  # (patch, draw) -> [B,D]; draw 0 is the first noise


@torch.no_grad()
def sample(model: Darl, labels: torch.Tensor, settings: SampleSettings, noise: Noise) -> torch.Tensor:
    """Images [B,C,H,W], patch after patch."""
    config, batch = model.config, len(labels)
    none = torch.full_like(labels, config.num_classes)
    made = torch.empty(batch, 0, config.patch_width)
    steps = settings.denoise_steps
    levels = torch.linspace(settings.level_low, settings.level_high, steps, dtype=torch.float64)
    alphas, sigmas = levels.sigmoid().sqrt(), (-levels).sigmoid().sqrt()
    for t in range(config.patches):
        z = model.conditions(made, labels)
        free = model.conditions(made, none) if settings.guidance != 1 else z
        scale = 1 + (settings.guidance - 1) * t / max(1, config.patches - 1)
        x = noise(t, 0) * (settings.temperature if settings.eta == 0 else 1)
        for j in range(steps):
            level = torch.full((batch,), float(levels[j]))
            clean = _clean(model, z, x, level)
            if settings.guidance != 1:
                plain = _clean(model, free, x, level)
                clean = plain + scale * (clean - plain)
            if j + 1 == steps:
                break
            alpha, sigma, alpha2, sigma2 = (float(v) for v in (alphas[j], sigmas[j], alphas[j + 1], sigmas[j + 1]))
            s = settings.eta * sigma2 / sigma * math.sqrt(max(0.0, 1 - (alpha / alpha2) ** 2))
            x = (alpha2 * clean + math.sqrt(max(0.0, sigma2**2 - s**2)) * (x - alpha * clean) / sigma
                 + settings.temperature * s * noise(t, j + 1))
        made = torch.cat([made, (clean.clamp(-1, 1) if config.clamp else clean)[:, None]], 1)
    return join(made[:, model.order.argsort()], config)


def _clean(model: Darl, z: torch.Tensor, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Of the patch after the last row of z [B,N,width]."""
    if model.config.context == "pair":
        return model.patch_decoder.pair(z[:, -1], x, level)
    count = z.shape[1]
    padded = torch.zeros(len(x), count, x.shape[-1])
    padded[:, -1] = x
    return model.patch_decoder.prefix(z, padded, level[:, None].expand(-1, count))[:, -1]
