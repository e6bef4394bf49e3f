"""The PyTorch side of bench_step: times parts of a plain implementation of the same model on request.

Reads lines `DTYPE PART NUMBERS...` and answers each with the seconds it took:
  float32 encode KNOWN | float32 decode KNOWN | float32 denoise ROWS STEPS | float32 picture
Guidance is on: every network pass has two rows per token, as in the runtime.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "training"))

from tessera_training.networks import diffusion  # noqa: E402
from tessera_training.networks.kl_vae import KlVae, KlVaeConfig  # noqa: E402
from tessera_training.networks.mar import Mar, MarConfig  # noqa: E402

TINY_CODEC = {"ch": 32, "ch_mult": (1, 1, 1, 1), "num_res_blocks": 1, "resolution": 32, "z_channels": 4,
              "embed_dim": 4, "encoder_attn_resolutions": (8,)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Peer:
    def __init__(self, config: MarConfig, codec_config: KlVaeConfig, steps: str) -> None:
        torch.manual_seed(1)
        model, codec = Mar(config).eval(), KlVae(codec_config).eval()
        self.config, self.codec_config, self.steps = config, codec_config, diffusion.tables(steps)
        self.models = {"float32": (model, codec)}

    def parts(self, dtype: str) -> tuple[Mar, KlVae]:
        """The model in a type; the second copy is made when it is first asked for."""
        if dtype not in self.models:
            model, codec = Mar(self.config).eval(), KlVae(self.codec_config).eval()
            self.models[dtype] = (model.to(DTYPES[dtype]), codec.to(DTYPES[dtype]))
        return self.models[dtype]

    def mask(self, known: int) -> torch.Tensor:
        order = torch.randperm(self.config.tokens)
        mask = torch.ones(2, self.config.tokens, dtype=torch.bool)
        mask[:, order[:known]] = False
        return mask

    def encode(self, dtype: str, known: int) -> float:
        model, _ = self.parts(dtype)
        tokens = torch.randn(2, self.config.tokens, self.config.token_width, dtype=DTYPES[dtype])
        mask, classes = self.mask(known), model.class_vector(None, 2)
        start = time.perf_counter()
        model.encode(tokens, mask, classes)
        return time.perf_counter() - start

    def decode(self, dtype: str, known: int) -> float:
        model, _ = self.parts(dtype)
        rows = self.config.buffer_size + known
        encoded = torch.randn(2, rows, self.config.encoder_embed_dim, dtype=DTYPES[dtype])
        tokens = torch.randn(2, self.config.tokens, self.config.token_width, dtype=DTYPES[dtype])
        mask = self.mask(known)
        start = time.perf_counter()
        model.decode(encoded, mask, tokens)
        return time.perf_counter() - start

    def denoise(self, dtype: str, rows: int, count: int) -> float:
        model, _ = self.parts(dtype)
        z = torch.randn(2 * rows, self.config.decoder_embed_dim, dtype=DTYPES[dtype])
        x = torch.randn(rows, self.config.token_width)
        last = len(self.steps.timestep_map) - 1
        start = time.perf_counter()
        for index in range(last, last - count, -1):
            times = torch.full((2 * rows,), self.steps.timestep_map[index])
            net = model.diffloss.net(torch.cat([x, x]).to(DTYPES[dtype]), times, z).float()
            conditional, free = net.chunk(2)
            width = x.shape[-1]
            eps = free[:, :width] + 3.0 * (conditional[:, :width] - free[:, :width])
            guided = torch.cat([eps, conditional[:, width:]], 1)
            x = diffusion.reverse_step(self.steps, index, x, guided, torch.randn_like(x))
        return time.perf_counter() - start

    def picture(self, dtype: str) -> float:
        _, codec = self.parts(dtype)
        side = self.config.img_size // self.config.vae_stride
        z = torch.randn(1, self.config.vae_embed_dim, side, side, dtype=DTYPES[dtype])
        start = time.perf_counter()
        codec.decode(z)
        return time.perf_counter() - start


def capability() -> str:
    """The vector instructions PyTorch uses; 1.x does not say it by itself."""
    if hasattr(torch.backends, "cpu"):
        return torch.backends.cpu.get_cpu_capability()
    found = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
    return found.group(1) if found else "unknown instructions"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--config", required=True, help="of the model, as in its metadata")
    parser.add_argument("--steps", required=True, help="denoising steps")
    parser.add_argument("--tiny-codec", action="store_true", help="a KL autoencoder of 32 channels, not KL-16")
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")  # nothing else may write there
    os.dup2(2, 1)
    torch.set_num_threads(arguments.threads)
    found = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    blas = found.group(1) if found else "unknown"
    codec_config = KlVaeConfig(**TINY_CODEC) if arguments.tiny_codec else KlVaeConfig()
    peer = Peer(MarConfig.from_json(arguments.config), codec_config, arguments.steps)
    print(f"PyTorch {torch.__version__}, BLAS {blas}, {capability()}, "
          f"{torch.get_num_threads()} threads", file=answers, flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            dtype, part, *numbers = line.split()
            seconds = getattr(peer, part)(dtype, *map(int, numbers))
            print(f"{seconds:.9f}", file=answers, flush=True)


if __name__ == "__main__":
    main()
