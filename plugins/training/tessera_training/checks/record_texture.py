"""Recording runs of a texture model as case files for the runtime: codec, style, trunk, sampler, picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch

from ..files import safetensors_io
from ..files.texture_file import TextureModel
from ..networks import style, texture_mar, wavelet
from ..networks.texture import Texture, TextureSettings, sample
from ..networks.texture_mar import TextureMar
from ..pictures.pixels import to_bytes

Tensors = dict[str, torch.Tensor]
_KEPT = 3  # evaluations whose inputs and outputs are written: first, middle, last


def made_up_picture(height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """[1,3,height,width]: waves that repeat, and noise."""
    y = torch.arange(height)[:, None] * 6.2831853 / height
    x = torch.arange(width)[None] * 6.2831853 / width
    waves = torch.stack([torch.sin(3 * x + 2 * y), torch.cos(5 * y) * torch.sin(x), torch.sin(4 * x - y)])
    return (0.4 * waves + 0.15 * torch.randn(3, height, width, generator=generator))[None].clamp(-1, 1)


def hole(height: int, width: int) -> torch.Tensor:
    """[1,height,width] of 1 for known tokens: all but a box that wraps around the corner."""
    known = torch.ones(1, height, width)
    known[:, :height // 2, :width // 2] = 0
    return known.roll((-height // 4, -width // 4), (1, 2))


def record_wavelet(height: int, width: int, seed: int) -> tuple[Tensors, dict[str, str]]:
    """A picture, its tokens, what its style is, and the picture from the tokens."""
    picture = made_up_picture(height, width, torch.Generator().manual_seed(seed))
    normalised, raw = style.of(picture)
    tokens = wavelet.tokens_of(picture)
    return ({"picture": picture, "tokens": tokens, "normalised": normalised, "style_raw": raw,
             "restored": wavelet.rgb_of(tokens)}, {"kind": "wavelet_io"})


@torch.no_grad()
def record_sampling(model: TextureModel, grid: tuple[int, int], settings: TextureSettings, seed: int,
                    labels: torch.Tensor, partly_known: bool) -> tuple[Tensors, dict[str, str]]:
    """A run of the sampler on a grid of tokens, with some of its evaluations of the trunk, down to the bytes."""
    generator = torch.Generator().manual_seed(seed)
    styles = model.bank.draw(labels, settings.jitter, generator)
    noise = torch.randn(len(labels), *grid, wavelet.TOKEN, generator=generator)
    known = given = None
    if partly_known:
        picture = made_up_picture(grid[0] * wavelet.CELL, grid[1] * wavelet.CELL, generator)
        given, raw = style.of(picture)
        styles = model.bank.standardised(raw)
        labels, noise, known = labels[:1], noise[:1], hole(*grid)
    tensors: Tensors = {"labels": labels.to(torch.int32), "styles": styles, "noise": noise}
    if known is not None and given is not None:
        tensors |= {"known": known.to(torch.uint8), "given": given}
    kept = {round(index * (settings.steps - 1) / (_KEPT - 1)) for index in range(_KEPT)}
    times: dict[int, float] = {}
    inputs: dict[int, torch.Tensor] = {}

    def watch(step: int, t: float, v: torch.Tensor, clean: torch.Tensor) -> None:
        times[step] = t
        if step in kept:
            tensors.update({f"step.{step:02d}.v": v, f"step.{step:02d}.clean": clean})

    assert isinstance(model.trunk, Texture)
    original = model.trunk.forward

    def spying(x: torch.Tensor, *rest: object) -> torch.Tensor:
        out = original(x, *rest)  # type: ignore[arg-type]
        step = len(inputs)
        inputs[step] = x
        if step in kept:
            tensors[f"step.{step:02d}.x"] = x[:len(labels)].clone()
            for name, part in zip(("v_given", "v_free"), out.split(len(labels))):
                tensors[f"step.{step:02d}.{name}"] = part.clone()
        return out
    model.trunk.forward = spying  # type: ignore[method-assign, assignment]
    try:
        tokens = sample(model.trunk, model.limit, labels, styles, noise, settings, known, given, watch)
    finally:
        model.trunk.forward = original  # type: ignore[method-assign]
    picture = model.picture(tokens, styles)
    tensors |= {"tokens": tokens, "picture": picture, "rgb8": to_bytes(picture.clamp(-1, 1))}
    return tensors, {"kind": "texture_sample", "settings": json.dumps(dataclasses.asdict(settings)),
                     "times": json.dumps([times[step] for step in sorted(times)])}


@torch.no_grad()
def record_sets(model: TextureModel, grid: tuple[int, int], settings: TextureSettings, seed: int, labels: torch.Tensor,
                partly_known: bool) -> tuple[Tensors, dict[str, str]]:
    """A run of MAR set by set: orders, all noise and the tokens after every set."""
    assert isinstance(model.trunk, TextureMar)
    generator = torch.Generator().manual_seed(seed)
    styles = model.bank.draw(labels, settings.jitter, generator)
    known = given = None
    places = torch.rand(len(labels), grid[0] * grid[1], generator=generator)
    tensors: Tensors = {"labels": labels.to(torch.int32)}
    if partly_known:
        given, raw = style.of(made_up_picture(grid[0] * wavelet.CELL, grid[1] * wavelet.CELL, generator))
        styles, known = model.bank.standardised(raw), hole(*grid)
        places = places + known.flatten(1)
        tensors |= {"known": known.to(torch.uint8), "given": given}
    orders = places.argsort(1)
    tensors |= {"styles": styles, "orders": orders.to(torch.int32)}
    drawn: dict[int, list[torch.Tensor]] = {}

    def noise(step: int, draw: int, rows: int) -> torch.Tensor:
        made = torch.randn(rows, wavelet.TOKEN, generator=generator)
        drawn.setdefault(step, []).append(made)
        return made
    tokens = texture_mar.sample(model.trunk, labels, styles, orders, grid, texture_mar.sample_settings(settings), noise,
                                known, given)
    for step, parts in drawn.items():
        tensors |= {f"step.{step:02d}.initial": parts[0], f"step.{step:02d}.noise": torch.stack(parts[1:])}
    picture = model.picture(tokens, styles)
    tensors |= {"tokens": tokens, "picture": picture, "rgb8": to_bytes(picture.clamp(-1, 1))}
    return tensors, {"kind": "texture_mar_sample", "settings": json.dumps(dataclasses.asdict(settings))}


def _runs(model: TextureModel, seed: int, labels: torch.Tensor) -> list[tuple[str, tuple[Tensors, dict[str, str]]]]:
    if isinstance(model.trunk, TextureMar):
        settings = TextureSettings(steps=4, guidance=2.0, temperature=0.9, denoise_steps="5")
        return [("sets", record_sets(model, (8, 8), settings, seed, labels, False)),
                ("sets_hole", record_sets(model, (8, 12), settings, seed, labels[:1], True))]
    runs = []
    for name, grid, partly in (("square", (16, 16), False), ("square_hole", (16, 16), True),
                               ("oblong", (24, 32), False), ("oblong_hole", (24, 32), True), ("odd", (17, 9), False)):
        settings = TextureSettings(steps=6 if grid[0] > 16 else 8, guidance=2.5, temperature=0.9)
        chosen = labels if name == "square" else labels[:1]
        runs.append((name, record_sampling(model, grid, settings, seed, chosen, partly)))
    return runs


def write_cases(model: TextureModel, folder: Path, seed: int = 1) -> list[Path]:
    """One codec case and runs on square and oblong grids, from nothing and around a hole."""
    labels = torch.tensor([2 % len(model.classes), 20 % len(model.classes)])
    paths = []
    for name, (tensors, metadata) in [("codec", record_wavelet(96, 160, seed)), *_runs(model, seed, labels)]:
        path = folder / f"case_{name}.safetensors"
        safetensors_io.save(path, {key: value.contiguous() for key, value in tensors.items()},
                            {"format": "tessera-case/1", "weights": "generator.safetensors", **metadata})
        paths.append(path)
    return paths
