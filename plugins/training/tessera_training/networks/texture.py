"""The texture model: all unknown wavelet tokens of a picture denoised jointly by a local trunk on the torus.

No absolute positions, so any size; known tokens go in clean, with a flag. Noise levels differ by band: the coarse
ones are decided first, so that a picture appears coarse to fine.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from . import style, wavelet
from .blocks import attend

LAYOUTS = ("channels_last", "contiguous")
layout = LAYOUTS[0]  # of convolutions in memory; which is faster depends on the device
TIMES = (0.004, 0.996)  # of sampling; 0 is clean, 1 is noise


@dataclass(frozen=True)
class TextureConfig:
    classes: int = 1
    width: int = 160
    condition: int = 256
    kernel: int = 7
    mlp_ratio: int = 2
    head_width: int = 32
    window: int = 16  # tokens on a side that attend to each other
    layers: tuple[str, ...] = ("mix", "mix", "mix", "attention", "mix", "mix", "mix", "attention", "mix", "mix")
    noise_shifts: tuple[float, ...] = (3.0, 2.2, 1.5, 1.0)  # by level, coarsest first
    time_power: float = 2.5  # of sampling, see `run_times`
    diffloss_w: int = 0  # width and depth of a diffusion head for each token (`texture_mar`); 0: all are made jointly
    diffloss_d: int = 3

    def to_json(self) -> str:
        values: dict[str, Any] = dataclasses.asdict(self)
        if self.diffloss_w:
            values["variant"] = "torus"
        for name in ("noise_shifts", "time_power") if self.diffloss_w else ("diffloss_w", "diffloss_d"):
            del values[name]
        return json.dumps({**values, "token": wavelet.TOKEN, "style": style.SIZE, "style_exact": style.EXACT},
                          sort_keys=True)

    @staticmethod
    def from_json(text: str) -> TextureConfig:
        given = {"time_power": 0.0, **json.loads(text)}  # of files that do not say it
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
                  if name in TextureConfig.__dataclass_fields__}
        return TextureConfig(**values)


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))


def _wrap(x: torch.Tensor, margin: int) -> torch.Tensor:
    """[B,H,W,D] -> [B,D,H+2m,W+2m] on the torus; grids smaller than the margin repeat."""
    rows, columns = (torch.arange(-margin, side + margin, device=x.device) % side for side in x.shape[1:3])
    if min(x.shape[1:3]) < margin:
        return x[:, rows][:, :, columns].permute(0, 3, 1, 2)
    kind = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    return F.pad(x.permute(0, 3, 1, 2), (margin,) * 4, mode="circular").contiguous(memory_format=kind)


class _Modulated(nn.Module):
    """A residual layer steered by the condition: x + gate f(norm(g(x)) (1 + scale) + shift)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(condition, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        with torch.no_grad():
            self.modulation.bias[2 * width:] = .5


class Mix(_Modulated):
    """Depthwise convolution on the torus, then an MLP per token."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__(config.width, config.condition)
        width, kernel, inner = config.width, config.kernel, config.width * config.mlp_ratio
        self.depthwise = nn.Conv2d(width, width, kernel, groups=width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        nn.init.normal_(self.depthwise.weight, std=.5 / kernel)
        nn.init.normal_(self.fc2.weight, std=.5 * inner**-.5)
        with torch.no_grad():
            self.depthwise.bias.zero_()  # type: ignore[union-attr]
            self.depthwise.weight[:, 0, kernel // 2, kernel // 2] += .5

    def forward(self, x: torch.Tensor, condition: torch.Tensor, offset: tuple[int, int]) -> torch.Tensor:
        shift, scale, gate = self.modulation(condition)[:, None, None].chunk(3, -1)
        h = self.depthwise(_wrap(x, self.depthwise.kernel_size[0] // 2)).permute(0, 2, 3, 1)
        h = torch.addcmul(shift, self.norm(h), 1 + scale)
        return torch.addcmul(x, gate, self.fc2(F.gelu(self.fc1(h), approximate="tanh")))


@dataclass(frozen=True)
class Windows:
    """How one axis is cut: `rows` [n,w] are the tokens of each window, `owner` and `place` [side] where a token's result is."""

    rows: torch.Tensor
    owner: torch.Tensor
    place: torch.Tensor


def windows(side: int, window: int, offset: int, device: torch.device) -> Windows:
    """The torus of `side` tokens in blocks as equal as possible, each seen by a window of `window` tokens around it."""
    if side <= window:
        whole = torch.arange(side, device=device)
        return Windows(whole[None], torch.zeros_like(whole), whole)
    count = -(-side // window)
    bounds = [index * side // count for index in range(count + 1)]
    starts = [low - (window - (high - low)) // 2 for low, high in zip(bounds, bounds[1:])]
    rows = torch.tensor([[(start + offset + k) % side for k in range(window)] for start in starts], device=device)
    owner, place = torch.zeros(side, dtype=torch.long), torch.zeros(side, dtype=torch.long)
    for index, (low, high) in enumerate(zip(bounds, bounds[1:])):
        for token in range(low, high):
            owner[(token + offset) % side], place[(token + offset) % side] = index, token - starts[index]
    return Windows(rows, owner.to(device), place.to(device))


class Attention(_Modulated):
    """Attention among the tokens of a window, by direction of queries and keys; positions are waves of the torus."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__(config.width, config.condition)
        self.head, self.window = config.head_width, config.window
        self.qkv, self.proj = nn.Linear(config.width, 3 * config.width), nn.Linear(config.width, config.width)
        nn.init.normal_(self.proj.weight, std=.5 * config.width**-.5)

    def forward(self, x: torch.Tensor, condition: torch.Tensor, offset: tuple[int, int]) -> torch.Tensor:
        batch, height, width, channels = x.shape
        shift, scale, gate = self.modulation(condition)[:, None, None].chunk(3, -1)
        qkv = self.qkv(torch.addcmul(shift, self.norm(x), 1 + scale))
        if max(height, width) <= self.window:
            out = self._attend(qkv)
        else:
            y, z = (windows(side, self.window, move, x.device) for side, move in zip((height, width), offset))
            parts = qkv[:, y.rows.flatten()][:, :, z.rows.flatten()]
            (ny, h), (nx, w) = y.rows.shape, z.rows.shape
            parts = parts.view(batch, ny, h, nx, w, -1).transpose(2, 3).reshape(batch * ny * nx, h, w, -1)
            out = self._attend(parts).view(batch, ny, nx, h, w, channels)
            out = out[:, y.owner[:, None], z.owner[None], y.place[:, None], z.place[None]]
        return torch.addcmul(x, gate, self.proj(out))

    def _attend(self, qkv: torch.Tensor) -> torch.Tensor:
        batch, height, width = qkv.shape[:3]
        q, k, v = qkv.view(batch, height * width, 3, -1, self.head).permute(2, 0, 3, 1, 4)
        cos, sin = _waves(height, width, self.head, self.window, qkv)
        gain = 2 * self.head**.25  # of queries and keys: the weights are softmax of 4 cos(q, k)
        q, k = (_turned(F.normalize(part, dim=-1) * gain, cos, sin) for part in (q, k))
        return attend(q, k, v).transpose(1, 2).reshape(batch, height, width, -1)


def _waves(height: int, width: int, head: int, window: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine [H W, head/2] of the angles by which pairs of numbers turn: the first half with y, then x."""
    k = torch.arange(1, head // 4 + 1, device=like.device) * 2 * math.pi
    angles = [torch.arange(side, device=like.device)[:, None] * k / min(window, side) for side in (height, width)]
    both = torch.cat([angles[0][:, None].expand(-1, width, -1), angles[1][None].expand(height, -1, -1)], -1)
    both = both.flatten(0, 1)
    return both.cos().to(like.dtype), both.sin().to(like.dtype)


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Trunk(nn.Module):
    """What all models of textures share: tokens, known flags and a condition to a row for every token."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.config = config
        width, condition = config.width, config.condition
        self.input = nn.Conv2d(wavelet.TOKEN + 1, width, 3)
        self.classes = nn.Embedding(config.classes + 1, condition)  # the last: none
        self.style = _mlp(style.SIZE, condition)
        self.no_style = nn.Parameter(torch.zeros(condition))
        kinds = {"mix": Mix, "attention": Attention}
        self.layers = nn.ModuleList(kinds[kind](config) for kind in config.layers)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.final = nn.Linear(condition, 2 * width)
        nn.init.normal_(self.input.weight, std=(9 * wavelet.TOKEN) ** -.5 * 1.5)
        nn.init.normal_(self.classes.weight, std=.3)
        self.input.bias.data.zero_()  # type: ignore[union-attr]
        nn.init.zeros_(self.final.weight)
        nn.init.zeros_(self.final.bias)

    def who(self, labels: torch.Tensor, styles: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
        """[B,condition] from classes [B], standardised styles [B,99] and who knows neither [B]."""
        given = self.classes(labels) + self.style(styles)
        return torch.where(free[:, None], self.classes.weight[-1] + self.no_style, given)

    def rows(self, x: torch.Tensor, known: torch.Tensor, condition: torch.Tensor, offset: tuple[int, int] = (0, 0)
             ) -> torch.Tensor:
        """[B,H,W,width] of tokens x, clean where `known` [B,H,W] is 1; `offset` moves the windows of large grids."""
        h = self.input(_wrap(torch.cat([x, known[..., None]], -1), 1)).permute(0, 2, 3, 1)
        attentions = 0
        for layer in self.layers:
            half = self.config.window // 2 * attentions
            h = layer(h, condition, (offset[0] + half, offset[1] + half))
            attentions += isinstance(layer, Attention)
        shift, scale = self.final(condition)[:, None, None].chunk(2, -1)
        out: torch.Tensor = torch.addcmul(shift, self.norm(h), 1 + scale)
        return out


class Texture(Trunk):
    """Noisy tokens, known flags and a condition -> v."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__(config)
        self.time = _mlp(64, config.condition)
        self.output = nn.Linear(config.width, wavelet.TOKEN)
        self.gain = nn.Linear(config.condition, wavelet.TOKEN)
        for layer in (self.output, self.gain):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def condition(self, labels: torch.Tensor, styles: torch.Tensor, free: torch.Tensor, t: torch.Tensor
                  ) -> torch.Tensor:
        """As `who`, at times [B]."""
        return F.silu(self.who(labels, styles, free) + self.at(t))

    def at(self, t: torch.Tensor) -> torch.Tensor:
        """[B,condition] of times [B]."""
        waves = torch.exp(torch.linspace(0, math.log(200), 32, device=t.device)) * math.pi * t[:, None]
        out: torch.Tensor = self.time(torch.cat([waves.cos(), waves.sin()], 1))
        return out

    def forward(self, x: torch.Tensor, known: torch.Tensor, condition: torch.Tensor,
                offset: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """v [B,H,W,96] of tokens x; see `rows`."""
        out: torch.Tensor = self.output(self.rows(x, known, condition, offset))
        return torch.addcmul(out, self.gain(condition)[:, None, None], x)


def alpha_sigma(t: torch.Tensor, shifts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Times [...] -> how much of token and noise [...,96]; `shifts` [96] of each number."""
    log_snr = -2 * torch.log(torch.tan(t.clamp(1e-4, 1 - 1e-4) * math.pi / 2))[..., None] + 2 * shifts.log()
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def number_shifts(config: TextureConfig) -> torch.Tensor:
    return torch.tensor(config.noise_shifts)[wavelet.LEVEL]


def run_times(config: TextureConfig, steps: int) -> torch.Tensor:
    """[steps + 1] From noise to clean by (k / steps)^time_power: above 1, dense at noise, where the layout is decided.

    A power of 0: uniform from 1 to 0, with both ends cut off.
    """
    clean, noise = TIMES
    shares = torch.linspace(0, 1, steps + 1)
    if config.time_power == 0:
        return (1 - shares).clamp(clean, noise)
    return noise - (noise - clean) * shares**config.time_power


def window_offset(step: int, window: int) -> tuple[int, int]:
    """Where the windows of larger grids start in a step of sampling: every place once in `window` steps."""
    return 5 * step % window, 11 * step % window


@dataclass(frozen=True)
class TextureSettings:
    steps: int = 16
    guidance: float = 2.0
    temperature: float = 1.0
    jitter: float = 0.35
    guidance_low: float = 0.0  # guided only at times from here
    guidance_high: float = 1.0  # to here
    width: int = 256  # of a picture, in pixels; more than the bank's pictures have shows more of the material
    height: int = 256
    eta: float = 0.0  # noise in the steps: from 0, none, to 1, as much as the model's own process has
    canvas_steps: int | None = None  # of windows of an endless canvas; None: as for pictures
    canvas_eta: float | None = None
    denoise_steps: str = "ddim25"  # of the head of MAR


Watch = Callable[[int, float, torch.Tensor, torch.Tensor], None]


@torch.no_grad()
def sample(model: Texture, limit: torch.Tensor, labels: torch.Tensor, styles: torch.Tensor, noise: torch.Tensor,
           settings: TextureSettings, known: torch.Tensor | None = None, given: torch.Tensor | None = None,
           watch: Watch | None = None, generator: torch.Generator | None = None) -> torch.Tensor:
    """Tokens [B,H,W,96] by DPM-Solver++(2M) from `noise`; those `known` [B,H,W] keep their `given` values.

    With an `eta` above 0 it is the solver's form for the stochastic process (arXiv 2211.01095, appendix), whose noise
    comes from `generator`. `limit` [96] bounds predicted tokens. `watch(step, t, v, clean)` sees every evaluation.
    """
    flags = torch.zeros(noise.shape[:3], device=noise.device) if known is None else known.float()
    sure = flags[..., None] > 0
    shifts = number_shifts(model.config).to(noise.device)
    times = run_times(model.config, settings.steps).to(noise.device)
    x = clean = noise * settings.temperature
    previous, last_h = None, torch.ones(())
    for step in range(settings.steps):
        if given is not None:
            x = torch.where(sure, given, x)
        t, (alpha, sigma) = times[step], alpha_sigma(times[step], shifts)
        v = _guided(model, x, flags, labels, styles, t, settings, window_offset(step, model.config.window))
        clean = _tamed(alpha * x - sigma * v, limit, known is None)
        if watch:
            watch(step, float(t), v, clean)
        if step == settings.steps - 1:
            break
        alpha_next, sigma_next = alpha_sigma(times[step + 1], shifts)
        h = (alpha_next / sigma_next).log() - (alpha / sigma).log()
        direction = clean
        if previous is not None and bool(last_h.any()):
            direction = clean + (clean - previous) * h / (2 * last_h)
        eta = settings.eta
        x = sigma_next / sigma * torch.exp(-eta * h) * x - alpha_next * torch.expm1(-(1 + eta) * h) * direction
        if eta:
            fresh = torch.randn(x.shape, generator=generator).to(x.device)
            x = x + settings.temperature * sigma_next * torch.sqrt(-torch.expm1(-2 * eta * h)) * fresh
        previous, last_h = clean, h
    return clean if given is None else torch.where(sure, given, clean)


def _guided(model: Texture, x: torch.Tensor, flags: torch.Tensor, labels: torch.Tensor, styles: torch.Tensor,
            t: torch.Tensor, settings: TextureSettings, offset: tuple[int, int]) -> torch.Tensor:
    """v, away from what the model says without class and style where guidance is on."""
    on = settings.guidance != 1 and settings.guidance_low <= float(t) <= settings.guidance_high
    rows = 2 if on else 1
    free = torch.arange(rows, device=x.device).repeat_interleave(len(x)) > 0
    condition = model.condition(labels.repeat(rows), styles.repeat(rows, 1), free, t.expand(len(free)))
    v = model(x.repeat(rows, 1, 1, 1), flags.repeat(rows, 1, 1), condition, offset)
    if not on:
        return v
    given, bare = v.chunk(2)
    return bare + settings.guidance * (given - bare)


def _tamed(clean: torch.Tensor, limit: torch.Tensor, whole: bool) -> torch.Tensor:
    """Keep strong guidance in range: no group of a whole picture deviates by more than 1, no number passes its limit."""
    if whole:
        excess = style.group_means(clean**2).clamp(min=1).rsqrt()
        clean = clean * excess[:, style.GROUP.to(clean.device)][:, None, None]
    return clean.clamp(-limit, limit)
