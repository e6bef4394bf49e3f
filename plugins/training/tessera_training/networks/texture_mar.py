"""MAR (arXiv 2406.11838) on wavelet tokens with style: the trunk of the texture model says something of every unknown
token from the known ones and the style, and a diffusion head samples each token of a set from that.

As in the texture model there are no absolute positions, so pictures of any size repeat without a seam.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from . import diffusion, style, wavelet
from .blocks import Denoiser
from .mar import Noise, SampleSettings, denoise, guidance_at, masked_after
from .texture import TIMES, Texture, TextureConfig, TextureSettings, Trunk, window_offset

PREDICTION = "v"
_GAINS = (1 / 16, 2.0)


class DiffLoss(nn.Module):
    """Holder of the denoiser under its official name."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.net = Denoiser(wavelet.TOKEN, config.width, config.diffloss_w, config.diffloss_d)


class TextureMar(Trunk):
    """Known tokens and a condition -> what the head samples each token from."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__(config)
        self.diffloss = DiffLoss(config)

    def conditions(self, tokens: torch.Tensor, known: torch.Tensor, who: torch.Tensor,
                   offset: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """[B,H,W,width] of tokens [B,H,W,96], of which only those `known` [B,H,W] are looked at."""
        return self.rows(tokens * known[..., None], known, F.silu(who), offset)

    @torch.no_grad()
    def start_from(self, joint: Texture) -> None:
        """The trunk of a model that denoises all tokens jointly, as it is when there is only noise."""
        values = joint.state_dict()
        values["classes.weight"] = values["classes.weight"] + joint.at(torch.tensor(TIMES[1:]))
        self.load_state_dict({name: values[name] for name in self.state_dict() if name in values}, strict=False)


def sample_settings(settings: TextureSettings) -> SampleSettings:
    """What the sampler of MAR reads of them."""
    return SampleSettings(settings.steps, settings.guidance, "constant", settings.temperature, settings.denoise_steps)


@torch.no_grad()
def sample(model: TextureMar, labels: torch.Tensor, styles: torch.Tensor, orders: torch.Tensor,
           grid: tuple[int, int], settings: SampleSettings, noise: Noise, known: torch.Tensor | None = None,
           given: torch.Tensor | None = None) -> torch.Tensor:
    """Tokens [B,H,W,96] for `orders` [B,S], which list the last generated token first and `known` ones at the end."""
    batch, count = len(labels), grid[0] * grid[1]
    guided = settings.guidance != 1.0
    copies = 2 if guided else 1
    table = diffusion.tables(settings.denoise_steps)
    tokens = torch.zeros(batch, count, wavelet.TOKEN)
    mask = torch.ones(batch, count, dtype=torch.bool)
    if known is not None and given is not None:
        mask = known.flatten(1) == 0
        tokens = given.flatten(1, 2) * ~mask[..., None]
    free = torch.arange(copies).repeat_interleave(batch) > 0
    who = model.who(labels.repeat(copies), styles.repeat(copies, 1), free)
    unknown = int(mask[0].sum())
    for step in range(settings.steps):
        seen = (~mask).float().view(batch, *grid).repeat(copies, 1, 1)
        z = model.conditions(tokens.view(batch, *grid, -1).repeat(copies, 1, 1, 1), seen, who,
                             window_offset(step, model.config.window)).flatten(1, 2)
        left = masked_after(step, settings.steps, unknown, int(mask[0].sum())) if step < settings.steps - 1 else 0
        after = torch.zeros_like(mask).scatter_(1, orders[:, :left], True)
        wanted = mask & ~after
        guidance = guidance_at(settings.guidance, settings.guidance_schedule, count, left)
        tokens[wanted] = denoise(model.diffloss.net, PREDICTION, table, z[wanted.repeat(copies, 1)],
                                 guidance if guided else None, settings.temperature, step, noise)
        mask = after
    return _with_deviations(tokens.view(batch, *grid, -1), known)


def _with_deviations(tokens: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
    """All tokens of a picture deviate by 1 in every group, as styles have it, whatever the head sampled each for
    itself; those `known` [B,H,W] count and stay."""
    unknown = torch.ones_like(tokens[..., :1]) if known is None else (known[..., None] == 0).float()
    made, given = (style.group_means(tokens**2 * part) for part in (unknown, 1 - unknown))
    gain = ((1 - given).clamp(min=0) / made.clamp(min=1e-30)).sqrt().clamp(*_GAINS)
    return tokens * (1 + unknown * (gain[:, style.GROUP][:, None, None] - 1))
