"""Makes the small recorded cases in data/, which are checked on machines without the fixtures.

    python3 tests/golden/make_goldens.py [SET...]       (needs PyTorch; rewrites those sets of tests/golden/data)

Random MAR models with a sane sampler (their last layer is close to "the noise is x"), models of codes, and random
autoencoders of every kind, recorded by the trainer's own PyTorch code in float32 and, for whole runs, in float64.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "plugins" / "training"))

from tessera_training.checks import record  # noqa: E402
from tessera_training.config import TokenizerConfig  # noqa: E402
from tessera_training.files import safetensors_io  # noqa: E402
from tessera_training.networks.causal import CausalConfig, CausalMar  # noqa: E402
from tessera_training.networks.consistency import ConsistencyConfig, ConsistencyVae  # noqa: E402
from tessera_training.networks.kl_vae import KlVae, KlVaeConfig  # noqa: E402
from tessera_training.networks.mar import Mar, MarConfig, SampleSettings  # noqa: E402
from tessera_training.networks.tokenizer import TextureVae  # noqa: E402
from tessera_training.networks.vq_vae import VqVae, VqVaeConfig  # noqa: E402

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
VQ = VqVaeConfig(ch=32, ch_mult=(1, 1), num_res_blocks=1, resolution=8, z_channels=2, embed_dim=3, n_embed=13,
                 encoder_attn_resolutions=(4,), decoder_attn_resolutions=(4,))
CONSISTENCY = ConsistencyConfig(ch=32, ch_mult=(1, 1), num_res_blocks=1, resolution=8, z_channels=2, embed_dim=3,
                                encoder_attn_resolutions=(), decoder_width=32, decoder_blocks=1, decoder_patch=1,
                                decoder_times=(1008, 512, 100))
CODES = {
    "raster": CausalConfig(img_size=16, vae_stride=4, patch_size=1, vae_embed_dim=3, width=24, depth=2, heads=2,
                           class_num=3, prefix=2, codebook=17),
    "random": CausalConfig(img_size=16, vae_stride=4, patch_size=1, vae_embed_dim=3, width=24, depth=2, heads=3,
                           class_num=3, variant="random", codebook=17),
    "masked": MarConfig(img_size=16, vae_stride=4, patch_size=1, vae_embed_dim=3, encoder_embed_dim=20, encoder_depth=1,
                        encoder_num_heads=2, decoder_embed_dim=24, decoder_depth=2, decoder_num_heads=3, class_num=3,
                        buffer_size=2, codebook=17),
}
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


def make_codes(folder: Path, config: MarConfig | CausalConfig) -> None:
    generator = torch.Generator().manual_seed(5)
    model = (CausalMar(config) if isinstance(config, CausalConfig) else Mar(config)).eval()
    scatter_weights(model, generator)
    model.codebook.copy_(torch.randn(model.codebook.shape, generator=generator).bfloat16())
    weights = folder / "weights.safetensors"
    safetensors_io.save(weights, in_bf16(model), {"kind": "mar_weights", "config": config.to_json()})
    for name, settings in (("guided", SampleSettings(5, 2.5, temperature=0.0)),
                           ("plain", SampleSettings(config.tokens, 1.0, temperature=0.0))):
        record.write(folder / f"case_{name}.safetensors", record.record_codes(model, torch.tensor([0, 2]), settings, 1),
                     weights)


def make_codec(folder: Path, codec: KlVae | TextureVae | VqVae | ConsistencyVae, kind: str, config: str, stride: int
               ) -> None:
    generator = torch.Generator().manual_seed(2)
    scatter_weights(codec, generator)
    weights = folder / "weights.safetensors"
    safetensors_io.save(weights, in_bf16(codec), {"kind": kind, "config": config})
    image = torch.rand(1, 3, 12, 20, generator=generator) * 2 - 1
    z = torch.randn(1, 3, 12 // stride, 20 // stride, generator=generator)
    record.write(folder / "case_codec.safetensors", record.record_codec(codec.eval(), config, z, image), weights)


def main() -> None:
    torch.set_num_threads(1)
    sets = {
        "mar": lambda folder: make_mar(folder, CONFIG, RUNS),
        "mar_local": lambda folder: make_mar(folder, LOCAL, LOCAL_RUNS),
        **{f"mar_codes_{name}": functools.partial(make_codes, config=config) for name, config in CODES.items()},
        "kl": lambda folder: make_codec(folder, KlVae(KL), "klvae_weights", as_json(KL), 2),
        "vq": lambda folder: make_codec(folder, VqVae(VQ), "vqvae_weights", as_json(VQ), 2),
        "consistency": lambda folder: make_codec(folder, ConsistencyVae(CONSISTENCY), "consistency_vae_weights",
                                                 as_json(CONSISTENCY), 2),
        "texture_vae": make_texture_vae,
    }
    for name in sys.argv[1:] or sets:
        folder = HERE / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        sets[name](folder)


def as_json(config: KlVaeConfig) -> str:
    return json.dumps({name: list(value) if isinstance(value, tuple) else value for name, value in vars(config).items()})


def make_texture_vae(folder: Path) -> None:
    texture = {name: getattr(TEXTURE, name) for name in
               ("latent_channels", "patch", "widths", "blocks", "encoder_widths", "encoder_blocks", "padding",
                "encoder_padding", "linear_skip")}
    make_codec(folder, TextureVae(TEXTURE), "texture_vae_weights",
               json.dumps({"image_channels": 3, **texture}), 4)


if __name__ == "__main__":
    main()
