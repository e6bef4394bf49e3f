"""MAR's causal variants (Table 1 of arXiv 2406.11838): one decoder in which a row sees what came before it.

Raster order, or random order with the position to predict told to the network; with the diffusion head, or with
logits over a codebook (`codebook` entries). The runtime reads the same names; `plugins/mar/README.md` describes them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch
from torch import nn

from . import codes, diffusion
from .blocks import NORM_EPS, Block, Denoiser, attend, unpatchify
from ..errors import UserError
from .mar import Noise, SampleSettings, guidance_at


@dataclass(frozen=True)
class CausalConfig:
    """Shape of a model, with the keys of the exported `config` metadata."""

    img_size: int
    vae_stride: int
    patch_size: int
    vae_embed_dim: int
    width: int
    depth: int
    heads: int
    class_num: int
    diffloss_d: int = 0
    diffloss_w: int = 0
    variant: str = "raster"
    prefix: int = 1
    codebook: int = 0  # entries; 0: the diffusion head
    num_sampling_steps: str = "100"
    mlp_ratio: float = 4.0
    norm_eps: float = NORM_EPS
    latent_scale: float = 1.0
    prediction: str = "epsilon"

    def __post_init__(self) -> None:
        if self.variant not in ("raster", "random"):
            raise UserError(f"variant = '{self.variant}': expected 'raster' or 'random'")
        if self.variant == "random" and self.prefix != 1:
            raise UserError(f"prefix = {self.prefix}: expected 1 in random order")
        if self.codebook and self.patch_size != 1:
            raise UserError(f"patch_size = {self.patch_size}: expected 1 with a codebook")

    @property
    def side(self) -> int:
        return self.img_size // self.vae_stride // self.patch_size

    @property
    def tokens(self) -> int:
        return self.side**2

    @property
    def token_width(self) -> int:
        return self.vae_embed_dim * self.patch_size**2

    @classmethod
    def from_json(cls, text: str) -> CausalConfig:
        values = json.loads(text)
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    def to_json(self) -> str:
        values = asdict(self)
        if float(self.mlp_ratio).is_integer():
            values["mlp_ratio"] = int(self.mlp_ratio)
        for name in ("diffloss_d", "diffloss_w") if self.codebook else ("codebook",):
            del values[name]
        if self.prediction == "epsilon":
            del values["prediction"]
        return json.dumps(values, sort_keys=True)


class Holder(nn.Module):
    """The denoiser under its official name."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


class CausalMar(nn.Module):
    def __init__(self, config: CausalConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.codebook: torch.Tensor
        width, tokens = config.width, config.tokens
        self.class_emb = nn.Embedding(config.class_num, width)
        self.fake_latent = nn.Parameter(torch.zeros(1, width))
        self.z_proj = nn.Linear(config.token_width, width)
        self.z_proj_ln = nn.LayerNorm(width, eps=NORM_EPS)
        if config.variant == "random":
            self.source_pos_embed_learned = nn.Parameter(torch.zeros(1, tokens, width))
            self.target_pos_embed_learned = nn.Parameter(torch.zeros(1, tokens, width))
        else:
            self.pos_embed_learned = nn.Parameter(torch.zeros(1, config.prefix + tokens - 1, width))
        self.blocks = nn.ModuleList(Block(width, config.heads, config.mlp_ratio, dropout) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.diffusion_pos_embed_learned = nn.Parameter(torch.zeros(1, tokens, width))
        self._initialise()
        if config.codebook:
            self.codebook_logits = nn.Linear(width, config.codebook)
            nn.init.normal_(self.codebook_logits.weight, std=0.02)
            nn.init.zeros_(self.codebook_logits.bias)
            self.register_buffer("codebook", torch.zeros(config.codebook, config.token_width))
        else:
            self.diffloss = Holder(Denoiser(config.token_width, width, config.diffloss_w, config.diffloss_d))

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("embed_learned") or name in ("fake_latent", "class_emb.weight"):
                nn.init.normal_(parameter, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def class_vector(self, labels: torch.Tensor | None, batch: int, dropped: torch.Tensor | None = None
                     ) -> torch.Tensor:
        """[B,D]: class embedding, or `fake_latent` where there is no label or it was dropped."""
        fake = self.fake_latent.expand(batch, -1)
        if labels is None:
            return fake
        embedded = self.class_emb(labels)
        return embedded if dropped is None else torch.where(dropped[:, None], fake, embedded)

    def rows(self, tokens: torch.Tensor, order: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """tokens [B,S,d] in raster places, order [B,S] first to last, classes [B,D] -> inputs [B,P+S-1,D]."""
        content = self.z_proj(tokens)
        if self.config.variant == "random":
            content = content + self.source_pos_embed_learned
        before = torch.gather(content, 1, order[:, :-1, None].expand(-1, -1, content.shape[-1]))
        rows = torch.cat([classes[:, None].expand(-1, self.config.prefix, -1), before], 1)
        positions = self.target_pos_embed_learned[0][order] if self.config.variant == "random" \
            else self.pos_embed_learned
        return self.z_proj_ln(rows + positions)

    def places(self, order: torch.Tensor) -> torch.Tensor:
        """What is added to the condition of each row, [B,S,D]."""
        return self.diffusion_pos_embed_learned[0][order]

    def forward(self, tokens: torch.Tensor, order: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Conditions [B,S,D] of all tokens in the order in which they come."""
        x = self.rows(tokens, order, classes)
        for block in self.blocks:
            x = block(x, causal=True)
        return self.norm(x)[:, self.config.prefix - 1:] + self.places(order)


class Cache:
    """Keys and values of the rows so far; `step` adds rows and returns what the blocks make of them."""

    def __init__(self, model: CausalMar, batch: int) -> None:
        config = model.config
        shape = (batch, config.heads, config.prefix + config.tokens - 1, config.width // config.heads)
        like = model.fake_latent
        self.model, self.length = model, 0
        self.keys = [like.new_empty(shape) for _ in model.blocks]
        self.values = [like.new_empty(shape) for _ in model.blocks]

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """The next rows [B,n,D], one, or several at the beginning."""
        batch, count, width = x.shape
        end = self.length + count
        for block, keys, values in zip(self.model.blocks, self.keys, self.values):
            assert isinstance(block, Block)
            attn = block.attn
            q, k, v = attn.qkv(block.norm1(x)).reshape(batch, count, 3, attn.heads, -1).permute(2, 0, 3, 1, 4)
            keys[:, :, self.length:end], values[:, :, self.length:end] = k, v
            out = attend(q, keys[:, :, :end], values[:, :, :end], causal=count > 1)
            x = x + attn.proj(out.transpose(1, 2).reshape(batch, count, width))
            x = x + block.mlp(block.norm2(x))
        self.length = end
        return self.model.norm(x[:, -1])


def inputs(model: CausalMar, classes: torch.Tensor, order: torch.Tensor, tokens: torch.Tensor, i: int
            ) -> torch.Tensor:
    """Rows that come with token i: [B,n,D]; i = 0 brings all that hold the class."""
    config = model.config
    picked = torch.arange(len(order))
    if i == 0:
        rows = classes[:, None].expand(-1, config.prefix, -1)
        positions = model.target_pos_embed_learned[0][order[:, :1]] if config.variant == "random" \
            else model.pos_embed_learned[:, :config.prefix]
        return model.z_proj_ln(rows + positions)
    place = order[:, i - 1]
    content = model.z_proj(tokens[picked, place])
    if config.variant == "random":
        content = content + model.source_pos_embed_learned[0][place] + model.target_pos_embed_learned[0][order[:, i]]
    else:
        content = content + model.pos_embed_learned[0, config.prefix - 1 + i]
    return model.z_proj_ln(content)[:, None]


def orders_of(config: CausalConfig, batch: int, generator: torch.Generator) -> torch.Tensor:
    """[B,S] first to last: raster, or a permutation for each image."""
    if config.variant == "raster":
        return torch.arange(config.tokens).expand(batch, -1)
    return torch.rand(batch, config.tokens, generator=generator).argsort(1)


@torch.no_grad()
def sample(model: CausalMar, labels: torch.Tensor | None, order: torch.Tensor, settings: SampleSettings, noise: Noise,
           cached: bool = True, logits: list[torch.Tensor] | None = None) -> torch.Tensor:
    """Latents [B,C,H,W] (times latent_scale). `logits` receives the guided ones of every token, with a codebook."""
    config, batch = model.config, len(order)
    guided = settings.guidance != 1.0
    classes = model.class_vector(labels, batch)
    if guided:
        classes = torch.cat([classes, model.class_vector(None, batch)])
    copies = 2 if guided else 1
    wide = order.repeat(copies, 1)
    tokens = model.fake_latent.new_zeros(batch, config.tokens, config.token_width)
    cache = Cache(model, copies * batch)
    table = None if config.codebook else diffusion.tables(settings.denoise_steps)
    for i in range(config.tokens):
        doubled = tokens.repeat(copies, 1, 1)
        if cached:
            h = cache.step(inputs(model, classes, wide, doubled, i))
            z = h + model.places(wide[:, i])
        else:
            z = model(doubled, wide, classes)[:, i]
        mask_len = max(1, config.tokens - 1 - i)
        guidance = guidance_at(settings.guidance, settings.guidance_schedule, config.tokens, mask_len)
        if table is None:
            made = codes.choose(model, z, guidance if guided else None, settings.temperature, noise(i, 0, batch),
                                (lambda _: None) if logits is None else logits.append)
        else:
            made = _denoise(model, table, z, guidance if guided else None, settings.temperature, i, noise)
        tokens[torch.arange(batch), order[:, i]] = made
    return unpatchify(tokens, config.patch_size)


def _denoise(model: CausalMar, table: diffusion.Tables, z: torch.Tensor, guidance: float | None, temperature: float,
             i: int, noise: Noise) -> torch.Tensor:
    rows = len(z) // (1 if guidance is None else 2)
    last = len(table.timestep_map) - 1
    x = noise(i, 0, rows)
    for index in range(last, -1, -1):
        doubled = x if guidance is None else torch.cat([x, x])
        times = torch.full((len(z),), table.timestep_map[index], dtype=torch.long, device=z.device)
        net = model.diffloss.net(doubled, times, z)
        if guidance is not None:
            conditional, free = net.chunk(2)
            width = x.shape[-1]
            guided = free[:, :width] + guidance * (conditional[:, :width] - free[:, :width])
            net = torch.cat([guided, conditional[:, width:]], 1)  # the variance stays unguided
        x = diffusion.reverse_step(table, index, x, net, noise(i, last - index + 1, rows), temperature,
                                   model.config.prediction)
    return x
