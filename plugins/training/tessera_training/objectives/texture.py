"""The texture objective: v of all unknown tokens at once, known ones clean (see `texture`).

Pictures are cut, turned and rolled, and become tokens, on the device. Sizes grow with the progress of the
training; the smaller ones are means of the packed pictures. Half of the pictures have a known set of some shape.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from ..config import TextureLossConfig
from ..errors import UserError
from ..networks import style, wavelet
from ..networks.style import Bank
from ..networks.texture import Texture, Trunk, alpha_sigma, number_shifts
from ..pictures.pixels import from_bytes

if TYPE_CHECKING:
    from ..pictures.data import ImagePack

Draws = dict[str, torch.Tensor]


def balanced(ids: torch.Tensor, labels: torch.Tensor, power: float) -> torch.Tensor:
    """`ids` with repeats, so that pictures of small classes come more often: about count^-power."""
    counts = labels[ids].bincount().float()
    weights = counts[labels[ids]] ** -power
    return ids.repeat_interleave((4 * weights / weights.min()).round().long())


def known_sets(batch: int, side: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """[B,side,side] of 1 for known: nothing, or random tokens, a half plane, a frame, all but a box; anywhere."""
    device = generator.device
    kind = torch.randint(4, (batch, 1, 1), generator=generator, device=device)
    amount = torch.rand(batch, 1, 1, generator=generator, device=device)
    moves = torch.randint(side, (batch, 2), generator=generator, device=device)
    turned = torch.rand(batch, 1, 1, generator=generator, device=device) < .5
    some = torch.rand(batch, 1, 1, generator=generator, device=device) < share
    places = torch.arange(side, device=device)
    y = ((places[None] + moves[:, :1]) % side)[:, :, None].expand(-1, -1, side)
    x = ((places[None] + moves[:, 1:]) % side)[:, None].expand(-1, side, -1)
    y, x = torch.where(turned, x, y), torch.where(turned, y, x)
    single = torch.rand(batch, side, side, generator=generator, device=device) < .95 * amount
    half = x < (.9 * side * amount).clamp(min=1)
    margin, box = 1 + (3 * amount).floor(), 2 + ((side - 3) * amount).floor()
    frame = (torch.minimum(y, x) < margin) | (torch.maximum(y, x) >= side - margin)
    around = torch.maximum(y, x) >= box
    shapes = torch.stack([single, half, frame, around], 1)
    chosen = shapes.gather(1, kind[..., None].expand(-1, 1, side, side)).squeeze(1)
    return (chosen & some).float()


class TextureObjective(nn.Module):
    """Holds the trunk and the pictures; the bank gives the scale of styles."""

    def __init__(self, model: Trunk, images: ImagePack, bank: Bank, config: TextureLossConfig) -> None:
        super().__init__()
        if len(config.sizes) != len(config.shares) or not config.sizes:
            raise UserError("texture_loss: sizes and shares need one entry per size")
        for size in config.sizes:
            if size < wavelet.CELL or size % wavelet.CELL or images.images.shape[1] % size:
                raise UserError(f"texture_loss.sizes: {size} is no multiple of {wavelet.CELL} that divides the packed "
                                f"{images.images.shape[1]} pixels")
        self.model, self.config, self.images = model, config, images.images
        self.labels: torch.Tensor
        self.turnable: torch.Tensor
        self.weight: torch.Tensor
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.shifts: torch.Tensor
        weight = torch.tensor(config.level_weights)[wavelet.LEVEL] * torch.where(wavelet.CHANNEL > 0, .5, 1.)
        for name, value in (("labels", images.labels), ("turnable", images.turnable), ("weight", weight / weight.mean()),
                            ("mean", bank.mean), ("deviation", bank.deviation), ("shifts", number_shifts(model.config))):
            self.register_buffer(name, value, persistent=False)
        self.size, self.offset = config.sizes[0], (0, 0)

    def _apply(self, *arguments: Any, **named: Any) -> TextureObjective:
        """Pictures move to a GPU with the module and stay there; on the CPU they stay on disk, mapped."""
        super()._apply(*arguments, **named)
        if self.weight.device.type != "cpu":
            self.images = self.images.to(self.weight.device)
        return self

    def begin(self, seed: int, step: int, progress: float) -> None:
        """The size of the pictures of this step, and where windows of attention start."""
        source = random.Random(seed * 1_000_003 + step)
        part, passed = 0, 0.0
        for index, share in enumerate(self.config.shares):
            if progress >= passed:
                part = index
            passed += share
        if part and source.random() < self.config.smaller:
            part -= 1
        self.size = self.config.sizes[part]
        self.offset = (source.randrange(self.model.config.window), source.randrange(self.model.config.window))

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> Draws:
        """Every random decision; the batch shrinks as the pictures grow, so that a step costs the same."""
        device, side = generator.device, self.size // wavelet.CELL
        ids = ids[:max(1, len(ids) * self.config.sizes[0] ** 2 // self.size**2)]
        batch = len(ids)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(batch, *shape, generator=generator, device=device)
        known = known_sets(batch, side, self.config.known_share, generator)
        return {
            "known": known, "unknown": (1 - known).mean(), "ids": ids.to(device), "flips": torch.rand(batch, 3, generator=generator, device=device) < .5,
            "rolls": torch.randint(self.images.shape[1], (batch, 2), generator=generator, device=device),
            "style_noise": normal(style.SIZE), "t": torch.sigmoid(normal() * self.config.t_std + self.config.t_mean),
            "noise": normal(side, side, wavelet.TOKEN),
            "drop": torch.rand(batch, 2, generator=generator, device=device) < torch.tensor(
                [self.config.free_share, self.config.classless_share], device=device)}

    def pictures(self, draws: Draws) -> torch.Tensor:
        """[B,3,size,size] in [-1,1]: rolled, flipped, and turned where gravity allows."""
        ids, size = draws["ids"], self.images.shape[1]
        turn = self.turnable[ids] & draws["flips"][:, 2]
        places = torch.arange(size, device=ids.device)
        rows, columns = ((places + draws["rolls"][:, axis:axis + 1]) % size for axis in (0, 1))
        rows = torch.where((self.turnable[ids] & draws["flips"][:, 1])[:, None], rows.flip(1), rows)
        columns = torch.where(draws["flips"][:, :1], columns.flip(1), columns)
        where = self.images.device
        x = self.images[ids.to(where)[:, None, None], rows.to(where)[:, :, None], columns.to(where)[:, None]]
        x = from_bytes(x.to(ids.device))
        x = torch.where(turn[:, None, None, None], x.transpose(2, 3), x)
        return F.avg_pool2d(x, size // self.size) if size > self.size else x

    def normalised(self, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [B,H,W,96] without style, and styles [B,99], standardised and not quite exact."""
        tokens, raw = style.of(self.pictures(draws))
        styles = ((raw - self.mean) / self.deviation).clamp(-style.LIMIT, style.LIMIT)
        return tokens, styles + self.config.style_noise * draws["style_noise"]

    def forward(self, draws: Draws) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Weighted squared error of v over unknown tokens; the mean error of each level of luma, and of chroma."""
        with torch.no_grad(), torch.autocast(draws["ids"].device.type, enabled=False):
            tokens, styles = self.normalised(draws)
            alpha, sigma = (part[:, None, None] for part in alpha_sigma(draws["t"], self.shifts))
            known = draws["known"][..., None]
            x = torch.where(known > 0, tokens, alpha * tokens + sigma * draws["noise"])
            target = alpha * draws["noise"] - sigma * tokens
        assert isinstance(self.model, Texture)
        labels = torch.where(draws["drop"][:, 1], self.model.config.classes, self.labels[draws["ids"]])
        condition = self.model.condition(labels, styles, draws["drop"][:, 0], draws["t"])
        v = self.model(x, draws["known"], condition, self.offset).float()
        errors = ((v - target) ** 2 * (1 - known)).mean((0, 1, 2)) / draws["unknown"]
        shown = errors.detach()
        luma = wavelet.CHANNEL == 0
        parts = {f"level_{level}": shown[luma & (wavelet.LEVEL == level)].mean() for level in range(wavelet.LEVELS + 1)}
        return (errors * self.weight).mean(), {**parts, "chroma": shown[~luma].mean()}
