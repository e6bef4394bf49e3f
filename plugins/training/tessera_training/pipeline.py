"""The stages of a training run: pack, tokenizer, decoder, generator, export; each skipped once done."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import torch
import torch.distributed as dist

from . import checkpoint, export, latents, safetensors_io, sheets
from .config import Config, TrainConfig
from .data import ImagePack, pack
from .errors import UserError
from .latents import LatentPack
from .mar import Mar, MarConfig, SampleSettings, sample, seeded_noise
from .objectives.mar import MarObjective
from .objectives.realism import RealismObjective
from .objectives.tokenizer import TokenizerObjective, test_psnr
from .tokenizer import TextureVae
from .trainer import Hook, Trainer

STAGES = ("pack", "tokenizer", "decoder", "generator", "export")
OBJECTIVES = {"mar": MarObjective}  # further generators register here


def mar_config(config: Config, classes: int) -> MarConfig:
    """The generator's shape: the configured part and what follows from data and tokenizer."""
    shared = {name: getattr(config.generator, name) for name in MarConfig.__dataclass_fields__
              if hasattr(config.generator, name)}
    return MarConfig(img_size=config.data.size, vae_stride=config.tokenizer.stride,
                     vae_embed_dim=config.tokenizer.latent_channels, class_num=classes, **shared)


class Run:
    """One run directory and what its files hold."""

    def __init__(self, config: Config, resume: bool = True, threads: int = 0) -> None:
        self.config, self.resume = config, resume
        self.dir = Path(config.run_dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        if threads:
            torch.set_num_threads(threads)
        self.rank = dist.get_rank() if dist.is_initialized() else 0

    def pack(self) -> ImagePack:
        """The packed images, written first if they are missing or were packed with other settings."""
        path = self.dir / "pack.safetensors"
        if self.rank == 0:
            known = safetensors_io.load_metadata(path).get("settings") if path.exists() else None
            if known != self.config.data.fingerprint():
                pack(self.config.data, path)
        self._wait()
        return ImagePack(path, self.config.data)

    def tokenizer(self) -> TextureVae:
        """The trained tokenizer; its weights blended with those of the decoder stage if that has run."""
        vae, blend = TextureVae(self.config.tokenizer), self.config.export.decoder_blend
        weights: dict[str, torch.Tensor] = {}
        for stage in ("tokenizer", "decoder"):
            path = self.dir / f"{stage}.checkpoint.pt"
            if checkpoint.exists(path):
                values = checkpoint.read(path)["ema"]
                part = {name[4:]: value for name, value in values.items() if name.startswith("vae.")}
                weights = {name: torch.lerp(weights.get(name, value), value, blend) for name, value in part.items()}
        if not weights:
            raise UserError(f"{self.dir}: no trained tokenizer yet (stage 'tokenizer')")
        with checkpoint.same_shapes(self.dir / "tokenizer.checkpoint.pt"):
            vae.load_state_dict(weights)
        return vae.eval()

    def generator(self, classes: int) -> tuple[Mar, dict]:
        """The generator with averaged parameters, and its checkpoint."""
        path = self.dir / "generator.checkpoint.pt"
        if not checkpoint.exists(path):
            raise UserError(f"{self.dir}: no trained generator yet (stage 'generator')")
        state = checkpoint.read(path)
        model = Mar(mar_config(self.config, classes))
        with checkpoint.same_shapes(path):
            model.load_state_dict({name[6:]: value for name, value in state["ema"].items()})
        return model.eval(), state

    def latents(self) -> LatentPack:
        """The encoded images, written first if they are missing or older than the tokenizer."""
        path, source = self.dir / "latents.safetensors", self.dir / "tokenizer.checkpoint.pt"
        if self.rank == 0 and (not path.exists() or path.stat().st_mtime < source.stat().st_mtime):
            images = self.pack()
            ids = images.ids("train")
            if self.config.generator.tileable_only:
                ids = ids[images.tileable[ids]]
            latents.encode_pack(self.tokenizer(), images, ids, self.config.generator.latent_versions,
                                self.config.seed, path)
        self._wait()
        return LatentPack(path)

    def train_tokenizer(self, train: TrainConfig) -> None:
        images = self.pack()
        torch.manual_seed(self.config.seed)
        vae = TextureVae(self.config.tokenizer)
        vae.start_from_pca(images.plain(images.ids("train")[::4]))
        linear = test_psnr(vae, images)
        self._train("tokenizer", TokenizerObjective(vae, images, train), images.ids("train"), train,
                    lambda _: self._show_reconstructions("tokenizer", vae, images, linear))

    def train_decoder(self, train: TrainConfig) -> None:
        images, vae = self.pack(), TextureVae(self.config.tokenizer)
        path = self.dir / "tokenizer.checkpoint.pt"
        values = checkpoint.read(path)["ema"]
        with checkpoint.same_shapes(path):
            vae.load_state_dict({name[4:]: value for name, value in values.items()})
        torch.manual_seed(self.config.seed)
        self._train("decoder", RealismObjective(vae, images, train), images.ids("train"), train,
                    lambda _: self._show_reconstructions("decoder", vae, images, None))

    def train_generator(self, train: TrainConfig) -> None:
        images, encoded, vae = self.pack(), self.latents(), self.tokenizer()
        torch.manual_seed(self.config.seed)
        model = Mar(mar_config(self.config, len(images.classes)), self.config.generator.dropout)
        if self.config.generator.torus_positions:
            model.start_positions_on_torus(torch.Generator().manual_seed(self.config.seed))
        kind = OBJECTIVES.get(self.config.generator.objective)
        if kind is None:
            raise UserError(f"generator.objective = '{self.config.generator.objective}': "
                            f"expected one of {', '.join(OBJECTIVES)}")
        self._train("generator", kind(model, encoded, self.config.generator), torch.arange(len(encoded)), train,
                    lambda _: self.sample_sheet(model, vae, encoded, images.classes,
                                                self.dir / "sheets" / f"generator-{time.strftime('%H%M%S')}.png"))

    def sample_sheet(self, model: Mar, vae: TextureVae, encoded: LatentPack, classes: list[str],
                     path: Path, columns: int = 4) -> None:
        """One row of samples per class (at most 32 classes), with the default settings."""
        names = classes[:32]
        labels = torch.arange(len(names)).repeat_interleave(columns)
        generator = torch.Generator().manual_seed(self.config.seed)
        orders = torch.rand(len(labels), model.config.tokens, generator=generator).argsort(1)
        chosen = self.config.export.defaults
        settings = SampleSettings(chosen.steps, chosen.guidance, chosen.guidance_schedule, chosen.temperature,
                                  chosen.denoise_steps)
        z = sample(model, labels, orders, settings, seeded_noise(self.config.seed, model.config.token_width))
        with torch.no_grad():
            sheets.save_classes(path, vae.decode(encoded.restore(z)), names)
        print(f"wrote {path}", flush=True)

    def _show_reconstructions(self, stage: str, vae: TextureVae, images: ImagePack, linear: float | None) -> None:
        ids = images.ids("test")
        ids = (ids if len(ids) else images.ids("train"))[:: max(1, len(ids) // 16)][:16]
        shown = images.plain(ids)
        out = vae.decode(vae.encode(shown)[0])
        sheets.save(self.dir / "sheets" / f"{stage}-{time.strftime('%H%M%S')}.png",
                    torch.stack([shown, out], 1).flatten(0, 1), 8)
        if len(images.ids("test")):
            note = f" (linear baseline {linear:.2f} dB)" if linear else ""
            print(f"{stage}: test PSNR {test_psnr(vae, images):.2f} dB{note}", flush=True)

    def _train(self, stage: str, objective: torch.nn.Module, ids: torch.Tensor, train: TrainConfig, show: Hook) -> None:
        trainer = Trainer(stage, objective, ids, train, self.config.seed, self.dir, show)
        if self.resume and trainer.resume():
            print(f"{stage}: continuing after step {trainer.step}", flush=True)
        trainer.run()

    def _wait(self) -> None:
        if dist.is_initialized():
            dist.barrier()


def budget(train: TrainConfig, minutes: float | None) -> TrainConfig:
    return dataclasses.replace(train, minutes=minutes, steps=0) if minutes else train


def run_stages(config: Config, stages: list[str], arguments: argparse.Namespace) -> None:
    """Run `stages`; `--minutes` is shared in the proportion of the configured budgets when several train."""
    run = Run(config, not arguments.restart, arguments.threads)
    training = {"tokenizer": config.tokenizer_training, "decoder": config.decoder_training,
                "generator": config.generator_training}
    chosen = {name: train for name, train in training.items() if name in stages and (train.minutes or train.steps)}
    total = sum(train.minutes for train in chosen.values())
    for stage in stages:
        if stage == "pack":
            run.pack()
        elif stage == "export":
            if run.rank == 0 and config.export.path:
                export.export_model(run, Path(config.export.path))
        elif stage in chosen:
            train = chosen[stage]
            share = train.minutes / total if total else 1 / len(chosen)
            minutes = arguments.minutes * share if arguments.minutes else None
            getattr(run, f"train_{stage}")(budget(train, minutes))
