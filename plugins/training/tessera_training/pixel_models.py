"""Models whose tokens are patches of pixels, without a tokenizer: how each is made, trained, saved and loaded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .errors import UserError
from .files import safetensors_io
from .networks import darl
from .networks.blocks import patchify, unpatchify
from .networks.darl import Darl, DarlConfig
from .networks.saim import Saim, SaimConfig
from .networks.umd import Umd, UmdConfig, from_flax, to_flax, visible_tokens
from .objectives.darl import DarlObjective
from .objectives.saim import SaimObjective
from .objectives.umd import UmdObjective

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """One of them; `configure` takes the size of the pictures and the number of classes (0: none)."""

    generator: str  # the plugin's id
    config: type
    configure: Callable[[Any, int, int], Any]
    build: Callable[[Any], nn.Module]
    objective: Callable[..., nn.Module]
    tensors: Callable[[Any], Tensors]
    load: Callable[[Tensors, Any], nn.Module]
    encode: Callable[[Any, torch.Tensor], torch.Tensor]  # [B,3,H,W] in [-1,1] -> [B,width]
    redraw: Callable[[Any, torch.Tensor], torch.Tensor]  # what it makes of half hidden pictures
    # The shape for latents of so many channels and pixels along a cell; None: works on pixels alone.
    on_latents: Callable[[Any, int, int], Any] | None = None


def _filled(model: Any, tensors: Tensors) -> Any:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(str(error)) from error
    return model


def _encode_darl(model: Darl, images: torch.Tensor) -> torch.Tensor:
    patches = darl.cut(images, model.config.patch_size)[:, model.order]
    return model.encode(patches, model.no_class(len(images)))[:, 1:].mean(1)


def _redraw_darl(model: Darl, images: torch.Tensor) -> torch.Tensor:
    """Every patch as it is expected from those before it."""
    patches = darl.cut(images, model.config.patch_size)[:, model.order]
    made = model.head_linear(model.conditions(patches[:, :-1], model.no_class(len(images))))
    return darl.join(made[:, model.order.argsort()], model.config)


def _encode_umd(model: Umd, images: torch.Tensor) -> torch.Tensor:
    times = torch.zeros(len(images), dtype=torch.long)
    return model.encode(patchify(images, model.config.patch_size), model.condition(times, None))[0]


def _encode_saim(model: Saim, images: torch.Tensor) -> torch.Tensor:
    if model.config.pixels == "imagenet":
        mean, deviation = (torch.tensor(values)[:, None, None] for values in
                           ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        images = ((images + 1) / 2 - mean) / deviation
    return model.encode(images)[1]


def _redraw_umd(model: Umd, images: torch.Tensor) -> torch.Tensor:
    config = model.config
    tokens = patchify(images, config.patch_size)
    scores = torch.rand(tokens.shape[:2], generator=torch.Generator().manual_seed(0))
    visible = visible_tokens(scores, config.mask_ratio_no_noise)
    made, _ = model(tokens, torch.zeros(len(tokens), dtype=torch.long), None, visible)
    index = visible[..., None].expand(-1, -1, tokens.shape[-1])
    return unpatchify(made.scatter(1, index, tokens.gather(1, index)), config.patch_size)


def _redraw_saim(model: Saim, images: torch.Tensor) -> torch.Tensor:
    """Every patch as it is expected from the half before it in one order."""
    config = model.config
    u = torch.rand(len(images), config.tokens, generator=torch.Generator().manual_seed(0))
    made = model.prediction_head(model.streams(images, u)[:, 1:])
    return unpatchify(made.unflatten(2, (-1, config.in_chans)).transpose(2, 3).flatten(2), config.patch_size)


KINDS = {
    "darl": Kind("org.tessera.darl", DarlConfig,
                 lambda config, size, classes: dataclasses.replace(config, height=size, width_px=size,
                                                                   num_classes=classes),
                 Darl, DarlObjective, lambda model: model.state_dict(),
                 lambda tensors, config: _filled(Darl(config), tensors), _encode_darl, _redraw_darl,
                 lambda config, channels, stride: dataclasses.replace(config, channels=channels, latent_stride=stride)),
    "umd": Kind("org.tessera.umd", UmdConfig,
                lambda config, size, classes: dataclasses.replace(config, img_size=size, num_classes=classes or None),
                Umd, UmdObjective, lambda model: to_flax(model.state_dict(), model.config), from_flax, _encode_umd,
                _redraw_umd,
                lambda config, channels, stride: dataclasses.replace(  # latents reach further than pixels
                    config, channels=channels, vae_stride=stride, clip_denoised=False)),
    "saim": Kind("org.tessera.saim", SaimConfig,
                 lambda config, size, classes: dataclasses.replace(config, img_size=size, class_num=classes or None),
                 Saim, SaimObjective, lambda model: model.state_dict(),
                 lambda tensors, config: _filled(Saim(config), tensors), _encode_saim, _redraw_saim,
                 lambda config, channels, stride: dataclasses.replace(config, in_chans=channels, vae_stride=stride)),
}


def kind_of(name: str) -> Kind:
    if name not in KINDS:
        raise UserError(f"pixels.objective = '{name}': expected one of {', '.join(KINDS)}")
    return KINDS[name]


def save(path: Path, name: str, model: Any, classes: list[str], metadata: dict[str, str],
         dtype: torch.dtype = torch.bfloat16) -> None:
    """A weight file that the runtime loads."""
    kind = kind_of(name)
    tensors = {key: value.detach().to(dtype).contiguous() for key, value in kind.tensors(model).items()}
    for key, value in tensors.items():
        if not bool(torch.isfinite(value.float()).all()):
            raise UserError(f"tensor '{key}' holds values that are not finite; nothing was exported")
    if classes:
        metadata = metadata | {"classes": json.dumps(classes)}
    safetensors_io.save(path, tensors, {"format": "tessera-model/1", "kind": f"{name}_weights",
                                        "generator": kind.generator, "config": model.config.to_json(), **metadata})


def load(path: Path) -> tuple[Kind, nn.Module, dict[str, str]]:
    """The model in a weight file, in float32, and its metadata."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    tensors, metadata = safetensors_io.load(path)
    name = metadata.get("kind", "").removesuffix("_weights")
    if name not in KINDS:
        raise UserError(f"{path}: kind '{metadata.get('kind', '')}', expected "
                        f"{' or '.join(f'{known}_weights' for known in KINDS)}")
    kind = KINDS[name]
    try:
        config = kind.config.from_json(metadata["config"])  # type: ignore[attr-defined]
        model = kind.load({key: value.float() for key, value in tensors.items()}, config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return kind, model.eval().requires_grad_(False), metadata
