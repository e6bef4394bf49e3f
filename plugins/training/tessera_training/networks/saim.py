"""SAIM (arXiv 2212.01610): two permuted streams, under the names of the published weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .blocks import NORM_EPS, Denoiser, Mlp


@dataclass(frozen=True)
class SaimConfig:
    """The keys of a file's `config`; those from `pixels` on are ours."""

    img_size: int = 64
    patch_size: int = 8
    in_chans: int = 3
    embed_dim: int = 192
    depth: int = 6
    query_depth: int = 3
    num_heads: int = 3
    mlp_ratio: float = 4.0
    share_weight: bool = False
    prediction_head_type: str = "MLP"  # or "LINEAR"
    norm_pix_loss: bool = False  # targets lack the patch's brightness and contrast: for representations only
    gaussian_kernel_size: int | None = None  # of the blur of the targets
    gaussian_sigma: int | None = None
    loss_type: str = "L2"  # or "L1"
    norm_eps: float = NORM_EPS
    pixels: str = "plain"  # [-1,1]; published models have "imagenet"
    class_num: int | None = None  # classes join the class row
    diffloss_d: int | None = None  # a diffusion head samples patches from what the decoder says
    diffloss_w: int | None = None
    num_sampling_steps: str = "100"
    prediction: str = "epsilon"  # of the diffusion head, or "v"
    vae_stride: int = 1  # pixels along a cell, of latents

    @property
    def tokens(self) -> int:
        return (self.img_size // self.patch_size) ** 2

    @property
    def token_width(self) -> int:
        return self.in_chans * self.patch_size**2

    @classmethod
    def from_json(cls, text: str) -> SaimConfig:
        values = json.loads(text)
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def position_code(width: int, side: int) -> torch.Tensor:
    """[1 + side^2,width] float64: zeros, then sines and cosines of the column, then of the row."""
    frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    rows, columns = torch.meshgrid(*(torch.arange(side, dtype=torch.float64),) * 2, indexing="ij")
    code = torch.cat([wave for place in (columns, rows) for angle in [place.reshape(-1, 1) * frequencies]
                      for wave in (angle.sin(), angle.cos())], 1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), code])


def blur_kernel(size: int, sigma: float) -> torch.Tensor:
    """[size,size] that sums to one."""
    places = torch.arange(size, dtype=torch.float32) - size // 2
    kernel = torch.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * sigma**2))
    return kernel / kernel.sum()


class SplitAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, queries: torch.Tensor, content: torch.Tensor, visible: torch.Tensor | None) -> torch.Tensor:
        """`visible` [B,queries,content] bool; None: all."""
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for layer, x in ((self.q, queries), (self.k, content), (self.v, content)))
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        if visible is not None:
            scores = scores.masked_fill(~visible[:, None], -math.inf)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class SaimBlock(nn.Module):
    """One norm for queries, keys and values."""

    def __init__(self, config: SaimConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.norm1 = nn.LayerNorm(width, eps=config.norm_eps)
        self.attn = SplitAttention(width, config.num_heads)
        self.norm2 = nn.LayerNorm(width, eps=config.norm_eps)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), 0.0)

    def forward(self, x: torch.Tensor, content: torch.Tensor | None = None, visible: torch.Tensor | None = None
                ) -> torch.Tensor:
        normed = self.norm1(x)
        x = x + self.attn(normed, normed if content is None else self.norm1(content), visible)
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, config: SaimConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(config.in_chans, config.embed_dim, config.patch_size, config.patch_size)


class Blur(nn.Module):
    def __init__(self, config: SaimConfig, size: int) -> None:
        super().__init__()
        self.weight: torch.Tensor
        kernel = blur_kernel(size, float(config.gaussian_sigma or 1))
        self.register_buffer("weight", kernel[None, None].repeat(config.in_chans, 1, 1, 1))


class DiffusionHead(nn.Module):
    """Holder of the denoiser under MAR's name."""

    def __init__(self, config: SaimConfig) -> None:
        super().__init__()
        self.net = Denoiser(config.token_width, config.embed_dim, config.diffloss_w or 256, config.diffloss_d or 1)


class Saim(nn.Module):
    def __init__(self, config: SaimConfig) -> None:
        super().__init__()
        self.config, width = config, config.embed_dim
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        side = config.img_size // config.patch_size
        self.pos_embed = nn.Parameter(position_code(width, side).float()[None], requires_grad=False)
        self.blocks = nn.ModuleList(SaimBlock(config) for _ in range(config.depth))
        if not config.share_weight:
            self.query_blocks = nn.ModuleList(SaimBlock(config) for _ in range(config.query_depth))
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        hidden = int(width * config.mlp_ratio)
        self.prediction_head: nn.Module = nn.Linear(width, config.token_width)
        if config.prediction_head_type == "MLP":
            self.prediction_head = Mlp(width, hidden, 0.0)
            self.prediction_head.fc2 = nn.Linear(hidden, config.token_width)
        if config.gaussian_kernel_size:
            self.gaussian_blur = Blur(config, config.gaussian_kernel_size)
        if config.class_num is not None:
            self.class_emb = nn.Embedding(config.class_num, width)
            nn.init.normal_(self.class_emb.weight, std=0.02)
        nn.init.normal_(self.cls_token, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.view(width, -1))
        if config.diffloss_d is not None:
            self.diffloss = DiffusionHead(config)  # has its own start values

    def embed(self, images: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        """[B,3,H,W] -> [B,1 + S,width]; `classes` [B,width] joins the class row."""
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        return torch.cat([first if classes is None else first + classes[:, None], x], 1)

    def streams(self, images: torch.Tensor, u: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        """LN(g), [B,1 + S,width]: what each token is expected to be from those of smaller `u` [B,S]."""
        config, h = self.config, self.embed(images, classes)
        g = self.pos_embed.expand(len(images), -1, -1)
        content, queries = (_visible(u, rule) for rule in (torch.le, torch.lt))
        cadence = config.depth // config.query_depth
        for index, block in enumerate(self.blocks):
            h = block(h, visible=content)
            if (index + 1) % cadence == 0:
                decoder = (self.blocks if config.share_weight else self.query_blocks)[index // cadence]
                g = decoder(g, h, queries)
        return self.norm(g)

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Representations without any mask: class row after the norm [B,width], mean of the patches before it."""
        h = self.embed(images)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)[:, 0], h[:, 1:].mean(1)

    def target(self, images: torch.Tensor) -> torch.Tensor:
        """[B,S,d], inside a patch by row, column, channel."""
        config = self.config
        if config.gaussian_kernel_size:
            images = F.conv2d(images, self.gaussian_blur.weight, padding=config.gaussian_kernel_size // 2,
                              groups=config.in_chans)
        patch = config.patch_size
        x = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch)).permute(0, 2, 4, 3, 5, 1)
        x = x.flatten(3).flatten(1, 2)
        if config.norm_pix_loss:
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-6).sqrt()
        return x


def _visible(u: torch.Tensor, rule: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """[B,1 + S,1 + S] bool: which tokens see which by their scores; the class row sees itself, all see it."""
    tokens = rule(u[:, None, :], u[:, :, None])
    seen = torch.zeros(len(u), u.shape[1] + 1, u.shape[1] + 1, dtype=torch.bool, device=u.device)
    seen[:, 1:, 1:] = tokens
    seen[:, :, 0] = True
    return seen
