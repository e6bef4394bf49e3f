"""Export: a run directory becomes a model directory that the runtime loads."""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from pathlib import Path

import torch

from .. import pixel_models
from ..errors import UserError
from ..networks.tokenizer import TextureVae
from . import checkpoint, safetensors_io, texture_file

if typing.TYPE_CHECKING:
    from ..pipeline import Run

FORMAT = "tessera-model/1"
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "f32": torch.float32}


def _cast(tensors: dict[str, torch.Tensor], dtype: str) -> dict[str, torch.Tensor]:
    if dtype not in _DTYPES:
        raise UserError(f"export.dtype = '{dtype}': expected one of {', '.join(_DTYPES)}")
    cast = {name: value.detach().to(_DTYPES[dtype]).contiguous() for name, value in tensors.items()}
    for name, value in cast.items():
        if not bool(torch.isfinite(value.float()).all()):
            raise UserError(f"tensor '{name}' holds values that are not finite (in {dtype}); nothing was exported")
    return cast


def _training_note(run: Run, state: dict, stage: str) -> dict[str, object]:
    note: dict[str, object] = {f"{stage}_steps": state["step"], f"{stage}_hours": round(state["seconds"] / 3600, 2),
                               "seed": run.config.seed, "hardware": run.config.export.hardware}
    if stage == "generator":
        note["generator_images_seen"] = state["step"] * run.config.generator_training.batch
    if stage == "generator" and not run.given_tokenizer():
        tokenizer = checkpoint.read(run.dir / "tokenizer.checkpoint.pt")
        note |= {"tokenizer_images_seen": tokenizer["step"] * run.config.tokenizer_training.batch,
                 "tokenizer_hours": round(tokenizer["seconds"] / 3600, 2)}
    return note


def export_texture(run: Run, target: Path) -> None:
    """Write generator.safetensors and contact_sheet.webp into `target`."""
    model, state = run.texture(run.pack())
    path = target / "generator.safetensors"
    texture_file.save(path, model, {"name": run.config.name, "license": run.config.export.license,
                                    "training": json.dumps(_training_note(run, state, "texture"))})
    run.texture_sheet(texture_file.load(path), target / "contact_sheet.webp", run.config.export.columns)
    print(f"exported {path.stat().st_size / 1e6:.1f} MB to {target}", flush=True)


def export_pixels(run: Run, target: Path) -> None:
    """Write generator.safetensors of a model on patches of pixels into `target`."""
    images = run.pack()
    model, state = run.pixels(images)
    chosen, path = run.config.export.defaults, target / "generator.safetensors"
    defaults: dict[str, object] = {"steps": chosen.steps, "guidance": chosen.guidance, "temperature": chosen.temperature}
    if run.config.pixels.objective == "umd":
        defaults |= {"integrator": "ancestral", "head": chosen.head}
    elif chosen.denoise_steps.isdigit():
        defaults["denoise_steps"] = int(chosen.denoise_steps)
    given = run.given_tokenizer()
    tokenizer = {"tokenizer": os.path.relpath(given, target)} if given else {}
    pixel_models.save(path, run.config.pixels.objective, model, images.classes if run.config.pixels.classes else [], {
        **tokenizer,
        "name": run.config.name, "license": run.config.export.license, "defaults": json.dumps(defaults),
        "training": json.dumps(_training_note(run, state, "pixels"))}, _DTYPES[run.config.export.dtype])
    print(f"exported {path.stat().st_size / 1e6:.1f} MB to {target}", flush=True)


def _defaults(run: Run) -> dict[str, object]:
    """Sampling defaults; a spacing that is not a plain number stands in the model's `num_sampling_steps`."""
    values = dataclasses.asdict(run.config.export.defaults)
    del values["head"]
    top_k = values.pop("top_k")
    if run.config.generator.objective == "mar_ce":  # nothing is denoised
        named = ("steps", "guidance", "guidance_schedule", "temperature")
        return {**{name: values[name] for name in named}, "top_k": top_k}
    steps = values.pop("denoise_steps")
    if steps.isdigit():
        values["denoise_steps"] = int(steps)
    elif steps != run.config.generator.num_sampling_steps:
        raise UserError(f"export.defaults.denoise_steps = '{steps}': a spacing other than a number must equal "
                        f"generator.num_sampling_steps, which is '{run.config.generator.num_sampling_steps}'")
    return values


def export_model(run: Run, target: Path) -> None:
    """Write what the run has trained into `target`, with a contact sheet."""
    if run.config.texture_training.minutes or run.config.texture_training.steps:
        return export_texture(run, target)
    if run.config.pixels.objective:
        return export_pixels(run, target)
    defaults = _defaults(run)
    config, images, encoded = run.config, run.pack(), run.latents()
    model, state = run.generator(len(images.classes))
    vae = run.tokenizer()
    sheet = target / "contact_sheet.webp"
    run.sample_sheet(model, vae, encoded, images.classes, sheet, config.export.columns)
    common = {"format": FORMAT, "license": config.export.license}
    given = run.given_tokenizer()
    tokenizer = os.path.relpath(given, target) if given else "tokenizer.safetensors"
    if not given:
        kind, shape = "vqvae_weights", dataclasses.asdict(vae.config)
        if isinstance(vae, TextureVae):  # latents of codes have one scale, which the generator's config says
            vae.fold_normalisation(encoded.channel_mean, encoded.channel_std)
            kind = "texture_vae_weights"
        safetensors_io.save(target / tokenizer, _cast(vae.state_dict(), config.export.dtype), {
            **common, "kind": kind, "name": f"{config.name}-tokenizer", "config": json.dumps(shape)})
    safetensors_io.save(target / "generator.safetensors", _cast(model.state_dict(), config.export.dtype), {
        **common, "kind": "mar_weights", "name": config.name, "config": model.config.to_json(),
        "classes": json.dumps(images.classes), "tokenizer": tokenizer,
        "defaults": json.dumps(defaults),
        "training": json.dumps(_training_note(run, state, "generator"))})
    size = sum((target / name).stat().st_size for name in ("generator.safetensors", tokenizer))
    print(f"exported {size / 1e6:.1f} MB to {target}", flush=True)
