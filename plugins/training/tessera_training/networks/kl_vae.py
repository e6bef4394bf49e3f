"""The KL autoencoder published with MAR (the KL-16 tokenizer and its relatives), official parameter names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

NORM_GROUPS, NORM_EPS = 32, 1e-6


@dataclass(frozen=True)
class KlVaeConfig:
    """Keys as in the metadata of exported files; the defaults are KL-16."""

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    resolution: int = 256  # nominal: decides which levels get attention
    z_channels: int = 16
    embed_dim: int = 16
    encoder_attn_resolutions: tuple[int, ...] = (16,)
    decoder_attn_resolutions: tuple[int, ...] = ()
    in_channels: int = 3
    out_ch: int = 3
    double_z: bool = True
    norm_groups: int = NORM_GROUPS
    norm_eps: float = NORM_EPS

    @classmethod
    def from_json(cls, text: str) -> KlVaeConfig:
        values = json.loads(text)
        known: dict[str, Any] = {name: tuple(values[name]) if isinstance(values[name], list) else values[name]
                                 for name in cls.__dataclass_fields__ if name in values}
        return cls(**known)

    def level_resolution(self, level: int) -> int:
        return self.resolution >> level


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(NORM_GROUPS, width, eps=NORM_EPS)


class ResBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = _norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = _norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttnBlock(nn.Module):
    """One head over all pixels, scale width^-0.5."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.q, self.k, self.v = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2) for layer in (self.q, self.k, self.v))  # [B,C,HW]
        weights = (q.transpose(1, 2) @ k * x.shape[1] ** -0.5).softmax(-1)  # [B,HW,HW]
        return x + self.proj_out((v @ weights.transpose(1, 2)).view_as(x))


class Downsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # right and bottom only


class Upsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks of one resolution, each followed by attention where the level has it, then resizing."""

    def __init__(self, inputs: int, outputs: int, blocks: int, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks))
        self.attn = nn.ModuleList(AttnBlock(outputs) for _ in range(blocks if attention else 0))
        self.resize: str = ""  # name of the module that leaves the level

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        for index, block in enumerate(self.block):
            h = block(h)
            if self.attn:
                h = self.attn[index](h)
        return self.get_submodule(self.resize)(h) if self.resize else h

    def leave_with(self, name: str, module: nn.Module) -> None:
        """Change the resolution after the blocks; `name` is the official one."""
        self.add_module(name, module)
        self.resize = name


class Mid(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.block_1 = ResBlock(width, width)
        self.attn_1 = AttnBlock(width)
        self.block_2 = ResBlock(width, width)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.block_2(self.attn_1(self.block_1(h)))


class Encoder(nn.Module):
    def __init__(self, config: KlVaeConfig) -> None:
        super().__init__()
        widths = [config.ch * mult for mult in config.ch_mult]
        self.conv_in = nn.Conv2d(config.in_channels, config.ch, 3, padding=1)
        levels: list[Level] = []
        for index, width in enumerate(widths):
            attention = config.level_resolution(index) in config.encoder_attn_resolutions
            level = Level(widths[index - 1] if index else config.ch, width, config.num_res_blocks, attention)
            if index + 1 < len(widths):
                level.leave_with("downsample", Downsample(width))
            levels.append(level)
        self.down = nn.ModuleList(levels)
        self.mid = Mid(widths[-1])
        self.norm_out = _norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], (2 if config.double_z else 1) * config.z_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    """`up.I` is numbered by level; execution goes from the highest index to 0."""

    def __init__(self, config: KlVaeConfig) -> None:
        super().__init__()
        widths = [config.ch * mult for mult in config.ch_mult]
        self.conv_in = nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = Mid(widths[-1])
        levels: list[Level] = []
        for index, width in enumerate(widths):
            attention = config.level_resolution(index) in config.decoder_attn_resolutions
            inputs = widths[min(index + 1, len(widths) - 1)]
            level = Level(inputs, width, config.num_res_blocks + 1, attention)
            if index:
                level.leave_with("upsample", Upsample(width))
            levels.append(level)
        self.up = nn.ModuleList(levels)
        self.norm_out = _norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], config.out_ch, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class KlVae(nn.Module):
    def __init__(self, config: KlVaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quant_conv = nn.Conv2d((2 if config.double_z else 1) * config.z_channels, 2 * config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    def moments(self, image: torch.Tensor) -> torch.Tensor:
        """Image [B,3,H,W] in [-1,1] -> [B,2C,h,w]: mean and (unclamped) log variance."""
        return self.quant_conv(self.encoder(image))

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance, clamped to [-30, 20]."""
        mean, logvar = self.moments(image).chunk(2, 1)
        return mean, logvar.clamp(-30, 20)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.post_quant_conv(z))
