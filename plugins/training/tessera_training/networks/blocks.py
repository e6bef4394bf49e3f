"""Layers shared by all generators: transformer block, patchify, time embedding."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-6  # of every LayerNorm


def patchify(latents: torch.Tensor, patch: int) -> torch.Tensor:
    """[B,C,H,W] -> tokens [B,S,C p^2]: tokens row-major, inside a token (channel, row, column)."""
    batch, channels, height, width = latents.shape
    split = latents.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * patch * patch)


def unpatchify(tokens: torch.Tensor, patch: int) -> torch.Tensor:
    """Inverse of `patchify` for square grids."""
    batch, count, width = tokens.shape
    side, channels = math.isqrt(count), width // patch**2
    split = tokens.reshape(batch, side, side, channels, patch, patch)
    return split.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, side * patch, side * patch)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, dropout: float = 0.0, causal: bool = False
           ) -> torch.Tensor:
    """softmax(q k / sqrt(width)) v, for [B,heads,N,width]."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5  # PyTorch 1.x
    if causal:
        future = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(future, -math.inf)
    return F.dropout(scores.softmax(-1), dropout) @ v


class Attention(nn.Module):
    """Multi-head self-attention; `qkv` splits as [B,N,3,heads,head_dim]."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, causal: bool = False) -> torch.Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # [B,heads,N,dim]
        out = attend(q, k, v, self.dropout if self.training else 0.0, causal)
        return self.proj_drop(self.proj(out.transpose(1, 2).reshape(batch, count, width)))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))  # exact erf GELU


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, int(width * mlp_ratio), dropout)

    def forward(self, x: torch.Tensor, causal: bool = False) -> torch.Tensor:
        x = x + self.attn(self.norm1(x), causal)
        return x + self.mlp(self.norm2(x))


class TimeEmbedding(nn.Module):
    """Integer times [N] -> [N,width]: 128 cosines, then 128 sines, then two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    @staticmethod
    def features(t: torch.Tensor) -> torch.Tensor:
        freqs = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32, device=t.device) / 128)
        angles = t.float()[:, None] * freqs
        return torch.cat([angles.cos(), angles.sin()], 1)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.features(t).to(next(self.mlp.parameters()).dtype))


class ResBlock(nn.Module):
    """h += gate * mlp(LN(h) (1 + scale) + shift), modulated per row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        shift, scale, gate = self.adaLN_modulation(y).chunk(3, -1)
        return h + gate * self.mlp(self.in_ln(h) * (1 + scale) + shift)


class FinalLayer(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, eps=NORM_EPS, elementwise_affine=False)
        self.linear = nn.Linear(width, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        shift, scale = self.adaLN_modulation(y).chunk(2, -1)
        return self.linear(self.norm_final(h) * (1 + scale) + shift)


class Denoiser(nn.Module):
    """The diffusion MLP: x [N,d], t [N], c [N,D] -> [N,2d] (epsilon, variance value)."""

    def __init__(self, token: int, condition: int, width: int, depth: int) -> None:
        super().__init__()
        self.time_embed = TimeEmbedding(width)
        self.cond_embed = nn.Linear(condition, width)
        self.input_proj = nn.Linear(token, width)
        self.res_blocks = nn.ModuleList(ResBlock(width) for _ in range(depth))
        self.final_layer = FinalLayer(width, 2 * token)
        self._initialise()

    def _initialise(self) -> None:
        """As in the reference: every block starts as the identity, the output at zero."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)
            if name.startswith("time_embed") and name.endswith("weight"):
                nn.init.normal_(parameter, std=0.02)
            elif "adaLN_modulation" in name or name.startswith("final_layer.linear"):
                nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        y = self.time_embed(t) + self.cond_embed(c)
        h = self.input_proj(x)
        for block in self.res_blocks:
            h = block(h, y)
        return self.final_layer(h, y)
