"""UMD (arXiv 2406.17688): a masked and noised autoencoder, and its weights in the layout of Flax that files have."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import UserError
from .blocks import NORM_EPS, attend


@dataclass(frozen=True)
class UmdConfig:
    """The keys of a file's `config`."""

    img_size: int = 64
    channels: int = 3
    patch_size: int = 8
    width: int = 192
    depth: int = 6
    dec_depth: int = 2
    num_heads: int = 3
    mlp_ratio: float = 4.0
    num_cls: int = 4
    num_classes: int | None = None
    adaln: bool = True
    beta_schedule: str = "cosine"
    timesteps: int = 1000
    clip_denoised: bool = True
    no_noise_prob: float = 0.5  # share of the batch that is clean and much masked
    mask_ratio: float = 0.0  # of noisy pictures
    mask_ratio_no_noise: float = 0.75  # of clean ones
    norm_eps: float = NORM_EPS
    vae_stride: int = 1  # pixels along a cell, of latents

    @property
    def tokens(self) -> int:
        return (self.img_size // self.patch_size) ** 2

    @property
    def token_width(self) -> int:
        return self.channels * self.patch_size**2

    @classmethod
    def from_json(cls, text: str) -> UmdConfig:
        values = json.loads(text)
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def alphas_cumprod(config: UmdConfig) -> torch.Tensor:
    """abar of every time, float64."""
    steps = config.timesteps
    if config.beta_schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64) * (1000 / steps)
    else:
        share = torch.arange(steps + 1, dtype=torch.float64) / steps
        kept = torch.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - kept[1:] / kept[:-1]).clamp(max=0.999)
    return (1 - betas).cumprod(0)


def time_features(t: torch.Tensor, width: int) -> torch.Tensor:
    """[B] -> [B,width]: sines, then cosines."""
    half = width // 2
    step = math.log(10000) / max(half - 1, 1)
    angles = t.float()[:, None] * torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * -step)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Trunk(nn.Sequential):
    """What a time or a class goes through to become a condition."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))


class UmdBlock(nn.Module):
    """Pre-norm block; the condition modulates it, or is a row of its own in it."""

    def __init__(self, config: UmdConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.num_heads
        self.norm1 = nn.LayerNorm(width, eps=config.norm_eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=config.norm_eps)
        self.fc1 = nn.Linear(width, int(width * config.mlp_ratio))
        self.fc2 = nn.Linear(int(width * config.mlp_ratio), width)
        self.modulation = nn.Linear(width, 6 * width) if config.adaln else None

    def _attention(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(attend(q, k, v).transpose(1, 2).flatten(2))

    def _mlp(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        if self.modulation is None:
            x = torch.cat([condition[:, None], x], 1)
            x = x + self._attention(self.norm1(x))
            return (x + self._mlp(self.norm2(x)))[:, 1:]
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, -1)
        x = x + gate1 * self._attention(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self._mlp(self.norm2(x) * (1 + scale2) + shift2)


class Tower(nn.Module):
    def __init__(self, config: UmdConfig, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(UmdBlock(config) for _ in range(depth))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x, condition)
        return self.norm(x)


class Umd(nn.Module):
    def __init__(self, config: UmdConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.embedding = nn.Linear(config.token_width, width)
        self.positions = nn.Parameter(torch.randn(1, config.tokens, width) * config.tokens**-0.5)
        self.decoder_positions = nn.Parameter(torch.randn(1, config.tokens, width) * config.tokens**-0.5)
        self.cls = nn.Parameter(torch.randn(1, config.num_cls, width) * 0.02)
        self.mask = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.time = Trunk(width)
        if config.num_classes is not None:
            self.label_table = nn.Embedding(config.num_classes + 1, width)  # the last: none
            self.label = Trunk(width)
        self.encoder = Tower(config, config.depth)
        self.decoder = Tower(config, config.dec_depth)
        if config.adaln:
            self.final_modulation = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, 2 * config.token_width, bias=False)  # x0, then eps
        self.out_bias = nn.Parameter(torch.zeros(2 * config.channels))
        self._initialise()

    def _initialise(self) -> None:
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
                if name.endswith("modulation"):
                    nn.init.zeros_(layer.weight)
        nn.init.normal_(self.out.weight, std=0.02)
        if self.config.num_classes is not None:
            nn.init.normal_(self.label_table.weight, std=0.02)

    def condition(self, times: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """[B,width]; without labels: of no class."""
        c = self.time(time_features(times, self.config.width))
        if self.config.num_classes is not None:
            if labels is None:
                labels = torch.full_like(times, self.config.num_classes)
            c = c + self.label(self.label_table(labels))
        return F.silu(c) if self.config.adaln else c

    def encode(self, tokens: torch.Tensor, condition: torch.Tensor, visible: torch.Tensor | None = None
               ) -> tuple[torch.Tensor, torch.Tensor]:
        """tokens [B,S,d], visible [B,n] -> representation [B,width], rows of the visible tokens [B,n,width]."""
        x = self.embedding(tokens) + self.positions
        if visible is not None:
            x = x.gather(1, visible[..., None].expand(-1, -1, x.shape[-1]))
        x = self.encoder(torch.cat([self.cls.expand(len(x), -1, -1), x], 1), condition)
        return x[:, :self.config.num_cls].mean(1), x[:, self.config.num_cls:]

    def forward(self, tokens: torch.Tensor, times: torch.Tensor, labels: torch.Tensor | None = None,
                visible: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The clean tokens and the noise, [B,S,d] each."""
        condition = self.condition(times, labels)
        pooled, rows = self.encode(tokens, condition, visible)
        if visible is not None:
            full = self.mask.to(rows.dtype).expand(len(rows), self.config.tokens, -1)
            rows = full.scatter(1, visible[..., None].expand(-1, -1, rows.shape[-1]), rows)
        y = self.decoder(torch.cat([pooled[:, None], rows + self.decoder_positions], 1), condition)[:, 1:]
        if self.config.adaln:
            shift, scale = self.final_modulation(condition)[:, None].chunk(2, -1)
            y = y * (1 + scale) + shift
        clean, noise = (self.out(y) + self.out_bias.repeat_interleave(self.config.patch_size**2)).chunk(2, -1)
        return clean, noise


def visible_tokens(scores: torch.Tensor, ratio: float) -> torch.Tensor:
    """[B,kept]: the int(S (1 - ratio)) tokens of the lowest scores [B,S]."""
    return scores.argsort(dim=1, stable=True)[:, :int(scores.shape[1] * (1 - ratio))]


# ---- the file's layout --------------------------------------------------------------------------


def _flat(name: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """A dense layer [out,in] or its bias, as Flax has it."""
    return {f"{name}/kernel": value.T} if value.ndim == 2 else {f"{name}/bias": value}


def to_flax(state: dict[str, torch.Tensor], config: UmdConfig) -> dict[str, torch.Tensor]:
    """Weights (or their gradients) of `Umd` under the names and in the layout of files."""
    heads, width, patch, channels = config.num_heads, config.width, config.patch_size, config.channels
    head, out = width // heads, {}
    renamed = {"positions": "pos_embedding", "decoder_positions": "dec_pos_embedding", "cls": "cls",
               "mask": "image_mask_embedding", "label_table.weight": "label_emb/embedding/embedding",
               "out_bias": "final_conv/bias"}
    parts = {"norm1": "LayerNorm_0", "norm2": "LayerNorm_1", "fc1": "MlpBlock_0/Dense_0", "fc2": "MlpBlock_0/Dense_1",
             "modulation": "Dense_0"}
    for name, value in state.items():
        *path, leaf = name.split(".")
        if name in renamed:
            out[renamed[name]] = value
        elif path[0] == "embedding":
            if leaf == "bias":
                out["embedding/bias"] = value
            else:  # [width, channel row column] -> (row, column, channel, width)
                out["embedding/kernel"] = value.reshape(width, channels, patch, patch).permute(2, 3, 1, 0)
        elif path[0] == "out":
            # [head channel row column, width] -> (row, column, width, head channel), both axes turned
            kernel = value.reshape(2 * channels, patch, patch, width).permute(1, 2, 3, 0)
            out["final_conv/kernel"] = kernel.flip(0, 1)
        elif path[0] in ("time", "label"):
            out |= _flat(f"{path[0]}_trunk/Dense_{int(path[1]) // 2}", value)
        elif path[0] == "final_modulation":
            out |= _flat("final_modulation", value)
        elif path[1] == "norm":
            out[f"{path[0].title()}/encoder_norm/{'scale' if leaf == 'weight' else 'bias'}"] = value
        else:
            at = f"{path[0].title()}/Encoder1DBlock_{path[2]}"
            part = path[3]
            if part.startswith("norm"):
                out[f"{at}/{parts[part]}/{'scale' if leaf == 'weight' else 'bias'}"] = value
            elif part == "qkv":
                for which, one in zip(("query", "key", "value"), value.chunk(3)):
                    key = f"{at}/MultiHeadDotProductAttention_0/{which}"
                    out[f"{key}/{'kernel' if leaf == 'weight' else 'bias'}"] = (
                        one.T.reshape(width, heads, head) if leaf == "weight" else one.reshape(heads, head))
            elif part == "proj":
                key = f"{at}/MultiHeadDotProductAttention_0/out"
                out[f"{key}/{'kernel' if leaf == 'weight' else 'bias'}"] = (
                    value.T.reshape(heads, head, width) if leaf == "weight" else value)
            else:
                out |= _flat(f"{at}/{parts[part]}", value)
    return {name: value.contiguous() for name, value in out.items()}


def from_flax(tensors: dict[str, torch.Tensor], config: UmdConfig) -> Umd:
    """The model in a weight file; strict about names and shapes."""
    model = Umd(config)
    wanted = to_flax({name: torch.arange(value.numel()).reshape(value.shape)
                      for name, value in model.state_dict().items()}, config)
    if wanted.keys() != tensors.keys():
        raise UserError(f"the tensors do not fit the config: {', '.join(sorted(wanted.keys() ^ tensors.keys())[:6])}")
    state: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        flat = torch.empty(value.numel(), dtype=value.dtype)
        # Where each number of the file's tensors stands in this one.
        for key, places in to_flax({name: torch.arange(value.numel()).reshape(value.shape)}, config).items():
            if tensors[key].shape != places.shape:
                raise UserError(f"tensor '{key}' is {tuple(tensors[key].shape)}, expected {tuple(places.shape)}")
            flat[places.flatten()] = tensors[key].flatten().to(value.dtype)
        state[name] = flat.reshape(value.shape)
    model.load_state_dict(state)
    return model
