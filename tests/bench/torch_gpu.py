"""The PyTorch side of the GPU bundle: whole MAR images of the same shapes, eager or compiled, on the same GPU.

A few of the autoregressive steps are timed, evenly spaced, and their mean counts for all; the picture is decoded once.
Prints lines as bench_cuda does, for each mode and batch as soon as it is measured: starting Python and loading kernels
takes longer than the timing. `head` compiles the diffusion network alone, `compile` all three.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import torch

# The trainer's package: next to this file in the GPU bundle, else in the tree.
_here = Path(__file__).resolve().parent
sys.path.insert(0, str(_here if (_here / "tessera_training").is_dir() else _here.parents[1] / "plugins" / "training"))

from tessera_training.networks import diffusion  # noqa: E402
from tessera_training.networks.kl_vae import KlVae, KlVaeConfig  # noqa: E402
from tessera_training.networks.mar import Mar, MarConfig  # noqa: E402

# width, depth of each half, heads, blocks and width of the denoiser
SHAPES = {"base": (768, 12, 12, 6, 1024), "large": (1024, 16, 16, 8, 1280), "huge": (1280, 20, 16, 12, 1536),
          "tiny": (64, 2, 2, 2, 64)}


def config_of(shape: str) -> MarConfig:
    width, depth, heads, blocks, head_width = SHAPES[shape]
    return MarConfig(
        img_size=64 if shape == "tiny" else 256, vae_stride=16, patch_size=1, vae_embed_dim=16,
        encoder_embed_dim=width, encoder_depth=depth, encoder_num_heads=heads, decoder_embed_dim=width,
        decoder_depth=depth, decoder_num_heads=heads, class_num=1000, buffer_size=4 if shape == "tiny" else 64,
        diffloss_d=blocks, diffloss_w=head_width)


class Bench:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.config, self.batch = arguments, config_of(arguments.shape), 1
        self.device = torch.device(arguments.device)
        self.dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
        self.model = Mar(self.config).eval().to(self.device, self.dtype)
        self.codec = KlVae(KlVaeConfig()).eval().to(self.device, self.dtype)
        self.table = diffusion.tables(str(arguments.denoise_steps))
        self.order = torch.randperm(self.config.tokens)

    def set_mode(self, mode: str) -> None:
        self.encode, self.decode, self.net = self.model.encode, self.model.decode, self.model.diffloss.net
        if mode in ("head", "compile"):
            self.net = torch.compile(self.net, dynamic=True)
        if mode == "compile":
            self.encode = torch.compile(self.encode, dynamic=True)
            self.decode = torch.compile(self.decode, dynamic=True)

    def wait(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def unknown(self, step: int) -> int:
        """Tokens that are unknown before a step of the cosine schedule."""
        left = math.floor(self.config.tokens * math.cos(math.pi / 2 * step / self.arguments.steps))
        return max(left, self.arguments.steps - step)

    def step(self, step: int) -> list[float]:
        """Seconds of encoder, decoder and denoiser in one autoregressive step."""
        images, tokens = self.batch, self.config.tokens
        before, after = self.unknown(step), self.unknown(step + 1) if step + 1 < self.arguments.steps else 0
        mask = torch.ones(2 * images, tokens, dtype=torch.bool, device=self.device)
        mask[:, self.order[: tokens - before].to(self.device)] = False
        values = torch.randn(2 * images, tokens, self.config.token_width, device=self.device, dtype=self.dtype)
        classes = self.model.class_vector(None, 2 * images)
        times = [self.wait()]
        encoded = self.encode(values, mask, classes)
        times.append(self.wait())
        z = self.decode(encoded, mask, values)[:, : before - after].reshape(-1, self.config.decoder_embed_dim)
        times.append(self.wait())
        x = torch.randn(z.shape[0] // 2, self.config.token_width, device=self.device)
        for index in range(len(self.table.timestep_map) - 1, -1, -1):
            at = torch.full((z.shape[0],), self.table.timestep_map[index], device=self.device)
            net = self.net(torch.cat([x, x]).to(self.dtype), at, z).float()
            conditional, free = net.chunk(2)
            width = x.shape[-1]
            eps = free[:, :width] + 3.0 * (conditional[:, :width] - free[:, :width])
            guided = torch.cat([eps, conditional[:, width:]], 1)
            x = diffusion.reverse_step(self.table, index, x, guided, torch.randn_like(x))
        times.append(self.wait())
        return [end - start for start, end in zip(times, times[1:])]

    def picture(self) -> float:
        side = self.config.img_size // self.config.vae_stride
        z = torch.randn(self.batch, self.config.vae_embed_dim, side, side, device=self.device, dtype=self.dtype)
        start = self.wait()
        self.codec.decode(z)
        return self.wait() - start


def measure(bench: Bench, arguments: argparse.Namespace, mode: str) -> None:
    timed = min(arguments.timed, arguments.steps)
    places = [i * (arguments.steps - 1) // max(timed - 1, 1) for i in range(timed)]
    for place in (places[0], places[-1]):  # warm: kernels are chosen, graphs compiled
        bench.step(place)
    bench.picture()
    parts = torch.tensor([bench.step(place) for place in places]).mean(0) * arguments.steps
    picture = bench.picture()
    ms = [float(part) * 1e3 / bench.batch for part in (*parts, torch.tensor(picture))]
    memory = f", {torch.cuda.max_memory_allocated() >> 20} MiB" if arguments.device == "cuda" else ""
    print(f"{arguments.shape:6} {arguments.precision:4} batch {bench.batch}, {arguments.steps} x "
          f"{arguments.denoise_steps}: total {sum(ms):9.2f} ms an image, PyTorch {torch.__version__} {mode}{memory}")
    print(f"       parts: encoder {ms[0]:.2f}, decoder {ms[1]:.2f}, denoiser {ms[2]:.2f}, picture {ms[3]:.2f} ms an image",
          flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--mode", choices=["eager", "head", "compile"], nargs="+", default=["eager"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--denoise-steps", type=int, default=100)
    parser.add_argument("--timed", type=int, default=6, help="autoregressive steps that are timed")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("PyTorch has no CUDA device here")
        sys.exit(77)
    torch.manual_seed(1)
    bench = Bench(arguments)
    with torch.inference_mode():
        for mode in arguments.mode:
            bench.set_mode(mode)
            for batch in arguments.batch:
                bench.batch = batch
                measure(bench, arguments, mode)


if __name__ == "__main__":
    main()
