"""Recording runs of a model as case files, which `tessera-check-case` replays with the runtime.

The layout is that of the numeric fixtures recorded from the official implementation: kinds `mar_sample`,
`klvae_io` and `e2e`; and `mar_codes` of our own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..files import safetensors_io
from ..networks import causal, diffusion
from ..networks.blocks import patchify
from ..networks.causal import CausalMar
from ..networks.codes import nearest
from ..networks.consistency import ConsistencyVae
from ..networks.kl_vae import KlVae
from ..networks.mar import Mar, SampleSettings, sample, seeded_noise
from ..networks.tokenizer import ConvBlock, TextureVae
from ..networks.vq_vae import VqVae
from ..pictures.pixels import to_bytes

Tensors = dict[str, torch.Tensor]

_MASKS = ("mask", "mask_next", "mask_to_pred")
_STACKED = ("x_steps", "net_steps", "raw_steps")


class _Noise:
    """The noise of one run, remembered so that it can be written and replayed in another precision."""

    def __init__(self, seed: int, width: int) -> None:
        self.draw_fresh = seeded_noise(seed, width)
        self.known: dict[tuple[int, int], torch.Tensor] = {}

    def __call__(self, step: int, draw: int, rows: int) -> torch.Tensor:
        if (step, draw) not in self.known:
            self.known[step, draw] = self.draw_fresh(step, draw, rows)
        return self.known[step, draw]


class _Recorder:
    """Collects what a run shows; chains of the middle steps are left out, they tell nothing new."""

    def __init__(self, steps: int) -> None:
        self.kept = {0, 1, steps - 1}
        self.values: dict[str, list[torch.Tensor]] = {}

    def __call__(self, step: int, what: str, value: torch.Tensor) -> None:
        if what in _STACKED and (step not in self.kept or what == "raw_steps" and step > 1):
            return
        self.values.setdefault(f"step.{step:02d}.{what}", []).append(value)

    def tensors(self) -> Tensors:
        out: Tensors = {}
        for name, values in self.values.items():
            what = name.split(".")[2]
            value = torch.stack(values) if what in _STACKED else values[0]
            if what in _MASKS:
                value = value.to(torch.uint8)
            elif value.is_floating_point():
                value = value.float()
            out[name] = value
        return out


def record_sampling(model: Mar, labels: torch.Tensor | None, settings: SampleSettings, seed: int, batch: int
                    ) -> tuple[Tensors, dict[str, str]]:
    """One run of the sampler with everything it computed; the model must be in float32."""
    config = model.config
    orders = torch.rand(batch, config.tokens, generator=torch.Generator().manual_seed(seed)).argsort(1)
    noise, recorder = _Noise(seed, config.token_width), _Recorder(settings.steps)
    latents = sample(model, labels, orders, settings, noise, recorder)
    double, exact = copy.deepcopy(model).double(), _Recorder(settings.steps)
    latents_f64 = sample(double, labels, orders, settings,
                         lambda step, draw, rows: noise(step, draw, rows).double(), exact)
    tensors = recorder.tensors()
    times = diffusion.respace(settings.denoise_steps)
    for step in range(settings.steps):
        prefix = f"step.{step:02d}"
        tensors[f"{prefix}.pred_index"] = torch.nonzero(tensors[f"{prefix}.mask_to_pred"].bool())
        tensors[f"{prefix}.sampled"] = tensors.pop(f"{prefix}.sampled")
        tensors[f"{prefix}.noise_init"] = noise.known[step, 0]
        tensors[f"{prefix}.noise_steps"] = torch.stack([noise.known[step, draw + 1] for draw in range(len(times))])
    tensors.update(orders=orders, latents=latents, latents_f64=latents_f64)
    if labels is not None:
        tensors["labels"] = labels
    call = {"bsz": batch, "cfg": settings.guidance, "cfg_schedule": settings.guidance_schedule,
            "labels": None if labels is None else labels.tolist(), "num_iter": settings.steps,
            "num_sampling_steps": settings.denoise_steps, "temperature": settings.temperature}
    deviation = {what: max(float((values[0].double() - exact.values[name][0]).abs().max())
                           for name, values in recorder.values.items() if name.endswith(what))
                 for what in ("enc_out", "dec_out")}
    deviation["latents"] = float((latents.double() - latents_f64).abs().max())
    return tensors, {"kind": "mar_sample", "config": config.to_json(), "call": json.dumps(call),
                     "timestep_map": json.dumps(times), "f32_vs_f64_max_abs": json.dumps(deviation)}


class _Layers:
    """Outputs of the convolutions of a texture autoencoder for the first image, as the runtime fuses them.

    A block's second convolution includes the sum with the block's input.
    """

    def __init__(self, vae: TextureVae) -> None:
        self.values: Tensors = {}
        self._hooks = [module.register_forward_hook(self._keep(name)) for name, module in vae.named_modules()
                       if isinstance(module, (nn.Conv2d, ConvBlock)) and not name.endswith("conv2")]

    def _keep(self, name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        part, path = name.split(".", 1)

        def hook(module: nn.Module, _: object, out: torch.Tensor) -> None:
            suffix = ".conv2" if isinstance(module, ConvBlock) else ""
            self.values[f"layer.{part[:3]}.{path}{suffix}"] = out[:1].clone()
        return hook

    def close(self) -> Tensors:
        for hook in self._hooks:
            hook.remove()
        return self.values


def record_codes(model: Mar | CausalMar, labels: torch.Tensor, settings: SampleSettings, seed: int
                 ) -> tuple[Tensors, dict[str, str]]:
    """A run that takes the likeliest code at every step: the codes of its tokens, in raster places."""
    config, generator = model.config, torch.Generator().manual_seed(seed)
    noise = seeded_noise(seed, config.token_width)
    if isinstance(model, CausalMar):
        order = causal.orders_of(model.config, len(labels), generator).contiguous()
        orders, latents = order.flip(1), causal.sample(model, labels, order, settings, noise)
    else:
        orders = torch.rand(len(labels), config.tokens, generator=generator).argsort(1)
        latents = sample(model, labels, orders, settings, noise)
    call = {"bsz": len(labels), "cfg": settings.guidance, "cfg_schedule": settings.guidance_schedule,
            "labels": labels.tolist(), "num_iter": settings.steps, "temperature": 0.0}
    return ({"orders": orders, "codes": nearest(patchify(latents, 1), model.codebook)},
            {"kind": "mar_codes", "config": config.to_json(), "call": json.dumps(call)})


@torch.no_grad()
def record_codec(vae: TextureVae | KlVae | VqVae | ConsistencyVae, config: str, z: torch.Tensor, image: torch.Tensor
                 ) -> tuple[Tensors, dict[str, str]]:
    """Encoding of `image` [B,3,H,W] and decoding of `z` [B,C,h,w]."""
    if isinstance(vae, VqVae):
        moments = vae.moments(image)
        return ({"image": image, "moments": moments, "codes": vae.quantize(moments), "z": z, "decoded": vae.decode(z)},
                {"kind": "klvae_io", "config": config})
    layers = _Layers(vae) if isinstance(vae, TextureVae) else None
    mean, logvar = vae.encode(image)
    moments = torch.cat([mean, logvar], 1) if isinstance(vae, TextureVae) else vae.moments(image)
    if isinstance(vae, ConsistencyVae):
        noise = torch.randn(len(vae.config.decoder_times), *image.shape, generator=torch.Generator().manual_seed(7))
        return ({"image": image, "moments": moments, "mean": mean, "logvar": logvar, "z": z, "noise": noise.permute(
            0, 1, 3, 4, 2).flatten(0, 1), "decoded": vae.decode(z, noise)}, {"kind": "klvae_io", "config": config})
    tensors = {"image": image, "moments": moments, "mean": mean, "logvar": logvar, "z": z, "decoded": vae.decode(z)}
    return {**tensors, **(layers.close() if layers else {})}, {"kind": "klvae_io", "config": config}


@torch.no_grad()
def record_pictures(vae: TextureVae | KlVae | VqVae, latents: torch.Tensor, scale: float, vae_path: Path
                    ) -> tuple[Tensors, dict[str, str]]:
    """From the sampler's latents to the bytes of the pictures."""
    z = latents / scale
    decoded = vae.decode(z)
    return ({"latents": latents, "decoder_input": z, "decoded": decoded,
             "rgb8_round_half_even": to_bytes(decoded)},
            {"kind": "e2e", "latent_scale": repr(scale), "vae_weights": str(vae_path.resolve())})


def write(path: Path, case: tuple[Tensors, dict[str, str]], weights: Path) -> Path:
    tensors, metadata = case
    safetensors_io.save(path, {name: value.contiguous() for name, value in tensors.items()},
                        {"format": "tessera-case/1", "weights": weights.name, **metadata})
    return path
