"""MAR (arXiv 2406.11838): masked encoder-decoder over continuous tokens with a diffusion head.

Parameter names are those of the reference implementation, so published checkpoints load unchanged.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import nn

from ..errors import UserError
from . import codes, diffusion
from .blocks import NORM_EPS, Block, Denoiser, patchify, unpatchify


@dataclass(frozen=True)
class MarConfig:
    """Shape of a model, with the keys of the exported `config` metadata."""

    img_size: int
    vae_stride: int
    patch_size: int
    vae_embed_dim: int
    encoder_embed_dim: int
    encoder_depth: int
    encoder_num_heads: int
    decoder_embed_dim: int
    decoder_depth: int
    decoder_num_heads: int
    class_num: int
    buffer_size: int
    diffloss_d: int = 0
    diffloss_w: int = 0
    num_sampling_steps: str = "100"
    mlp_ratio: float = 4.0
    norm_eps: float = NORM_EPS
    latent_scale: float = 1.0
    prediction: str = "epsilon"  # of the diffusion head: "epsilon" or "v"
    codebook: int = 0  # entries that tokens are chosen from; 0: the diffusion head
    local_kernel: int = 0  # side of the window of `LocalMix`; tokens are then guessed first. 0: neither

    @property
    def side(self) -> int:
        """Tokens along one edge of the image."""
        return self.img_size // self.vae_stride // self.patch_size

    @property
    def tokens(self) -> int:
        return self.side**2

    @property
    def token_width(self) -> int:
        return self.vae_embed_dim * self.patch_size**2

    @classmethod
    def from_json(cls, text: str) -> MarConfig:
        """From `config` metadata; keys that concern only training are ignored."""
        values = json.loads(text)
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    def to_json(self) -> str:
        values = asdict(self)
        if float(self.mlp_ratio).is_integer():
            values["mlp_ratio"] = int(self.mlp_ratio)
        if self.prediction == "epsilon":
            del values["prediction"]  # what readers that do not know it assume
        for name in ("diffloss_d", "diffloss_w") if self.codebook else ("codebook",):
            del values[name]
        if not self.local_kernel:
            del values["local_kernel"]
        return json.dumps(values, sort_keys=True)


class DiffLoss(nn.Module):
    """Holder of the denoiser under its official name."""

    def __init__(self, config: MarConfig) -> None:
        super().__init__()
        self.net = Denoiser(config.token_width, config.decoder_embed_dim, config.diffloss_w, config.diffloss_d)


class LocalMix(nn.Conv2d):
    """What the known tokens around each position say of it: a convolution on the torus of tokens.

    The mean of the known tokens stands for the unknown ones. Not in the paper: attention finds out only after very
    many images which tokens are neighbours, a layer norm hides how large they are, and for textures both is most of
    what the other tokens tell.
    """

    def __init__(self, config: MarConfig) -> None:
        token, kernel = config.token_width, config.local_kernel
        if kernel % 2 == 0 or kernel > config.side:
            raise UserError(f"local_kernel = {kernel}: expected an odd number of at most {config.side} tokens")
        super().__init__(token, config.decoder_embed_dim, kernel, padding=kernel // 2, padding_mode="circular")
        self.side = config.side
        nn.init.normal_(self.weight, std=0.5 * token**-0.5)
        nn.init.zeros_(cast(torch.Tensor, self.bias))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """tokens [B,S,d], mask [B,S] (1 = unknown) -> contexts of all positions, [B,S,D]."""
        known = (~mask.bool())[..., None].to(tokens.dtype)
        mean = (tokens * known).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
        grid = (tokens * known + mean * (1 - known)).transpose(1, 2).unflatten(2, (self.side, self.side))
        return super().forward(grid).flatten(2).transpose(1, 2)


class Mar(nn.Module):
    def __init__(self, config: MarConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.codebook: torch.Tensor
        encoder, decoder, rows = config.encoder_embed_dim, config.decoder_embed_dim, config.buffer_size + config.tokens
        self.fake_latent = nn.Parameter(torch.zeros(1, encoder))
        self.encoder_pos_embed_learned = nn.Parameter(torch.zeros(1, rows, encoder))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder))
        self.decoder_pos_embed_learned = nn.Parameter(torch.zeros(1, rows, decoder))
        self.diffusion_pos_embed_learned = nn.Parameter(torch.zeros(1, config.tokens, decoder))
        self.class_emb = nn.Embedding(config.class_num, encoder)
        self.z_proj = nn.Linear(config.token_width, encoder)
        self.z_proj_ln = nn.LayerNorm(encoder, eps=NORM_EPS)
        self.encoder_blocks = nn.ModuleList(
            Block(encoder, config.encoder_num_heads, config.mlp_ratio, dropout) for _ in range(config.encoder_depth))
        self.encoder_norm = nn.LayerNorm(encoder, eps=NORM_EPS)
        self.decoder_embed = nn.Linear(encoder, decoder)
        self.decoder_blocks = nn.ModuleList(
            Block(decoder, config.decoder_num_heads, config.mlp_ratio, dropout) for _ in range(config.decoder_depth))
        self.decoder_norm = nn.LayerNorm(decoder, eps=NORM_EPS)
        self._initialise()
        if config.codebook:
            self.codebook_logits = nn.Linear(decoder, config.codebook)
            nn.init.normal_(self.codebook_logits.weight, std=0.02)
            nn.init.zeros_(self.codebook_logits.bias)
            self.register_buffer("codebook", torch.zeros(config.codebook, config.token_width))
        else:
            self.diffloss = DiffLoss(config)  # after _initialise: it has its own start values
        if config.local_kernel:
            self.local_mix = LocalMix(config)
            self.guess = nn.Linear(config.decoder_embed_dim, config.token_width)
            nn.init.zeros_(self.guess.weight)
            nn.init.zeros_(self.guess.bias)

    def _initialise(self) -> None:
        for parameter in (self.fake_latent, self.encoder_pos_embed_learned, self.mask_token,
                          self.decoder_pos_embed_learned, self.diffusion_pos_embed_learned, self.class_emb.weight):
            nn.init.normal_(parameter, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def start_positions_on_torus(self, generator: torch.Generator, scale: float = 0.5) -> None:
        """Adds waves that repeat with the token grid to all positions, so that attention can see offsets from the start.

        Every wave vector with up to half the grid's side, [S,2 waves], turned at random into the width.
        """
        side = self.config.side
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        angles = [2 * math.pi * k / side * axis.flatten() for axis in (y, x) for k in range(1, side // 2 + 1)]
        waves = torch.stack([wave for angle in angles for wave in (angle.cos(), angle.sin())], 1)
        for positions in (self.encoder_pos_embed_learned, self.decoder_pos_embed_learned):
            turn = torch.randn(waves.shape[1], positions.shape[2], generator=generator) / waves.shape[1]**0.5
            positions[0, -self.config.tokens:] += scale * 2**0.5 * (waves @ turn)

    def class_vector(self, labels: torch.Tensor | None, batch: int, dropped: torch.Tensor | None = None
                     ) -> torch.Tensor:
        """[B,E]: class embedding, or `fake_latent` where there is no label or it was dropped."""
        fake = self.fake_latent.expand(batch, -1)
        if labels is None:
            return fake
        embedded = self.class_emb(labels)
        return embedded if dropped is None else torch.where(dropped[:, None], fake, embedded)

    def encode(self, tokens: torch.Tensor, mask: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """tokens [B,S,d], mask [B,S] (1 = unknown, equally many per image), classes [B,E] -> [B,K+known,E]."""
        batch, buffer = len(tokens), self.config.buffer_size
        x = torch.cat([classes[:, None].expand(-1, buffer, -1), self.z_proj(tokens)], 1)
        x = self.z_proj_ln(x + self.encoder_pos_embed_learned)
        x = x[self._kept(mask)].reshape(batch, -1, x.shape[-1])
        for block in self.encoder_blocks:
            x = block(x)
        return self.encoder_norm(x)

    def decode(self, encoded: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """[B,K+known,E] and the tokens [B,S,d] that it was made of -> conditions of all tokens, [B,S,D]."""
        known, buffer = self.decoder_embed(encoded), self.config.buffer_size
        x = self.mask_token.to(known.dtype).expand(len(known), buffer + self.config.tokens, -1).clone()
        x[self._kept(mask)] = known.reshape(-1, known.shape[-1])
        x = x + self.decoder_pos_embed_learned
        context = self.local_mix(tokens, mask) if self.config.local_kernel else None
        if context is not None:
            x = torch.cat([x[:, :buffer], x[:, buffer:] + context], 1)
        for block in self.decoder_blocks:
            x = block(x)
        z = self.decoder_norm(x)[:, buffer:] + self.diffusion_pos_embed_learned
        return z if context is None else z + context

    def guesses(self, z: torch.Tensor) -> torch.Tensor:
        """Conditions [N,D] -> what a sampled token is the difference to, [N,d]: 0 without `local_kernel`."""
        return self.guess(z) if self.config.local_kernel else z.new_zeros(len(z), self.config.token_width)

    def _kept(self, mask: torch.Tensor) -> torch.Tensor:
        """[B,K+S] bool: the buffer rows and the rows of known tokens."""
        buffer = torch.ones(len(mask), self.config.buffer_size, dtype=torch.bool, device=mask.device)
        return torch.cat([buffer, ~mask.bool()], 1)


def masked_after(step: int, steps: int, tokens: int, masked: int) -> int:
    """Tokens still unknown after autoregressive step `step` (cosine schedule, float64, left to right)."""
    return max(1, min(masked - 1, math.floor(tokens * math.cos(math.pi / 2 * (step + 1) / steps))))


def guidance_at(guidance: float, schedule: str, tokens: int, mask_len: int) -> float:
    """Guidance of one autoregressive step: grows with the number of known tokens, or is constant."""
    if schedule == "constant":
        return guidance
    return 1 + (guidance - 1) * (tokens - mask_len) / tokens


Noise = Callable[[int, int, int], torch.Tensor]  # (AR step, draw, rows) -> [rows,d]; draw 0 is the initial noise
Watch = Callable[[int, str, torch.Tensor], None]  # (AR step, what, value): sees a run's intermediate values


def _unwatched(step: int, what: str, value: torch.Tensor) -> None:
    pass


@dataclass(frozen=True)
class SampleSettings:
    steps: int = 16
    guidance: float = 1.0
    guidance_schedule: str = "linear"
    temperature: float = 1.0
    denoise_steps: str = "100"


def denoise(net: Denoiser, prediction: str, table: diffusion.Tables, z: torch.Tensor, guidance: float | None,
            temperature: float, step: int, noise: Noise, watch: Watch = _unwatched) -> torch.Tensor:
    """Reverse diffusion of the rows of z: [N,D], or [2N,D] (conditional, unconditional) when guided."""
    rows = len(z) // (1 if guidance is None else 2)
    last = len(table.timestep_map) - 1
    x = noise(step, 0, rows)
    watch(step, "x_steps", x)
    for index in range(last, -1, -1):
        doubled = x if guidance is None else torch.cat([x, x])
        times = torch.full((len(z),), table.timestep_map[index], dtype=torch.long, device=z.device)
        out = net(doubled, times, z)
        if guidance is not None:
            watch(step, "raw_steps", out)
            conditional, free = out.chunk(2)
            width = x.shape[-1]
            guided = free[:, :width] + guidance * (conditional[:, :width] - free[:, :width])
            out = torch.cat([guided, conditional[:, width:]], 1)  # the variance stays unguided
        x = diffusion.reverse_step(table, index, x, out, noise(step, last - index + 1, rows), temperature, prediction)
        watch(step, "net_steps", out)
        watch(step, "x_steps", x)
    return x


@torch.no_grad()
def sample(model: Mar, labels: torch.Tensor | None, orders: torch.Tensor, settings: SampleSettings,
           noise: Noise, watch: Watch = _unwatched) -> torch.Tensor:
    """Latents [B,C,H,W] (times latent_scale) for `orders` [B,S], which list the last generated token first."""
    config, batch = model.config, len(orders)
    device = model.fake_latent.device
    tokens = torch.zeros(batch, config.tokens, config.token_width, device=device, dtype=model.fake_latent.dtype)
    mask = torch.ones(batch, config.tokens, dtype=torch.bool, device=device)
    table = None if config.codebook else diffusion.tables(settings.denoise_steps)
    guided = settings.guidance != 1.0
    classes = model.class_vector(labels, batch)
    if guided:
        classes = torch.cat([classes, model.class_vector(None, batch)])
    copies = 2 if guided else 1
    for step in range(settings.steps):
        doubled_mask = mask.repeat(copies, 1)
        encoded = model.encode(tokens.repeat(copies, 1, 1), doubled_mask, classes)
        z = model.decode(encoded, doubled_mask, tokens.repeat(copies, 1, 1))
        mask_len = masked_after(step, settings.steps, config.tokens, int(mask[0].sum()))
        next_mask = torch.zeros_like(mask).scatter_(1, orders[:, :mask_len], True)
        predict = mask if step == settings.steps - 1 else mask ^ next_mask
        guidance = guidance_at(settings.guidance, settings.guidance_schedule, config.tokens, mask_len)
        for what, value in (("tokens_in", tokens.clone()), ("mask", mask), ("enc_out", encoded), ("dec_out", z),
                            ("mask_len", torch.tensor([mask_len])), ("mask_next", next_mask),
                            ("mask_to_pred", predict), ("cfg_iter", torch.tensor([guidance]))):
            watch(step, what, value)
        chosen = z[predict.repeat(copies, 1)]
        if table is None:
            sampled = codes.choose(model, chosen, guidance if guided else None, settings.temperature,
                                   noise(step, 0, len(chosen) // copies), functools.partial(watch, step, "logits"))
        else:
            sampled = denoise(model.diffloss.net, config.prediction, table, chosen, guidance if guided else None,
                              settings.temperature, step, noise, watch)
        watch(step, "sampled", sampled)
        guesses = model.guesses(chosen).chunk(copies)
        guess = guesses[-1] + guidance * (guesses[0] - guesses[-1]) if guided else guesses[0]
        tokens[predict] = guess + sampled
        watch(step, "tokens_out", tokens.clone())
        mask = next_mask
    return unpatchify(tokens, config.patch_size)


def seeded_noise(seed: int, width: int) -> Noise:
    """Fresh Gaussian noise from one seed, for pictures (not the runtime's counter-based generator)."""
    generator = torch.Generator().manual_seed(seed)
    return lambda step, draw, rows: torch.randn(rows, width, generator=generator)


__all__ = ["Mar", "MarConfig", "SampleSettings", "denoise", "guidance_at", "masked_after", "patchify", "sample", "seeded_noise"]
