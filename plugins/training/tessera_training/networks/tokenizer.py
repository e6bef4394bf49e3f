"""The texture tokenizer: a light convolutional KL autoencoder without normalisation layers.

No normalisation keeps it local (a tile never depends on far pixels) and circular padding makes tileable
content seamless by construction. A linear path from patch to latent and back, started from a principal
component analysis, gives it the linear baseline on the first step.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..config import TokenizerConfig


class Conv(nn.Conv2d):
    """A convolution that always has a bias; 3x3 ones keep the size with the given padding."""

    bias: torch.Tensor

    def __init__(self, inputs: int, outputs: int, padding: str = "zeros", size: int = 3) -> None:
        mode: Any = padding
        super().__init__(inputs, outputs, size, padding=size // 2, padding_mode=mode)


class ConvBlock(nn.Module):
    """h += conv2(silu(conv1(silu(h))))"""

    def __init__(self, width: int, padding: str) -> None:
        super().__init__()
        self.conv1 = Conv(width, width, padding)
        self.conv2 = Conv(width, width, padding)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.conv2(F.silu(self.conv1(F.silu(h))))


class Level(nn.Module):
    """The blocks of one resolution, then the convolution that leaves it, if any."""

    def __init__(self, width: int, blocks: int, padding: str, up: int = 0, down: int = 0) -> None:
        """`up`: width of the next finer level; `down`: width of the next coarser one."""
        super().__init__()
        self.block = nn.ModuleList(ConvBlock(width, padding) for _ in range(blocks))
        if up:
            self.up = Conv(width, 4 * up, padding)
        if down:
            self.down = Conv(4 * width, down, padding)
        self.goes_up, self.goes_down = bool(up), bool(down)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        for block in self.block:
            h = block(h)
        if self.goes_up:
            return F.pixel_shuffle(self.up(h), 2)
        return self.down(F.pixel_unshuffle(h, 2)) if self.goes_down else h


class Encoder(nn.Module):
    """[B,3,H,W] in [-1,1] -> moments [B,2C,H/s,W/s]: mean, log variance."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        widths, padding = config.encoder_widths, config.encoder_padding
        self.conv_in = Conv(config.image_channels * config.patch**2, widths[-1], padding)
        self.level = nn.ModuleList(Level(width, blocks, padding, down=down) for width, blocks, down in zip(
            widths, config.encoder_blocks, (0, *widths)))
        self.conv_out = Conv(widths[0], 2 * config.latent_channels, padding)
        if config.linear_skip:
            self.linear = Conv(config.image_channels * config.stride**2, config.latent_channels, size=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        h = self.conv_in(F.pixel_unshuffle(image, self.config.patch))
        for level in reversed(self.level):
            h = level(h)
        moments = self.conv_out(F.silu(h))
        if self.config.linear_skip:
            mean = self.linear(F.pixel_unshuffle(image, self.config.stride))
            moments = moments + torch.cat([mean, torch.zeros_like(mean)], 1)
        mean, logvar = moments.chunk(2, 1)
        return torch.cat([mean, logvar.clamp(-30, 20)], 1)


class Decoder(nn.Module):
    """Latents [B,C,h,w] -> image [B,3,h*s,w*s], about [-1,1] (the consumer clamps)."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        widths, padding = config.widths, config.padding
        self.conv_in = Conv(config.latent_channels, widths[0], padding)
        self.level = nn.ModuleList(Level(width, blocks, padding, up=up) for width, blocks, up in zip(
            widths, config.blocks, (*widths[1:], 0)))
        self.conv_out = Conv(widths[-1], config.image_channels * config.patch**2, padding)
        if config.linear_skip:
            self.linear = Conv(config.latent_channels, config.image_channels * config.stride**2, size=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        h = self.conv_in(z)
        for level in self.level:
            h = level(h)
        out = F.pixel_shuffle(self.conv_out(F.silu(h)), self.config.patch)
        if self.config.linear_skip:
            out = out + F.pixel_shuffle(self.linear(z), self.config.stride)
        return out


class TextureVae(nn.Module):
    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance, [B,C,h,w] each."""
        mean, logvar = self.encoder(image).chunk(2, 1)
        return mean, logvar

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z)

    @torch.no_grad()
    def start_from_pca(self, images: torch.Tensor) -> None:
        """Set the linear path to the whitened principal components of the patches of `images` [N,3,H,W]."""
        if not self.config.linear_skip:
            return
        channels = self.config.latent_channels
        patches = F.pixel_unshuffle(images, self.config.stride).permute(0, 2, 3, 1).reshape(
            -1, self.config.image_channels * self.config.stride**2).double()  # [rows, 3 s^2]
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        basis = vectors[:, -channels:].flip(1)  # [3 s^2, C]
        scale = values[-channels:].flip(0).sqrt()  # [C]
        to_latent = (basis / scale).T
        self.encoder.linear.weight.copy_(to_latent[:, :, None, None])
        self.encoder.linear.bias.copy_(-to_latent @ mean)
        self.decoder.linear.weight.copy_((basis * scale)[:, :, None, None])
        self.decoder.linear.bias.copy_(mean)
        for layer in (self.encoder.conv_out, self.decoder.conv_out):
            layer.weight.zero_()
            layer.bias.zero_()
        self.encoder.conv_out.bias[channels:] = -4.0  # posterior deviation of 0.13 to start with

    @torch.no_grad()
    def fold_normalisation(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Rescale so that latents (z - mean) / std [C] come out and go in; the images stay the same.

        A constant added before a zero-padded convolution is wrong at the border, hence circular only.
        """
        if self.config.padding != "circular":
            raise ValueError(f"fold_normalisation needs a circular decoder, this one pads with {self.config.padding}")
        channels = self.config.latent_channels
        out = self.encoder.conv_out
        out.weight[:channels] /= std.view(-1, 1, 1, 1)
        out.bias[:channels] = (out.bias[:channels] - mean) / std
        out.bias[channels:] -= 2 * std.log()
        layers = [self.decoder.conv_in]
        if self.config.linear_skip:
            self.encoder.linear.weight /= std.view(-1, 1, 1, 1)
            self.encoder.linear.bias /= std
            layers.append(self.decoder.linear)
        for layer in layers:  # layer(z * std + mean)
            layer.bias += layer.weight.sum((2, 3)) @ mean
            layer.weight *= std.view(1, -1, 1, 1)
