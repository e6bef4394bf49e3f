"""Makes the small recorded cases in data/, which are checked on machines without the fixtures.

    python3 tests/golden/make_goldens.py        (needs PyTorch; rewrites tests/golden/data)

A random MAR model with a sane sampler (its last layer is close to "the noise is x") and random KL and texture
autoencoders, recorded by the trainer's own PyTorch code in float32 and, for the whole run, in float64.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "plugins" / "training"))

from tessera_training import record, safetensors_io  # noqa: E402
from tessera_training.config import TokenizerConfig  # noqa: E402
from tessera_training.kl_vae import KlVae, KlVaeConfig  # noqa: E402
from tessera_training.mar import Mar, MarConfig, SampleSettings  # noqa: E402
from tessera_training.tokenizer import TextureVae  # noqa: E402

CONFIG = MarConfig(img_size=24, vae_stride=4, patch_size=2, vae_embed_dim=3, encoder_embed_dim=20, encoder_depth=1,
                   encoder_num_heads=2, decoder_embed_dim=24, decoder_depth=2, decoder_num_heads=3, class_num=3,
                   buffer_size=2, diffloss_d=1, diffloss_w=21, num_sampling_steps="6")
RUNS = {
    "guided": ([0, 2], SampleSettings(steps=3, guidance=2.5, denoise_steps="ddim20")),
    "plain": ([1], SampleSettings(steps=9, guidance=1.0, denoise_steps="ddim5", temperature=0.9)),
    "no_class": (None, SampleSettings(steps=2, guidance=3.0, guidance_schedule="constant", denoise_steps="ddim8")),
}
# A window of known tokens, and the other prediction of the head.
LOCAL = dataclasses.replace(CONFIG, local_kernel=3, prediction="v")
LOCAL_RUNS = {
    "guided": ([0, 2], SampleSettings(steps=4, guidance=2.5, denoise_steps="ddim10")),
    "plain": ([1], SampleSettings(steps=9, guidance=1.0, denoise_steps="ddim5", temperature=0.9)),
}
KL = KlVaeConfig(ch=32, ch_mult=(1, 1), num_res_blocks=1, resolution=8, z_channels=2, embed_dim=3,
                 encoder_attn_resolutions=(4,), decoder_attn_resolutions=(4,))
TEXTURE = TokenizerConfig(latent_channels=3, patch=2, widths=(6, 5), blocks=(1, 1), encoder_widths=(4, 7),
                          encoder_blocks=(1, 1))


def scatter_weights(module: torch.nn.Module, generator: torch.Generator) -> None:
    """Every parameter random and exact in bf16, which halves the files: gains about 1, the rest by fan-in."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            draw = torch.randn(value.shape, generator=generator)
            gain = value.dim() == 1 and name.endswith("weight")
            fan_in = value[0].numel() if value.dim() > 1 else 100
            value.copy_((1 + 0.1 * draw if gain else draw * max(0.05, fan_in ** -0.5)).bfloat16())


def in_bf16(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.bfloat16().contiguous() for name, value in module.state_dict().items()}


def make_mar(folder: Path, config: MarConfig, runs: dict[str, tuple[list[int] | None, SampleSettings]]) -> None:
    generator = torch.Generator().manual_seed(1)
    model = Mar(config).eval()
    scatter_weights(model, generator)
    net, width = model.diffloss.net, config.token_width
    with torch.no_grad():
        net.final_layer.linear.weight *= 0.05
        if config.prediction == "epsilon":  # about x: the cosine schedule would multiply anything else by 20000
            net.input_proj.weight[:width] = torch.eye(width)
            net.final_layer.linear.weight[:width, :width] += torch.eye(width)
    weights = folder / "weights.safetensors"
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value.bfloat16())
    safetensors_io.save(weights, in_bf16(model), {"kind": "mar_weights", "config": config.to_json()})
    for name, (labels, settings) in runs.items():
        batch = len(labels) if labels else 2
        case = record.record_sampling(model, torch.tensor(labels) if labels else None, settings, 1, batch)
        record.write(folder / f"case_{name}.safetensors", case, weights)


def make_codec(folder: Path, codec: KlVae | TextureVae, kind: str, config: str, stride: int) -> None:
    generator = torch.Generator().manual_seed(2)
    scatter_weights(codec, generator)
    weights = folder / "weights.safetensors"
    safetensors_io.save(weights, in_bf16(codec), {"kind": kind, "config": config})
    image = torch.rand(1, 3, 12, 20, generator=generator) * 2 - 1
    z = torch.randn(1, 3, 12 // stride, 20 // stride, generator=generator)
    record.write(folder / "case_codec.safetensors", record.record_codec(codec.eval(), config, z, image), weights)


def main() -> None:
    torch.set_num_threads(1)
    data = HERE / "data"
    for name in ("mar", "mar_local", "kl", "texture"):
        (data / name).mkdir(parents=True, exist_ok=True)
    make_mar(data / "mar", CONFIG, RUNS)
    make_mar(data / "mar_local", LOCAL, LOCAL_RUNS)
    kl = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(KL).items()}
    make_codec(data / "kl", KlVae(KL), "klvae_weights", json.dumps(kl), 2)
    texture = {name: getattr(TEXTURE, name) for name in
               ("latent_channels", "patch", "widths", "blocks", "encoder_widths", "encoder_blocks", "padding",
                "encoder_padding", "linear_skip")}
    make_codec(data / "texture", TextureVae(TEXTURE), "texture_vae_weights",
               json.dumps({"image_channels": 3, **texture}), 4)


if __name__ == "__main__":
    main()
