"""Style: what is taken out of a picture's tokens and put back after sampling, and what else conditions.

Taken out are mean colour, the part of chroma that follows luma, and the deviation of each group of bands, so
that tokens have mean 0 and deviation 1 for every picture. Further numbers (spectrum, kurtosis, skew of luma)
only describe. Per class the styles of the training pictures are kept in a bank, standardised; a new style is one
of them plus noise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from . import wavelet

EXACT = 22  # the first numbers of a style: 3 means, 3 regressions, 16 logarithms of deviations
SIZE = 99
LIMIT = 5.0  # of standardised numbers
_DESCRIBING_STRAYS = 0.4  # of what the exact numbers do
_GROUP_OF_BAND = [list(range(10)), [10, 11, 11, 11, 12, 12, 12], [13, 14, 14, 14, 15, 15, 15]]
GROUP = torch.tensor([_GROUP_OF_BAND[channel][band] for channel, band in
                      zip(wavelet.CHANNEL.tolist(), wavelet.BAND.tolist())])  # of each number of a token
GROUPS = 16
_COUNT = torch.bincount(GROUP, minlength=GROUPS).float()
_FLOOR = torch.tensor([.10, .05, .05, .05, .03, .03, .03, .015, .015, .015, .03, .015, .01, .03, .015, .01])
_LUMA_FLOOR, _CO_FLOOR = 0.02, 0.004  # keep regressions of flat channels small
_LOW = (0, 64, 80)  # the low-pass numbers of Y, Co, Cg
_EDGES = (0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 23, 32, 64)  # of the spectrum's marginals, in waves per 128 pixels
_EDGES_2D = (0, 2, 4, 8, 16, 32, 64)


@functools.lru_cache(maxsize=32)
def _on(name: str, device: torch.device) -> torch.Tensor:
    return {"group": GROUP, "count": _COUNT, "floor": _FLOOR, "luma": torch.tensor([.25, .5, .25])}[name].to(device)


def group_means(values: torch.Tensor) -> torch.Tensor:
    """[B,H,W,96] -> [B,16]: the mean of each group of numbers over all tokens."""
    out = torch.zeros(len(values), GROUPS, device=values.device, dtype=values.dtype)
    return out.index_add_(1, _on("group", values.device), values.mean((1, 2))) / _on("count", values.device)


def take_out(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[B,H,W,96] -> tokens of mean 0 and deviation 1, and the exact part of the style [B,22]."""
    mean = tokens[..., _LOW].mean((1, 2))
    centred = tokens.clone()
    centred[..., _LOW] -= mean[:, None, None]
    y, co, cg = centred[..., :16], centred[..., 64:80], centred[..., 80:]

    def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).mean((1, 2)).sum(-1)[:, None, None, None]
    luma = dot(y, y) + _LUMA_FLOOR
    co_y = dot(co, y) / luma
    cg_y = dot(cg, y) / luma
    co = co - co_y * y
    cg_co = dot(cg, co) / (dot(co, co) + _CO_FLOOR)
    cg = cg - cg_y * y - cg_co * co
    rest = torch.cat([centred[..., :64], co, cg], -1)
    deviation = (group_means(rest**2) + _on("floor", tokens.device) ** 2).sqrt()
    weights = torch.stack([co_y, cg_y, cg_co], 1).flatten(1)
    return (rest / deviation[:, _on("group", tokens.device)][:, None, None],
            torch.cat([mean, weights, deviation.log()], 1))


def put_back(tokens: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """The inverse of `take_out`."""
    co_y, cg_y, cg_co = (exact[:, index, None, None, None] for index in (3, 4, 5))
    out = tokens * exact[:, 6:EXACT].exp()[:, _on("group", tokens.device)][:, None, None]
    y, co, cg = out[..., :16], out[..., 64:80], out[..., 80:]
    out = torch.cat([out[..., :64], co + co_y * y, cg + cg_y * y + cg_co * co], -1)
    out[..., _LOW] += exact[:, None, None, :3]
    return out


def _bins(frequencies: torch.Tensor, edges: tuple[int, ...]) -> torch.Tensor:
    inner = torch.tensor(edges[1:-1], device=frequencies.device)
    return torch.bucketize(frequencies, inner, right=True)


def describe(rgb: torch.Tensor, normalised: torch.Tensor) -> torch.Tensor:
    """The describing part of the style [B,77] of pictures [B,3,H,W] and their normalised tokens."""
    device, (height, width) = rgb.device, rgb.shape[2:]
    y = (rgb * _on("luma", device).view(3, 1, 1)).sum(1)
    y = y - y.mean((1, 2), keepdim=True)
    power = torch.fft.rfft2(y).abs() ** 2
    power = power / (power.sum((1, 2), keepdim=True) + 1e-3)
    ky, kx = torch.arange(height, device=device), torch.arange(width // 2 + 1, device=device)
    ky = (torch.minimum(ky, height - ky) * 128 // height).clamp(max=63)
    kx = (kx * 128 // width).clamp(max=63)

    def sums(values: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
        return torch.zeros(len(rgb), count, device=device).index_add_(1, index, values)
    fine, coarse = len(_EDGES) - 1, len(_EDGES_2D) - 1
    plane = (_bins(ky, _EDGES_2D)[:, None] * coarse + _bins(kx, _EDGES_2D)).flatten()
    spectrum = torch.cat([sums(power.sum(1), _bins(kx, _EDGES), fine), sums(power.sum(2), _bins(ky, _EDGES), fine),
                          sums(power.flatten(1), plane, coarse**2)], 1)
    kurtosis = group_means(normalised**4).clamp(max=1e4)
    skew = ((y / (y.std((1, 2), keepdim=True) + .01)) ** 3).mean((1, 2)).clamp(-4, 4)
    return torch.cat([(spectrum + 1e-4).log(), (kurtosis + .1).log(), skew[:, None]], 1)


def of(rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised tokens and the raw style [B,99] of pictures [B,3,H,W] in [-1,1]."""
    tokens, exact = take_out(wavelet.tokens_of(rgb))
    return tokens, torch.cat([exact, describe(rgb, tokens)], 1)


@dataclass
class Bank:
    """Standardised styles of the training pictures, sorted by class, and the scale they are standardised with."""

    styles: torch.Tensor  # [N,99]
    counts: list[int]  # pictures of each class
    mean: torch.Tensor  # [99]
    deviation: torch.Tensor  # [99]

    def standardised(self, raw: torch.Tensor) -> torch.Tensor:
        return ((raw - self.mean) / self.deviation).clamp(-LIMIT, LIMIT)

    def exact(self, styles: torch.Tensor) -> torch.Tensor:
        """The raw numbers that `put_back` takes."""
        return styles[:, :EXACT] * self.deviation[:EXACT] + self.mean[:EXACT]

    def draw(self, labels: torch.Tensor, jitter: float, generator: torch.Generator) -> torch.Tensor:
        """One style per label [B,99]: one of the bank's, moved as the styles of the class differ, by `jitter` of it.

        s' = m + (s + j e - m) / (1 + j^2)^1/2 spreads as the n styles s_i of the class do around their mean m; j is the
        jitter, and less of it for the numbers that describe: between the spectra of two layouts there is none.
        e = p^1/2 z + n^-1/2 sum of z_i (s_i - m) has their covariance and p of that of all classes: p = 1/n, as if seen
        once, and 1 for brightness, the first number. How bright the light was says nothing of a material, and is most
        of what tells two pictures of an even one apart.
        """
        strays = torch.full((self.styles.shape[1],), jitter)
        strays[EXACT:] *= _DESCRIBING_STRAYS
        drawn, spread = [], (1 + strays**2) ** -.5
        classes = self.styles.split(self.counts)
        for label in labels.tolist():
            own = classes[label]
            chosen = own[int(torch.randint(len(own), (), generator=generator))]
            mean = own.mean(0)
            plain, mixed = (torch.randn(count, generator=generator) for count in (own.shape[1], len(own)))
            share = torch.full_like(mean, 1 / len(own))
            share[0] = 1
            noise = share.sqrt() * plain + mixed @ (own - mean) * len(own) ** -.5
            drawn.append(spread * (chosen + strays * noise) + (1 - spread) * mean)
            drawn[-1][0].clamp_(own[:, 0].min(), own[:, 0].max())  # snow that is brighter is white
        return torch.stack(drawn).clamp(-LIMIT, LIMIT)

    def to(self, device: torch.device) -> Bank:
        return Bank(self.styles.to(device), self.counts, self.mean.to(device), self.deviation.to(device))


def measure(pictures: Callable[[torch.Tensor], torch.Tensor], ids: torch.Tensor, labels: torch.Tensor, classes: int,
            scale: tuple[torch.Tensor, torch.Tensor] | None) -> tuple[Bank, torch.Tensor]:
    """The bank of the pictures `ids`, and the range [96] that holds all but one in 10,000 of a group's numbers."""
    raw, kept, every = [], [], max(1, len(ids) // 1000)
    for part in ids.split(64):
        tokens, styles = of(pictures(part))
        raw.append(styles.cpu())
        kept.append(tokens[::every].flatten(0, 2).abs().cpu())
    numbers = torch.cat(kept)
    limits = []
    for group in range(GROUPS):
        values = numbers[:, GROUP == group].flatten()
        limits.append(values.kthvalue(max(1, round(.9999 * len(values))))[0])
    return make_bank(torch.cat(raw), labels, classes, scale), torch.stack(limits)[GROUP]


def make_bank(raw: torch.Tensor, labels: torch.Tensor, classes: int, scale: tuple[torch.Tensor, torch.Tensor] | None
              = None) -> Bank:
    """A bank of raw styles [N,99]; `scale` (mean, deviation) is kept where a trained model knows one."""
    mean, deviation = scale or (raw.mean(0), raw.std(0) + 1e-3)
    order = torch.argsort(labels, stable=True)
    bank = Bank(raw[order], torch.bincount(labels, minlength=classes).tolist(), mean, deviation)
    bank.styles = bank.standardised(bank.styles)
    return bank
