"""Published checkpoints into model files: MAR and the KL and VQ autoencoders of latent diffusion, from `.pth`, `.ckpt` or safetensors.

The configuration is read off the tensor shapes. What shapes cannot tell (heads, stride, patch) comes from the
arguments saved next to the weights, else from the widths of the published models, else from `--set`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..networks.kl_vae import KlVae, KlVaeConfig
from ..networks.mar import Mar, MarConfig
from ..networks.vq_vae import VqVae, VqVaeConfig
from . import safetensors_io
from .torch_file import Placeholder, Record, TensorEntry, open_checkpoint

Entries = dict[str, object]  # name -> TensorEntry or tensor; both have a shape

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FORMAT = "tessera-model/1"
LATENT_SCALE = 0.2325  # of the KL-16 latents, section 3 of the published code's readme
HEAD_DIM = 64
HEADS_BY_WIDTH = {1280: 16}  # MAR-H has heads of 80
GUIDANCE_BY_WIDTH = {768: 2.9, 1024: 3.0, 1280: 3.2}  # the published evaluation settings
EMA_NAMES = ("model_ema", "ema", "ema_model", "ema_state_dict", "state_dict_ema")
PLAIN_NAMES = ("model", "state_dict", "model_state_dict", "module", "weights")
WRAPPERS = ("module.", "_orig_mod.", "model.", "_forward_module.", "state_dict.", "model_ema.", "ema.", "ema_model.",
            "online_model.", "net.", "mar.", "generator.", "vae.", "autoencoder.", "first_stage_model.", "tokenizer.")
CODEBOOK = "quantize.embedding.weight"
OTHER_KINDS = {  # what a tensor's name tells
    "model.diffusion_model.": "a whole latent diffusion model; give the file of its first stage",
    "diffusion_model.": "the U-Net of a latent diffusion model",
    "input_blocks.": "the U-Net of a latent diffusion model",
    "encoder.down_blocks.": "an autoencoder with the names of diffusers; give the original file",
    "quantize.embed.": "an autoencoder with a Gumbel codebook",
    "encoder.layers.": "a transformer of another kind",
}
SKIPPED_PREFIXES = ("loss.", "model_ema.")  # discriminator and bookkeeping in autoencoder files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help=".pth, .ckpt or .safetensors file, or .safetensors.index.json")
    parser.add_argument("output", type=Path, help="safetensors file to write")
    parser.add_argument("--ema", action=argparse.BooleanOptionalAction,
                        help="take the averaged weights (default: if there are any)")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="of the written tensors (default: bf16)")
    parser.add_argument("--heads", metavar="N[,M]", help="attention heads of encoder and decoder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="any other key of the configuration, such as vae_stride=8; may be repeated")
    parser.add_argument("--classes", type=Path, help="text file with one class name per line")
    parser.add_argument("--tokenizer", default="", help="file name of the converted autoencoder, next to the output")
    parser.add_argument("--license", default="", help="licence of the weights, for the metadata")


def run(arguments: argparse.Namespace) -> int:
    path = arguments.checkpoint
    root, read = open_weights(path)
    name, entries = select_state(root, arguments.ema, path)
    entries, prefix = without_wrapper(entries)
    kind = kind_of(entries, path)
    overrides = parse_overrides(arguments.settings, arguments.heads)
    saved = saved_arguments(root)
    readers: dict[str, Callable[[dict, dict], MarConfig | KlVaeConfig]] = {
        "mar_weights": mar_config, "klvae_weights": klvae_config, "vqvae_weights": vqvae_config}
    config = readers[kind](entries, {**saved, **overrides} if kind == "mar_weights" else overrides)
    skipped = [key for key in entries if key.startswith(SKIPPED_PREFIXES)]
    entries = {key: value for key, value in entries.items() if key not in skipped}
    check_shapes(entries, expected_shapes(config), path)
    metadata = {"format": FORMAT, "kind": kind, "name": arguments.output.stem, "license": arguments.license,
                "source": f"{path.name}: {name}", "config": config_json(config)}
    if isinstance(config, MarConfig):
        metadata.update(mar_metadata(config, read_classes(arguments.classes, config), arguments.tokenizer))
    tensors = {key: read(value) for key, value in entries.items()}
    safetensors_io.save(arguments.output, tensors, metadata, DTYPES[arguments.dtype])
    count = sum(value.numel() for value in tensors.values())
    note = f", {len(skipped)} skipped" if skipped else ""
    wrapped = f"stripped '{prefix}' from the front of all names\n" if prefix else ""
    print(f"{name} of {path}: {len(tensors)} tensors, {count / 1e6:.1f} M numbers{note}\n{wrapped}"
          f"config {config_json(config)}\nwrote {arguments.output} ({arguments.output.stat().st_size / 1e6:.1f} MB)")
    return 0


def open_weights(path: Path) -> tuple[object, Callable[[object], torch.Tensor]]:
    """The content of a file of any of the kinds, and what turns its entries into tensors."""
    if path.name.endswith(".index.json") or safetensors_io.looks_like_one(path):
        tensors, _ = safetensors_io.load_any(path)
        return tensors, lambda tensor: tensor  # type: ignore[return-value,arg-type]
    return open_checkpoint(path)


def select_state(root: object, ema: bool | None, path: Path) -> tuple[str, Entries]:
    """The state dictionary to convert and its name in the file."""
    if isinstance(root, Placeholder):
        raise UserError(f"{path}: holds a whole object of {root.text}, not its weights; save its state_dict() instead")
    if not isinstance(root, dict):
        raise UserError(f"{path}: holds a {type(root).__name__}, expected a dictionary of weights")
    wanted = {True: EMA_NAMES, False: PLAIN_NAMES, None: EMA_NAMES + PLAIN_NAMES}[ema]
    for name in wanted:
        if isinstance(root.get(name), dict):
            return name, tensors_of(root[name], path)
        if isinstance(root.get(name), Placeholder):
            raise UserError(f"{path}: '{name}' is an object of {root[name].text}, not a dictionary of weights")
    flat = {key: value for key, value in root.items() if _is_tensor(value)}
    averaged = bool(flat) and all(str(key).split(".")[0] in EMA_NAMES for key in flat)
    if flat and (not ema or averaged):
        others = [str(key) for key, value in root.items() if not _is_tensor(value)]
        if others:
            print(f"{path}: no tensors, left out: {', '.join(others[:10])}")
        return "state", tensors_of(flat, path)
    raise UserError(f"{path}: has no {' or '.join(wanted[:3])}, only {', '.join(map(str, list(root)[:10]))}")


def _is_tensor(value: object) -> bool:
    return isinstance(value, (TensorEntry, torch.Tensor))


def tensors_of(state: dict, path: Path) -> Entries:
    """The tensors of a state dictionary, in which nothing else may be."""
    for name, value in state.items():
        if isinstance(value, Placeholder):
            raise UserError(f"{path}: '{name}' is an object of {value.text}, expected a tensor; it was not loaded")
        if not isinstance(name, str) or not _is_tensor(value):
            raise UserError(f"{path}: '{name}' is a {type(value).__name__}, expected a tensor")
    return dict(state)


def without_wrapper(entries: Entries) -> tuple[Entries, str]:
    """The entries without what wrappers (distributed training, compilers) put before every name, and what that was."""
    prefix = ""
    while True:
        found = next((wrapper for wrapper in WRAPPERS
                      if entries and all(name.startswith(prefix + wrapper) for name in entries)), None)
        if found is None:
            return {name[len(prefix):]: value for name, value in entries.items()}, prefix
        prefix += found


def saved_arguments(root: object) -> dict[str, object]:
    """Configuration keys among the training arguments saved in the file."""
    record = root.get("args") if isinstance(root, dict) else None
    if not isinstance(record, Record):
        return {}
    plain = {key: value for key, value in record.values.items() if isinstance(value, (int, float, str))}
    return {key: plain[key] for key in MarConfig.__dataclass_fields__ if key in plain}


def kind_of(entries: Entries, path: Path) -> str:
    if "z_proj.weight" in entries and "diffloss.net.input_proj.weight" in entries:
        return "mar_weights"
    if "post_quant_conv.weight" in entries and "decoder.conv_in.weight" in entries:
        if any(name.startswith("quantize.") and name != CODEBOOK for name in entries):
            found = next(name for name in entries if name.startswith("quantize.") and name != CODEBOOK)
            raise UserError(f"{path}: a codebook of another kind ('{found}'), expected '{CODEBOOK}' alone")
        return "vqvae_weights" if CODEBOOK in entries else "klvae_weights"
    for prefix, what in OTHER_KINDS.items():
        if any(name.startswith(prefix) for name in entries):
            raise UserError(f"{path}: {what}; expected a MAR model, or a KL or VQ autoencoder of latent diffusion")
    raise UserError(f"{path}: neither a MAR model nor a KL or VQ autoencoder; first tensors: "
                    f"{', '.join(list(entries)[:4])}")


def parse_overrides(settings: list[str], heads: str | None) -> dict[str, object]:
    """`--set` and `--heads` as configuration values."""
    overrides: dict[str, object] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or key not in {**MarConfig.__dataclass_fields__, **VqVaeConfig.__dataclass_fields__}:
            raise UserError(f"--set {text}: expected KEY=VALUE with a key of the configuration")
        try:
            overrides[key] = value if key == "num_sampling_steps" else json.loads(value)
        except ValueError as error:
            raise UserError(f"--set {text}: '{value}' is neither a number nor a list") from error
    if heads:
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)?", heads):
            raise UserError(f"--heads {heads}: expected one number, or two with a comma between")
        numbers = [int(part) for part in heads.split(",")]
        overrides.update(encoder_num_heads=numbers[0], decoder_num_heads=numbers[-1])
    return overrides


def _shape(entries: Entries, name: str, dimensions: int) -> tuple[int, ...]:
    value = entries.get(name)
    if value is None:
        raise UserError(f"tensor '{name}' is missing")
    shape = tuple(value.shape)  # type: ignore[attr-defined]
    if len(shape) != dimensions or not all(shape):
        raise UserError(f"tensor '{name}' has shape {shape}, expected {dimensions} dimensions")
    return shape


def _count(entries: Entries, prefix: str) -> int:
    """How many numbered parts `prefix`0, `prefix`1, ... there are."""
    numbers = {int(name[len(prefix):].split(".")[0]) for name in entries
               if name.startswith(prefix) and name[len(prefix):].split(".")[0].isdigit()}
    if numbers != set(range(len(numbers))):
        raise UserError(f"the numbers after '{prefix}' have gaps: {sorted(numbers)[:20]}")
    return len(numbers)


def _heads(width: int, tower: str) -> int:
    heads = HEADS_BY_WIDTH.get(width) or (width // HEAD_DIM if width % HEAD_DIM == 0 else 0)
    if not heads:
        raise UserError(f"{tower} of width {width}: shapes do not tell the number of attention heads; give --heads")
    return heads


def mar_config(entries: Entries, known: dict[str, object]) -> MarConfig:
    """The configuration of a MAR model; `known` (saved arguments, then the command line) wins over guesses."""
    encoder, token_width = _shape(entries, "z_proj.weight", 2)
    decoder = _shape(entries, "decoder_embed.weight", 2)[0]
    tokens = _shape(entries, "diffusion_pos_embed_learned", 3)[1]
    side = math.isqrt(tokens)
    if side**2 != tokens:
        raise UserError(f"{tokens} tokens are no square grid")
    patch, stride = int(str(known.get("patch_size", 1))), int(str(known.get("vae_stride", 16)))
    if patch < 1 or stride < 1 or token_width % patch**2:
        raise UserError(f"tokens of {token_width} numbers do not come from patches of {patch}x{patch}")
    inferred: dict[str, object] = {
        "img_size": side * patch * stride, "vae_stride": stride, "patch_size": patch,
        "vae_embed_dim": token_width // patch**2, "encoder_embed_dim": encoder, "decoder_embed_dim": decoder,
        "encoder_depth": _count(entries, "encoder_blocks."), "decoder_depth": _count(entries, "decoder_blocks."),
        "class_num": _shape(entries, "class_emb.weight", 2)[0],
        "buffer_size": _shape(entries, "encoder_pos_embed_learned", 3)[1] - tokens,
        "diffloss_d": _count(entries, "diffloss.net.res_blocks."),
        "diffloss_w": _shape(entries, "diffloss.net.input_proj.weight", 2)[0],
        "mlp_ratio": _shape(entries, "encoder_blocks.0.mlp.fc1.weight", 2)[0] / encoder,
        "latent_scale": LATENT_SCALE}
    for tower, width in (("encoder", encoder), ("decoder", decoder)):
        if f"{tower}_num_heads" not in known:
            inferred[f"{tower}_num_heads"] = _heads(width, tower)
    values = {**inferred, **{key: value for key, value in known.items() if key in MarConfig.__dataclass_fields__}}
    for tower, width in (("encoder", encoder), ("decoder", decoder)):
        heads = values[f"{tower}_num_heads"]
        if type(heads) is not int or heads < 1 or width % heads:
            raise UserError(f"{tower} of width {width} cannot have {heads} attention heads")
    if values["img_size"] != side * patch * stride:
        raise UserError(f"img_size {values['img_size']} with stride {stride} and patch {patch} does not give "
                        f"{side}x{side} tokens")
    return MarConfig(**values)  # type: ignore[arg-type]


def klvae_config(entries: Entries, known: dict[str, object]) -> KlVaeConfig:
    """The configuration of a KL autoencoder; only the nominal resolution is a convention (256)."""
    return KlVaeConfig(**_autoencoder(entries, known, KlVaeConfig))


def vqvae_config(entries: Entries, known: dict[str, object]) -> VqVaeConfig:
    """The same of one with a codebook."""
    entries_of_codebook, width = _shape(entries, CODEBOOK, 2)
    values = _autoencoder(entries, {**known, "n_embed": entries_of_codebook}, VqVaeConfig)
    if values["double_z"] or width != values["embed_dim"]:
        raise UserError(f"a codebook of {width} numbers an entry, with an encoder of "
                        f"{_shape(entries, 'encoder.conv_out.weight', 4)[0]} channels and {values['embed_dim']} of the "
                        "latents: expected one width, and no variances")
    return VqVaeConfig(**values)


def _autoencoder(entries: Entries, known: dict[str, object], kind: type) -> dict[str, Any]:
    ch, in_channels = _shape(entries, "encoder.conv_in.weight", 4)[:2]
    levels = _count(entries, "encoder.down.")
    widths = [_shape(entries, f"encoder.down.{level}.block.0.conv1.weight", 4)[0] for level in range(levels)]
    z_channels = _shape(entries, "decoder.conv_in.weight", 4)[1]
    resolution = int(str(known.get("resolution", 256)))
    values: dict[str, Any] = {
        "ch": ch, "ch_mult": tuple(width // ch for width in widths), "in_channels": in_channels,
        "num_res_blocks": _count(entries, "encoder.down.0.block."), "resolution": resolution,
        "z_channels": z_channels, "embed_dim": _shape(entries, "post_quant_conv.weight", 4)[1],
        "out_ch": _shape(entries, "decoder.conv_out.weight", 4)[0],
        "double_z": _shape(entries, "encoder.conv_out.weight", 4)[0] == 2 * z_channels}
    for tower, part in (("encoder", "down"), ("decoder", "up")):
        values[f"{tower}_attn_resolutions"] = tuple(
            resolution >> level for level in range(levels) if f"{tower}.{part}.{level}.attn.0.q.weight" in entries)
    for key, value in known.items():
        if key in kind.__dataclass_fields__:  # type: ignore[attr-defined]
            values[key] = tuple(value) if isinstance(value, list) else value
    return values


def expected_shapes(config: MarConfig | KlVaeConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the model, without allocating it where PyTorch can (2.0 and later)."""
    modern = int(torch.__version__.split(".")[0]) >= 2
    with torch.device("meta") if modern else contextlib.nullcontext():
        model: torch.nn.Module = Mar(config) if isinstance(config, MarConfig) else \
            VqVae(config) if isinstance(config, VqVaeConfig) else KlVae(config)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def check_shapes(entries: Entries, expected: dict[str, tuple[int, ...]], path: Path) -> None:
    """Exactly the expected tensors; differences are listed by name."""
    problems = [f"'{name}' is missing" for name in expected if name not in entries]
    problems += [f"'{name}' is unknown" for name in entries if name not in expected]
    for name in entries:
        shape = tuple(entries[name].shape)  # type: ignore[attr-defined]
        if name in expected and shape != expected[name]:
            problems.append(f"'{name}' has shape {shape}, expected {expected[name]}")
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise UserError(f"{path}: {'; '.join(problems[:8])}{more}")


def config_json(config: MarConfig | KlVaeConfig) -> str:
    if isinstance(config, MarConfig):
        return config.to_json()
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def read_classes(path: Path | None, config: MarConfig) -> list[str]:
    if path is None:
        return [f"class {number}" for number in range(config.class_num)]
    try:
        names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--classes {path}: {error}") from error
    if len(names) != config.class_num:
        raise UserError(f"{path}: {len(names)} class names, the model has {config.class_num} classes")
    return names


def mar_metadata(config: MarConfig, classes: list[str], tokenizer: str) -> dict[str, str]:
    """What the runtime shows and uses as defaults."""
    defaults = {"steps": min(64, config.tokens), "temperature": 1.0, "guidance_schedule": "linear",
                "guidance": GUIDANCE_BY_WIDTH.get(config.encoder_embed_dim, 3.0),
                "denoise_steps": int(config.num_sampling_steps) if config.num_sampling_steps.isdigit() else 100}
    metadata = {"classes": json.dumps(classes), "defaults": json.dumps(defaults)}
    return {**metadata, "tokenizer": tokenizer} if tokenizer else metadata


