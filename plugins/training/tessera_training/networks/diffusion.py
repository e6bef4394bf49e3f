"""Gaussian diffusion of token vectors: cosine schedule, respacing, losses, reverse step.

Tables are float64 and each looked-up value is rounded to float32, as in the reference implementation.
The network always sees the original time 0..999.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import UserError

TRAIN_STEPS = 1000


def cosine_betas() -> np.ndarray:
    """Squared-cosine schedule (arXiv 2102.09672, equation 17), clipped at 0.999."""
    def survive(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.array([min(1 - survive((i + 1) / TRAIN_STEPS) / survive(i / TRAIN_STEPS), 0.999)
                     for i in range(TRAIN_STEPS)])


def respace(steps: str) -> list[int]:
    """The original times that remain: "N", "a,b,c" (sections) or "ddimN"."""
    try:
        if steps.startswith("ddim"):
            wanted = int(steps[4:])
            for every in range(1, TRAIN_STEPS):
                if len(range(0, TRAIN_STEPS, every)) == wanted:
                    return list(range(0, TRAIN_STEPS, every))
            raise UserError(f"denoising steps '{steps}': no whole stride gives {wanted} steps")
        counts = [int(part) for part in steps.split(",")]
    except ValueError as error:
        raise UserError(f"denoising steps '{steps}': expected 'N', 'a,b,c' or 'ddimN'") from error
    kept: set[int] = set()
    start = 0
    for section, count in enumerate(counts):
        size = TRAIN_STEPS // len(counts) + (1 if section < TRAIN_STEPS % len(counts) else 0)
        if not 1 <= count <= size:
            raise UserError(f"denoising steps '{steps}': {count} steps do not fit a section of {size}")
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        position = 0.0
        for _ in range(count):
            kept.add(start + round(position))  # half to even, of a running sum
            position += stride
        start += size
    if len(kept) < 2:
        raise UserError(f"denoising steps '{steps}': at least 2 are needed")
    return sorted(kept)


@dataclass(frozen=True)
class Tables:
    """Everything a reverse step looks up, one float64 entry per kept time."""

    timestep_map: list[int]
    betas: np.ndarray
    alphas_cumprod: np.ndarray
    sqrt_alphas_cumprod: np.ndarray
    sqrt_one_minus_alphas_cumprod: np.ndarray
    sqrt_recip_alphas_cumprod: np.ndarray
    sqrt_recipm1_alphas_cumprod: np.ndarray
    posterior_variance: np.ndarray
    posterior_log_variance_clipped: np.ndarray
    posterior_mean_coef1: np.ndarray
    posterior_mean_coef2: np.ndarray

    def at(self, name: str, index: torch.Tensor | int) -> torch.Tensor:
        """Value(s) of one table as float32; [N] indices give a column [N,1]."""
        values = getattr(self, name)
        if isinstance(index, int):
            return torch.tensor(values[index]).float()
        return torch.from_numpy(values)[index.cpu()].float().to(index.device)[:, None]


def tables(steps: str | None = None) -> Tables:
    """Tables of the full schedule (no argument) or of a respaced one."""
    betas = cosine_betas()
    kept = list(range(TRAIN_STEPS))
    if steps is not None:
        kept = respace(steps)
        levels = np.cumprod(1 - betas)[kept]
        betas = 1 - levels / np.append(1.0, levels[:-1])
    level = np.cumprod(1 - betas)
    previous = np.append(1.0, level[:-1])
    variance = betas * (1 - previous) / (1 - level)
    return Tables(
        kept, betas, level, np.sqrt(level), np.sqrt(1 - level), np.sqrt(1 / level), np.sqrt(1 / level - 1),
        variance, np.log(np.append(variance[1], variance[1:])),
        betas * np.sqrt(previous) / (1 - level), (1 - previous) * np.sqrt(1 - betas) / (1 - level))


def noised(table: Tables, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """x_t = sqrt(a_t) x0 + sqrt(1 - a_t) noise; x0, noise [N,d], t [N]."""
    return table.at("sqrt_alphas_cumprod", t) * x0 + table.at("sqrt_one_minus_alphas_cumprod", t) * noise


def velocity(table: Tables, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """v = sqrt(a_t) noise - sqrt(1 - a_t) x0 (arXiv 2202.00512, appendix D): at noisy times the answer is x0 itself."""
    return table.at("sqrt_alphas_cumprod", t) * noise - table.at("sqrt_one_minus_alphas_cumprod", t) * x0


def clean_estimate(table: Tables, index: torch.Tensor | int, x: torch.Tensor, first: torch.Tensor, prediction: str
                   ) -> torch.Tensor:
    """x0 as a network predicts it at x, by the first half of its output. From v not by way of the noise: at the
    noisiest time that would multiply float32's rounding by 20,000."""
    if prediction == "v":
        return table.at("sqrt_alphas_cumprod", index) * x - table.at("sqrt_one_minus_alphas_cumprod", index) * first
    return table.at("sqrt_recip_alphas_cumprod", index) * x - table.at("sqrt_recipm1_alphas_cumprod", index) * first


def model_distribution(table: Tables, index: torch.Tensor | int, x: torch.Tensor, net: torch.Tensor, prediction: str
                       ) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log variance of p(x_{t-1} | x_t) from the network output [N,2d]; nothing is clipped."""
    first, value = net.chunk(2, -1)
    x0 = clean_estimate(table, index, x, first, prediction)
    mean = table.at("posterior_mean_coef1", index) * x0 + table.at("posterior_mean_coef2", index) * x
    fraction = (value + 1) / 2
    log_beta = torch.log(table.at("betas", index).double()).float() if isinstance(index, torch.Tensor) \
        else torch.tensor(math.log(table.betas[index])).float()
    return mean, fraction * log_beta + (1 - fraction) * table.at("posterior_log_variance_clipped", index)


def reverse_step(table: Tables, index: int, x: torch.Tensor, net: torch.Tensor, noise: torch.Tensor | None,
                 temperature: float = 1.0, prediction: str = "epsilon") -> torch.Tensor:
    """One step from `index` to `index` - 1; the last step (index 0) adds no noise."""
    mean, logvar = model_distribution(table, index, x, net, prediction)
    if index == 0 or noise is None:
        return mean
    return mean + torch.exp(0.5 * logvar) * noise * temperature


def _normal_kl(mean1: torch.Tensor, logvar1: torch.Tensor, mean2: torch.Tensor, logvar2: torch.Tensor) -> torch.Tensor:
    return 0.5 * (-1 + logvar2 - logvar1 + torch.exp(logvar1 - logvar2)
                  + (mean1 - mean2) ** 2 * torch.exp(-logvar2))


def _normal_cdf(x: torch.Tensor) -> torch.Tensor:
    """The tanh approximation used by the reference."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _discretised_log_likelihood(x: torch.Tensor, mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """log probability of the bin of +-1/255 around x."""
    centred, inverse = x - mean, torch.exp(-0.5 * logvar)
    upper, lower = _normal_cdf(inverse * (centred + 1 / 255)), _normal_cdf(inverse * (centred - 1 / 255))

    def log(p: torch.Tensor) -> torch.Tensor:
        return torch.log(p.clamp(min=1e-12))
    return torch.where(x < -0.999, log(upper), torch.where(x > 0.999, log(1 - lower), log(upper - lower)))


def loss_rows(table: Tables, net: torch.Tensor, x0: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor,
              noise: torch.Tensor, weight: torch.Tensor | None = None, prediction: str = "epsilon"
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """Per row: mean squared error of what is predicted, and the variance bound in bits; [N] each.

    The bound trains the variance alone. `weight` [d] weighs the numbers of a token in the squared error.
    """
    first, value = net.chunk(2, -1)
    target = noise if prediction == "epsilon" else velocity(table, x0, t, noise)
    square = (target - first) ** 2
    mse = (square if weight is None else square * weight).mean(-1)
    mean, logvar = model_distribution(table, t, x_t, torch.cat([first.detach(), value], -1), prediction)
    true_mean = table.at("posterior_mean_coef1", t) * x0 + table.at("posterior_mean_coef2", t) * x_t
    true_logvar = table.at("posterior_log_variance_clipped", t)
    kl = _normal_kl(true_mean, true_logvar, mean, logvar).mean(-1) / math.log(2)
    nll = -_discretised_log_likelihood(x0, mean, logvar).mean(-1) / math.log(2)
    return mse, torch.where(t == 0, nll, kl)
