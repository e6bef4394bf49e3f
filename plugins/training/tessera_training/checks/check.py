"""`check`: does the runtime compute what PyTorch computes, from the same weights and the same noise?

Records runs of a model directory (or of a small made-up model) as case files and replays them with
`tessera-check-case`, stage by stage.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..config import GeneratorConfig, TokenizerConfig
from ..errors import UserError
from ..files import model_dir, safetensors_io
from ..files.model_dir import Model
from ..files.texture_file import TextureModel
from ..networks.blocks import unpatchify
from ..networks.causal import CausalMar
from ..networks.mar import Mar, MarConfig, SampleSettings
from ..networks.tokenizer import TextureVae
from ..objectives.mar import MarObjective
from . import record, record_texture

_REPOSITORY = Path(__file__).resolve().parents[4]
MADE_UP = MarConfig(img_size=48, vae_stride=8, patch_size=2, vae_embed_dim=3, encoder_embed_dim=40, encoder_depth=2,
                    encoder_num_heads=2, decoder_embed_dim=56, decoder_depth=1, decoder_num_heads=4, class_num=5,
                    buffer_size=3, diffloss_d=2, diffloss_w=45, num_sampling_steps="20")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, nargs="?", help="model directory; without one, a small made-up model")
    parser.add_argument("--program", type=Path, help="tessera-check-case (default: the newest in build/)")
    parser.add_argument("--write-case", type=Path, metavar="DIR", help="keep weights and cases here; runs no program "
                        "unless --program is given")
    parser.add_argument("--batch", type=int, default=2, help="images of the run (default: 2)")
    parser.add_argument("--steps", type=int, help="autoregressive steps")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--guidance-schedule", choices=("linear", "constant"))
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--denoise-steps")
    parser.add_argument("--no-labels", action="store_true", help="generate without classes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="shape of the made-up model, such as encoder_embed_dim=72; may be repeated")


def run(arguments: argparse.Namespace) -> int:
    if arguments.batch < 1:
        raise UserError(f"--batch {arguments.batch}: at least one image is needed")
    if arguments.model and arguments.settings:
        raise UserError("--set shapes the made-up model; it has no meaning with a model directory")
    program = None if arguments.write_case and not arguments.program else find_program(arguments.program)
    with tempfile.TemporaryDirectory(prefix="tessera-check-") as temporary:
        folder = arguments.write_case or Path(temporary)
        model = model_dir.load(arguments.model) if arguments.model else \
            make_up(shape_of(arguments.settings), folder, arguments.seed)
        if isinstance(model, TextureModel):
            cases = [(path, model.path / "generator.safetensors")
                     for path in record_texture.write_cases(model, folder, arguments.seed)]
        else:
            cases = write_cases(model, chosen_settings(model, arguments), arguments, folder)
        if program is None:
            print("\n".join(f"wrote {path}" for path, _ in cases))
            return 0
        return max([replay(program, path, weights) for path, weights in cases])


def find_program(given: Path | None) -> Path:
    """The replaying program: as given, else in the folder TESSERA_BIN names, else the newest of the build folders."""
    if not given and "TESSERA_BIN" in os.environ:
        given = Path(os.environ["TESSERA_BIN"]) / "tessera-check-case"
    if given:
        if not given.is_file():
            raise UserError(f"{given}: no such program (target tessera-check-case)")
        return given
    found = sorted((path for path in (_REPOSITORY / "build").glob("**/tessera-check-case") if path.is_file()),
                   key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError("tessera-check-case has not been built (target tessera-check-case); give --program")
    return found[-1]


def chosen_settings(model: Model, arguments: argparse.Namespace) -> SampleSettings:
    given = {name: getattr(arguments, name) for name in
             ("steps", "guidance", "guidance_schedule", "temperature", "denoise_steps")
             if getattr(arguments, name) is not None}
    settings = dataclasses.replace(model.settings, **given)
    if not 1 <= settings.steps <= model.generator.config.tokens:
        raise UserError(f"--steps {settings.steps}: expected 1 to {model.generator.config.tokens}")
    return settings


def write_cases(model: Model, settings: SampleSettings, arguments: argparse.Namespace, folder: Path
                ) -> list[tuple[Path, Path]]:
    """Sampler, codec and pictures; each case file with the weights file it belongs to."""
    classes, config = model.generator.config.class_num, model.generator.config
    labels = None if arguments.no_labels else torch.arange(arguments.batch) * 7 % classes
    if config.codebook:
        if labels is None:
            raise UserError("--no-labels: runs over codes are recorded with classes")
        sampled = record.record_codes(model.generator, labels, dataclasses.replace(settings, temperature=0.0),
                                      arguments.seed)
        latents = unpatchify(model.generator.codebook[sampled[0]["codes"]], config.patch_size)
    elif isinstance(model.generator, CausalMar):
        raise UserError(f"{model.path}: a causal model with a diffusion head; runs of bidirectional ones and of codes "
                        "are recorded (its own are in tests/golden)")
    else:
        sampled = record.record_sampling(model.generator, labels, settings, arguments.seed, arguments.batch)
        latents = sampled[0]["latents"]
    latents = latents / max(1.0, float(latents.std()) / config.latent_scale)  # a made-up model has no sense of scale
    z = latents / config.latent_scale
    with torch.no_grad():
        image = model.tokenizer.decode(z).clamp(-1, 1)
    tokenizer = model.path / model.metadata.get("tokenizer", "tokenizer.safetensors")
    codec = record.record_codec(model.tokenizer, safetensors_io.load_metadata(tokenizer)["config"], z, image)
    pictures = record.record_pictures(model.tokenizer, latents, config.latent_scale, tokenizer)
    generator = model.path / "generator.safetensors"
    return [(record.write(folder / "case_sample.safetensors", sampled, generator), generator),
            (record.write(folder / "case_codec.safetensors", codec, tokenizer), tokenizer),
            (record.write(folder / "case_pictures.safetensors", pictures, generator), generator)]


def replay(program: Path, case: Path, weights: Path) -> int:
    """Run the program on one case; its table goes to the terminal."""
    tokenizer = safetensors_io.load_metadata(weights).get("tokenizer", "tokenizer.safetensors")
    command = [str(program), str(weights), str(case)]
    if (weights.parent / tokenizer).is_file():
        command += ["--decoder", str(weights.parent / tokenizer)]
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise UserError(f"{program}: {error.strerror or error}") from error


def shape_of(settings: list[str]) -> MarConfig:
    """The made-up shape with `--set` applied."""
    values: dict[str, object] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or key not in MarConfig.__dataclass_fields__:
            raise UserError(f"--set {text}: expected KEY=VALUE with a key of the configuration")
        try:
            values[key] = value if key == "num_sampling_steps" else json.loads(value)
        except ValueError as error:
            raise UserError(f"--set {text}: '{value}' is no number") from error
    config = dataclasses.replace(MADE_UP, **values)  # type: ignore[arg-type]
    for tower in ("encoder", "decoder"):
        width, heads = getattr(config, f"{tower}_embed_dim"), getattr(config, f"{tower}_num_heads")
        if width % heads:
            raise UserError(f"{tower} of width {width} cannot have {heads} attention heads")
    if config.side < 1 or config.side * config.patch_size * config.vae_stride != config.img_size:
        raise UserError(f"img_size {config.img_size} is no multiple of vae_stride x patch_size = "
                        f"{config.vae_stride} x {config.patch_size}")
    if config.vae_stride < 4 or config.vae_stride & (config.vae_stride - 1):
        raise UserError(f"vae_stride {config.vae_stride}: the made-up tokenizer needs a power of two from 4 on")
    return config


class _ToyLatents:
    """Smooth random latents with one mean per class: something simple to be trained on."""

    def __init__(self, config: MarConfig) -> None:
        self.config = config
        self.labels = torch.arange(4 * config.class_num) % config.class_num

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        side = self.config.side * self.config.patch_size
        noise = torch.randn(len(ids), self.config.vae_embed_dim, side, side, generator=generator)
        smooth = sum((noise.roll(shift, axis) for axis in (2, 3) for shift in (-1, 1)), noise) / 5**0.5
        return smooth * 0.8 + torch.sin(self.labels[ids].float() * 1.7).view(-1, 1, 1, 1)


def make_up(config: MarConfig, folder: Path, seed: int, steps: int = 60) -> Model:
    """A small model with every parameter random, then the denoiser trained a little.

    Without any training the sampler multiplies its noise by 20,000 and all that follows drowns in rounding.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Mar(config)
        tokenizer = _made_up_tokenizer(config)
        for module in (generator, tokenizer):
            randomise(module)
    source = torch.Generator().manual_seed(seed)
    objective = MarObjective(generator, _ToyLatents(config), GeneratorConfig())  # type: ignore[arg-type]

    def loss() -> torch.Tensor:
        ids = torch.randint(len(objective.pack.labels), (16,), generator=source)
        return objective(objective.draw(ids, source))[0] + 10 * _high_noise_loss(generator, source)
    _train(generator.diffloss.net, loss, steps)
    safetensors_io.save(folder / "generator.safetensors", generator.state_dict(), {
        "format": "tessera-model/1", "kind": "mar_weights", "name": "made-up", "config": config.to_json(),
        "classes": json.dumps([f"class {number}" for number in range(config.class_num)]),
        "tokenizer": "tokenizer.safetensors",
        "defaults": json.dumps({"steps": min(5, config.tokens), "guidance": 2.0,
                                "denoise_steps": int(config.num_sampling_steps)})})
    safetensors_io.save(folder / "tokenizer.safetensors", tokenizer.state_dict(), {
        "format": "tessera-model/1", "kind": "texture_vae_weights",
        "config": json.dumps(dataclasses.asdict(tokenizer.config))})
    model = model_dir.load(folder)
    assert isinstance(model, Model)
    return model


def _high_noise_loss(generator: Mar, source: torch.Generator) -> torch.Tensor:
    """Predict the noise of nearly pure noise, under random conditions."""
    config = generator.config
    x = torch.randn(256, config.token_width, generator=source)
    t = torch.randint(500, 1000, (256,), generator=source)
    condition = torch.randn(256, config.decoder_embed_dim, generator=source)
    net: torch.Tensor = generator.diffloss.net(x, t, condition)
    eps, value = net.chunk(2, -1)
    return ((eps - x) ** 2).mean() + 0.1 * (value**2).mean()


def _train(module: nn.Module, loss: Callable[[], torch.Tensor], steps: int) -> None:
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps) + 1e-4
        optimizer.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(module.parameters(), 3.0)
        optimizer.step()


def _made_up_tokenizer(config: MarConfig) -> TextureVae:
    levels = config.vae_stride.bit_length() - 2  # of a patch of 4
    return TextureVae(TokenizerConfig(
        latent_channels=config.vae_embed_dim, widths=(24, 16, 12, 8, 8, 8)[:levels], blocks=(1,) * levels,
        encoder_widths=(20, 12, 8, 8, 8, 8)[:levels], encoder_blocks=(1,) * levels))


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    """Norm gains about 1, everything else Gaussian; zeros anywhere would hide mistakes."""
    for name, parameter in module.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else parameter.numel()
        norm = parameter.ndim == 1 and name.endswith("weight")
        scale = 0.1 if norm else 0.2 if "embed_learned" in name or "token" in name else max(0.05, fan_in**-0.5) * 0.7
        parameter.copy_(torch.randn_like(parameter) * scale + (1.0 if norm else 0.0))
