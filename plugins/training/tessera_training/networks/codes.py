"""Tokens that are chosen from a codebook: which entry is nearest, and drawing one by its logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from ..errors import UserError


class Coded(Protocol):
    """A model with logits and a codebook [K,d]."""

    codebook: torch.Tensor
    codebook_logits: nn.Linear


def nearest(x: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """x [...,d], codebook [K,d] -> index [...] of the nearest entry, the lowest of equals."""
    flat = x.reshape(-1, x.shape[-1])
    parts = [(part @ codebook.T - (codebook**2).sum(1) / 2).argmax(1) for part in flat.split(4096)]
    return torch.cat(parts).reshape(x.shape[:-1])


def k_means(rows: torch.Tensor, count: int, generator: torch.Generator, turns: int = 12, most: int = 1 << 16
            ) -> torch.Tensor:
    """Entries [count,d] that are means of the rows [N,d] nearest to them; at most `most` random rows are looked at."""
    rows = rows[torch.randperm(len(rows), generator=generator)[:most]]
    if len(rows) < count:
        raise UserError(f"{len(rows)} latents are too few for {count} codes")
    found = rows[:count].clone()
    for _ in range(turns):
        chosen = nearest(rows, found)
        members = torch.bincount(chosen, minlength=count)[:, None]
        sums = torch.zeros_like(found).index_add_(0, chosen, rows)
        found = torch.where(members > 0, sums / members.clamp(min=1), found)
    return found


def choose(model: Coded, z: torch.Tensor, guidance: float | None, temperature: float, draw: torch.Tensor,
           watch: Callable[[torch.Tensor], None]) -> torch.Tensor:
    """Entries [N,d] for conditions [N,D], or [2N,D] (conditional, unconditional) when guided.

    Temperature 0 takes the likeliest; otherwise the first number of each row of `draw` [N,..], a normal one, says
    where in the distribution. `watch` sees the guided logits [N,K].
    """
    logits = model.codebook_logits(z)
    if guidance is not None:
        conditional, free = logits.chunk(2)
        logits = free + guidance * (conditional - free)
    watch(logits)
    if temperature == 0:
        return model.codebook[logits.argmax(1)]
    shares = (logits / temperature).softmax(1).cumsum(1)
    u = 0.5 * (1 + torch.erf(draw[:, :1].to(shares.dtype) / 2**0.5))
    return model.codebook[(shares < u).sum(1).clamp(max=len(model.codebook) - 1)]
