"""The optimiser: AdamW, and for the matrices of the blocks optionally Muon.

Muon (Keller Jordan 2024) orthogonalises the momentum of a weight matrix with a Newton-Schulz iteration;
per image seen it learns clearly faster here. Both work on all parameters of a kind at once.
"""

from __future__ import annotations

import re

import torch
import torch.distributed as dist
from torch import nn


def orthogonalise(matrix: torch.Tensor, iterations: int = 4) -> torch.Tensor:
    """About U V^T of the singular value decomposition of [...,rows,columns]; in bf16 on a GPU."""
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if x.device.type == "cuda":
        x = x.bfloat16()
    for _ in range(iterations):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.mT if tall else x).to(matrix.dtype)


def _towards(averages: list[torch.Tensor], values: list[torch.Tensor], share: float) -> None:
    """Move running averages by `share` of the way."""
    torch._foreach_mul_(averages, 1 - share)
    torch._foreach_add_(averages, values, alpha=share)


class MuonAdamW(torch.optim.Optimizer):
    """Groups with `muon` set take Muon steps (lr times `lr_scale`), all others AdamW steps."""

    def __init__(self, groups: list[dict], lr: float, betas: tuple[float, float] = (0.9, 0.95),
                 eps: float = 1e-8) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0, "muon": False,
                                  "lr_scale": 1.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters: list[torch.Tensor] = [value for value in group["params"] if value.grad is not None]
            if not parameters:
                continue
            gradients = [value.grad for value in parameters if value.grad is not None]
            if group["weight_decay"]:
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            (self._muon if group["muon"] else self._adam)(parameters, gradients, group)

    def _adam(self, parameters: list[torch.Tensor], gradients: list[torch.Tensor], group: dict) -> None:
        states = [self.state[parameter] for parameter in parameters]
        for state, gradient in zip(states, gradients):
            if not state:
                state.update(step=0, exp_avg=torch.zeros_like(gradient), exp_avg_sq=torch.zeros_like(gradient))
            state["step"] += 1
        beta1, beta2 = group["betas"]
        means, squares = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        _towards(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta2)
        roots = torch._foreach_div(squares, [1 - beta2 ** state["step"] for state in states])
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(parameters, means, roots,
                                [-group["lr"] / (1 - beta1 ** state["step"]) for state in states])

    def _muon(self, parameters: list[torch.Tensor], gradients: list[torch.Tensor], group: dict) -> None:
        """Every process orthogonalises its share of the matrices; then they exchange the updates."""
        for parameter, gradient in zip(parameters, gradients):
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(gradient)
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        _towards(momenta, gradients, 0.05)
        ahead = torch._foreach_add(torch._foreach_mul(gradients, 0.05), momenta, alpha=0.95)
        world = dist.get_world_size() if dist.is_initialized() else 1
        mine = dist.get_rank() if world > 1 else 0
        chosen = range(mine, len(ahead), world)
        updates = [torch.zeros_like(value) for value in ahead]
        for index, update in zip(chosen, _muon_updates([ahead[index] for index in chosen])):
            updates[index] = update
        if world > 1:
            flat = torch.cat([update.flatten() for update in updates])
            dist.all_reduce(flat)
            parts = flat.split([parameter.numel() for parameter in parameters])
            updates = [part.view_as(parameter) for part, parameter in zip(parts, parameters)]
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])


def _muon_updates(momenta: list[torch.Tensor]) -> list[torch.Tensor]:
    """The orthogonalised steps; a convolution [out,in,3,3] is the matrix [out,9 in], q, k and v are three stacked."""
    stacks: dict[torch.Size, list[torch.Tensor]] = {}
    pieces = []
    for momentum in momenta:
        matrix = momentum.flatten(1)
        parts = matrix.chunk(3 if matrix.shape[0] == 3 * matrix.shape[1] else 1)
        stack = stacks.setdefault(parts[0].shape, [])
        pieces.append((parts[0].shape, len(stack), len(parts)))
        stack.extend(parts)
    done = {shape: orthogonalise(torch.stack(stack)) * max(1.0, shape[0] / shape[1]) ** 0.5
            for shape, stack in stacks.items()}
    return [done[shape][start:start + count].reshape(momentum.shape)
            for momentum, (shape, start, count) in zip(momenta, pieces)]


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """As in the reference: not biases, 1-D tensors and the denoiser (`diffloss`)."""
    return parameter.ndim > 1 and not name.endswith(".bias") and "diffloss" not in name


def _is_inner(name: str) -> bool:
    """Whether Muon may train this weight: matrices between hidden layers, not inputs, outputs or modulations."""
    inner = re.search(r"(^|\.)(\w*blocks?|level|layers)\.", name) and name.endswith(".weight")
    return bool(inner) and not any(part in name for part in ("adaLN", "modulation", "depthwise"))


def build(module: nn.Module, lr: float, weight_decay: float, muon_lr: float) -> torch.optim.Optimizer:
    """The optimiser of a module; `muon_lr` 0 means AdamW for everything."""
    groups: dict[str, list[nn.Parameter]] = {"decayed": [], "plain": [], "muon": []}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if muon_lr and parameter.ndim > 1 and _is_inner(name):
            groups["muon"].append(parameter)
        else:
            groups["decayed" if _is_decayed(name, parameter) else "plain"].append(parameter)
    settings: list[dict] = [{"params": groups["decayed"], "weight_decay": weight_decay}, {"params": groups["plain"]}]
    if not muon_lr:
        return MuonAdamW(settings, lr)
    return MuonAdamW([*settings, {"params": groups["muon"], "muon": True, "lr_scale": muon_lr / lr,
                                  "weight_decay": weight_decay}], lr)
